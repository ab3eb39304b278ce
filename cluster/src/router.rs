//! Router: from a workflow to its shard, from a queue's key to its actor.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use engine::{
    outcome::{Rejection, Reply},
    trigger::{Reset, Start, StartWith, Trigger},
};
use matching::handle::QueueHandle;
use proto::{
    ids::{NodeId, QueueKey, ShardId, WorkflowKey},
    time::Timestamp,
};
use shard::{
    handle::{ShardHandle, Unsent},
    input::{Input, Request},
    namespaces::Namespaces,
    view::ShardView,
};
pub use shard::{input::RunTarget, output::AskError};
use storage::{registry::Registry, shard::ShardStore, visibility::VisibilityIndex};
use tokio::sync::watch;

use crate::{host::Queues, map::ShardMap, metrics::NodeMetrics};

/// How long a request waits for a shard that is being taken up.
const SHARD_WAIT: Duration = Duration::from_secs(5);

/// Finds who is asked. Clones are cheap.
#[derive(Clone)]
pub struct Router(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) node: NodeId,
    pub(crate) map: ShardMap,
    pub(crate) store: Arc<dyn ShardStore>,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) visibility: Arc<dyn VisibilityIndex>,
    /// Replaced whole when a shard comes or goes.
    pub(crate) shards: watch::Sender<Arc<HashMap<ShardId, ShardHandle>>>,
    pub(crate) queues: Queues,
    pub(crate) namespaces: RwLock<Namespaces>,
    pub(crate) metrics: NodeMetrics,
}

tokio::task_local! {
    /// When the call was received that this task answers.
    static RECEIVED: Timestamp;
}

/// Runs what answers a call that was received at the time: what it asks of shards is measured from then on.
pub async fn answering<F: Future>(received: Timestamp, call: F) -> F::Output {
    RECEIVED.scope(received, call).await
}

impl Router {
    /// Asks a run and waits for the answer.
    ///
    /// Dropping the future gives the answer up, not the request.
    pub async fn ask(&self, target: &RunTarget, trigger: Trigger) -> Result<Reply, AskError> {
        self.request(target.clone(), Request::Step(trigger)).await
    }

    /// Starts a workflow, or uses the one that runs under its id.
    pub async fn start(&self, workflow: &WorkflowKey, start: Start) -> Result<Reply, AskError> {
        let target = RunTarget {
            workflow: workflow.clone(),
            run_id: None,
        };
        self.request(target, Request::Start(start)).await
    }

    /// Resets a workflow; the target is its newest run.
    pub async fn reset(&self, target: &RunTarget, reset: Reset) -> Result<Reply, AskError> {
        self.request(target.clone(), Request::Reset(Box::new(reset)))
            .await
    }

    async fn request(&self, target: RunTarget, request: Request) -> Result<Reply, AskError> {
        let id = self.0.map.shard(target.workflow.position());
        let mut shards = self.0.shards.subscribe();
        let (mut target, mut request) = (target, request);
        let mut give_up = tokio::time::Instant::now() + SHARD_WAIT;
        let received = RECEIVED.try_with(|received| *received).unwrap_or_else(|_| now());
        loop {
            let handle = shards.borrow_and_update().get(&id).cloned();
            if let Some(handle) = handle {
                let waits = may_wait(&request).then(|| (target.clone(), request.clone()));
                match (handle.ask(target, request, received).await, waits) {
                    // It waited at a shard that let go: it waits on at the next owner.
                    (Ok(Err(AskError::Moved)), Some(kept)) => {
                        (target, request) = kept;
                        give_up = tokio::time::Instant::now() + SHARD_WAIT;
                    }
                    (Ok(answer), _) => return answer,
                    (
                        Err(Unsent {
                            why: AskError::Moved,
                            target: t,
                            request: r,
                        }),
                        _,
                    ) => (target, request) = (t, r),
                    (Err(unsent), _) => return Err(unsent.why),
                }
            }
            // The shard is being taken up: its new handle comes soon.
            if tokio::time::timeout_at(give_up, shards.changed()).await.is_err() {
                return Err(AskError::Unavailable("shard is not available".to_owned()));
            }
        }
    }

    /// Tells the shard of a run something; lost if the shard is not there, as it then starts afresh.
    pub(crate) fn tell(&self, shard: ShardId, input: Input) {
        if let Some(handle) = self.0.shards.borrow().get(&shard) {
            // A full mailbox loses a hint, which comes again.
            drop(handle.tell(input));
        }
    }

    /// Returns the way to the queue, which starts if it is not there.
    pub fn queue(&self, key: &QueueKey) -> Result<QueueHandle, AskError> {
        self.0.queues.find(key, self)
    }

    /// Sets how many tasks a second the queue gives at most; `None` unsets it.
    pub fn set_queue_rate(&self, key: &QueueKey, rate: Option<f64>) {
        self.0.queues.set_rate(key, rate);
    }

    /// Replaces what shards know of namespaces.
    pub fn set_namespaces(&self, namespaces: Namespaces) {
        self.0
            .namespaces
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(&namespaces);
        for handle in self.0.shards.borrow().values() {
            drop(handle.tell(Input::Namespaces(namespaces.clone())));
        }
    }

    #[must_use]
    pub fn namespaces(&self) -> Namespaces {
        self.0
            .namespaces
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    #[must_use]
    pub fn store(&self) -> &Arc<dyn ShardStore> {
        &self.0.store
    }

    #[must_use]
    pub fn registry(&self) -> &Arc<dyn Registry> {
        &self.0.registry
    }

    #[must_use]
    pub fn visibility(&self) -> &Arc<dyn VisibilityIndex> {
        &self.0.visibility
    }

    #[must_use]
    pub fn node_name(&self) -> &str {
        &self.0.node.name
    }

    #[must_use]
    pub fn map(&self) -> &ShardMap {
        &self.0.map
    }

    #[must_use]
    pub fn metrics(&self) -> &NodeMetrics {
        &self.0.metrics
    }

    /// Returns the shard if it runs on this node and answers.
    pub async fn shard_view(&self, id: ShardId) -> Option<ShardView> {
        let handle = self.0.shards.borrow().get(&id).cloned()?;
        handle.view().await.ok()
    }

    /// Returns the shards of this node that answer.
    pub async fn shard_views(&self) -> Vec<ShardView> {
        let handles: Vec<_> = self.0.shards.borrow().values().cloned().collect();
        let mut views = Vec::new();
        for handle in handles {
            views.extend(handle.view().await);
        }
        views.sort_by_key(|view| view.shard);
        views
    }
}

/// Tells whether the answer may come long after the request was taken; such a request may be made again.
fn may_wait(request: &Request) -> bool {
    match request {
        Request::Step(trigger) => matches!(
            trigger,
            Trigger::Position { .. }
                | Trigger::Query { .. }
                | Trigger::Update(_)
                | Trigger::PollUpdate { .. }
        ),
        Request::Start(start) => matches!(start.with, StartWith::Update(_)),
        Request::Reset(_) | Request::Purge | Request::Repair => false,
    }
}

/// Tells whether the error says that what was asked for is not there.
pub(crate) fn is_not_found(error: &AskError) -> bool {
    matches!(error, AskError::Rejected(Rejection::NotFound(_)))
}

pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::EPOCH + since
}
