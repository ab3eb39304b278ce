//! The actor that runs a queue: it feeds inputs to the core, carries its outputs out and sleeps until its deadline.
//!
//! It decides nothing. It owns at most three futures: a timer, a turn's end, a wait for room among the notices.

use std::{collections::HashMap, sync::Arc};

use actix::{
    Actor, ActorFutureExt, Addr, ArbiterHandle, AsyncContext, Context, Handler, SpawnHandle, dev::channel,
    fut::wrap_future,
};
use proto::{ids::QueueKey, time::Timestamp};
use tokio::sync::oneshot;

use crate::{
    config::Config,
    error::{AskError, QueryError},
    handle::{Clock, Hooks, Notice, Polled, QueryAnswer, QueueHandle, Return, Returns},
    input::{Input, PollToken, QueryId},
    life::{Counted, Life},
    limits,
    message::Message,
    notices::{Dropped, Notices},
    output::{Give, Output},
    queue::Queue,
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
        polls: HashMap::new(),
        queries: HashMap::new(),
        returns: Arc::clone(&returns),
        notices: Notices::new(key.clone(), hooks.notices),
        out: Vec::new(),
        armed: None,
        messages: 0,
        life: Life::new(key.clone(), hooks.metrics, hooks.ended),
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
    polls: HashMap<PollToken, oneshot::Sender<Result<Polled, AskError>>>,
    queries: HashMap<QueryId, oneshot::Sender<Result<QueryAnswer, QueryError>>>,
    returns: Arc<Returns>,
    notices: Notices,
    out: Vec<Output>,
    armed: Option<(Timestamp, SpawnHandle)>,
    /// Handled in this turn.
    messages: usize,
    life: Life,
}

impl Actor for QueueActor {
    type Context = Context<Self>;
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
                self.polls.insert(token, reply);
                self.step(input, now);
            }
            Message::Query { reply, .. } if reply.is_closed() => {}
            Message::Query { id, input, reply } => {
                self.queries.insert(id, reply);
                self.step(input, now);
            }
            Message::Answer { id, answer, reply } => {
                let query = self.queries.remove(&id);
                let taken = query.is_some_and(|query| query.send(Ok(*answer)).is_ok());
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
        for what in self.returns.take() {
            match what {
                Return::PollGone(token) => {
                    if self.polls.remove(&token).is_some() {
                        self.life.metrics.polls_cancelled.add(1);
                        self.step(Input::PollerGone(token), now);
                    }
                }
                Return::Undelivered(give) => self.undelivered(*give, now),
                Return::QueryGone(id) => {
                    self.queries.remove(&id);
                    self.step(Input::QueryGone(id), now);
                }
            }
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
                self.reply(token, Ok(Polled::Empty));
            }
            Output::PollRefused(token) => {
                metrics.polls_refused.add(1);
                self.reply(token, Err(AskError::TooManyPolls));
            }
            Output::QueryEnded { id, why } => {
                metrics.queries_failed.add(1);
                if let Some(query) = self.queries.remove(&id) {
                    drop(query.send(Err(why.into())));
                }
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
        let sent = match self.polls.remove(&token) {
            Some(poll) => poll.send(Ok(Polled::Task(Box::new(give)))),
            None => Err(Ok(Polled::Task(Box::new(give)))),
        };
        match sent {
            Ok(()) => counted.count(&self.life.metrics),
            Err(Ok(Polled::Task(give))) => self.undelivered(*give, now),
            Err(_) => {}
        }
    }

    fn reply(&mut self, token: PollToken, answer: Result<Polled, AskError>) {
        if let Some(poll) = self.polls.remove(&token) {
            // Nothing is lost when the caller is gone.
            drop(poll.send(answer));
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

    /// Keeps one timer, at or before the core's next deadline.
    fn arm(&mut self, now: Timestamp, ctx: &mut Context<Self>) {
        let Some((at, _)) = self.core.next_deadline() else {
            return;
        };
        if let Some((armed, timer)) = self.armed {
            if armed <= at {
                return;
            }
            ctx.cancel_future(timer);
        }
        let timer = ctx.run_later(at.since(now), |actor, ctx| {
            actor.armed = None;
            let now = (actor.clock)();
            actor.take_returns(now);
            actor.step(Input::Tick, now);
            actor.deliver(now, ctx);
            actor.arm(now, ctx);
        });
        self.armed = Some((at, timer));
    }
}
