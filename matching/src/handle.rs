//! How others talk to a queue's actor: bounded, from any thread, without a future inside the actor.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use actix::{Addr, dev::SendError};
use proto::{
    ids::{QueueKey, ShardId},
    temporal::{common::v1::Payloads, failure::v1::Failure},
    time::Timestamp,
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    actor::QueueActor,
    error::{AnswerError, AskError, NotAnnounced, QueryError},
    input::{Input, PollToken, PollerInfo, QueryId, QueryTask},
    limits,
    message::Message,
    metrics::Metrics,
    output::{Give, Refusal},
    returns::{Return, Returns},
    ticket::{Ticket, TicketId},
    view::QueueView,
};

/// Tells the time; must never block.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a queue's actor is given to reach the world.
pub struct Hooks {
    pub clock: Clock,
    /// Read by the courier; one channel may serve all queues of a node. A full one delays notices.
    pub notices: mpsc::Sender<QueueNotice>,
    pub metrics: Arc<Metrics>,
    /// Name of the queue's namespace, for metrics.
    pub namespace: Arc<str>,
    /// Called once, on the arbiter, when the actor is gone. Must not block or panic.
    pub ended: Box<dyn FnOnce(QueueKey, Ended) + Send>,
}

/// How an actor went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All its handles were dropped, or its arbiter stopped.
    Stopped,
    /// A bug: who waited was told `Gone`; start it again.
    Panicked,
}

/// What a queue tells others by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueNotice {
    pub queue: QueueKey,
    pub what: Notice,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// For the ticket's shard: the queue does not hold this ticket, though it may have.
    Refuse { ticket: Ticket, why: Refusal },
    /// For the shard: it may announce this many of the tickets that it holds back, oldest first.
    Credit { shard: ShardId, free: usize },
    /// For the host: drop the handle unless the queue is wanted. Said again while it lasts.
    Idle,
}

/// The answer to a poll.
#[derive(Clone, Debug, PartialEq)]
pub enum Polled {
    Task(Box<Give>),
    /// The deadline came, the queue drains or the worker shut down.
    Empty,
}

/// A worker's answer to a query.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryAnswer {
    Completed(Option<Payloads>),
    /// The handler failed; `failure` goes before `message`.
    Failed {
        message: String,
        failure: Option<Box<Failure>>,
    },
}

/// A way to one queue. Clones are cheap and share the mailbox's bound.
#[derive(Clone)]
pub struct QueueHandle(Arc<Shared>);

struct Shared {
    key: QueueKey,
    /// Never cloned: every clone of an address widens the mailbox.
    addr: Addr<QueueActor>,
    /// The last token given out; starts at the clock, so that a restarted queue does not repeat itself.
    tokens: AtomicU64,
    returns: Arc<Returns>,
}

impl QueueHandle {
    pub(crate) fn new(
        key: QueueKey,
        addr: Addr<QueueActor>,
        started: Timestamp,
        returns: Arc<Returns>,
    ) -> Self {
        let tokens = AtomicU64::new(u64::try_from(started.nanos()).unwrap_or(0));
        Self(Arc::new(Shared {
            key,
            addr,
            tokens,
            returns,
        }))
    }

    #[must_use]
    pub fn key(&self) -> &QueueKey {
        &self.0.key
    }

    /// Says whether the actor is there; it may go at any time.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.0.addr.connected()
    }

    /// Waits for a task until the deadline, which the queue keeps.
    ///
    /// Dropping the future gives the poll up; a task that was just given goes to somebody else.
    /// After the future returned a ticket, a caller that cannot redeem it should announce it again.
    pub async fn poll(&self, poller: PollerInfo, deadline: Timestamp) -> Result<Polled, AskError> {
        let token = PollToken(self.next_token());
        let (reply, answer) = oneshot::channel();
        let input = Input::Poll {
            token,
            poller,
            deadline,
        };
        self.send(Message::Poll { token, input, reply })?;
        let mut open = OpenPoll {
            shared: &self.0,
            token,
            answer,
            answered: false,
        };
        let answer = (&mut open.answer).await;
        open.answered = true;
        answer.unwrap_or(Err(AskError::Gone))
    }

    /// Says that a task is ready; a refusal comes as a notice.
    ///
    /// When the mailbox is full the shard holds the ticket back: the queue gives it credit.
    pub fn announce(&self, ticket: Ticket) -> Result<(), NotAnnounced> {
        let sent = self.0.addr.try_send(Message::Input(Input::Announce(ticket)));
        sent.map_err(|err| self.not_announced(err, Vec::new()))
    }

    /// Announces many tickets with few messages; those that did not go come back, as from `announce`.
    pub fn announce_all(&self, mut tickets: Vec<Ticket>) -> Result<(), NotAnnounced> {
        while !tickets.is_empty() {
            let rest = tickets.split_off(tickets.len().min(limits::ANNOUNCE_BATCH_MAX));
            if let Err(err) = self.0.addr.try_send(Message::Announce(tickets)) {
                return Err(self.not_announced(err, rest));
            }
            tickets = rest;
        }
        Ok(())
    }

    fn not_announced(&self, err: SendError<Message>, rest: Vec<Ticket>) -> NotAnnounced {
        let why = ask_error(&err);
        let mut tickets = match err.into_inner() {
            Message::Announce(tickets) => tickets,
            Message::Input(Input::Announce(ticket)) => vec![ticket],
            _ => Vec::new(),
        };
        tickets.extend(rest);
        if why == AskError::Busy {
            for ticket in &tickets {
                self.0.wake_if(self.0.returns.missed(ticket));
            }
        }
        NotAnnounced { why, tickets }
    }

    /// Takes a ticket back. When it fails the ticket's redemption is stale, no more.
    pub fn withdraw(&self, id: TicketId) -> Result<(), AskError> {
        self.send(Message::Input(Input::Withdraw(id)))
    }

    /// Says how many ready tasks the shard holds back for this queue, and since when; 0 when it does no longer.
    ///
    /// Asks for credit, though the queue may never have refused the shard. A full mailbox delays it.
    pub fn held_back(&self, shard: ShardId, count: u64, oldest: Timestamp) -> Result<(), AskError> {
        match self.send(Message::Input(Input::HeldBack { shard, count, oldest })) {
            Err(AskError::Busy) => self.0.wake_if(self.0.returns.said(shard, count, oldest)),
            other => return other,
        }
        Ok(())
    }

    /// Says that a worker process ends: its polls return empty, its sticky queue's tickets are refused.
    pub fn worker_shutdown(&self, worker_instance_key: Arc<str>) -> Result<(), AskError> {
        self.send(Message::Input(Input::WorkerShutdown { worker_instance_key }))
    }

    /// Sets the dispatch rate of the API, tasks a second; `None` unsets it. The last one counts, however full the
    /// mailbox is.
    pub fn set_rate(&self, rate: Option<f64>) {
        self.0.wake_if(self.0.returns.rate(rate));
    }

    /// Ends all that waits, and all that still comes; returns when it is done.
    ///
    /// Queries in workers' hands may still be answered. The actor stops when the last handle is dropped.
    pub async fn drain(&self) -> Result<(), AskError> {
        let (reply, done) = oneshot::channel();
        self.send(Message::Drain(reply))?;
        done.await.map_err(|_| AskError::Gone)
    }

    /// Asks a worker and waits for its answer until the deadline, which the queue keeps.
    ///
    /// The poller gets the query with an id; whoever has that id calls `answer`.
    pub async fn query(&self, task: Box<QueryTask>, deadline: Timestamp) -> Result<QueryAnswer, QueryError> {
        let id = QueryId(self.next_token());
        let (reply, answer) = oneshot::channel();
        let input = Input::AddQuery { id, task, deadline };
        self.send(Message::Query { id, input, reply })?;
        let mut open = OpenQuery {
            shared: &self.0,
            id,
            answered: false,
        };
        let answer = answer.await;
        open.answered = true;
        answer.unwrap_or(Err(QueryError::Moved))
    }

    /// Hands a worker's answer to the caller of `query`; the first answer counts.
    pub async fn answer(&self, id: QueryId, answer: QueryAnswer) -> Result<(), AnswerError> {
        let (reply, taken) = oneshot::channel();
        self.send(Message::Answer {
            id,
            answer: Box::new(answer),
            reply,
        })
        .map_err(|why| match why {
            AskError::Busy | AskError::TooManyPolls => AnswerError::Busy,
            AskError::Gone => AnswerError::Gone,
        })?;
        match taken.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(AnswerError::Expired),
            Err(_) => Err(AnswerError::Gone),
        }
    }

    /// Shows the queue, and counts as no use of it.
    pub async fn view(&self) -> Result<QueueView, AskError> {
        let (reply, view) = oneshot::channel();
        self.send(Message::View(reply))?;
        view.await.map_err(|_| AskError::Gone)
    }

    fn next_token(&self) -> u64 {
        self.0.tokens.fetch_add(1, Relaxed) + 1
    }

    fn send(&self, message: Message) -> Result<(), AskError> {
        self.0.addr.try_send(message).map_err(|err| ask_error(&err))
    }
}

impl fmt::Debug for QueueHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("QueueHandle").field(&self.0.key).finish()
    }
}

fn ask_error<T>(err: &SendError<T>) -> AskError {
    match err {
        SendError::Full(_) => AskError::Busy,
        SendError::Closed(_) => AskError::Gone,
    }
}

impl Shared {
    /// Leaves the return for the actor and wakes it.
    ///
    /// When the mailbox is full no wake-up is needed: a message is still to be handled, and each takes the returns.
    fn give_back(&self, what: Return) {
        self.wake_if(self.returns.add(what));
    }

    fn wake_if(&self, was_empty: bool) {
        if was_empty {
            drop(self.addr.try_send(Message::Returned));
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // When the mailbox is full the actor sees that it has no handles when its timer fires.
        drop(self.addr.try_send(Message::Stop));
    }
}

/// A poll that waits; dropped unanswered it tells the queue.
struct OpenPoll<'a> {
    shared: &'a Shared,
    token: PollToken,
    answer: oneshot::Receiver<Result<Polled, AskError>>,
    answered: bool,
}

impl Drop for OpenPoll<'_> {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        self.answer.close();
        self.shared.give_back(match self.answer.try_recv() {
            Ok(Ok(Polled::Task(give))) => Return::Undelivered(give),
            _ => Return::PollGone(self.token),
        });
    }
}

/// A query that waits; dropped unanswered it tells the queue.
struct OpenQuery<'a> {
    shared: &'a Shared,
    id: QueryId,
    answered: bool,
}

impl Drop for OpenQuery<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.shared.give_back(Return::QueryGone(self.id));
        }
    }
}
