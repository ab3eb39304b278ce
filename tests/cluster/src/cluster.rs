//! Cluster: nodes that come and go, and the Cassandra they share.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    cuts::{self, Cut},
    error::NodesError,
    node, page,
    ports::free_address,
    process::{Processes, Signal},
    state::{Condition, Node, State, Store},
};

/// How long a node may take until it is ready.
const READY_MAX: Duration = Duration::from_secs(90);
/// How long a node may take to hand over and stop.
const STOP_MAX: Duration = Duration::from_secs(60);
/// How long a killed process may take to be gone.
const KILL_MAX: Duration = Duration::from_secs(10);
/// How often a process or page is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(50);
/// Below the first user of a node: no user of the machine should be near.
const UID_FIRST: u32 = 61_000;
/// What Cassandra's command line says and no other's.
const STORE_MARK: &str = "org.apache.cassandra.service.CassandraDaemon";

/// What a cluster begins with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Holds everything of the cluster; emptied first.
    pub folder: PathBuf,
    /// Holds Cassandra's jars, between clusters too.
    pub target: PathBuf,
    /// The server's program.
    pub program: PathBuf,
    pub nodes: u32,
    pub store: launcher::Options,
    /// Each node runs as a user of its own, which [`crate::cuts`] needs. Only root can do that.
    pub own_users: bool,
}

/// A cluster whose processes end with this value, unless it is left alone.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    state: State,
    processes: Processes,
    /// The store's nodes, where this program started them.
    stores: Option<launcher::Cluster>,
    left_alone: bool,
}

impl Cluster {
    /// Starts the store and the nodes and waits until all are ready.
    pub fn up(options: &Options) -> Result<Self, NodesError> {
        let file = state_file(&options.folder);
        if file.exists() {
            return Err(NodesError::IsThere(file));
        }
        if options.folder.exists() {
            fs::remove_dir_all(&options.folder).map_err(NodesError::io("empty the cluster's folder"))?;
        }
        fs::create_dir_all(&options.folder).map_err(NodesError::io("make the cluster's folder"))?;
        let mut store = options.store.clone();
        if store.port == 0 {
            // Not any free one: while the store is down a server that connects could be given it as its own.
            store.port = free_address()?.port();
        }
        let stores = launcher::Cluster::start(&options.target, &options.folder.join("cassandra"), &store)?;
        let program = options
            .program
            .canonicalize()
            .map_err(NodesError::io(format!("find {}", options.program.display())))?;
        let mut cluster = Self {
            folder: options.folder.clone(),
            state: State {
                program,
                store: Store {
                    hosts: stores.addresses(),
                    pids: stores.pids(),
                },
                nodes: Vec::new(),
                named: 0,
                own_users: options.own_users,
            },
            processes: Processes::default(),
            stores: Some(stores),
            left_alone: false,
        };
        cluster.save()?;
        node::set_up_schema(&cluster.state.program, &cluster.state.store.hosts)?;
        let names: Vec<String> = (0..options.nodes)
            .map(|_| cluster.place())
            .collect::<Result<_, _>>()?;
        for name in &names {
            cluster.spawn(name)?;
        }
        for name in &names {
            cluster.wait_ready(name)?;
        }
        Ok(cluster)
    }

    /// Goes on with what another process has started.
    pub fn open(folder: &Path) -> Result<Self, NodesError> {
        Ok(Self {
            folder: folder.to_owned(),
            state: State::read(&state_file(folder))?,
            processes: Processes::default(),
            stores: None,
            left_alone: true,
        })
    }

    /// Lets the processes go on when this value is dropped.
    pub fn leave_alone(mut self) {
        self.left_alone = true;
        if let Some(stores) = self.stores.take() {
            stores.leave_alone();
        }
    }

    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.state.nodes
    }

    /// Returns where the node's log is.
    pub fn log(&self, name: &str) -> Result<PathBuf, NodesError> {
        Ok(node::log(&self.folder, self.node(name)?))
    }

    /// Loses packets between a node and others, until [`Self::heal`].
    pub fn cut(&self, name: &str, cut: Cut) -> Result<(), NodesError> {
        let store = self.state.store.hosts.first().map_or(0, SocketAddr::port);
        cuts::make(cut, self.node(name)?, &self.state.nodes, store)
    }

    /// Ends all cuts.
    pub fn heal(&self) -> Result<(), NodesError> {
        cuts::heal()
    }

    /// The store's nodes, to stall and stop; none if another process has started them.
    pub fn stores(&mut self) -> Option<&mut launcher::Cluster> {
        self.stores.as_mut()
    }

    pub fn condition(&mut self, name: &str) -> Result<Condition, NodesError> {
        let node = self.node(name)?.clone();
        let runs = node.pid.is_some_and(|pid| self.runs(&node, pid));
        Ok(match page::status(node.http, "/ready") {
            _ if !runs => Condition::Down,
            Ok(200) => Condition::Ready,
            Ok(_) | Err(_) => Condition::NotReady,
        })
    }

    /// Adds a node and waits until it is ready. Returns its name.
    pub fn add(&mut self) -> Result<String, NodesError> {
        let name = self.place()?;
        self.start(&name)?;
        Ok(name)
    }

    /// Starts a node that was stopped, at its old addresses, and waits until it is ready.
    pub fn start(&mut self, name: &str) -> Result<(), NodesError> {
        self.spawn(name)?;
        self.wait_ready(name)
    }

    /// Asks the node to stop; it hands over what it owns first. Waits until it is gone.
    pub fn drain(&mut self, name: &str) -> Result<(), NodesError> {
        let (node, pid) = self.running(name)?;
        self.signal(&node, pid, Signal::TERM);
        self.wait_gone(&node, pid, STOP_MAX)?;
        let status = self.processes.status(pid);
        self.forget(name)?;
        match status {
            Some(status) if !status.success() => Err(NodesError::Ended {
                name: name.to_owned(),
                how: status.to_string(),
                log: node::log(&self.folder, &node),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Stops the node in good order and starts it again.
    pub fn restart(&mut self, name: &str) -> Result<(), NodesError> {
        self.drain(name)?;
        self.start(name)
    }

    /// Ends the node at once, as a crash does.
    pub fn kill(&mut self, name: &str) -> Result<(), NodesError> {
        let (node, pid) = self.running(name)?;
        self.signal(&node, pid, Signal::KILL);
        self.wait_gone(&node, pid, KILL_MAX)?;
        self.forget(name)
    }

    /// Takes a stopped node out of the list.
    pub fn remove(&mut self, name: &str) -> Result<(), NodesError> {
        if self.node(name)?.pid.is_some() {
            return Err(NodesError::Up(name.to_owned()));
        }
        self.state.nodes.retain(|node| node.name != name);
        self.save()
    }

    /// Ends everything. The nodes' folders stay until the next start.
    pub fn down(mut self) -> Result<(), NodesError> {
        self.end_all()
    }

    fn end_all(&mut self) -> Result<(), NodesError> {
        let nodes: Vec<_> = self
            .state
            .nodes
            .iter()
            .filter_map(|node| Some((node.clone(), node.pid?)))
            .collect();
        // All together nobody is left to hand over to: there is nothing to wait for.
        for (node, pid) in &nodes {
            self.signal(node, *pid, Signal::KILL);
        }
        for (node, pid) in &nodes {
            self.wait_gone(node, *pid, KILL_MAX)?;
        }
        // Started by this program they end with their handle.
        if self.stores.take().is_none() {
            for pid in self.state.store.pids.clone() {
                self.processes.signal(pid, STORE_MARK, Signal::KILL);
            }
        }
        fs::remove_file(state_file(&self.folder)).map_err(NodesError::io("remove the cluster's file"))
    }

    /// Gives a new node a name and a place.
    fn place(&mut self) -> Result<String, NodesError> {
        self.state.named += 1;
        let number = self.state.named;
        let uid = self.state.own_users.then_some(UID_FIRST + number);
        let node = node::place(format!("node-{number}"), uid)?;
        let name = node.name.clone();
        self.state.nodes.push(node);
        self.save()?;
        Ok(name)
    }

    fn spawn(&mut self, name: &str) -> Result<(), NodesError> {
        let node = self.node(name)?.clone();
        if node.pid.is_some_and(|pid| self.runs(&node, pid)) {
            return Err(NodesError::Up(name.to_owned()));
        }
        let seeds: Vec<SocketAddr> = self.state.nodes.iter().map(|node| node.gossip).collect();
        node::write_settings(&self.folder, &node, &self.state.store.hosts, &seeds)?;
        let child = node::spawn(&self.folder, &node, &self.state.program)?;
        let pid = self.processes.adopt(child);
        self.node_mut(name)?.pid = Some(pid);
        self.save()
    }

    fn wait_ready(&mut self, name: &str) -> Result<(), NodesError> {
        let (node, pid) = self.running(name)?;
        let log = node::log(&self.folder, &node);
        let ready = self.wait(READY_MAX, |cluster| {
            !cluster.runs(&node, pid) || matches!(page::status(node.http, "/ready"), Ok(200))
        });
        if !self.runs(&node, pid) {
            let status = self.processes.status(pid);
            let how = status.map_or_else(|| "an unknown status".to_owned(), |status| status.to_string());
            let name = name.to_owned();
            return Err(NodesError::Ended { name, how, log });
        }
        if ready {
            return Ok(());
        }
        Err(NodesError::NotReady {
            name: name.to_owned(),
            after: READY_MAX,
            log,
        })
    }

    fn wait_gone(&mut self, node: &Node, pid: u32, limit: Duration) -> Result<(), NodesError> {
        if self.wait(limit, |cluster| !cluster.runs(node, pid)) {
            return Ok(());
        }
        Err(NodesError::Stays {
            name: node.name.clone(),
            after: limit,
            log: node::log(&self.folder, node),
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "nothing tells when a process of another's begins to answer or ends; no runtime runs here"
    )]
    fn wait(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let begun = Instant::now();
        while !done(self) {
            if begun.elapsed() > limit {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        true
    }

    fn runs(&mut self, node: &Node, pid: u32) -> bool {
        self.processes.runs(pid, &node::mark(&self.folder, node))
    }

    fn signal(&mut self, node: &Node, pid: u32, signal: Signal) {
        self.processes
            .signal(pid, &node::mark(&self.folder, node), signal);
    }

    fn running(&mut self, name: &str) -> Result<(Node, u32), NodesError> {
        let node = self.node(name)?.clone();
        let pid = node.pid.ok_or_else(|| NodesError::Down(name.to_owned()))?;
        Ok((node, pid))
    }

    fn forget(&mut self, name: &str) -> Result<(), NodesError> {
        self.node_mut(name)?.pid = None;
        self.save()
    }

    fn node(&self, name: &str) -> Result<&Node, NodesError> {
        let found = self.state.nodes.iter().find(|node| node.name == name);
        found.ok_or_else(|| self.unknown(name))
    }

    fn node_mut(&mut self, name: &str) -> Result<&mut Node, NodesError> {
        let unknown = self.unknown(name);
        let found = self.state.nodes.iter_mut().find(|node| node.name == name);
        found.ok_or(unknown)
    }

    fn unknown(&self, name: &str) -> NodesError {
        let known: Vec<&str> = self.state.nodes.iter().map(|node| node.name.as_str()).collect();
        NodesError::NoNode {
            name: name.to_owned(),
            known: known.join(", "),
        }
    }

    fn save(&self) -> Result<(), NodesError> {
        self.state.write(&state_file(&self.folder))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !self.left_alone && state_file(&self.folder).exists() {
            // What does not end here is listed in the file, which stays then.
            let _ = self.end_all();
        }
    }
}

fn state_file(folder: &Path) -> PathBuf {
    folder.join("cluster.json")
}
