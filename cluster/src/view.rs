//! The node as an operator sees it.

use matching::view::QueueView;
use proto::ids::{QueueKey, TaskKind};
use serde::Serialize;

use crate::router::Router;

/// A node at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct NodeView {
    pub node: String,
    /// How often the node has started.
    pub generation: u64,
    pub shard_map_version: u64,
    /// Shards of the whole cluster.
    pub shards: usize,
    /// Those of them that run on this node.
    pub shards_here: Vec<u32>,
}

/// One queue of the node.
#[derive(Clone, Debug, Serialize)]
pub struct KeyedQueueView {
    pub namespace: String,
    pub name: String,
    pub kind: &'static str,
    pub sticky: bool,
    #[serde(flatten)]
    pub view: QueueView,
}

impl Router {
    #[must_use]
    pub fn view(&self) -> NodeView {
        let inner = &self.0;
        let map = self.map();
        let mut here: Vec<u32> = inner.shards.borrow().keys().map(|shard| shard.0).collect();
        here.sort_unstable();
        NodeView {
            node: inner.node.name.to_string(),
            generation: inner.node.generation,
            shard_map_version: map.version,
            shards: map.ranges.len(),
            shards_here: here,
        }
    }

    /// Returns the queues of this node that answer, in the order of their names.
    pub async fn queue_views(&self) -> Vec<KeyedQueueView> {
        let namespaces = self.namespaces();
        let mut views = Vec::new();
        for (key, queue) in self.0.queues.all() {
            let QueueKey {
                namespace_id,
                kind,
                sticky,
                name,
            } = key;
            let Ok(view) = queue.view().await else { continue };
            let namespace = namespaces
                .find(namespace_id)
                .map_or_else(|| namespace_id.to_string(), |entry| entry.namespace.name.clone());
            views.push(KeyedQueueView {
                namespace,
                name: name.to_string(),
                kind: match kind {
                    TaskKind::Workflow => "workflow",
                    TaskKind::Activity => "activity",
                },
                sticky,
                view,
            });
        }
        views.sort_by(|a, b| (&a.namespace, &a.name, a.kind).cmp(&(&b.namespace, &b.name, b.kind)));
        views
    }
}
