//! Keeper: the shell of [`crate::leases`], which says what shards this node takes up and gives up, and when. Here it is
//! told what happens, and what it says is done.

mod hands;

use std::{
    collections::{BTreeSet, HashMap},
    future::pending,
    sync::Arc,
};

use futures::future::join_all;
use matching::handle::QueueNotice;
use membership::view::Change;
use proto::{
    ids::{NodeId, ShardId},
    time::Timestamp,
};
use shard::{actor::Ended, input::Input as ShardInput};
use storage::error::StoreError;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until},
};

pub(crate) use self::hands::{Hands, Life};
use crate::{
    leases::{Input, Leases, Output},
    liveness,
    placement::{Owner, Placement},
    reach,
    router::Router,
    rpc::{HandedOver, Hint, News},
};

/// Notices that wait for the keeper.
pub(crate) const NOTICES_MAX: usize = 4_096;
/// Lives of shards that have ended and wait for the keeper to see it.
pub(crate) const ENDED_MAX: usize = 16_384;

/// What others tell the keeper.
pub(crate) enum Notice {
    /// Another node wants the shards.
    Asked {
        shards: Vec<ShardId>,
        by: NodeId,
        kept: oneshot::Sender<Vec<ShardId>>,
    },
    /// Another node had the shard and has let it go.
    Freed(ShardId),
    /// The shard is to be given up, and taken up anew if it belongs here.
    Release {
        shard: ShardId,
        done: oneshot::Sender<()>,
    },
}

/// What has come of a deed.
enum Done {
    Said(Input),
    TakenUp(ShardId),
    NotTakenUp(ShardId, StoreError),
    Judged {
        placement: Arc<Placement>,
        may_take: bool,
    },
    /// What belongs elsewhere has gone there.
    Moved,
}

/// A shard that could not be taken up.
pub(crate) type Failed = (ShardId, StoreError);

/// Keeps the shards of this node.
pub(crate) struct Keeper {
    hands: Arc<Hands>,
    leases: Leases,
    /// The leases' clock: unlike the machine's it never jumps.
    began: Instant,
    placement: watch::Receiver<Arc<Placement>>,
    known: Arc<Placement>,
    notices: mpsc::Receiver<Notice>,
    ended: mpsc::Receiver<(ShardId, Life, Ended)>,
    queues: mpsc::Receiver<QueueNotice>,
    deeds: JoinSet<Done>,
    /// Shards that are being given up: that goes on when the keeper stops.
    giving_up: JoinSet<ShardId>,
    askers: HashMap<u64, oneshot::Sender<Vec<ShardId>>>,
    tokens: u64,
    released: HashMap<ShardId, Vec<oneshot::Sender<()>>>,
    /// The newest life of each shard that works here.
    lives: HashMap<ShardId, Life>,
    lives_begun: Life,
}

impl Keeper {
    pub(crate) fn new(
        hands: Hands,
        notices: mpsc::Receiver<Notice>,
        ended: mpsc::Receiver<(ShardId, Life, Ended)>,
        queues: mpsc::Receiver<QueueNotice>,
    ) -> Self {
        let mut placement = hands.router.0.placement.subscribe();
        let known = Arc::clone(&placement.borrow_and_update());
        Self {
            hands: Arc::new(hands),
            leases: Leases::default(),
            began: Instant::now(),
            placement,
            known,
            notices,
            ended,
            queues,
            deeds: JoinSet::new(),
            giving_up: JoinSet::new(),
            askers: HashMap::new(),
            tokens: 0,
            released: HashMap::new(),
            lives: HashMap::new(),
            lives_begun: 0,
        }
    }

    /// Takes up what belongs to this node. Alone it must succeed at once.
    pub(crate) async fn begin(&mut self) -> Result<(), Failed> {
        self.place(liveness::sees_enough(&self.known));
        while !self.leases.is_settled() {
            let failed = self.next().await;
            if let Some(failed) = failed
                && self.known.others().next().is_none()
            {
                return Err(failed);
            }
        }
        Ok(())
    }

    /// Keeps the shards until it is told to stop, and finishes giving up those that it has begun to.
    pub(crate) async fn run(mut self, stop: Arc<Notify>) {
        loop {
            tokio::select! {
                () = stop.notified() => break,
                _ = self.next() => {}
            }
        }
        // What is on its way here ends with the other deeds.
        self.deeds.shutdown().await;
        while self.giving_up.join_next().await.is_some() {}
    }

    /// Waits for something to happen and sees to it. Tells of a shard that could not be taken up.
    async fn next(&mut self) -> Option<Failed> {
        let due = self.leases.next_deadline();
        let due = due.map(|due| self.began + due.since(Timestamp::EPOCH));
        let tick = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => pending().await,
            }
        };
        tokio::select! {
            Some((shard, life, how)) = self.ended.recv() => self.ended(shard, life, how),
            Some(notice) = self.notices.recv() => self.notice(notice),
            Ok(()) = self.placement.changed() => self.placed(),
            Some(done) = self.deeds.join_next(), if !self.deeds.is_empty() => return self.done(done),
            Some(given_up) = self.giving_up.join_next(), if !self.giving_up.is_empty() => {
                self.given_up(given_up);
            }
            Some(notice) = self.queues.recv() => self.hands.courier.notice(notice),
            () = tick => self.tell(Input::Tick),
        }
        None
    }

    fn done(&mut self, done: Result<Done, JoinError>) -> Option<Failed> {
        match done {
            Ok(Done::Said(input)) => self.tell(input),
            Ok(Done::TakenUp(shard)) => {
                self.tell(Input::TakenUp(shard));
                if self.released.contains_key(&shard) {
                    self.tell(Input::Release(shard));
                }
            }
            Ok(Done::NotTakenUp(shard, error)) => {
                tracing::warn!(%shard, %error, "shard not taken up");
                self.lives.remove(&shard);
                self.released.remove(&shard);
                self.tell(Input::NotTakenUp(shard));
                return Some((shard, error));
            }
            Ok(Done::Judged { placement, may_take }) => {
                if Arc::ptr_eq(&placement, &self.known) {
                    self.judged(may_take);
                }
            }
            Ok(Done::Moved) => {}
            Err(error) => tracing::error!(%error, "task of the keeper failed"),
        }
        None
    }

    fn given_up(&mut self, given_up: Result<ShardId, JoinError>) {
        let shard = match given_up {
            Ok(shard) => shard,
            Err(error) => return tracing::error!(%error, "task of the keeper failed"),
        };
        for done in self.released.remove(&shard).unwrap_or_default() {
            // Who wanted it may have gone.
            let _ = done.send(());
        }
        self.tell(Input::Ended(shard));
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Asked { shards, by, kept } => {
                self.tokens += 1;
                let token = self.tokens;
                tracing::debug!(%by.name, ?shards, "is asked for shards");
                self.askers.insert(token, kept);
                self.tell(Input::Asked { token, shards });
            }
            Notice::Freed(shard) => self.tell(Input::Freed(shard)),
            Notice::Release { shard, done } => {
                if self.lives.contains_key(&shard) {
                    self.released.entry(shard).or_default().push(done);
                    self.tell(Input::Release(shard));
                }
            }
        }
    }

    /// A life of a shard has ended, perhaps long after it was given up.
    fn ended(&mut self, shard: ShardId, life: Life, how: Ended) {
        self.hands.router.0.metrics.node.ended();
        match how {
            Ended::Released => {}
            Ended::Stopped => tracing::warn!(%shard, "shard stopped"),
            Ended::Panicked(run) => self.hands.count_panic(shard, run),
        }
        if self.lives.get(&shard) == Some(&life) {
            self.lives.remove(&shard);
            drop(self.hands.router.remove_shard(shard));
            self.tell(Input::Fell(shard));
        }
    }

    /// Tells the leases what happens and does what they say.
    fn tell(&mut self, input: Input) {
        let mut out = Vec::new();
        let now = Timestamp::EPOCH + self.began.elapsed();
        self.leases.handle(input, now, &mut out);
        for output in out {
            self.perform(output);
        }
        let waiting: BTreeSet<_> = self.leases.waiting().collect();
        self.hands.router.0.waiting.send_if_modified(|known| {
            let changed = **known != waiting;
            if changed {
                *known = Arc::new(waiting);
            }
            changed
        });
    }

    fn perform(&mut self, output: Output) {
        let hands = Arc::clone(&self.hands);
        match output {
            Output::Ask { of, shards } => {
                let member = self.known.node(&of).cloned();
                self.deeds.spawn(async move {
                    let kept = match member {
                        Some(member) => hands.ask(&member, shards.clone()).await,
                        None => Vec::new(),
                    };
                    let kept = kept.into_iter().collect();
                    let by = of;
                    Done::Said(Input::Answered { by, shards, kept })
                });
            }
            Output::TakeUp(shard) => {
                self.lives_begun += 1;
                let life = self.lives_begun;
                self.lives.insert(shard, life);
                self.deeds.spawn(async move {
                    match hands.take_up(shard, life).await {
                        Ok(()) => Done::TakenUp(shard),
                        Err(error) => Done::NotTakenUp(shard, error),
                    }
                });
            }
            Output::GiveUp(shard) => {
                self.lives.remove(&shard);
                self.giving_up.spawn(async move {
                    hands.router.give_up(shard).await;
                    shard
                });
            }
            Output::Check(shard) => hands.router.tell_here(shard, ShardInput::Check),
            Output::Free(shard) => hands.router.tell(shard, Hint::Freed { shard }),
            Output::Answer { token, kept } => {
                if let Some(asker) = self.askers.remove(&token) {
                    // Who asked may have gone.
                    let _ = asker.send(kept);
                }
            }
        }
    }

    /// Nodes came or went.
    fn placed(&mut self) {
        let placement = Arc::clone(&self.placement.borrow_and_update());
        let before = std::mem::replace(&mut self.known, Arc::clone(&placement));
        let inner = &self.hands.router.0;
        inner.peers.keep(&placement);
        let moved = inner.queues.take_all(|key| placement.queue(key) != Owner::Me);
        if !moved.is_empty() {
            self.deeds.spawn(async move {
                // Their tickets go back to their shards, which announce them where they belong from here on.
                join_all(moved.iter().map(|queue| queue.drain())).await;
                Done::Moved
            });
        }
        let (router, new) = (self.hands.router.clone(), Arc::clone(&placement));
        self.deeds.spawn(async move {
            router.move_workers(new).await;
            Done::Moved
        });
        inner.metrics.node.placed(before.view(), placement.view());
        let changes = placement.view().changes_since(before.view());
        let lost = |change: &Change| matches!(change, Change::Gone(_) | Change::Restarted(_));
        if changes.iter().any(lost) {
            // With them went the tickets in their queues.
            for shard in inner.shards.borrow().values() {
                drop(shard.tell(ShardInput::QueuesMoved));
            }
        }
        for change in &changes {
            if let Change::Came(member) = change
                && member.name() != placement.view().me()
            {
                // It may have been here before, and cut off when there was something to hear.
                drop(inner.peers.get(member).hint(Hint::News(News::Anything)));
            }
        }
        self.place(liveness::sees_enough(&placement));
    }

    /// Tells the leases what belongs to this node by the view. One that may be cut off finds out first whether it is.
    fn place(&mut self, may_take: bool) {
        let shards = self.known.map().shards();
        let mine = shards.filter(|shard| self.known.is_mine(*shard)).collect();
        self.tell_placed(mine, may_take);
        if may_take {
            reach::tell(&self.hands.router.0.reach, |reach| reach.others = true);
        } else {
            self.judge();
        }
    }

    fn tell_placed(&mut self, mine: BTreeSet<ShardId>, may_take: bool) {
        let others = self.known.others().map(|member| member.profile.id.clone());
        let others = others.collect();
        self.tell(Input::Placed {
            mine,
            others,
            may_take,
        });
    }

    /// Looks at the store whether the others are dead, or this node is cut off from them.
    fn judge(&mut self) {
        let (router, placement) = (self.hands.router.clone(), Arc::clone(&self.known));
        self.deeds.spawn(async move {
            let may_take = liveness::may_take(&router, &placement).await;
            Done::Judged { placement, may_take }
        });
    }

    /// If the others are alive and only this node does not reach them it lets its shards go: they take them, and what
    /// is answered here would be of yesterday.
    fn judged(&mut self, may_take: bool) {
        if may_take {
            return self.place(true);
        }
        if self.leases.held().next().is_some() {
            tracing::warn!("this node is cut off from the others: it lets its shards go");
        }
        reach::tell(&self.hands.router.0.reach, |reach| reach.others = false);
        self.tell_placed(BTreeSet::new(), false);
        self.judge();
    }
}

impl Router {
    /// Another node asks for shards: those that are not this node's by its own view, too, finish and go.
    pub(crate) async fn hand_over(&self, shards: Vec<ShardId>, by: NodeId) -> HandedOver {
        let (kept, answer) = oneshot::channel();
        let asked = Notice::Asked {
            shards: shards.clone(),
            by,
            kept,
        };
        let told = self.0.keeper.send(asked).await;
        if told.is_ok()
            && let Ok(kept) = answer.await
        {
            return HandedOver { kept };
        }
        // The host stops: it gives up one after the other.
        let held = Arc::clone(&self.0.shards.borrow());
        let kept = shards.into_iter().filter(|shard| held.contains_key(shard));
        HandedOver { kept: kept.collect() }
    }

    /// Lets a shard go in good order; it comes back if it belongs here. Returns when it is gone.
    pub(crate) async fn release(&self, shard: ShardId) {
        let (done, gone) = oneshot::channel();
        if self.0.keeper.send(Notice::Release { shard, done }).await.is_ok() {
            // Not here, or the host stops: gone in either case.
            let _ = gone.await;
        }
    }
}
