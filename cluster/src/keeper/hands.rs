//! Hands: what the keeper does, one deed at a time for each shard. [`crate::leases`] sees to that.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use engine::limits::Limits;
use membership::view::{Member, State};
use proto::ids::{RunKey, ShardId};
use shard::{
    actor::{Ended, Hooks},
    handle::ShardHandle,
    output::AskError,
    shard::Setup,
};
use storage::error::StoreError;
use tokio::{sync::mpsc, time::timeout};

use crate::{
    courier::NodeCourier,
    quarantine::Quarantine,
    router::{Router, now},
    rpc::{Call, HandedOver, Lost},
    threads::Threads,
};

/// How long a shard may take to finish its batches and release its lease when it goes elsewhere.
const FINISH: Duration = Duration::from_secs(5);
/// How long the answer to one question may take: the time that a shard has to finish, and the way.
const ANSWER: Duration = Duration::from_secs(6);
/// How long the answer of a node may take that did not answer a probe.
const ANSWER_OF_SUSPECT: Duration = Duration::from_secs(1);

/// One life of a shard on this node, numbered.
pub(crate) type Life = u64;

/// Takes shards up and gives them up.
pub(crate) struct Hands {
    pub(crate) router: Router,
    pub(crate) threads: Threads,
    pub(crate) courier: Arc<NodeCourier>,
    pub(crate) config: Arc<shard::config::Config>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) seed: Arc<dyn Fn() -> [u8; 16] + Send + Sync>,
    pub(crate) ended: mpsc::Sender<(ShardId, Life, Ended)>,
    pub(crate) quarantine: Mutex<Quarantine>,
}

impl Hands {
    /// Takes the lease and starts the actor.
    pub(super) async fn take_up(&self, id: ShardId, life: Life) -> Result<(), StoreError> {
        let inner = &self.router.0;
        let begun = std::time::Instant::now();
        let gone = || StoreError::Unavailable("the shard was split or merged".to_owned());
        if self
            .router
            .map()
            .change
            .as_ref()
            .is_some_and(|change| change.has_parent(id))
        {
            // It may be drained for that at this moment.
            drop(inner.switching.lock().await);
        }
        if self.router.map().range(id).is_none() {
            return Err(gone());
        }
        let leased_at = now();
        let lease = inner.store.acquire(id, &inner.node).await?;
        if !self.router.may_serve(id).await? {
            return Err(gone());
        }
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
            // Full only when the keeper is gone.
            ended: Box::new(move |shard, how| {
                let _ = ended.try_send((shard, life, how));
            }),
        };
        let handle = shard::actor::start(self.threads.of_shard(id), setup, hooks);
        inner.shards.send_modify(|shards| {
            let mut next: HashMap<ShardId, ShardHandle> = (**shards).clone();
            next.insert(id, handle);
            *shards = Arc::new(next);
        });
        inner.metrics.node.took_up(begun.elapsed());
        Ok(())
    }

    /// Asks a node for shards. Who does not answer keeps nothing: it is gone, or will be fenced.
    pub(super) async fn ask(&self, member: &Member, shards: Vec<ShardId>) -> Vec<ShardId> {
        let wait = match member.state {
            State::Alive | State::Leaving => ANSWER,
            State::Suspect => ANSWER_OF_SUSPECT,
        };
        let to = self.router.0.node.clone();
        let peer = self.router.0.peers.get(member);
        let call = Call::HandOver { shards, to };
        let answer: Result<Result<HandedOver, Lost>, _> = timeout(wait, peer.call(&call)).await;
        match answer {
            Ok(Ok(answer)) => answer.kept,
            Ok(Err(_)) | Err(_) => Vec::new(),
        }
    }

    /// Counts a panic over a run, which is left alone if it is one too many.
    pub(super) fn count_panic(&self, shard: ShardId, run: Option<RunKey>) {
        tracing::error!(%shard, ?run, "shard panicked");
        let mut quarantine = self.quarantine.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = run
            && quarantine.count(run.clone())
        {
            let workflow_id = run.workflow.workflow_id.as_str();
            tracing::error!(%shard, workflow_id, run_id = %run.run_id, "run is put in quarantine");
        }
    }
}

impl Router {
    /// Lets a shard go, for another node to take up: what it has taken is made durable and its lease released.
    /// Calls that come meanwhile wait for its next owner.
    ///
    /// One that does not finish in time is fenced by its next owner.
    pub(crate) async fn give_up(&self, shard: ShardId) {
        if let Err(error) = self.finish(shard).await {
            tracing::warn!(%shard, %error, "shard not given up in good order");
        }
    }

    /// Makes durable what the shard has taken and releases its lease; done if it is not here.
    pub(crate) async fn finish(&self, shard: ShardId) -> Result<(), AskError> {
        let Some(handle) = self.remove_shard(shard) else {
            return Ok(());
        };
        match timeout(FINISH, drain(&handle)).await {
            Ok(drained) => drained,
            Err(_) => Err(AskError::Busy("shard did not finish in time")),
        }
    }

    /// Nobody is sent to the shard here any more.
    pub(super) fn remove_shard(&self, shard: ShardId) -> Option<ShardHandle> {
        let mut handle = None;
        self.0.shards.send_if_modified(|shards| {
            if !shards.contains_key(&shard) {
                return false;
            }
            let mut next: HashMap<_, _> = (**shards).clone();
            handle = next.remove(&shard);
            *shards = Arc::new(next);
            true
        });
        handle
    }
}

/// Drains the shard, also if its mailbox is full for a moment.
async fn drain(handle: &ShardHandle) -> Result<(), AskError> {
    const AGAIN: Duration = Duration::from_millis(5);
    loop {
        match handle.drain().await {
            Err(AskError::Busy(_)) => tokio::time::sleep(AGAIN).await,
            drained => return drained,
        }
    }
}
