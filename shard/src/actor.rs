//! ShardActor: the shell of a shard. Feeds the core, does its outputs, sleeps until its deadline.
//!
//! Handlers only feed; one pump runs after the mailbox is drained and commits what was staged, so batches grow
//! with load. When the core says stop, or a commit fails, the actor ends and its owner starts it afresh.

use std::{collections::HashMap, sync::Arc, time::Duration};

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, ArbiterHandle, AsyncContext, Context, Handler, SpawnHandle,
    WrapFuture, dev::channel,
};
use proto::{
    ids::{RunKey, ShardId},
    time::Timestamp,
};
use storage::{
    batch::Batch,
    shard::{Lease, ShardStore},
};
use tokio::sync::oneshot;

use crate::{
    auditor::Place,
    courier::Courier,
    feed::Feed,
    handle::{Answer, Envelope, ShardHandle, Unsent},
    input::{Input, LoadKey, Scan, Token},
    metrics::{Export, Levels, Metrics},
    output::{AskError, Output},
    reads,
    shard::{Setup, Shard},
    view::ShardView,
};

/// Messages handled before the other actors of the arbiter get a turn.
const MESSAGES_PER_TURN: u32 = 32;

/// Tells the time; must never block.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a shard's actor is given to reach the world.
pub struct Hooks {
    pub clock: Clock,
    pub store: Arc<dyn ShardStore>,
    pub lease: Lease,
    pub courier: Arc<dyn Courier>,
    pub metrics: Arc<Metrics>,
    /// Called once when the actor is gone, on its thread.
    pub ended: Box<dyn FnOnce(ShardId, Ended) + Send>,
}

/// How a shard's actor ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was drained and has released its lease.
    Released,
    /// Its memory had run ahead of the store, or it could not be drained: somebody must take the lease again.
    Stopped,
    /// As stopped. The run is the one that it handled, if it handled one.
    Panicked(Option<RunKey>),
}

/// What the actor is sent.
#[derive(Debug)]
pub(crate) enum Message {
    Ask(Envelope),
    Input(Input),
    Drain(oneshot::Sender<()>),
    Feed(Feed),
    Median(oneshot::Sender<Option<u64>>),
    View(oneshot::Sender<ShardView>),
}

impl actix::Message for Message {
    type Result = ();
}

/// The shell of one shard.
pub struct ShardActor {
    core: Shard,
    hooks: Hooks,
    replies: HashMap<Token, oneshot::Sender<Answer>>,
    drained: Option<oneshot::Sender<()>>,
    /// Whoever copies the rows.
    follower: Option<Feed>,
    /// How it ends unless it panics.
    end: Ended,
    out: Vec<Output>,
    pump: bool,
    armed: Option<(Timestamp, SpawnHandle)>,
    messages: u32,
    export: Export,
}

/// Tells the owner when the actor is gone, however it went.
impl Drop for ShardActor {
    fn drop(&mut self) {
        let run = self.core.in_hand().cloned();
        let end = if run.is_some() || std::thread::panicking() {
            Ended::Panicked(run)
        } else {
            self.end.clone()
        };
        self.hooks.metrics.shard_closed_count.inc();
        let ended = std::mem::replace(&mut self.hooks.ended, Box::new(|_, _| {}));
        ended(self.core.id, end);
    }
}

/// Starts the shard under its lease.
pub fn start(arbiter: &ArbiterHandle, setup: Setup, hooks: Hooks) -> ShardHandle {
    let (sender, receiver) = channel::channel(setup.config.mailbox_messages_max.get());
    let mut out = Vec::new();
    let export = Export::new(Arc::clone(&hooks.metrics));
    let core = Shard::new(setup, (hooks.clock)(), &mut out);
    let actor = ShardActor {
        core,
        hooks,
        replies: HashMap::new(),
        drained: None,
        follower: None,
        end: Ended::Stopped,
        out,
        pump: false,
        armed: None,
        messages: 0,
        export,
    };
    // Made by hand, not by `start_in_arbiter`: the mailbox has its capacity from the first message on.
    arbiter.spawn_fn(move || {
        Context::with_receiver(receiver).run(actor);
    });
    ShardHandle::new(Addr::new(sender))
}

impl Actor for ShardActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.execute(ctx);
    }
}

impl Handler<Message> for ShardActor {
    type Result = ();

    fn handle(&mut self, message: Message, ctx: &mut Self::Context) {
        match message {
            Message::Ask(envelope) => {
                self.hooks.metrics.requests.inc();
                if let Some((token, target, request, received, reply)) = envelope.open() {
                    self.replies.insert(token, reply);
                    let token = Some(token);
                    self.feed(
                        Input::Ask {
                            token,
                            target,
                            request,
                            received,
                        },
                        ctx,
                    );
                }
            }
            Message::Input(Input::Gone(token)) => {
                if self.replies.remove(&token).is_some() {
                    self.feed(Input::Gone(token), ctx);
                }
            }
            Message::Input(input) => self.feed(input, ctx),
            Message::Drain(done) => {
                self.drained = Some(done);
                self.feed(Input::Drain, ctx);
            }
            Message::Feed(mut feed) => {
                if !self.core.is_committing() {
                    feed.begin(&self.hooks.lease, self.core.committed);
                }
                self.follower = Some(feed);
            }
            Message::Median(reply) => drop(reply.send(self.core.median())),
            // A lost view only means that nobody looks any more.
            Message::View(reply) => {
                let (view, epoch) = (self.core.view(), self.hooks.lease.epoch);
                drop(reply.send(ShardView { epoch, ..view }));
            }
        }
        self.messages += 1;
        if self.messages >= MESSAGES_PER_TURN {
            self.messages = 0;
            ctx.wait(tokio::task::yield_now().into_actor(self));
        }
    }
}

impl ShardActor {
    fn feed(&mut self, input: Input, ctx: &mut Context<Self>) {
        self.take(input);
        self.execute(ctx);
    }

    fn take(&mut self, input: Input) {
        if let (Input::Committed { batch }, Some(feed)) = (&input, &mut self.follower) {
            feed.committed(&self.hooks.lease, *batch);
        }
        let now = (self.hooks.clock)();
        self.core.handle(input, now, &mut self.out);
    }

    fn execute(&mut self, ctx: &mut Context<Self>) {
        // An output may be done at once and feed the core again.
        while !self.out.is_empty() {
            for output in std::mem::take(&mut self.out) {
                self.output(output, ctx);
            }
        }
        if !self.pump {
            self.pump = true;
            // Runs after the messages that wait already: what they stage goes into one batch.
            ctx.spawn(async {}.into_actor(self).map(|(), actor, ctx| actor.pump(ctx)));
        }
    }

    fn pump(&mut self, ctx: &mut Context<Self>) {
        self.pump = false;
        let now = (self.hooks.clock)();
        self.core.handle(Input::Flush, now, &mut self.out);
        while !self.out.is_empty() {
            for output in std::mem::take(&mut self.out) {
                self.output(output, ctx);
            }
        }
        self.arm(now, ctx);
        self.count();
    }

    fn count(&mut self) {
        let core = &mut self.core;
        self.export.count(&mut core.tally, &core.namespaces);
        self.export.show(Levels {
            stage_bytes: self.core.stage().bytes(),
            resident_runs: self.core.cache.resident(),
            cache_bytes: self.core.cache.bytes(),
        });
    }

    fn output(&mut self, output: Output, ctx: &mut Context<Self>) {
        let (shard, courier) = (self.core.id, &self.hooks.courier);
        match output {
            Output::Reply { token, reply } => {
                if let Some(sender) = self.replies.remove(&token) {
                    // Who gave up needs no answer.
                    drop(sender.send(Ok(reply)));
                }
            }
            Output::GiveBack {
                token,
                target,
                request,
            } => {
                if let Some(sender) = self.replies.remove(&token) {
                    let why = AskError::Moved;
                    drop(sender.send(Err(Unsent { why, target, request })));
                }
            }
            Output::Load(key) => self.load(key, ctx),
            Output::Scan(scan) => self.scan(scan, ctx),
            Output::Audit(place) => self.audit(place, ctx),
            Output::Commit(batch) => self.commit(batch, ctx),
            Output::Prove => self.prove(ctx),
            Output::Announce {
                queue,
                run,
                task,
                durable,
            } => courier.announce(shard, queue, run, task, durable),
            Output::HeldBack { queue, count, oldest } => courier.held_back(shard, queue, count, oldest),
            Output::Deliver { from, delivery } => courier.deliver(from, delivery),
            Output::Index { run, update } => courier.index(shard, run, update),
            Output::Stop(reason) => {
                tracing::warn!(%shard, reason, "shard given up");
                self.replies.clear();
                ctx.stop();
            }
            Output::Drained => self.release(ctx),
        }
    }

    fn load(&mut self, key: LoadKey, ctx: &mut Context<Self>) {
        let (store, shard, wanted) = (Arc::clone(&self.hooks.store), self.core.id, key.clone());
        let load = async move { reads::load(&*store, shard, &wanted).await };
        self.later(load, ctx, move |value| Input::Loaded { key, value });
    }

    fn scan(&mut self, scan: Scan, ctx: &mut Context<Self>) {
        let (store, shard, wanted) = (Arc::clone(&self.hooks.store), self.core.id, scan.clone());
        let rows = async move { reads::scan(&*store, shard, &wanted).await };
        self.later(rows, ctx, move |rows| Input::Scanned { scan, rows });
    }

    fn audit(&mut self, place: Place, ctx: &mut Context<Self>) {
        let (store, shard) = (Arc::clone(&self.hooks.store), self.core.id);
        let page = async move { reads::audit(&*store, shard, &place).await };
        self.later(page, ctx, Input::Audited);
    }

    fn commit(&mut self, batch: Batch, ctx: &mut Context<Self>) {
        if let Some(feed) = &mut self.follower {
            feed.committing(&batch);
        }
        let (store, lease) = (Arc::clone(&self.hooks.store), self.hooks.lease.clone());
        let metrics = Arc::clone(&self.hooks.metrics);
        let (number, begun) = (batch.number, (self.hooks.clock)());
        let clock = Arc::clone(&self.hooks.clock);
        let commit = async move {
            let result = store.commit(&lease, batch).await;
            metrics.commit_latency.record(clock().since(begun));
            result
        };
        self.later(commit, ctx, move |result| match result {
            Ok(()) => Input::Committed { batch: number },
            Err(error) => Input::CommitFailed { batch: number, error },
        });
    }

    fn prove(&mut self, ctx: &mut Context<Self>) {
        let (store, lease) = (Arc::clone(&self.hooks.store), self.hooks.lease.clone());
        let held = async move { store.holds(&lease).await };
        self.later(held, ctx, Input::Proved);
    }

    /// Releases the lease. The actor lives on until nobody has a way to it, and gives back what it is asked.
    fn release(&mut self, ctx: &mut Context<Self>) {
        let (store, lease) = (Arc::clone(&self.hooks.store), self.hooks.lease.clone());
        let release = async move { store.release(&lease).await };
        ctx.spawn(release.into_actor(self).map(|result, actor, _| {
            if let Err(error) = result {
                // Nothing is lost: the next owner takes the lease all the same, only later.
                tracing::warn!(shard = %actor.core.id, %error, "lease not released");
            }
            actor.end = Ended::Released;
            if let Some(done) = actor.drained.take() {
                // Who drains may have given up.
                let _ = done.send(());
            }
        }));
    }

    /// Feeds what comes of the future: at once if it is ready, as reads of a local store are.
    fn later<T: 'static>(
        &mut self,
        future: impl Future<Output = T> + 'static,
        ctx: &mut Context<Self>,
        input: impl FnOnce(T) -> Input + 'static,
    ) {
        let mut future = Box::pin(future);
        let mut poll = std::task::Context::from_waker(std::task::Waker::noop());
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut poll) {
            return self.take(input(value));
        }
        ctx.spawn(
            future
                .into_actor(self)
                .map(move |value, actor, ctx| actor.feed(input(value), ctx)),
        );
    }

    /// Sleeps until the core's deadline.
    fn arm(&mut self, now: Timestamp, ctx: &mut Context<Self>) {
        let wanted = self.core.next_deadline();
        if self.armed.as_ref().map(|(at, _)| *at) == wanted {
            return;
        }
        if let Some((_, sleep)) = self.armed.take() {
            ctx.cancel_future(sleep);
        }
        if let Some(at) = wanted {
            // Whole milliseconds, rounded up: the timer wheel knows no less.
            let wait = at.since(now).max(Duration::from_millis(1));
            let sleep = ctx.run_later(wait, |actor, ctx| {
                actor.armed = None;
                actor.feed(Input::Tick, ctx);
            });
            self.armed = Some((at, sleep));
        }
    }
}
