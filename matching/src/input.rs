//! What the queue is told.

use std::sync::Arc;

use proto::{
    ids::{RunKey, ShardId},
    temporal::{
        common::v1::{Payloads, WorkerVersionCapabilities},
        deployment::v1::WorkerDeploymentOptions,
        query::v1::WorkflowQuery,
    },
    time::Timestamp,
};

use crate::{
    output::Given,
    ticket::{Ticket, TicketId},
};

/// Names one open poll. Never used twice by a queue; the smaller one came earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PollToken(pub u64);

/// Names one query that is in a queue or in a worker's hands. Never used twice by a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub u64);

#[derive(Clone, Debug)]
pub enum Input {
    /// A task is ready. One that waits already is ignored.
    Announce(Ticket),
    /// A task is ready no longer: timed out, cancelled, its run closed.
    Withdraw(TicketId),
    Poll {
        token: PollToken,
        poller: PollerInfo,
        /// When the poll is answered empty.
        deadline: Timestamp,
    },
    /// Nobody waits for this poll's answer.
    PollerGone(PollToken),
    /// What was given found nobody: it goes to the next poller, or back to its place.
    Undelivered(Given),
    AddQuery {
        id: QueryId,
        task: Box<QueryTask>,
        deadline: Timestamp,
    },
    /// The query was answered, or nobody waits for its answer.
    QueryGone(QueryId),
    /// So many tickets of this shard did not come in, as the mailbox was full: the shard holds them back.
    Missed {
        shard: ShardId,
        count: u64,
        oldest: Timestamp,
    },
    /// How many ready tasks a shard holds back for want of room. Replaces what it said before and asks for credit;
    /// 0 says that it needs none.
    HeldBack {
        shard: ShardId,
        count: u64,
        oldest: Timestamp,
    },
    /// A worker process ends. A sticky queue is its own: what waits there fails over.
    WorkerShutdown {
        worker_instance_key: Arc<str>,
    },
    /// Sets the dispatch rate of the API, which goes before the workers'; `None` unsets it. Tasks per second.
    SetRate(Option<f64>),
    /// The queue goes elsewhere: everything that waits is answered or refused, and so is what still comes.
    Drain,
    Tick,
}

/// What a poll says about the worker behind it.
#[derive(Clone, Debug, Default)]
pub struct PollerInfo {
    pub identity: Arc<str>,
    /// Empty where the worker sends none.
    pub worker_instance_key: Arc<str>,
    /// Dispatch rate for the whole queue, heeded on activity queues: the last poll wins, 0 blocks.
    pub max_tasks_per_second: Option<f64>,
    pub versions: Option<Arc<WorkerVersions>>,
}

/// The worker's version as it says it; shown by DescribeTaskQueue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkerVersions {
    pub capabilities: Option<WorkerVersionCapabilities>,
    pub deployment: Option<WorkerDeploymentOptions>,
}

/// A query for a worker, with what the worker must know of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryTask {
    pub run: RunKey,
    pub workflow_type: String,
    /// The workflow's own queue, also where a worker's sticky one is asked.
    pub task_queue: String,
    /// History to send ends before this event id.
    pub next_event_id: i64,
    pub previous_started_event_id: i64,
    pub query: WorkflowQuery,
}

impl QueryTask {
    /// Returns about how many bytes the query takes while it waits.
    pub(crate) fn bytes(&self) -> usize {
        const FIXED: usize = 512;
        let arguments = self.query.query_args.as_ref().map_or(0, payloads_bytes);
        let header = self.query.header.as_ref().map_or(0, |header| {
            header
                .fields
                .iter()
                .map(|(key, payload)| key.len() + payload_bytes(payload))
                .sum()
        });
        FIXED
            + self.workflow_type.len()
            + self.task_queue.len()
            + self.run.workflow.workflow_id.as_str().len()
            + self.query.query_type.len()
            + arguments
            + header
    }
}

fn payloads_bytes(payloads: &Payloads) -> usize {
    payloads.payloads.iter().map(payload_bytes).sum()
}

fn payload_bytes(payload: &proto::temporal::common::v1::Payload) -> usize {
    const FIXED: usize = 128;
    let metadata: usize = payload
        .metadata
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    FIXED + payload.data.len() + metadata
}
