//! Queue: the way to a queue, wherever it is, and the way back to the shards. A caller cannot tell where they are.

use std::sync::Arc;

use matching::{
    error::{AnswerError, AskError, QueryError},
    handle::{Polled, QueryAnswer, QueueHandle},
    input::{PollerInfo, QueryId, QueryTask},
    output::Given,
    ticket::Ticket,
    view::QueueView,
};
use proto::{
    ids::{QueueKey, ShardId},
    time::Timestamp,
};
use shard::input::Refusal;

use crate::{
    placement::Owner,
    router::{Router, now},
    rpc::{Call, Hint, Lost, peer::Peer, service},
    tickets,
};

/// A way to one queue. Clones are cheap.
#[derive(Clone)]
pub struct Queue {
    router: Router,
    way: Way,
}

#[derive(Clone)]
enum Way {
    Here(QueueHandle),
    There { key: QueueKey, peer: Arc<Peer> },
}

impl Queue {
    /// Waits for a task until the deadline.
    ///
    /// Dropping the future gives the poll up; a task that was just given goes to somebody else. After the future
    /// returned a ticket, a caller that cannot redeem it should announce it again.
    pub async fn poll(&self, poller: PollerInfo, deadline: Timestamp) -> Result<Polled, AskError> {
        match &self.way {
            Way::Here(handle) => poll_here(&self.router, handle, poller, deadline).await,
            // In a box: a poll that waits here, as most do, is not to be as large as one that waits elsewhere.
            Way::There { key, peer } => Box::pin(poll_there(key, peer, poller, deadline)).await,
        }
    }

    /// Says that a task is ready; hands the ticket back if it cannot be said.
    pub fn announce(&self, ticket: Ticket) -> Result<(), Ticket> {
        match &self.way {
            Way::Here(handle) => handle
                .announce(ticket)
                .map_err(|error| error.tickets.into_iter().next())
                .or_else(|ticket| ticket.map_or(Ok(()), Err)),
            Way::There { key, peer } => {
                let queue = key.clone();
                match peer.hint(Hint::Announce { queue, ticket }).map_err(|hint| *hint) {
                    Err(Hint::Announce { ticket, .. }) => Err(ticket),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Says that a worker process ends: its polls return empty, its sticky queue's tickets are refused.
    pub async fn worker_shutdown(&self, worker: Arc<str>) -> Result<(), AskError> {
        match &self.way {
            Way::Here(handle) => handle.worker_shutdown(worker),
            Way::There { key, peer } => {
                let call = Call::WorkerShutdown {
                    queue: key.clone(),
                    worker: worker.to_string(),
                };
                peer.call(&call).await.map_err(ask_error)?
            }
        }
    }

    /// Asks a worker and waits for its answer until the deadline.
    pub async fn query(&self, task: Box<QueryTask>, deadline: Timestamp) -> Result<QueryAnswer, QueryError> {
        match &self.way {
            Way::Here(handle) => handle.query(task, deadline).await,
            Way::There { key, peer } => {
                let call = Call::Query {
                    queue: key.clone(),
                    task,
                    wait: deadline.since(now()),
                };
                peer.call(&call).await.map_err(ask_error)?
            }
        }
    }

    /// Hands a worker's answer to the caller of `query`; the first answer counts.
    pub async fn answer(&self, id: QueryId, answer: QueryAnswer) -> Result<(), AnswerError> {
        match &self.way {
            Way::Here(handle) => handle.answer(id, answer).await,
            Way::There { key, peer } => {
                let call = Call::AnswerQuery {
                    queue: key.clone(),
                    id,
                    answer,
                };
                peer.call(&call).await.map_err(|error| match error {
                    Lost::Busy(_) => AnswerError::Busy,
                    Lost::NotSent(_) | Lost::Unknown(_) => AnswerError::Gone,
                })?
            }
        }
    }

    /// Shows the queue, and counts as no use of it.
    pub async fn view(&self) -> Result<QueueView, AskError> {
        match &self.way {
            Way::Here(handle) => handle.view().await,
            Way::There { key, peer } => {
                let call = Call::View { queue: key.clone() };
                peer.call(&call).await.map_err(ask_error)?
            }
        }
    }
}

async fn poll_there(
    key: &QueueKey,
    peer: &Peer,
    poller: PollerInfo,
    deadline: Timestamp,
) -> Result<Polled, AskError> {
    let call = Call::Poll {
        queue: key.clone(),
        poller,
        wait: deadline.since(now()),
    };
    let polled: Result<Polled, AskError> = peer.call(&call).await.map_err(ask_error)?;
    if let Ok(Polled::Task(give)) = &polled
        && let Given::Ticket(ticket) = &give.task
    {
        let took = Hint::Took {
            queue: key.clone(),
            ticket: ticket.id(),
        };
        // Unsaid, the queue hands the task out again and its second redemption is stale.
        drop(peer.hint(took));
    }
    polled
}

impl Router {
    /// Returns the way to the queue, which starts if it is not there.
    #[must_use]
    pub fn queue(&self, key: &QueueKey) -> Queue {
        let router = self.clone();
        let way = match self.0.placement.borrow().queue(key) {
            Owner::Me => Way::Here(self.0.queues.find(key, self)),
            Owner::Other(node) => Way::There {
                key: key.clone(),
                peer: self.0.peers.get(node),
            },
        };
        Queue { router, way }
    }

    /// Returns the queue if it belongs to this node.
    pub(crate) fn queue_here(&self, key: &QueueKey) -> Option<QueueHandle> {
        self.has_queue(key).then(|| self.0.queues.find(key, self))
    }

    pub(crate) fn has_queue(&self, key: &QueueKey) -> bool {
        self.0.placement.borrow().queue(key) == Owner::Me
    }

    /// Returns the name of the node that the queue belongs to.
    #[must_use]
    pub fn queue_owner(&self, key: &QueueKey) -> Arc<str> {
        match self.0.placement.borrow().queue(key) {
            Owner::Me => Arc::clone(&self.0.node.name),
            Owner::Other(node) => Arc::clone(node.name()),
        }
    }

    /// Sets, on this node, how many tasks a second the queue gives at most; `None` unsets it.
    pub fn set_queue_rate(&self, key: &QueueKey, rate: Option<f64>) {
        self.0.queues.set_rate(key, rate);
    }

    /// Says that a task is ready to the queue, wherever it is.
    pub(crate) fn announce(&self, queue: QueueKey, ticket: Ticket) {
        let way = self.queue(&queue);
        let Err(ticket) = way.announce(ticket) else { return };
        match way.way {
            Way::Here(_) => self.refuse(queue, &ticket, Refusal::Full),
            Way::There { .. } => self.0.strayed.put(queue, ticket, now()),
        }
    }

    /// Takes a ticket that another node says belongs here.
    pub(crate) fn announce_here(&self, queue: QueueKey, ticket: Ticket) {
        let Some(handle) = self.queue_here(&queue) else {
            return self.0.strayed.put(queue, ticket, now());
        };
        if let Err(error) = handle.announce(ticket) {
            for ticket in error.tickets {
                self.refuse(queue.clone(), &ticket, Refusal::Full);
            }
        }
    }

    /// Says to the queue, wherever it is, how many ready tasks a shard holds back.
    pub(crate) fn held_back(&self, shard: ShardId, queue: QueueKey, count: u64, oldest: Timestamp) {
        // Unsaid, it is said again with the next ticket that is held back.
        match self.queue(&queue).way {
            Way::Here(handle) => {
                let _ = handle.held_back(shard, count, oldest);
            }
            Way::There { peer, .. } => {
                let _ = peer.hint(Hint::HeldBack {
                    queue,
                    shard,
                    count,
                    oldest,
                });
            }
        }
    }

    /// Tells the ticket's shard that no queue holds it.
    pub(crate) fn refuse(&self, queue: QueueKey, ticket: &Ticket, why: Refusal) {
        let task = tickets::ready_task(&queue, ticket);
        self.tell(
            ticket.shard,
            Hint::Refused {
                shard: ticket.shard,
                queue,
                run: ticket.run.clone(),
                task,
                why,
            },
        );
    }

    /// Tells a shard something, wherever it is. It may get lost: a shard that starts afresh does without.
    pub(crate) fn tell(&self, shard: ShardId, hint: Hint) {
        if self.0.shards.borrow().contains_key(&shard) {
            return service::take_hint(self, hint);
        }
        if let Owner::Other(node) = self.0.placement.borrow().shard(shard) {
            // A full outbox loses a hint, which comes again.
            drop(self.0.peers.get(node).hint(hint));
        }
    }

    /// Announces those again that were put aside long enough.
    pub(crate) fn announce_overdue(&self) {
        let now = now();
        let lent = self.0.lent.overdue(now);
        for (queue, ticket) in lent.into_iter().chain(self.0.strayed.overdue(now)) {
            self.announce(queue, ticket);
        }
    }
}

/// Waits at a queue of this node. A queue that goes elsewhere ends its polls: they go on there.
pub(crate) async fn poll_here(
    router: &Router,
    handle: &QueueHandle,
    poller: PollerInfo,
    deadline: Timestamp,
) -> Result<Polled, AskError> {
    let polled = handle.poll(poller, deadline).await;
    if polled == Ok(Polled::Empty) && now() < deadline && !router.has_queue(handle.key()) {
        return Err(AskError::Gone);
    }
    polled
}

#[expect(clippy::needless_pass_by_value, reason = "it is passed to map_err")]
fn ask_error(error: Lost) -> AskError {
    match error {
        Lost::Busy(_) => AskError::Busy,
        Lost::NotSent(_) | Lost::Unknown(_) => AskError::Gone,
    }
}
