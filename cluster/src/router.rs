//! Router: from a workflow to its shard, from a queue's key to its actor.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use engine::{
    outcome::{Rejection, Reply},
    trigger::{Reset, Start, StartWith, Trigger},
};
use membership::view::View as Members;
use proto::{
    ids::{NodeId, ShardId, WorkflowKey},
    time::Timestamp,
};
use shard::{
    handle::{ShardHandle, Unsent},
    input::{Input, Request},
    namespaces::Namespaces,
    view::ShardView,
};
pub use shard::{input::RunTarget, output::AskError};
use storage::{
    batch::HistoryNode,
    error::StoreError,
    registry::Registry,
    shard::{HistoryRange, ShardStore},
    visibility::VisibilityIndex,
};
use tokio::{
    sync::{broadcast, mpsc, watch},
    time::Instant,
};

pub use crate::rpc::News;
use crate::{
    aside::Aside,
    keeper::Notice,
    liveness,
    map::ShardMap,
    maps::Maps,
    metrics::NodeMetrics,
    operate::Answerer,
    peers::Peers,
    placement::{Owner, Placement},
    queues::Queues,
    reach::Reach,
    rpc::{Call, Lost, is_repeatable, peer::Peer},
    split::Standing,
    workers::Roster,
};

/// How long a request waits for a shard that is being taken up.
const SHARD_WAIT: Duration = Duration::from_secs(5);
/// How long until a shard is looked for again of which two nodes say that it is elsewhere.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// What comes back from another node after this long was waiting for its answer there.
const TAKEN: Duration = Duration::from_secs(1);

/// Finds who is asked. Clones are cheap.
#[derive(Clone)]
pub struct Router(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) node: NodeId,
    pub(crate) maps: Maps,
    pub(crate) store: Arc<dyn ShardStore>,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) visibility: Arc<dyn VisibilityIndex>,
    /// Replaced whole when a shard comes or goes.
    pub(crate) shards: watch::Sender<Arc<HashMap<ShardId, ShardHandle>>>,
    pub(crate) keeper: mpsc::Sender<Notice>,
    /// Shards that belong here and wait until the others are asked for them.
    pub(crate) waiting: watch::Sender<Arc<BTreeSet<ShardId>>>,
    /// What this node reaches of what it needs to answer.
    pub(crate) reach: watch::Sender<Reach>,
    pub(crate) queues: Queues,
    /// What belongs to whom; replaced whole when a node comes or goes.
    pub(crate) placement: watch::Sender<Arc<Placement>>,
    pub(crate) peers: Peers,
    /// Tickets on their way to other nodes' pollers.
    pub(crate) lent: Aside,
    /// Tickets that found no queue.
    pub(crate) strayed: Arc<Aside>,
    pub(crate) news: broadcast::Sender<News>,
    /// The worker processes that belong to this node.
    pub(crate) workers: Roster,
    /// Answers operators for this node.
    pub(crate) operator: OnceLock<Answerer>,
    pub(crate) namespaces: RwLock<Namespaces>,
    pub(crate) metrics: NodeMetrics,
    /// The split or merge that this node is about.
    pub(crate) changing: Standing,
    /// Held while parents are drained and the map is written: nobody takes them up here meanwhile.
    pub(crate) switching: Arc<tokio::sync::Mutex<()>>,
}

tokio::task_local! {
    /// When the call was received that this task answers.
    static RECEIVED: Timestamp;
}

/// Runs what answers a call that was received at the time: what it asks of shards is measured from then on.
pub async fn answering<F: Future>(received: Timestamp, call: F) -> F::Output {
    RECEIVED.scope(received, call).await
}

/// Who is to be asked.
enum Way {
    Here(ShardHandle),
    /// Asked with the version of the map by which it was found.
    There(Arc<Peer>, u64),
    /// It belongs to this node, which has not asked for it yet: whoever had it may still have it.
    Before(Arc<Peer>, u64),
    /// It belongs to this node, which does not have it yet.
    Nowhere,
}

/// Where a request is after it was made.
enum Asked {
    Answered(Result<Reply, AskError>),
    /// Whoever was asked did not do it, or may do it again: the next owner is asked.
    Again(Again),
}

struct Again {
    target: RunTarget,
    request: Request,
    /// It was waiting for its answer where it was: its wait for the next owner begins only now.
    waited: bool,
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

    /// Asks the shard where it is, and where it goes if it goes meanwhile.
    async fn request(&self, target: RunTarget, request: Request) -> Result<Reply, AskError> {
        let position = target.workflow.position();
        let shard = self.0.placement.borrow().map().shard(position);
        let received = RECEIVED.try_with(|received| *received).unwrap_or_else(|_| now());
        let handle = self.0.shards.borrow().get(&shard).cloned();
        let again = match handle {
            Some(handle) => match ask_handle(&handle, target, request, received).await {
                Asked::Answered(answer) => return answer,
                Asked::Again(again) => again,
            },
            None => Again {
                target,
                request,
                waited: false,
            },
        };
        // Only what is not answered at once here pays for the rest.
        Box::pin(self.seek(position, again, received)).await
    }

    /// Asks whoever has the position's shard, which may be another one meanwhile, until somebody answers.
    async fn seek(&self, position: u64, mut again: Again, received: Timestamp) -> Result<Reply, AskError> {
        let mut shards = self.0.shards.subscribe();
        let mut placement = self.0.placement.subscribe();
        let mut reach = self.0.reach.subscribe();
        let mut give_up = Instant::now() + SHARD_WAIT;
        loop {
            let mut look_again = give_up;
            let asked = match self.way(position, &mut shards, &mut placement) {
                Way::Here(handle) => ask_handle(&handle, again.target, again.request, received).await,
                Way::There(peer, map) | Way::Before(peer, map) => {
                    let asked = ask_peer(&peer, again.target, again.request, map).await;
                    if let Asked::Again(_) = asked {
                        self.doubt_map().await;
                    }
                    look_again = Instant::now() + LOOK_AGAIN;
                    asked
                }
                Way::Nowhere if !reach.borrow_and_update().others && !self.sees_enough() => {
                    return Err(cut_off());
                }
                Way::Nowhere => Asked::Again(again),
            };
            match asked {
                Asked::Answered(answer) => return answer,
                Asked::Again(request) => again = request,
            }
            if std::mem::take(&mut again.waited) {
                give_up = Instant::now() + SHARD_WAIT;
            }
            // Its handle comes, or it becomes somebody else's: this node hears of it.
            tokio::select! {
                _ = shards.changed() => {}
                _ = placement.changed() => {}
                _ = reach.changed() => {}
                () = tokio::time::sleep_until(look_again) => {}
            }
            if Instant::now() >= give_up {
                return Err(unavailable());
            }
        }
    }

    /// Tells whether this node sees the others, perhaps since a moment ago: then it will have what it waits for.
    fn sees_enough(&self) -> bool {
        liveness::sees_enough(&self.0.placement.borrow())
    }

    /// Finds the position's shard: here if this node has it, whoever it belongs to; else at its owner.
    fn way(
        &self,
        position: u64,
        shards: &mut watch::Receiver<Arc<HashMap<ShardId, ShardHandle>>>,
        placement: &mut watch::Receiver<Arc<Placement>>,
    ) -> Way {
        let placement = placement.borrow_and_update();
        let shard = placement.map().shard(position);
        if let Some(handle) = shards.borrow_and_update().get(&shard)
            && handle.is_alive()
        {
            return Way::Here(handle.clone());
        }
        let map = placement.map().version;
        match placement.shard(shard) {
            Owner::Other(member) => Way::There(self.0.peers.get(member), map),
            Owner::Me if self.0.waiting.borrow().contains(&shard) => placement
                .before(shard)
                .map_or(Way::Nowhere, |member| Way::Before(self.0.peers.get(member), map)),
            Owner::Me => Way::Nowhere,
        }
    }

    /// Answers another node's request if the shard is here or comes here.
    pub(crate) async fn ask_here(&self, target: RunTarget, request: Request) -> Result<Reply, AskError> {
        let position = target.workflow.position();
        let mut shards = self.0.shards.subscribe();
        let mut placement = self.0.placement.subscribe();
        let (mut target, mut request) = (target, request);
        let received = now();
        let give_up = Instant::now() + SHARD_WAIT;
        loop {
            let mut look_again = give_up;
            match self.way(position, &mut shards, &mut placement) {
                Way::Here(handle) => match ask_handle(&handle, target, request, received).await {
                    Asked::Answered(answer) => return answer,
                    // It waited for its answer: the asker knows what to do.
                    Asked::Again(again) if again.waited => return Err(AskError::Moved),
                    Asked::Again(again) => (target, request) = (again.target, again.request),
                },
                Way::Before(peer, map) => match ask_peer(&peer, target, request, map).await {
                    Asked::Answered(answer) => return answer,
                    Asked::Again(again) if again.waited => return Err(AskError::Moved),
                    Asked::Again(again) => {
                        (target, request) = (again.target, again.request);
                        look_again = Instant::now() + LOOK_AGAIN;
                    }
                },
                Way::There(..) => return Err(AskError::Moved),
                Way::Nowhere => {}
            }
            tokio::select! {
                _ = shards.changed() => {}
                _ = placement.changed() => {}
                () = tokio::time::sleep_until(look_again) => {}
            }
            if Instant::now() >= give_up {
                return Err(unavailable());
            }
        }
    }

    /// Tells a shard of this node something; lost if it is not here, as it then starts afresh somewhere.
    pub(crate) fn tell_here(&self, shard: ShardId, input: Input) {
        if let Some(handle) = self.0.shards.borrow().get(&shard) {
            // A full mailbox loses a hint, which comes again.
            drop(handle.tell(input));
        }
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

    /// Tells the other nodes what this one has changed in the registry.
    pub fn tell_news(&self, news: &News) {
        let placement = Arc::clone(&self.0.placement.borrow());
        self.0
            .peers
            .hint_all(&placement, &crate::rpc::Hint::News(news.clone()));
    }

    /// Hears what other nodes have changed in the registry. Who lags behind must take it for [`News::Anything`].
    #[must_use]
    pub fn news(&self) -> broadcast::Receiver<News> {
        self.0.news.subscribe()
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

    /// Reads part of the history of one of the workflow's runs, from the store.
    pub async fn history(
        &self,
        workflow: &WorkflowKey,
        range: HistoryRange,
    ) -> Result<Vec<HistoryNode>, StoreError> {
        let shard = self.map().shard(workflow.position());
        self.0.store.history(shard, range).await
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

    /// Returns the newest map that this node has seen.
    #[must_use]
    pub fn map(&self) -> Arc<ShardMap> {
        self.0.maps.map()
    }

    /// Returns what belongs to whom, as this node believes.
    #[must_use]
    pub fn placement(&self) -> Arc<Placement> {
        Arc::clone(&self.0.placement.borrow())
    }

    /// Returns who is in the cluster, as this node believes.
    #[must_use]
    pub fn members(&self) -> Arc<Members> {
        Arc::clone(self.0.placement.borrow().view())
    }

    /// Hears what this node reaches of what it needs to answer.
    #[must_use]
    pub fn reach(&self) -> watch::Receiver<Reach> {
        self.0.reach.subscribe()
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

/// Asks a shard of this node.
async fn ask_handle(handle: &ShardHandle, target: RunTarget, request: Request, received: Timestamp) -> Asked {
    let waits = may_wait(&request).then(|| (target.clone(), request.clone()));
    match (handle.ask(target, request, received).await, waits) {
        // It waited at a shard that let go: it waits on at the next owner.
        (Ok(Err(AskError::Moved)), Some((target, request))) => Asked::Again(Again {
            target,
            request,
            waited: true,
        }),
        (Ok(answer), _) => Asked::Answered(answer),
        (
            Err(Unsent {
                why: AskError::Moved,
                target,
                request,
            }),
            _,
        ) => Asked::Again(Again {
            target,
            request,
            waited: false,
        }),
        (Err(unsent), _) => Asked::Answered(Err(unsent.why)),
    }
}

/// Asks the shard's owner.
async fn ask_peer(peer: &Peer, target: RunTarget, request: Request, map: u64) -> Asked {
    let call = Call::Ask { target, request, map };
    let asked_at = Instant::now();
    let answer: Result<Result<Reply, AskError>, Lost> = peer.call(&call).await;
    let Call::Ask { target, request, .. } = call else {
        return Asked::Answered(Err(unavailable()));
    };
    let waited = matches!(answer, Ok(Err(AskError::Moved))) && asked_at.elapsed() >= TAKEN;
    let again = |target, request| {
        Asked::Again(Again {
            target,
            request,
            waited,
        })
    };
    match answer {
        Ok(Err(AskError::Moved)) | Err(Lost::NotSent(_)) => again(target, request),
        Err(Lost::Unknown(_)) if is_repeatable(&request) => again(target, request),
        Ok(answer) => Asked::Answered(answer),
        Err(Lost::Busy(_)) => Asked::Answered(Err(AskError::Busy("too many calls wait for a node"))),
        Err(error @ Lost::Unknown(_)) => Asked::Answered(Err(AskError::Unavailable(error.to_string()))),
    }
}

/// There is nobody to wait for: others have the shard, and this node does not reach them.
fn cut_off() -> AskError {
    AskError::Unavailable("this node is cut off from the others".to_owned())
}

fn unavailable() -> AskError {
    AskError::Unavailable("shard is not available".to_owned())
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
