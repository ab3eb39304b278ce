//! Host: starts and stops what a node is made of: actor threads, shards, queues, and who sees to them.

use std::{
    sync::{Arc, Mutex, OnceLock, RwLock},
    time::Duration,
};

use futures::future::join_all;
use membership::view::View;
use proto::ids::{NodeId, ShardId};
use shard::{handle::ShardHandle, namespaces::Namespaces};
use storage::{
    counted::{CountedIndex, CountedStore},
    error::StoreError,
    registry::{Registry, RegistryError},
    shard::ShardStore,
    visibility::VisibilityIndex,
};
use tokio::{
    net::TcpListener,
    sync::{Notify, broadcast, mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::{Instant, timeout_at},
};

use crate::{
    aside::{self, Aside},
    config::Config,
    courier::NodeCourier,
    indexer::Indexer,
    keeper::{self, Hands, Keeper},
    liveness,
    maps::{self, Maps},
    metrics::NodeMetrics,
    peers::Peers,
    placement::Placement,
    queues::Queues,
    reach::Reach,
    router::{Inner, Router},
    rpc::service,
    split::{self, Standing},
    threads::Threads,
};

/// Notices of queues that wait for the courier.
const NOTICES_MAX: usize = 10_000;
/// News of other nodes that wait for whoever keeps copies; who lags further behind reads everything.
const NEWS_MAX: usize = 256;

/// What a node is made of.
pub struct Parts {
    pub node: NodeId,
    pub store: Arc<dyn ShardStore>,
    pub registry: Arc<dyn Registry>,
    pub visibility: Arc<dyn VisibilityIndex>,
    pub config: Config,
    pub namespaces: Namespaces,
    /// Who is in the cluster, as the agent of membership tells; [`crate::placement::alone`] without one. When the
    /// sender is gone it stays as it is.
    pub view: watch::Receiver<Arc<View>>,
    /// What the agent counts.
    pub gossip: Arc<membership::metrics::Metrics>,
    /// Where other nodes call this one, as its profile says; `None` if nobody does.
    pub peers: Option<TcpListener>,
    pub seed: Arc<dyn Fn() -> [u8; 16] + Send + Sync>,
}

/// A node could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("start actor threads: {0}")]
    Threads(String),
    #[error("read shard map: {0}")]
    Map(#[from] RegistryError),
    #[error("take up shard {0}: {1}")]
    Shard(ShardId, StoreError),
}

/// A running node.
pub struct Host {
    router: Router,
    threads: Threads,
    thread: std::thread::JoinHandle<()>,
    keeper: JoinHandle<()>,
    stop_keeper: Arc<Notify>,
    /// What runs beside the actors. Ends with the host.
    tasks: JoinSet<()>,
    /// Answers other nodes, to the last.
    service: JoinSet<()>,
}

/// Starts a node: reads or makes the shard map and takes up the shards that belong to it, from other nodes in good
/// order. Needs a tokio runtime.
pub async fn start(parts: Parts) -> Result<Host, StartError> {
    let stored = maps::read_or_make(&*parts.registry, parts.config.shards.get()).await?;
    let (threads, thread) = Threads::start(parts.config.actor_threads.get()).map_err(StartError::Threads)?;
    let (notices, notices_rx) = mpsc::channel(NOTICES_MAX);
    let (ended, ended_rx) = mpsc::channel(keeper::ENDED_MAX);
    let (to_keeper, told) = mpsc::channel(keeper::NOTICES_MAX);
    let strayed = Arc::new(Aside::strayed());
    let mut view = parts.view;
    let placement = Placement::new(Arc::clone(&view.borrow_and_update()), Arc::clone(&stored.map));
    let metrics = NodeMetrics::new(parts.gossip);
    let router = Router(Arc::new(Inner {
        node: parts.node,
        maps: Maps::new(stored),
        store: Arc::new(CountedStore::new(parts.store, Arc::clone(&metrics.store))),
        registry: parts.registry,
        visibility: Arc::new(CountedIndex::new(parts.visibility, Arc::clone(&metrics.store))),
        shards: watch::Sender::new(Arc::default()),
        keeper: to_keeper,
        waiting: watch::Sender::default(),
        reach: watch::Sender::new(Reach::ALL),
        queues: Queues::new(threads.clone(), Arc::new(parts.config.matching), notices),
        placement: watch::Sender::new(Arc::new(placement)),
        peers: Peers::new(aside::returned(Arc::clone(&strayed)), Arc::clone(&metrics.calls)),
        lent: Aside::lent(),
        strayed,
        news: broadcast::Sender::new(NEWS_MAX),
        workers: crate::workers::Roster::default(),
        operator: OnceLock::new(),
        namespaces: RwLock::new(parts.namespaces),
        metrics,
        changing: Standing::default(),
        switching: Arc::default(),
    }));
    let indexer = Indexer::start(router.clone());
    let hands = Hands {
        router: router.clone(),
        threads: threads.clone(),
        courier: Arc::new(NodeCourier::new(router.clone(), indexer)),
        config: Arc::new(parts.config.shard),
        limits: Arc::new(parts.config.limits),
        seed: parts.seed,
        ended,
        quarantine: Mutex::default(),
    };
    let mut keeper = Keeper::new(hands, told, ended_rx, notices_rx);
    let (mut tasks, mut service) = (JoinSet::new(), JoinSet::new());
    if let Some(listener) = parts.peers {
        tasks.spawn(liveness::beat(router.clone()));
        service.spawn(service::serve(listener, router.clone()));
    }
    tasks.spawn(follow(view, router.clone()));
    tasks.spawn(maps::follow(router.clone()));
    tasks.spawn(split::run(router.clone()));
    tasks.spawn(split::sweep::run(router.clone()));
    tasks.spawn(aside::announce_overdue(router.clone()));
    if let Err((shard, error)) = keeper.begin().await {
        threads.stop();
        return Err(StartError::Shard(shard, error));
    }
    let stop_keeper = Arc::new(Notify::new());
    Ok(Host {
        router,
        threads,
        thread,
        keeper: tokio::spawn(keeper.run(Arc::clone(&stop_keeper))),
        stop_keeper,
        tasks,
        service,
    })
}

/// Lets the placement follow the views and the maps.
async fn follow(mut view: watch::Receiver<Arc<View>>, router: Router) {
    let mut maps = router.0.maps.subscribe();
    loop {
        tokio::select! {
            Ok(()) = view.changed() => {}
            Ok(()) = maps.changed() => {}
            else => return,
        }
        let map = Arc::clone(&maps.borrow_and_update().map);
        let view = Arc::clone(&view.borrow_and_update());
        let placement = Arc::new(Placement::new(view, map));
        router.0.placement.send_if_modified(|known| {
            let changed = known.view() != placement.view() || known.map() != placement.map();
            if changed {
                *known = placement;
            }
            changed
        });
    }
}

impl Host {
    #[must_use]
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// Ends all that waits in queues, so that polls are answered empty.
    pub async fn drain_queues(&self) {
        for (_, queue) in self.router.0.queues.all() {
            // A queue that is gone has nobody waiting.
            let _ = queue.drain().await;
        }
    }

    /// Waits until the other nodes have all shards of this one, which has said that it leaves, or until the time is
    /// over; at once if there is nobody to take them. Returns how many are left. Calls go on meanwhile.
    pub async fn hand_over(&self, within: Duration) -> usize {
        let give_up = Instant::now() + within;
        let mut shards = self.router.0.shards.subscribe();
        let mut placement = self.router.0.placement.subscribe();
        loop {
            let left = shards.borrow_and_update().len();
            if left == 0 || !placement.borrow_and_update().has_takers() {
                return left;
            }
            let change = async {
                tokio::select! {
                    _ = shards.changed() => {}
                    _ = placement.changed() => {}
                }
            };
            if timeout_at(give_up, change).await.is_err() {
                return left;
            }
        }
    }

    /// Lets a shard go: what it has taken is made durable and its lease released. Calls that come meanwhile wait for
    /// its next owner, who is this node again unless it belongs elsewhere.
    pub async fn release(&self, id: ShardId) {
        self.router.release(id).await;
    }

    /// Waits until the shard works here.
    pub async fn works(&self, id: ShardId) {
        let mut shards = self.router.0.shards.subscribe();
        let works = shards.wait_for(|held| held.get(&id).is_some_and(ShardHandle::is_alive));
        // The router is alive, and so is the sender.
        let _ = works.await;
    }

    /// Finishes the shards' batches, gives the leases back and ends the actor threads.
    pub async fn stop(mut self) {
        // It finishes what it has begun to give up.
        self.stop_keeper.notify_one();
        if let Err(error) = (&mut self.keeper).await {
            tracing::error!(%error, "keeper failed");
        }
        self.tasks.shutdown().await;
        let shards: Vec<_> = self.router.0.shards.borrow().keys().copied().collect();
        join_all(shards.into_iter().map(|shard| self.router.give_up(shard))).await;
        self.end().await;
    }

    /// Ends at once and in no order, as a crash would.
    pub async fn halt(mut self) {
        self.service.shutdown().await;
        self.keeper.abort();
        self.tasks.shutdown().await;
        self.end().await;
    }

    async fn end(mut self) {
        self.router.0.shards.send_replace(Arc::default());
        self.router.0.queues.clear();
        self.service.shutdown().await;
        self.threads.stop();
        // Its threads end by themselves; joining only waits for them.
        drop(tokio::task::spawn_blocking(move || self.thread.join()).await);
    }
}
