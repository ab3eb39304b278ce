//! What runs, as it stands in a file.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::error::NodesError;

/// A cluster that was started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// The server's program.
    pub program: PathBuf,
    pub store: Store,
    pub nodes: Vec<Node>,
    /// Nodes that there ever were: names are not given twice.
    pub named: u32,
    /// Each node runs as a user of its own.
    #[serde(default)]
    pub own_users: bool,
}

/// The Cassandra nodes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Store {
    pub hosts: Vec<SocketAddr>,
    pub pids: Vec<u32>,
}

/// A server process and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub name: String,
    /// Where clients call.
    pub client: SocketAddr,
    /// Where operators ask.
    pub http: SocketAddr,
    pub rpc: SocketAddr,
    pub gossip: SocketAddr,
    /// None once it was stopped.
    pub pid: Option<u32>,
    /// The user that it runs as, if it has one of its own.
    #[serde(default)]
    pub uid: Option<u32>,
}

/// How a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    Ready,
    /// It runs and takes no calls: it starts or drains.
    NotReady,
    Down,
}

impl State {
    pub(crate) fn read(path: &Path) -> Result<Self, NodesError> {
        let text = fs::read_to_string(path).map_err(|_| NodesError::NoCluster(path.to_owned()))?;
        serde_json::from_str(&text).map_err(|error| NodesError::State(path.to_owned(), error))
    }

    /// Whoever reads meanwhile sees the former or the new state, whole.
    pub(crate) fn write(&self, path: &Path) -> Result<(), NodesError> {
        let text =
            serde_json::to_string_pretty(self).map_err(|error| NodesError::State(path.to_owned(), error))?;
        let fresh = path.with_extension("new");
        fs::write(&fresh, text)
            .and_then(|()| fs::rename(&fresh, path))
            .map_err(NodesError::io("write the cluster's file"))
    }
}
