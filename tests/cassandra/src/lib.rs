//! Launcher: real Cassandra nodes on 127.0.0.1, 127.0.0.2, … for tests and measurements.
//!
//! It copies Cassandra's jars with maven once, writes each node's settings and starts it as a process of its own
//! on JDK 17. A node is stopped when its handle is dropped. A node is ready when it answers a query.

mod counts;
mod jars;
mod node;
mod settings;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

pub use self::{counts::Counts, node::Node};

/// How the nodes are set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// 1 to 9.
    pub nodes: u8,
    /// Port of CQL on each node's address; 0 takes a free one.
    pub port: u16,
    pub heap_mib: u32,
    pub paxos: Paxos,
    /// A write is on the disk before it is acknowledged. Otherwise, as Cassandra has it by default, a node that is
    /// killed forgets what it took in its last moments, and only other copies remember.
    pub durable: bool,
}

/// How Cassandra decides conditional writes: `v2` needs fewer round trips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paxos {
    V1,
    V2,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nodes: 1,
            port: 0,
            heap_mib: 400,
            paxos: Paxos::V2,
            durable: false,
        }
    }
}

/// Cassandra could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("find {0}: install it, on Debian with apt-get install openjdk-17-jdk-headless maven")]
    Missing(&'static str),
    #[error("use {found}: Cassandra 5.0 wants JDK 17 (on Debian apt-get install openjdk-17-jdk-headless)")]
    WrongJava { found: String },
    #[error("{action}: {source}")]
    Io { action: String, source: io::Error },
    #[error("copy Cassandra's jars with maven: {0}")]
    Maven(String),
    #[error("ask Cassandra's process {pid} for its counts: java ended with {status}")]
    Counts { pid: u32, status: String },
    #[error("start node {address}: {why}; its log is {log}")]
    Node {
        address: SocketAddr,
        why: String,
        log: PathBuf,
    },
}

impl LaunchError {
    fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        |source| Self::Io { action, source }
    }
}

/// Running nodes that form one ring.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    port: u16,
}

impl Cluster {
    /// Starts the nodes, one after the other, and waits until all answer. `target` holds the cached jars;
    /// `data` is emptied and then holds what the nodes store and log.
    pub fn start(target: &Path, data: &Path, options: &Options) -> Result<Self, LaunchError> {
        let jars = jars::fetch(target)?;
        let java = jars::java()?;
        if data.exists() {
            std::fs::remove_dir_all(data).map_err(LaunchError::io("empty the data folder"))?;
        }
        let port = match options.port {
            0 => free_port()?,
            port => port,
        };
        let storage_port = free_port()?;
        let mut cluster = Self {
            nodes: Vec::new(),
            port,
        };
        for number in 1..=options.nodes {
            let place = settings::Place {
                address: Ipv4Addr::new(127, 0, 0, number),
                port,
                storage_port,
                folder: data.join(format!("node-{number}")),
            };
            let mut node = Node::new(place, options.clone(), jars.clone(), java.clone())?;
            node.start()?;
            cluster.nodes.push(node);
        }
        Ok(cluster)
    }

    /// Where the nodes answer CQL.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Node::address).collect()
    }

    /// The processes of those that run.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        self.nodes.iter().filter_map(Node::pid).collect()
    }

    /// Lets the nodes go on without their handle.
    pub fn leave_alone(mut self) {
        for node in &mut self.nodes {
            node.leave_alone();
        }
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The nodes, to stop, stall and start again.
    pub fn nodes(&mut self) -> &mut [Node] {
        &mut self.nodes
    }
}

fn free_port() -> Result<u16, LaunchError> {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(LaunchError::io("find a free port"))
}
