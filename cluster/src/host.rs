//! Host: runs shards and queues on arbiters, and takes a shard up again when its actor is gone.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use actix_rt::{Arbiter, ArbiterHandle, System};
use engine::limits::Limits;
use futures::{StreamExt, TryStreamExt, stream};
use matching::handle::{Ended as QueueEnded, QueueHandle, QueueNotice};
use prost::Message;
use proto::ids::{NodeId, QueueKey, ShardId};
use shard::{
    actor::{Ended, Hooks},
    handle::ShardHandle,
    input::Input,
    namespaces::Namespaces,
    output::AskError,
    shard::Setup,
};
use storage::{
    counted::{CountedIndex, CountedStore},
    error::StoreError,
    registry::{Registry, RegistryError, RegistryTable, RegistryWrite},
    shard::ShardStore,
    visibility::VisibilityIndex,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    config::Config,
    courier::NodeCourier,
    indexer::Indexer,
    map::ShardMap,
    metrics::NodeMetrics,
    quarantine::Quarantine,
    router::{Inner, Router, now},
};

/// Where the shard map stands in the registry.
const MAP_KEY: &[u8] = b"shard-map";
/// Notices of queues that wait for the courier.
const NOTICES_MAX: usize = 10_000;
/// How long until a shard that could not be taken up is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// How long a shard that falls again and again waits at most.
const RETRY_LAST: Duration = Duration::from_secs(5);
/// A shard that stands for this long has not fallen before.
const FALLS_FORGOTTEN: Duration = Duration::from_secs(30);

/// Shards that are taken up at the same time when a node starts: a lease is some round trips to the store.
const TAKEN_AT_ONCE: usize = 16;

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
    keeper: Arc<Keeper>,
    watch: tokio::task::JoinHandle<()>,
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
    let metrics = NodeMetrics::default();
    let router = Router(Arc::new(Inner {
        node: parts.node,
        map,
        store: Arc::new(CountedStore::new(parts.store, Arc::clone(&metrics.store))),
        registry: parts.registry,
        visibility: Arc::new(CountedIndex::new(parts.visibility, Arc::clone(&metrics.store))),
        shards: watch::Sender::new(Arc::default()),
        queues,
        namespaces: RwLock::new(parts.namespaces),
        metrics,
    }));
    let indexer = Indexer::start(router.clone());
    let courier = Arc::new(NodeCourier::new(router.clone(), indexer));
    let (ended, ended_rx) = mpsc::channel(router.0.map.ranges.len().max(1) * 2);
    let keeper = Arc::new(Keeper {
        router: router.clone(),
        arbiters,
        courier,
        config: Arc::new(parts.config.shard),
        limits: Arc::new(Limits::default()),
        seed: parts.seed,
        ended,
        quarantine: Mutex::default(),
    });
    let shards: Vec<_> = router.0.map.shards().collect();
    let taken = stream::iter(shards).map(|shard| {
        let keeper = &keeper;
        async move {
            let taken = keeper.take_up(shard).await;
            taken.map_err(|error| StartError::Shard(shard, error))
        }
    });
    taken.buffer_unordered(TAKEN_AT_ONCE).try_collect::<()>().await?;
    let watch = tokio::spawn(Arc::clone(&keeper).run(ended_rx, notices_rx));
    Ok(Host {
        router,
        system,
        thread: Some(thread),
        keeper,
        watch,
    })
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

    /// Lets a shard go, for another node to take up: what it has taken is made durable and its lease released.
    /// Calls that come meanwhile wait in the router for its next owner.
    pub async fn release(&self, id: ShardId) -> Result<(), AskError> {
        let handle = self.router.0.shards.borrow().get(&id).cloned();
        let Some(handle) = handle else { return Ok(()) };
        let drained = handle.drain().await;
        self.router.0.shards.send_modify(|shards| {
            let mut next: HashMap<ShardId, ShardHandle> = (**shards).clone();
            next.remove(&id);
            *shards = Arc::new(next);
        });
        drained
    }

    /// Takes a shard up that no node of the cluster is to have but this one.
    pub async fn take_up(&self, id: ShardId) -> Result<(), StoreError> {
        self.keeper.take_up(id).await
    }

    /// Finishes the shards' batches, gives the leases back and ends the actor threads.
    pub async fn stop(mut self) {
        self.watch.abort();
        let shards = self.router.0.shards.send_replace(Arc::default());
        futures::future::join_all(shards.values().map(ShardHandle::drain)).await;
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
    ended: mpsc::Sender<(ShardId, Ended)>,
    quarantine: Mutex<Quarantine>,
}

impl Keeper {
    async fn run(
        self: Arc<Self>,
        mut ended: mpsc::Receiver<(ShardId, Ended)>,
        mut notices: mpsc::Receiver<QueueNotice>,
    ) {
        let mut falls: HashMap<ShardId, Falls> = HashMap::new();
        // Ends with this future: nothing is taken up when the host stops.
        let mut taking = JoinSet::new();
        loop {
            tokio::select! {
                Some((shard, ended)) = ended.recv() => {
                    self.router.0.metrics.node.ended();
                    if self.is_over(shard, ended) {
                        continue;
                    }
                    let wait = falls.entry(shard).or_default().next_wait();
                    taking.spawn(Arc::clone(&self).take_up_again(shard, wait));
                }
                Some(notice) = notices.recv() => self.courier.notice(notice),
                Some(_) = taking.join_next(), if !taking.is_empty() => {}
                else => return,
            }
        }
    }

    /// Takes note of how a shard ended. Tells whether it is not to be taken up again.
    fn is_over(&self, shard: ShardId, ended: Ended) -> bool {
        match ended {
            Ended::Released => return true,
            Ended::Stopped => tracing::warn!(%shard, "shard is taken up again"),
            Ended::Panicked(run) => {
                tracing::error!(%shard, ?run, "shard panicked; it is taken up again");
                let mut quarantine = self.quarantine.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(run) = run
                    && quarantine.count(run.clone())
                {
                    let workflow_id = run.workflow.workflow_id.as_str();
                    tracing::error!(%shard, workflow_id, run_id = %run.run_id, "run is put in quarantine");
                }
            }
        }
        false
    }

    async fn take_up_again(self: Arc<Self>, shard: ShardId, wait: Duration) {
        tokio::time::sleep(wait).await;
        while let Err(error) = self.take_up(shard).await {
            tracing::warn!(%shard, %error, "shard not taken up");
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Takes the lease and starts the actor.
    async fn take_up(&self, id: ShardId) -> Result<(), StoreError> {
        let inner = &self.router.0;
        let begun = Instant::now();
        let leased_at = now();
        let lease = inner.store.acquire(id, &inner.node).await?;
        let setup = Setup {
            id,
            batch: lease.batch,
            batch_limits: inner.store.limits(),
            leased_at,
            lease_trust: inner.store.is_shared().then(|| self.config.lease_trust()),
            seed: (self.seed)(),
            config: Arc::clone(&self.config),
            limits: Arc::clone(&self.limits),
            namespaces: self.router.namespaces(),
            quarantine: self
                .quarantine
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .runs(),
        };
        let ended = self.ended.clone();
        let hooks = Hooks {
            clock: Arc::new(now),
            store: Arc::clone(&inner.store),
            lease,
            courier: self.courier.clone(),
            metrics: Arc::clone(&inner.metrics.shards),
            // The channel holds two notices of every shard: it is full only when the keeper is gone.
            ended: Box::new(move |shard, how| {
                let _ = ended.try_send((shard, how));
            }),
        };
        let arbiter = &self.arbiters[id.0 as usize % self.arbiters.len()];
        let handle = shard::actor::start(arbiter, setup, hooks);
        inner.shards.send_modify(|shards| {
            let mut next: HashMap<ShardId, ShardHandle> = (**shards).clone();
            next.insert(id, handle);
            *shards = Arc::new(next);
        });
        inner.metrics.node.took_up(begun.elapsed());
        Ok(())
    }
}

/// How often a shard has ended lately.
#[derive(Default)]
struct Falls {
    count: u32,
    last: Option<tokio::time::Instant>,
}

impl Falls {
    /// Returns how long to wait before the shard is taken up again: nothing, unless it falls again and again.
    fn next_wait(&mut self) -> Duration {
        let now = tokio::time::Instant::now();
        let often = self.last.is_some_and(|last| now - last < FALLS_FORGOTTEN);
        self.count = if often { self.count.saturating_add(1) } else { 0 };
        self.last = Some(now);
        match self.count {
            0 => Duration::ZERO,
            count => (RETRY * (1 << (count - 1).min(10))).min(RETRY_LAST),
        }
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
        if let Some(handle) = handles.get(key) {
            handle.set_rate(rate);
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
        let namespaces = router.namespaces();
        let namespace = namespaces.find(key.namespace_id);
        let weak = Arc::downgrade(&router.0);
        let hooks = matching::handle::Hooks {
            clock: Arc::new(now),
            notices: self.notices.clone(),
            metrics: Arc::clone(&router.0.metrics.queues),
            namespace: namespace.map_or_else(|| "".into(), |entry| entry.namespace.name.as_str().into()),
            ended: Box::new(move |queue, ended| {
                if let (Some(inner), QueueEnded::Panicked) = (weak.upgrade(), ended) {
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
            handle.set_rate(Some(*rate));
        }
        handle
    }

    pub(crate) fn all(&self) -> Vec<(QueueKey, QueueHandle)> {
        let handles = self.handles.read().unwrap_or_else(PoisonError::into_inner);
        let one = |(key, handle): (&QueueKey, &QueueHandle)| (key.clone(), handle.clone());
        handles.iter().map(one).collect()
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
