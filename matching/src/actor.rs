//! The actor that runs a queue: it feeds inputs to the core, carries its outputs out and sleeps until its deadline.
//!
//! It decides nothing. It owns at most three futures: a timer, a turn's end, a wait for room among the notices.

use std::sync::Arc;

use actix::{
    Actor, ActorFutureExt, Addr, ArbiterHandle, AsyncContext, Context, Handler, SpawnHandle, dev::channel,
    fut::wrap_future,
};
use proto::{ids::QueueKey, time::Timestamp};

use crate::{
    config::Config,
    error::AskError,
    handle::{Clock, Hooks, Notice, Polled, QueueHandle},
    input::{Input, PollToken},
    life::{Counted, Life},
    limits,
    message::Message,
    metrics::QueueMetrics,
    notices::{Dropped, Notices},
    output::{Give, Output},
    queue::Queue,
    replies::Replies,
    returns::{Return, Returns},
};

/// Starts a queue's actor on an arbiter. It stops when the last handle is dropped.
#[must_use]
pub fn start(arbiter: &ArbiterHandle, key: QueueKey, config: &Arc<Config>, hooks: Hooks) -> QueueHandle {
    let now = (hooks.clock)();
    let returns = Arc::new(Returns::default());
    let (sender, receiver) = channel::channel(config.mailbox_messages_max.get());
    let actor = QueueActor {
        core: Queue::new(&key, Arc::clone(config), now),
        clock: hooks.clock,
        replies: Replies::default(),
        returns: Arc::clone(&returns),
        notices: Notices::new(key.clone(), hooks.notices),
        out: Vec::new(),
        armed: None,
        messages: 0,
        stopping: false,
        life: Life::new(
            key.clone(),
            QueueMetrics::new(hooks.metrics, &hooks.namespace, &key),
            hooks.ended,
        ),
    };
    // Made by hand, not by `start_in_arbiter`: the mailbox has its capacity from the first message on.
    arbiter.spawn_fn(move || {
        Context::with_receiver(receiver).run(actor);
    });
    QueueHandle::new(key, Addr::new(sender), now, returns)
}

impl actix::Message for Message {
    type Result = ();
}

pub(crate) struct QueueActor {
    core: Queue,
    clock: Clock,
    replies: Replies,
    returns: Arc<Returns>,
    notices: Notices,
    out: Vec<Output>,
    armed: Option<(Timestamp, SpawnHandle)>,
    /// Handled in this turn.
    messages: usize,
    stopping: bool,
    life: Life,
}

impl Actor for QueueActor {
    type Context = Context<Self>;

    /// Begins to wait, for nobody at first.
    fn started(&mut self, ctx: &mut Context<Self>) {
        self.wake(ctx);
    }
}

impl Handler<Message> for QueueActor {
    type Result = ();

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) {
        let now = (self.clock)();
        self.take_returns(now);
        self.messages += 1;
        match message {
            Message::Input(input) => self.step(input, now),
            Message::Announce(tickets) => {
                self.messages += tickets.len() / limits::MESSAGES_PER_TURN;
                for ticket in tickets {
                    self.step(Input::Announce(ticket), now);
                }
            }
            // Whoever sent it may be gone by the time it is read.
            Message::Poll { reply, .. } if reply.is_closed() => self.life.metrics.polls_cancelled.add(1),
            Message::Poll { token, input, reply } => {
                self.replies.polls.insert(token, reply);
                self.step(input, now);
            }
            Message::Query { reply, .. } if reply.is_closed() => {}
            Message::Query { id, input, reply } => {
                self.replies.queries.insert(id, reply);
                self.step(input, now);
            }
            Message::Answer { id, answer, reply } => {
                let taken = self.replies.end_query(id, Ok(*answer));
                self.step(Input::QueryGone(id), now);
                // The worker may be gone; the answer has arrived all the same.
                let _ = reply.send(taken);
            }
            Message::Drain(reply) => {
                self.step(Input::Drain, now);
                self.deliver(now, ctx);
                let _ = reply.send(());
            }
            Message::View(reply) => drop(reply.send(self.core.view(now))),
            Message::Returned => {}
            Message::Stop => self.stopping = true,
        }
        self.deliver(now, ctx);
        self.arm(now, ctx);
        if self.messages >= limits::MESSAGES_PER_TURN {
            self.messages = 0;
            ctx.wait(wrap_future(tokio::task::yield_now()));
        }
    }
}

impl QueueActor {
    fn step(&mut self, input: Input, now: Timestamp) {
        self.life.metrics.came(&input);
        self.core.handle(input, now, &mut self.out);
    }

    fn take_returns(&mut self, now: Timestamp) {
        let mut left = self.returns.take();
        for what in left.futures.drain(..) {
            match what {
                Return::PollGone(token) => {
                    if self.replies.polls.remove(&token).is_some() {
                        self.life.metrics.polls_cancelled.add(1);
                        self.step(Input::PollerGone(token), now);
                    }
                }
                Return::Undelivered(give) => self.undelivered(*give, now),
                Return::QueryGone(id) => {
                    if self.replies.queries.remove(&id).is_some() {
                        self.life.metrics.queries_failed.inc();
                    }
                    self.step(Input::QueryGone(id), now);
                }
            }
        }
        for news in left.news() {
            self.step(news, now);
        }
    }

    fn undelivered(&mut self, give: Give, now: Timestamp) {
        self.life.metrics.tasks_undelivered.add(1);
        self.step(Input::Undelivered(give.task), now);
    }

    /// Carries outputs out until none is left; a task that finds its poller gone makes new ones.
    fn deliver(&mut self, now: Timestamp, ctx: &mut Context<Self>) {
        while !self.out.is_empty() {
            let mut outputs = std::mem::take(&mut self.out);
            for output in outputs.drain(..) {
                self.carry_out(output, now);
            }
            outputs.append(&mut self.out);
            self.out = outputs;
        }
        self.life.show(&self.core);
        self.send_pending(ctx);
    }

    fn carry_out(&mut self, output: Output, now: Timestamp) {
        let metrics = &self.life.metrics;
        match output {
            Output::Give { token, give } => self.give(token, give, now),
            Output::Empty(token) => {
                metrics.poll_timeouts.add(1);
                self.replies.end_poll(token, Ok(Polled::Empty));
            }
            Output::PollRefused(token) => {
                metrics.polls_refused.add(1);
                self.replies.end_poll(token, Err(AskError::TooManyPolls));
            }
            Output::QueryEnded { id, why } => {
                metrics.queries_failed.add(1);
                self.replies.end_query(id, Err(why.into()));
            }
            Output::Refuse { ticket, why } => {
                metrics.refused(why);
                self.notify(Notice::Refuse { ticket, why });
            }
            Output::Credit { shard, free } => self.notify(Notice::Credit { shard, free }),
            Output::Idle => self.notify(Notice::Idle),
        }
    }

    fn give(&mut self, token: PollToken, give: Give, now: Timestamp) {
        let counted = Counted::of(&give, now);
        match self.replies.give(token, give) {
            Ok(()) => counted.count(&self.life.metrics),
            Err(give) => self.undelivered(give, now),
        }
    }

    fn notify(&mut self, what: Notice) {
        if let Err(Dropped) = self.notices.send(what) {
            self.life.metrics.notices_dropped.add(1);
        }
    }

    /// Waits for room among the notices with one future, however many are pending.
    fn send_pending(&mut self, ctx: &mut Context<Self>) {
        let Some(room) = self.notices.room() else { return };
        ctx.spawn(wrap_future(room).map(|room, actor: &mut Self, ctx| {
            actor.notices.go_on(room);
            actor.send_pending(ctx);
        }));
    }

    /// Keeps one timer, at or before the core's next deadline. A timer would keep an actor without handles alive.
    fn arm(&mut self, now: Timestamp, ctx: &mut Context<Self>) {
        let wanted = !self.stopping && ctx.connected();
        let deadline = self.core.next_deadline().filter(|_| wanted).map(|(at, _)| at);
        if let Some((armed, timer)) = self.armed {
            if deadline.is_some_and(|at| armed <= at) {
                return;
            }
            ctx.cancel_future(timer);
        }
        self.armed = deadline.map(|at| (at, ctx.run_later(at.since(now), Self::wake)));
    }

    fn wake(&mut self, ctx: &mut Context<Self>) {
        self.armed = None;
        let now = (self.clock)();
        self.take_returns(now);
        self.step(Input::Tick, now);
        self.deliver(now, ctx);
        self.arm(now, ctx);
    }
}
