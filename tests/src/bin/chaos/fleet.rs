//! Fleet: the nodes under test, moved from async code; the clients know which there are.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nodes::{
    cluster::{Cluster, Options},
    cuts::Cut,
    error::NodesError,
};

use crate::{args::ChurnScale, client::Api, room::Room};

/// A cluster that is torn down with this value and its copies.
#[derive(Clone)]
pub(crate) struct Fleet(Arc<Mutex<Cluster>>);

impl Fleet {
    /// Starts Cassandra and the nodes.
    pub(crate) async fn up(
        server: &Path,
        target: &Path,
        directory: &Path,
        scale: ChurnScale,
        own_users: bool,
    ) -> Result<Self, String> {
        let options = Options {
            folder: directory.to_owned(),
            target: std::path::absolute(target)
                .map_err(|error| format!("find {}: {error}", target.display()))?,
            program: server.to_owned(),
            nodes: scale.nodes,
            store: launcher::Options {
                nodes: scale.stores,
                // The only copy is killed, too.
                durable: true,
                ..launcher::Options::default()
            },
            own_users,
        };
        let started = tokio::task::spawn_blocking(move || Cluster::up(&options)).await;
        let cluster = started.map_err(|error| error.to_string())?;
        Ok(Self(Arc::new(Mutex::new(
            cluster.map_err(|error| error.to_string())?,
        ))))
    }

    /// Names and client addresses.
    pub(crate) fn nodes(&self) -> Vec<(String, String)> {
        let cluster = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let nodes = cluster.nodes().iter();
        nodes
            .map(|node| (node.name.clone(), node.client.to_string()))
            .collect()
    }

    /// The server's program, and the names and addresses of the nodes that run, for operators.
    pub(crate) fn operated(&self) -> (PathBuf, Vec<(String, String)>) {
        let cluster = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let running = cluster.nodes().iter().filter(|node| node.pid.is_some());
        let nodes = running.map(|node| (node.name.clone(), node.http.to_string()));
        (cluster.state().program.clone(), nodes.collect())
    }

    /// Where the nodes' logs are.
    pub(crate) fn logs(&self) -> Result<Vec<PathBuf>, String> {
        let cluster = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let nodes = cluster.nodes().iter();
        nodes
            .map(|node| cluster.log(&node.name).map_err(|error| error.to_string()))
            .collect()
    }

    /// Names and the addresses of pages; none while a node is being moved.
    pub(crate) fn pages(&self) -> Option<Vec<(String, SocketAddr)>> {
        let cluster = self.0.try_lock().ok()?;
        let nodes = cluster.nodes().iter();
        Some(nodes.map(|node| (node.name.clone(), node.http)).collect())
    }

    /// What each node's process takes. Fails while a node is being moved.
    pub(crate) fn rooms(&self) -> Result<Vec<(String, Room)>, String> {
        let cluster = self.0.try_lock().map_err(|error| error.to_string())?;
        let rooms = cluster
            .nodes()
            .iter()
            .filter_map(|node| Some((node.name.clone(), Room::of(node.pid?)?)));
        Ok(rooms.collect())
    }

    /// Where the store's nodes answer.
    pub(crate) fn stores(&self) -> Vec<SocketAddr> {
        let cluster = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cluster.state().store.hosts.clone()
    }

    pub(crate) async fn restart(&self, name: &str) -> Result<(), String> {
        let name = name.to_owned();
        self.act(move |cluster| cluster.restart(&name)).await
    }

    pub(crate) async fn kill(&self, name: &str) -> Result<(), String> {
        let name = name.to_owned();
        self.act(move |cluster| cluster.kill(&name)).await
    }

    pub(crate) async fn start(&self, name: &str) -> Result<(), String> {
        let name = name.to_owned();
        self.act(move |cluster| cluster.start(&name)).await
    }

    pub(crate) async fn cut(&self, name: &str, cut: Cut) -> Result<(), String> {
        let name = name.to_owned();
        self.act(move |cluster| cluster.cut(&name, cut)).await
    }

    pub(crate) async fn heal(&self) -> Result<(), String> {
        self.act(|cluster| cluster.heal()).await
    }

    /// Adds a node; clients call it once it is ready.
    pub(crate) async fn add(&self, api: &Api) -> Result<String, String> {
        let name = self.act(Cluster::add).await?;
        let nodes = self.nodes();
        let address = nodes.iter().find(|(node, _)| *node == name);
        api.add(address.map_or("", |(_, address)| address))?;
        Ok(name)
    }

    /// Drains a node and forgets it; clients find it gone before they are told.
    pub(crate) async fn drain(&self, name: &str, api: &Api) -> Result<(), String> {
        let nodes = self.nodes();
        let drained = name.to_owned();
        self.act(move |cluster| {
            cluster.drain(&drained)?;
            cluster.remove(&drained)
        })
        .await?;
        if let Some((_, address)) = nodes.iter().find(|(node, _)| node == name) {
            api.remove(address);
        }
        Ok(())
    }

    /// Keeps all of the store's nodes from answering for a time, with their connections open.
    pub(crate) async fn stall_store(&self, away: Duration) -> Result<(), String> {
        self.act(|cluster| each_store(cluster, |store| store.stall()))
            .await?;
        tokio::time::sleep(away).await;
        self.act(|cluster| each_store(cluster, |store| store.resume()))
            .await
    }

    /// Kills all of the store's nodes and starts them again after a time, on what they have stored.
    pub(crate) async fn kill_store(&self, away: Duration) -> Result<(), String> {
        self.act(|cluster| {
            each_store(cluster, |store| {
                store.kill();
                Ok(())
            })
        })
        .await?;
        tokio::time::sleep(away).await;
        self.act(|cluster| each_store(cluster, launcher::Node::start))
            .await
    }

    /// Kills one of the store's nodes.
    pub(crate) async fn kill_replica(&self, number: usize) -> Result<(), String> {
        self.act(move |cluster| {
            one_store(cluster, number, |store| {
                store.kill();
                Ok(())
            })
        })
        .await
    }

    /// Starts one of the store's nodes again and waits until it answers.
    pub(crate) async fn start_replica(&self, number: usize) -> Result<(), String> {
        self.act(move |cluster| one_store(cluster, number, launcher::Node::start))
            .await
    }

    /// Lines of the nodes' logs that tell of a bug.
    pub(crate) fn errors(&self) -> Result<Vec<String>, String> {
        let cluster = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        for node in cluster.nodes() {
            let path = cluster.log(&node.name).map_err(|error| error.to_string())?;
            let text =
                fs::read_to_string(&path).map_err(|error| format!("read {}: {error}", path.display()))?;
            let errors = text
                .lines()
                .filter(|line| line.contains("ERROR") || line.contains("panicked"));
            found.extend(errors.map(|line| format!("{}: {line}", node.name)));
        }
        Ok(found)
    }

    async fn act<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Cluster) -> Result<T, NodesError> + Send + 'static,
    ) -> Result<T, String> {
        let cluster = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            change(&mut cluster.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())
    }
}

fn one_store(
    cluster: &mut Cluster,
    number: usize,
    act: impl Fn(&mut launcher::Node) -> Result<(), launcher::LaunchError>,
) -> Result<(), NodesError> {
    let store = cluster.stores().and_then(|stores| stores.nodes().get_mut(number));
    Ok(store.map_or(Ok(()), act)?)
}

fn each_store(
    cluster: &mut Cluster,
    act: impl Fn(&mut launcher::Node) -> Result<(), launcher::LaunchError>,
) -> Result<(), NodesError> {
    let Some(stores) = cluster.stores() else {
        return Ok(());
    };
    for store in stores.nodes() {
        act(store)?;
    }
    Ok(())
}
