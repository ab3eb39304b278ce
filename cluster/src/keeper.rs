//! Keeper: takes shards up that belong to this node, again when their actors are gone, and lets those go that belong
//! elsewhere.
//!
//! A planned hand-over begins with who gets the shard: it asks the others, whoever has it drains it and releases the
//! lease, and only then the lease is taken. Nobody asks the dead: what was theirs is taken when they leave the view.

mod falls;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use engine::limits::Limits;
use futures::{StreamExt, TryStreamExt, future::join_all, stream};
use matching::handle::QueueNotice;
use membership::view::{Change, Member, State};
use proto::ids::{NodeId, ShardId};
use shard::{
    actor::{Ended, Hooks},
    handle::ShardHandle,
    input::Input,
    shard::Setup,
};
use storage::error::StoreError;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout},
};

use self::falls::Falls;
use crate::{
    courier::NodeCourier,
    leases, liveness,
    placement::{Owner, Placement},
    quarantine::Quarantine,
    router::{Router, now},
    rpc::{Call, HandedOver, Hint, Lost, News},
    threads::Threads,
};

/// How long until a shard that could not be taken up is tried again; doubles up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LAST: Duration = Duration::from_secs(2);
/// How long until somebody who keeps a shard is asked again; doubles up to the last.
const ASK_AGAIN_FIRST: Duration = Duration::from_millis(20);
const ASK_AGAIN_LAST: Duration = Duration::from_millis(500);
/// Shards that are asked for and taken up together: each is without an owner for as long as all of them take.
const SHARDS_AT_A_TIME: usize = 16;
/// How long another node is asked for a shard that it keeps; then the lease decides.
const ASK_FOR: Duration = Duration::from_secs(5);
/// How long the answer to one question may take: the time that a shard has to finish, and the way.
const ANSWER: Duration = Duration::from_secs(6);
/// How long the answer of a node may take that did not answer a probe.
const ANSWER_OF_SUSPECT: Duration = Duration::from_secs(1);
/// How long a shard that belongs elsewhere waits to be asked for.
const UNASKED: Duration = Duration::from_secs(3);

/// Takes shards up and lets them go.
pub(crate) struct Keeper {
    pub(crate) router: Router,
    pub(crate) threads: Threads,
    pub(crate) courier: Arc<NodeCourier>,
    pub(crate) config: Arc<shard::config::Config>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) seed: Arc<dyn Fn() -> [u8; 16] + Send + Sync>,
    pub(crate) ended: mpsc::Sender<(ShardId, Ended)>,
    pub(crate) quarantine: Mutex<Quarantine>,
}

/// What the keeper is about.
#[derive(Default)]
struct Work {
    /// Each returns the shards that it saw to. They end with this: nothing is taken up when the host stops.
    tasks: JoinSet<Vec<ShardId>>,
    /// Shards that some task sees to.
    seen_to: HashSet<ShardId>,
    falls: HashMap<ShardId, Falls>,
    last_checked: Option<ShardId>,
}

impl Keeper {
    /// Takes up what belongs to this node. Alone it must succeed at once.
    pub(crate) async fn begin(&self) -> Result<(), (ShardId, StoreError)> {
        let placement = self.router.placement();
        let shards = self.router.0.map.shards();
        let mine: Vec<_> = shards
            .filter(|shard| placement.shard(*shard) == Owner::Me)
            .collect();
        if placement.others().next().is_some() {
            self.take_over(&mine).await;
            return Ok(());
        }
        // A lease is some round trips to the store.
        let taken = stream::iter(mine).map(|shard| async move {
            let taken = self.take_up(shard).await;
            taken.map_err(|error| (shard, error))
        });
        taken.buffer_unordered(SHARDS_AT_A_TIME).try_collect().await
    }

    pub(crate) async fn run(
        self: Arc<Self>,
        mut ended: mpsc::Receiver<(ShardId, Ended)>,
        mut notices: mpsc::Receiver<QueueNotice>,
    ) {
        let mut placement = self.router.0.placement.subscribe();
        let mut known = Arc::clone(&placement.borrow());
        let mut work = Work::default();
        let mut turn = tokio::time::interval(leases::CHECK_PERIOD);
        // What has changed since it began.
        self.settle(self.router.0.map.shards(), &mut work);
        loop {
            tokio::select! {
                Some((shard, ended)) = ended.recv() => self.ended(shard, ended, &mut work),
                Ok(()) = placement.changed() => {
                    let news = Arc::clone(&placement.borrow_and_update());
                    self.placed(&known, &news, &mut work);
                    known = news;
                }
                _ = turn.tick() => self.check_next(&mut work),
                Some(notice) = notices.recv() => self.courier.notice(notice),
                Some(done) = work.tasks.join_next(), if !work.tasks.is_empty() => match done {
                    Ok(shards) => {
                        for shard in &shards {
                            work.seen_to.remove(shard);
                        }
                        // What has changed meanwhile is seen to again.
                        self.settle(shards, &mut work);
                    }
                    Err(error) => tracing::error!(%error, "task of the keeper failed"),
                },
                else => return,
            }
        }
    }

    /// A shard is gone: it is taken up again if it belongs to this node.
    fn ended(self: &Arc<Self>, shard: ShardId, ended: Ended, work: &mut Work) {
        self.router.0.metrics.node.ended();
        match ended {
            Ended::Released => return self.settle([shard], work),
            Ended::Stopped => tracing::warn!(%shard, "shard stopped"),
            Ended::Panicked(run) => {
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
        let wait = work.falls.entry(shard).or_default().next_wait();
        if self.is_mine(shard) && work.seen_to.insert(shard) {
            let keeper = Arc::clone(self);
            work.tasks.spawn(async move {
                tokio::time::sleep(wait).await;
                keeper.take_over(&[shard]).await;
                vec![shard]
            });
        }
    }

    /// Nodes came or went: what is this one's is taken up, what is not goes.
    fn placed(self: &Arc<Self>, before: &Placement, placement: &Placement, work: &mut Work) {
        let inner = &self.router.0;
        inner.peers.keep(placement);
        self.settle(inner.map.shards(), work);
        let moved = inner.queues.take_all(|key| placement.queue(key) != Owner::Me);
        work.tasks.spawn(async move {
            for queue in moved {
                // Its tickets go back to their shards, which announce them where they belong from here on.
                let _ = queue.drain().await;
            }
            Vec::new()
        });
        let changes = placement.view().changes_since(before.view());
        inner.metrics.node.placed(before.view(), placement.view());
        for shard in inner.shards.borrow().values() {
            // Those who came may have had it while the two did not see each other.
            drop(shard.tell(Input::Check));
        }
        let lost = |change: &Change| matches!(change, Change::Gone(_) | Change::Restarted(_));
        if changes.iter().any(lost) {
            // With them went the tickets in their queues.
            for shard in inner.shards.borrow().values() {
                drop(shard.tell(Input::QueuesMoved));
            }
        }
        if placement.view().lost() >= placement.view().members().len() {
            let keeper = Arc::clone(self);
            work.tasks.spawn(async move {
                keeper.step_aside().await;
                Vec::new()
            });
        }
        for change in &changes {
            if let Change::Came(member) = change
                && member.name() != placement.view().me()
            {
                // It may have been here before, and cut off when there was something to hear.
                drop(inner.peers.get(member).hint(Hint::News(News::Anything)));
            }
        }
    }

    /// Has one shard look whether it still has its lease, each in its turn: one that was taken unseen is found too.
    fn check_next(&self, work: &mut Work) {
        let shards = self.router.0.shards.borrow();
        let after = shards
            .keys()
            .filter(|shard| Some(**shard) > work.last_checked)
            .min();
        work.last_checked = after.or_else(|| shards.keys().min()).copied();
        if let Some(shard) = work.last_checked.and_then(|shard| shards.get(&shard)) {
            drop(shard.tell(Input::Check));
        }
    }

    /// Lets all shards go if the others are alive and only this node does not reach them: they take the shards, and
    /// what is answered here would be of yesterday.
    async fn step_aside(&self) {
        let placement = self.router.placement();
        if liveness::may_take(&self.router, &placement).await
            || !Arc::ptr_eq(&placement, &self.router.placement())
        {
            return;
        }
        tracing::warn!("this node is cut off from the others: it lets its shards go");
        let held: Vec<_> = self.router.0.shards.borrow().keys().copied().collect();
        join_all(held.into_iter().map(|shard| self.router.give_up(shard))).await;
    }

    /// Sees to shards that are not where they belong.
    fn settle(self: &Arc<Self>, shards: impl IntoIterator<Item = ShardId>, work: &mut Work) {
        let placement = self.router.placement();
        let held = Arc::clone(&self.router.0.shards.borrow());
        let (mut come, mut go) = (Vec::new(), Vec::new());
        for shard in shards {
            let here = held.get(&shard).is_some_and(ShardHandle::is_alive);
            let mine = placement.shard(shard) == Owner::Me;
            if here != mine && work.seen_to.insert(shard) {
                if mine { come.push(shard) } else { go.push(shard) }
            }
        }
        if !come.is_empty() {
            let keeper = Arc::clone(self);
            work.tasks.spawn(async move {
                keeper.take_over(&come).await;
                come
            });
        }
        if !go.is_empty() {
            let keeper = Arc::clone(self);
            work.tasks.spawn(async move {
                keeper.let_go(&go).await;
                go
            });
        }
    }

    fn is_mine(&self, shard: ShardId) -> bool {
        self.router.0.placement.borrow().shard(shard) == Owner::Me
    }

    /// Nobody asks for a shard for long: it goes all the same, so that its next owner need not fence it.
    async fn let_go(&self, shards: &[ShardId]) {
        let mut held = self.router.0.shards.subscribe();
        let gone = held.wait_for(|held| !shards.iter().any(|shard| held.contains_key(shard)));
        if timeout(UNASKED, gone).await.is_ok() {
            return;
        }
        let elsewhere = shards.iter().filter(|shard| !self.is_mine(**shard));
        join_all(elsewhere.map(|shard| self.router.give_up(*shard))).await;
    }

    /// Asks the others for the shards and takes them up.
    async fn take_over(&self, shards: &[ShardId]) {
        self.allowed().await;
        for some in shards.chunks(SHARDS_AT_A_TIME) {
            self.ask_for(some).await;
            join_all(some.iter().map(|shard| self.take_up_in_time(*shard))).await;
        }
    }

    /// Waits until this node is not one that is cut off from most of the others.
    async fn allowed(&self) {
        let mut placement = self.router.0.placement.subscribe();
        loop {
            let known = Arc::clone(&placement.borrow_and_update());
            tokio::select! {
                may_take = liveness::may_take(&self.router, &known) => if may_take {
                    return;
                },
                _ = placement.changed() => {}
            }
        }
    }

    /// Asks all others to give the shards up; whoever has one finishes it first.
    async fn ask_for(&self, shards: &[ShardId]) {
        let give_up = Instant::now() + ASK_FOR;
        let mut wanted = shards.to_vec();
        let mut wait = ASK_AGAIN_FIRST;
        loop {
            let placement = self.router.placement();
            let call = Call::HandOver {
                shards: wanted.clone(),
                to: self.router.0.node.clone(),
            };
            let answers = join_all(placement.others().map(|member| self.ask_one(member, &call))).await;
            // Who does not answer is gone, or will be fenced.
            let kept: HashSet<_> = answers
                .into_iter()
                .flatten()
                .flat_map(|answer| answer.kept)
                .collect();
            wanted.retain(|shard| kept.contains(shard) && self.is_mine(*shard));
            if wanted.is_empty() {
                return;
            }
            if Instant::now() >= give_up {
                tracing::warn!(shards = ?wanted, "another node keeps shards: their leases are taken");
                return;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(ASK_AGAIN_LAST);
        }
    }

    async fn ask_one(&self, member: &Member, call: &Call) -> Option<HandedOver> {
        let wait = match member.state {
            State::Alive | State::Leaving => ANSWER,
            State::Suspect => ANSWER_OF_SUSPECT,
        };
        let peer = self.router.0.peers.get(member);
        let answer: Result<HandedOver, Lost> = timeout(wait, peer.call(call)).await.ok()?;
        answer.ok()
    }

    /// Takes a shard up however often it fails, unless it belongs elsewhere by then.
    async fn take_up_in_time(&self, shard: ShardId) {
        let mut wait = RETRY_FIRST;
        while self.is_mine(shard) {
            match self.take_up(shard).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(%shard, %error, "shard not taken up"),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY_LAST);
        }
    }

    /// Takes the lease and starts the actor, unless that is done.
    pub(crate) async fn take_up(&self, id: ShardId) -> Result<(), StoreError> {
        let inner = &self.router.0;
        let _alone = inner.holdings.lock(id).await;
        let begun = std::time::Instant::now();
        if inner.shards.borrow().get(&id).is_some_and(ShardHandle::is_alive) {
            return Ok(());
        }
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
        let handle = shard::actor::start(self.threads.of_shard(id), setup, hooks);
        inner.shards.send_modify(|shards| {
            let mut next: HashMap<ShardId, ShardHandle> = (**shards).clone();
            next.insert(id, handle);
            *shards = Arc::new(next);
        });
        inner.metrics.node.took_up(begun.elapsed());
        Ok(())
    }
}

impl Router {
    /// Another node asks for shards: those that are its own by this node's view, too, finish and go.
    pub(crate) async fn hand_over(&self, shards: Vec<ShardId>, to: &NodeId) -> HandedOver {
        let given = join_all(shards.into_iter().map(|shard| async move {
            let held = self
                .0
                .shards
                .borrow()
                .get(&shard)
                .is_some_and(ShardHandle::is_alive);
            let theirs = match self.0.placement.borrow().shard(shard) {
                Owner::Me => false,
                Owner::Other(member) => member.profile.id == *to,
            };
            let gives = if theirs {
                self.give_up(shard).await.is_ok()
            } else {
                !held
            };
            (shard, gives)
        }))
        .await;
        let kept = given.into_iter().filter(|(_, gives)| !gives);
        HandedOver {
            kept: kept.map(|(shard, _)| shard).collect(),
        }
    }
}
