//! What the queue decides.

use std::time::Duration;

use proto::ids::ShardId;

use crate::{
    input::{PollToken, QueryId, QueryTask},
    ticket::Ticket,
};

#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    Give {
        token: PollToken,
        give: Give,
    },
    /// The poll ends without a task.
    Empty(PollToken),
    /// The queue holds as many polls as it may.
    PollRefused(PollToken),
    /// The queue does not hold this ticket, though it may have held it: its shard keeps it.
    Refuse {
        ticket: Ticket,
        why: Refusal,
    },
    /// The queue has room for this many tickets of a shard that it refused.
    Credit {
        shard: ShardId,
        free: usize,
    },
    /// The query ends without an answer.
    QueryEnded {
        id: QueryId,
        why: QueryEnd,
    },
    /// Nothing waits and nobody came for long: whoever holds the queue may let it go.
    Idle,
}

/// A task for a poller.
#[derive(Clone, Debug, PartialEq)]
pub struct Give {
    pub task: Given,
    /// About how many tasks wait behind this one.
    pub backlog_hint: i64,
    /// The task never waited: a poller did.
    pub sync: bool,
    /// How long the poller waited.
    pub waited: Duration,
    /// The API's `poller_scaling_decision`: polls more or fewer that the worker should hold (reference 3.4).
    pub scaling: Option<i32>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// A workflow or activity task, as the queue's kind says.
    Ticket(Ticket),
    Query {
        id: QueryId,
        task: Box<QueryTask>,
    },
}

/// Why a ticket is not in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No room, or it made room for a more urgent one. The shard holds it back until it gets credit.
    Full,
    /// The sticky queue's worker is gone: the task goes to the normal queue at once.
    StickyWorkerUnavailable,
    /// The queue goes elsewhere: announce it to the new place.
    Draining,
}

/// Why a query has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryEnd {
    /// No poller was seen lately; the worker may be down.
    NoPoller,
    /// The sticky queue's worker is gone: ask through the normal queue.
    StickyWorkerUnavailable,
    Deadline,
    /// The queue holds as many queries as it may.
    Full,
    /// The queue goes elsewhere: ask there.
    Draining,
}

/// Why the queue wants to be told the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// A poll ends.
    Poll,
    /// A query ends.
    Query,
    /// The rate limit lets the next task go.
    Rate,
    /// Shards that were given credit did not use it.
    Credit,
    /// The queue may be idle.
    Idle,
}
