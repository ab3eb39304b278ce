//! What one node is asked of itself, also by another node on an operator's behalf.

use cluster::split::ChangeView;
use serde::{Deserialize, Serialize};
use shard::view::ShardView;

/// Asked of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Question {
    Node,
    Queues,
    /// Asks it to hand over all that it owns, and then to stop.
    Drain,
}

/// A node, as it sees itself.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NodeReport {
    pub(crate) node: String,
    pub(crate) generation: u64,
    /// What it said of how ready it is: `serving`, `leaving` or `draining`.
    pub(crate) stage: &'static str,
    pub(crate) shards: Vec<ShardView>,
    /// The split or merge of shards that it is about.
    pub(crate) change: Option<ChangeView>,
}
