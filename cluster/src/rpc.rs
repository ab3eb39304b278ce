//! Rpc: what the nodes of a cluster ask each other.
//!
//! One method carries all calls: [`Call`] says which. The type of a call's answer is written beside it.
//!
//! A call that never left ([`Lost::NotSent`]) may be made again whatever it is. Of one whose answer is lost
//! ([`Lost::Unknown`]) nobody knows whether it was done: only [`is_repeatable`] ones are made again.

use std::time::Duration;

use bytes::Bytes;
use engine::{
    effect::ReadyTask,
    trigger::{StartWith, Trigger},
};
use matching::{
    handle::QueryAnswer,
    input::{PollerInfo, QueryId, QueryTask},
    ticket::{Ticket, TicketId},
};
use proto::{
    ids::{NodeId, QueueKey, RunKey, ShardId},
    time::Timestamp,
};
use shard::input::{Refusal, Request, RunTarget};

use crate::{
    wire::{wire_enum, wire_struct},
    workers::Question,
};

pub(crate) mod metrics;
pub(crate) mod peer;
pub(crate) mod service;
#[cfg(test)]
mod tests;

/// The words that this release knows; grows when a variant is added.
pub(crate) const VERSION: u32 = SPLITS;
/// From this version on nodes hear that the shard map has changed.
pub(crate) const SPLITS: u32 = 2;
/// From this version on nodes know the workers that belong to them.
pub(crate) const WORKERS: u32 = 2;

/// Tells whether a request that was perhaps done may be made again and is then answered as the first time.
pub(crate) fn is_repeatable(request: &Request) -> bool {
    match request {
        Request::Step(trigger) => match trigger {
            // They read, or set what they set again to the same.
            Trigger::Describe
            | Trigger::Position { .. }
            | Trigger::PollUpdate { .. }
            | Trigger::Query { .. }
            | Trigger::ResetSticky
            | Trigger::ChangeOptions(_)
            | Trigger::Heartbeat { .. } => true,
            // The run remembers the update's id.
            Trigger::Update(_) => true,
            // The run remembers the request's id.
            Trigger::BeginWorkflowTask(begin) | Trigger::BeginActivity(begin) => !begin.request_id.is_empty(),
            Trigger::Signal(signal) => !signal.request_id.is_empty(),
            // A task or run that has ended refuses the second one: the asker must hear that the outcome is unknown.
            Trigger::CompleteWorkflowTask(_)
            | Trigger::FailWorkflowTask(_)
            | Trigger::CompleteActivity { .. }
            | Trigger::FailActivity(_)
            | Trigger::CancelActivity { .. }
            | Trigger::RequestCancel(_)
            | Trigger::Terminate(_)
            | Trigger::Delete => false,
            // Whoever sends these makes them again by itself, in its own time.
            Trigger::StickyUnavailable { .. }
            | Trigger::Wake
            | Trigger::ChildStarted { .. }
            | Trigger::ChildStartFailed { .. }
            | Trigger::FirstTaskScheduled { .. }
            | Trigger::ScheduleFirstTask { .. }
            | Trigger::EndOrphan { .. }
            | Trigger::ChildClosed(_)
            | Trigger::ExternalSignalDone { .. }
            | Trigger::ExternalCancelDone { .. }
            | Trigger::ClosePolicyApplied { .. }
            | Trigger::ReportDelivered
            | Trigger::DeliveryFailed { .. } => false,
        },
        // The workflow remembers the id of the request that started it; a signal may meet the next workflow.
        Request::Start(start) => {
            !start.workflow.request_id.is_empty() && !matches!(start.with, StartWith::Signal(_))
        }
        Request::Reset(reset) => !reset.request_id.is_empty(),
        Request::Purge | Request::Repair => false,
    }
}

/// What one node asks of another.
#[derive(Debug)]
pub(crate) enum Call {
    /// For the shard that owns the workflow. `Result<Reply, AskError>`
    /// `map` is the version of the asker's shard map: who has an older one looks for a newer.
    Ask {
        target: RunTarget,
        request: Request,
        map: u64,
    },
    /// Waits at a queue. `Result<Polled, matching::error::AskError>`
    Poll {
        queue: QueueKey,
        poller: PollerInfo,
        wait: Duration,
    },
    /// Asks a worker through a queue. `Result<QueryAnswer, QueryError>`
    Query {
        queue: QueueKey,
        task: Box<QueryTask>,
        wait: Duration,
    },
    /// A worker's answer to a query. `Result<(), AnswerError>`
    AnswerQuery {
        queue: QueueKey,
        id: QueryId,
        answer: QueryAnswer,
    },
    /// Shows a queue. `Result<QueueView, matching::error::AskError>`
    View { queue: QueueKey },
    /// A worker process ends. `Result<(), matching::error::AskError>`
    WorkerShutdown { queue: QueueKey, worker: String },
    /// Things said that nobody waits for. `()`
    Hints { hints: Vec<Hint> },
    /// Asks for shards, which finish and are given up. `HandedOver`
    HandOver { shards: Vec<ShardId>, to: NodeId },
    /// Asked on an operator's behalf. `Bytes`, none if nobody answers yet
    Operate { question: Bytes },
    /// Asked about the workers that belong to the node, see [`Question`].
    Workers { question: Question },
}

wire_enum!(Call {
    fields {
        1 Ask { 1 target, 2 request, 3 map },
        2 Poll { 1 queue, 2 poller, 3 wait },
        3 Query { 1 queue, 2 task, 3 wait },
        4 AnswerQuery { 1 queue, 2 id, 3 answer },
        5 View { 1 queue },
        6 WorkerShutdown { 1 queue, 2 worker },
        7 Hints { 1 hints },
        8 HandOver { 1 shards, 2 to },
        9 Operate { 1 question },
        10 Workers { 1 question },
    }
});

impl Call {
    /// Returns the version of the words that one must know to be asked this.
    pub(crate) fn since(&self) -> u32 {
        match self {
            Self::Workers { .. } => WORKERS,
            Self::Ask { .. }
            | Self::Poll { .. }
            | Self::Query { .. }
            | Self::AnswerQuery { .. }
            | Self::View { .. }
            | Self::WorkerShutdown { .. }
            | Self::Hints { .. }
            | Self::HandOver { .. }
            | Self::Operate { .. } => 1,
        }
    }

    /// Waits at the other node for something that may take as long as the client lets it.
    pub(crate) fn is_long(&self) -> bool {
        matches!(self, Self::Poll { .. } | Self::Query { .. })
    }
}

/// Something said from shard to queue or from queue to shard.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Hint {
    Announce {
        queue: QueueKey,
        ticket: Ticket,
    },
    HeldBack {
        queue: QueueKey,
        shard: ShardId,
        count: u64,
        oldest: Timestamp,
    },
    /// The answer to a poll arrived: what was lent for the way is the poller's.
    Took {
        queue: QueueKey,
        ticket: TicketId,
    },
    Refused {
        shard: ShardId,
        queue: QueueKey,
        run: RunKey,
        task: ReadyTask,
        why: Refusal,
    },
    Credit {
        shard: ShardId,
        queue: QueueKey,
        free: usize,
    },
    /// What the cluster shares has changed.
    News(News),
    /// A shard was let go by a node that was not asked for it.
    Freed {
        shard: ShardId,
    },
}

wire_enum!(Hint {
    value { 7 News }
    fields {
        1 Announce { 1 queue, 2 ticket },
        3 HeldBack { 1 queue, 2 shard, 3 count, 4 oldest },
        4 Took { 1 queue, 2 ticket },
        5 Refused { 1 shard, 2 queue, 3 run, 4 task, 5 why },
        6 Credit { 1 shard, 2 queue, 3 free },
        8 Freed { 1 shard },
    }
});

impl Hint {
    /// Returns the version of the words that one must know to be told this: who does not would understand nothing of
    /// the call that carries it.
    pub(crate) fn since(&self) -> u32 {
        match self {
            Self::News(News::ShardMap) => SPLITS,
            Self::News(News::Namespaces | News::QueueSettings(_) | News::Anything)
            | Self::Announce { .. }
            | Self::HeldBack { .. }
            | Self::Took { .. }
            | Self::Refused { .. }
            | Self::Credit { .. }
            | Self::Freed { .. } => 1,
        }
    }
}

/// What has changed in the registry: whoever keeps a copy reads it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    Namespaces,
    /// The settings of a task queue, named by their row.
    QueueSettings(Bytes),
    ShardMap,
    /// Anything may have changed: somebody could not be heard for a while.
    Anything,
}

wire_enum!(News {
    unit { 1 Namespaces, 3 Anything, 4 ShardMap }
    value { 2 QueueSettings }
});

/// What became of shards that a node was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HandedOver {
    /// Belong to the asked node by its own view, or did not finish in time.
    pub(crate) kept: Vec<ShardId>,
}

wire_struct!(HandedOver { 1 kept });

/// A call had no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Lost {
    /// It never left: nothing was done.
    #[error("node {0} is not reached")]
    NotSent(String),
    /// Nobody knows whether it was done.
    #[error("node {0} did not answer")]
    Unknown(String),
    /// As many calls wait for the node as may.
    #[error("too many calls wait for node {0}")]
    Busy(String),
}
