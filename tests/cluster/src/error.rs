//! Why a cluster is not as it was asked to be.

use std::{io, path::PathBuf, time::Duration};

/// Something could not be started, stopped or found.
#[derive(Debug, thiserror::Error)]
pub enum NodesError {
    #[error(transparent)]
    Store(#[from] launcher::LaunchError),
    #[error("{action}: {source}")]
    Io { action: String, source: io::Error },
    #[error("read {0}: {1}")]
    State(PathBuf, serde_json::Error),
    #[error("find a cluster: none was started (its file would be {0})")]
    NoCluster(PathBuf),
    #[error("start a cluster: one is there already ({0}); take it down first")]
    IsThere(PathBuf),
    #[error("find node {name}: there are {known}")]
    NoNode { name: String, known: String },
    #[error("node {0} does not run")]
    Down(String),
    #[error("node {0} runs already")]
    Up(String),
    #[error("node {name} is not ready after {after:?}; its log is {log}")]
    NotReady {
        name: String,
        after: Duration,
        log: PathBuf,
    },
    #[error("node {name} ended with {how}; its log is {log}")]
    Ended { name: String, how: String, log: PathBuf },
    #[error("node {name} has not stopped after {after:?}; its log is {log}")]
    Stays {
        name: String,
        after: Duration,
        log: PathBuf,
    },
    #[error("set up the schema: {0}")]
    Schema(String),
    #[error("cut nodes off: {0}")]
    Cut(String),
    #[error("find a free port: all are taken")]
    NoPort,
}

impl NodesError {
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        |source| Self::Io { action, source }
    }
}
