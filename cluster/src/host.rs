//! Host: runs shards and queues on arbiters, and takes a shard up again when its actor is gone.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use actix_rt::{Arbiter, ArbiterHandle, System};
use engine::limits::Limits;
use matching::handle::{Ended, QueueHandle, QueueNotice};
use prost::Message;
use proto::ids::{NodeId, QueueKey, ShardId};
use shard::{
    actor::Hooks, handle::ShardHandle, input::Input, namespaces::Namespaces, output::AskError, shard::Setup,
};
use storage::{
    error::StoreError,
    registry::{Registry, RegistryError, RegistryTable, RegistryWrite},
    shard::ShardStore,
    visibility::VisibilityIndex,
};
use tokio::sync::{mpsc, watch};

use crate::{
    config::Config,
    courier::NodeCourier,
    indexer::Indexer,
    map::ShardMap,
    router::{Inner, Router, now},
};

/// Where the shard map stands in the registry.
const MAP_KEY: &[u8] = b"shard-map";
/// Notices of queues that wait for the courier.
const NOTICES_MAX: usize = 10_000;
/// How long until a shard that could not be taken up is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// What a node is made of.
pub struct Parts {
    pub node: NodeId,
    pub store: Arc<dyn ShardStore>,
    pub registry: Arc<dyn Registry>,
    pub visibility: Arc<dyn VisibilityIndex>,
    pub config: Config,
    pub namespaces: Namespaces,
    pub seed: Arc<dyn Fn() -> [u8; 16] + Send + Sync>,
}

/// A node could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("start actor threads: {0}")]
    Threads(String),
    #[error("read shard map: {0}")]
    Map(#[from] RegistryError),
    #[error("read shard map: stored bytes are malformed")]
    BrokenMap,
    #[error("take up shard {0}: {1}")]
    Shard(ShardId, StoreError),
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::Map(error.into())
    }
}

/// A running node.
pub struct Host {
    router: Router,
    system: System,
    thread: Option<std::thread::JoinHandle<()>>,
    keeper: tokio::task::JoinHandle<()>,
}

/// Starts a node: reads or makes the shard map and takes up every shard. Needs a tokio runtime.
pub async fn start(parts: Parts) -> Result<Host, StartError> {
    let map = shard_map(&*parts.registry, parts.config.shards.get()).await?;
    let (system, arbiters, thread) = start_arbiters(parts.config.actor_threads.get())?;
    let (notices, notices_rx) = mpsc::channel(NOTICES_MAX);
    let queues = Queues {
        handles: RwLock::default(),
        arbiters: arbiters.clone(),
        config: Arc::new(parts.config.matching.clone()),
        notices,
        rates: RwLock::default(),
    };
    let router = Router(Arc::new(Inner {
        node: parts.node,
        map,
        store: parts.store,
        registry: parts.registry,
        visibility: parts.visibility,
        shards: watch::Sender::new(Arc::default()),
        queues,
        namespaces: RwLock::new(parts.namespaces),
        shard_metrics: Arc::default(),
        queue_metrics: Arc::default(),
    }));
    let indexer = Indexer::start(router.clone());
    let courier = Arc::new(NodeCourier::new(router.clone(), indexer));
    let (ended, ended_rx) = mpsc::channel(router.0.map.ranges.len().max(1) * 2);
    let keeper = Keeper {
        router: router.clone(),
        arbiters,
        courier,
        config: Arc::new(parts.config.shard),
        limits: Arc::new(Limits::default()),
        seed: parts.seed,
        ended,
    };
    let shards: Vec<_> = router.0.map.shards().collect();
    for shard in shards {
        keeper
            .take_up(shard)
            .await
            .map_err(|error| StartError::Shard(shard, error))?;
    }
    let keeper = tokio::spawn(keeper.run(ended_rx, notices_rx));
    Ok(Host {
        router,
        system,
        thread: Some(thread),
        keeper,
    })
}

impl Host {
    #[must_use]
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// Ends all that waits in queues, so that polls are answered empty.
    pub async fn drain_queues(&self) {
        for queue in self.router.0.queues.all() {
            // A queue that is gone has nobody waiting.
            let _ = queue.drain().await;
        }
    }

    /// Finishes the shards' batches, gives the leases back and ends the actor threads.
    pub async fn stop(mut self) {
        self.keeper.abort();
        let shards = self.router.0.shards.send_replace(Arc::default());
        for handle in shards.values() {
            drop(handle.drain().await);
        }
        drop(shards);
        self.router.0.queues.clear();
        self.system.stop();
        if let Some(thread) = self.thread.take() {
            // Its threads end by themselves; joining only waits for them.
            drop(tokio::task::spawn_blocking(move || thread.join()).await);
        }
    }
}

/// Reads the stored shard map, or makes it when the cluster is new.
async fn shard_map(registry: &dyn Registry, shards: u32) -> Result<ShardMap, StartError> {
    loop {
        if let Some(entry) = registry.get(RegistryTable::Cluster, MAP_KEY).await? {
            let map = ShardMap::decode(entry.value).map_err(|_| StartError::BrokenMap)?;
            return if map.is_sound() {
                Ok(map)
            } else {
                Err(StartError::BrokenMap)
            };
        }
        let map = ShardMap::even(shards);
        let write = RegistryWrite {
            table: RegistryTable::Cluster,
            key: bytes::Bytes::from_static(MAP_KEY),
            value: Some(map.encode_to_vec().into()),
            expected: 0,
        };
        match registry.write(vec![write]).await {
            Ok(()) => return Ok(map),
            // Another node was first: read what it made.
            Err(RegistryError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

type Threads = (System, Vec<ArbiterHandle>, std::thread::JoinHandle<()>);

/// Starts the arbiters under a system of their own, on a thread of its own.
fn start_arbiters(count: usize) -> Result<Threads, StartError> {
    let (send, receive) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("actors".to_owned())
        .spawn(move || {
            let runner = System::new();
            let arbiters: Vec<_> = (0..count).map(|_| Arbiter::new().handle()).collect();
            if send.send((System::current(), arbiters)).is_ok()
                && let Err(error) = runner.run()
            {
                tracing::error!(%error, "actor system failed");
            }
        })
        .map_err(|error| StartError::Threads(error.to_string()))?;
    let (system, arbiters) = receive
        .recv()
        .map_err(|error| StartError::Threads(error.to_string()))?;
    Ok((system, arbiters, thread))
}

/// Takes shards up, again when their actors are gone, and reads what queues have to say.
struct Keeper {
    router: Router,
    arbiters: Vec<ArbiterHandle>,
    courier: Arc<NodeCourier>,
    config: Arc<shard::config::Config>,
    limits: Arc<Limits>,
    seed: Arc<dyn Fn() -> [u8; 16] + Send + Sync>,
    ended: mpsc::Sender<ShardId>,
}

impl Keeper {
    async fn run(self, mut ended: mpsc::Receiver<ShardId>, mut notices: mpsc::Receiver<QueueNotice>) {
        loop {
            tokio::select! {
                Some(shard) = ended.recv() => {
                    tracing::warn!(%shard, "shard is taken up again");
                    while let Err(error) = self.take_up(shard).await {
                        tracing::warn!(%shard, %error, "shard not taken up");
                        tokio::time::sleep(RETRY).await;
                    }
                }
                Some(notice) = notices.recv() => self.courier.notice(notice),
                else => return,
            }
        }
    }

    /// Takes the lease and starts the actor.
    async fn take_up(&self, id: ShardId) -> Result<(), StoreError> {
        let inner = &self.router.0;
        let lease = inner.store.acquire(id, &inner.node).await?;
        let setup = Setup {
            id,
            batch: lease.batch,
            batch_limits: inner.store.limits(),
            seed: (self.seed)(),
            config: Arc::clone(&self.config),
            limits: Arc::clone(&self.limits),
            namespaces: self.router.namespaces(),
        };
        let ended = self.ended.clone();
        let hooks = Hooks {
            clock: Arc::new(now),
            store: Arc::clone(&inner.store),
            lease,
            courier: self.courier.clone(),
            metrics: Arc::clone(&inner.shard_metrics),
            // The channel holds two notices of every shard: it is full only when the keeper is gone.
            ended: Box::new(move |shard| {
                let _ = ended.try_send(shard);
            }),
        };
        let arbiter = &self.arbiters[id.0 as usize % self.arbiters.len()];
        let handle = shard::actor::start(arbiter, setup, hooks);
        inner.shards.send_modify(|shards| {
            let mut next: HashMap<ShardId, ShardHandle> = (**shards).clone();
            next.insert(id, handle);
            *shards = Arc::new(next);
        });
        Ok(())
    }
}

/// The queues of this node.
pub(crate) struct Queues {
    handles: RwLock<HashMap<QueueKey, QueueHandle>>,
    arbiters: Vec<ArbiterHandle>,
    config: Arc<matching::config::Config>,
    notices: mpsc::Sender<QueueNotice>,
    /// Dispatch rates that clients have set, tasks a second; a queue that starts takes its own up.
    rates: RwLock<HashMap<QueueKey, f64>>,
}

impl Queues {
    /// Sets the dispatch rate of a queue, whether it is there or starts later; `None` unsets it.
    pub(crate) fn set_rate(&self, key: &QueueKey, rate: Option<f64>) {
        // The queues before the rates, as where a queue starts; held until the queue is told, so that of two changes
        // the later one is told last.
        let handles = self.handles.read().unwrap_or_else(PoisonError::into_inner);
        let mut rates = self.rates.write().unwrap_or_else(PoisonError::into_inner);
        match rate {
            Some(rate) => rates.insert(key.clone(), rate),
            None => rates.remove(key),
        };
        if let Some(handle) = handles.get(key)
            && handle.set_rate(rate).is_err()
        {
            tracing::warn!(queue = %key.name, "queue is too busy to be told its rate");
        }
    }

    pub(crate) fn find(&self, key: &QueueKey, router: &Router) -> Result<QueueHandle, AskError> {
        if let Some(handle) = self
            .handles
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            && handle.is_alive()
        {
            return Ok(handle.clone());
        }
        let mut handles = self.handles.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = handles.get(key)
            && handle.is_alive()
        {
            return Ok(handle.clone());
        }
        let handle = self.start(key, router);
        handles.insert(key.clone(), handle.clone());
        Ok(handle)
    }

    fn start(&self, key: &QueueKey, router: &Router) -> QueueHandle {
        let mut hash = DefaultHasher::new();
        key.hash(&mut hash);
        let arbiters = self.arbiters.len() as u64;
        let arbiter = &self.arbiters[usize::try_from(hash.finish() % arbiters).unwrap_or(0)];
        let weak = Arc::downgrade(&router.0);
        let hooks = matching::handle::Hooks {
            clock: Arc::new(now),
            notices: self.notices.clone(),
            metrics: Arc::clone(&router.0.queue_metrics),
            ended: Box::new(move |queue, ended| {
                if let (Some(inner), Ended::Panicked) = (weak.upgrade(), ended) {
                    let shards = Arc::clone(&inner.shards.borrow());
                    for handle in shards.values() {
                        drop(handle.tell(Input::QueueMoved { queue: queue.clone() }));
                    }
                }
            }),
        };
        let handle = matching::actor::start(arbiter, key.clone(), &self.config, hooks);
        let rates = self.rates.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(rate) = rates.get(key) {
            // Its mailbox is empty yet.
            handle.set_rate(Some(*rate)).ok();
        }
        handle
    }

    pub(crate) fn all(&self) -> Vec<QueueHandle> {
        self.handles
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// Lets a queue go that has had nothing to do.
    pub(crate) fn drop_idle(&self, key: &QueueKey) {
        self.handles
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }

    fn clear(&self) {
        self.handles
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}
