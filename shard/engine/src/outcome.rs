//! What a step gives: changes, effects and a reply; or a rejection, which changes nothing.

use std::collections::HashMap;

use proto::temporal::{
    common::v1::{Header, Payloads, Priority, RetryPolicy, WorkflowExecution},
    enums::v1::WorkflowExecutionStatus,
    failure::v1::Failure,
    history::v1::HistoryEvent,
    protocol::v1::Message as ProtocolMessage,
    query::v1::{WorkflowQuery, WorkflowQueryResult},
    update::v1::Outcome,
    workflow::v1::WorkflowExecutionOptions,
    workflowservice::v1::DescribeWorkflowExecutionResponse,
};

use crate::{effect::Effect, metrics::Counted, run::Run};

/// What one trigger gives.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// New events of this run: one node of its history, empty if the step wrote none.
    pub events: Vec<HistoryEvent>,
    /// The run's state changed and must be stored.
    pub durable: bool,
    /// The visibility record changed.
    pub index: bool,
    pub effects: Vec<Effect>,
    /// A run that starts in the same transaction.
    pub successor: Option<Box<NewRun>>,
    pub reply: Reply,
    /// The reply may leave before the batch is durable, since losing it only runs the task again (P3).
    pub early: bool,
    /// What to count of it.
    pub counted: Vec<Counted>,
}

/// A run that a step starts.
#[derive(Clone, Debug)]
pub struct NewRun {
    pub run: Run,
    pub events: Vec<HistoryEvent>,
    pub effects: Vec<Effect>,
}

/// The answer to the asker.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Reply {
    #[default]
    Done,
    /// The answer comes later through [`Effect::Resolve`], under the waiter of the trigger's context.
    Deferred,
    /// The request is refused although something was written, as when a workflow task is failed by validation.
    Refused(Rejection),
    Started(Box<Started>),
    Signaled {
        event_id: i64,
        request_id: String,
        run_id: String,
        started: Option<Box<Started>>,
    },
    WorkflowTask(Box<StartedWorkflowTask>),
    WorkflowTaskCompleted(Box<WorkflowTaskCompleted>),
    Activity(Box<StartedActivity>),
    Heartbeat {
        cancel_requested: bool,
    },
    /// The activity's failure was taken; what was too large in it is named, as the worker is told.
    ActivityFailed {
        oversized: Vec<Failure>,
    },
    /// The run was reset: the message is meant for this run of the same workflow id.
    Forward {
        run_id: String,
    },
    Update(Box<UpdateStatus>),
    /// A start and an update that went in together.
    StartedAndUpdated {
        started: Box<Started>,
        update: Option<Box<UpdateStatus>>,
    },
    Query(Box<QueryAnswer>),
    Description(Box<DescribeWorkflowExecutionResponse>),
    Position(Box<Position>),
    Reset {
        run_id: String,
    },
    /// The options that the run has.
    Options(Box<WorkflowExecutionOptions>),
}

/// A workflow was started, or one that runs was used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Started {
    pub run_id: String,
    pub first_run_id: String,
    pub started: bool,
    pub status: i32,
    /// The first workflow task, if it was asked for at once.
    pub eager: Option<Box<StartedWorkflowTask>>,
    /// The request id was attached to a running workflow.
    pub attached: bool,
}

/// A workflow task in a worker's hands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StartedWorkflowTask {
    pub execution: WorkflowExecution,
    pub workflow_type: String,
    pub task_queue: String,
    pub scheduled_event_id: i64,
    pub started_event_id: i64,
    /// Nanoseconds since the epoch.
    pub scheduled_time: i64,
    pub started_time: i64,
    pub attempt: i32,
    pub previous_started_event_id: i64,
    /// History to send ends before this event id; the transient events follow it.
    pub next_event_id: i64,
    /// Scheduled and started events that are not in history yet.
    pub transient: Vec<HistoryEvent>,
    /// The worker has the run in its cache: only events after `previous_started_event_id` are sent.
    pub sticky: bool,
    pub queries: HashMap<String, WorkflowQuery>,
    pub messages: Vec<ProtocolMessage>,
    /// The newest nodes of the history, by first event id, dense up to `next_event_id`: filled in by the shard
    /// from its memory. They may not be readable from the store yet.
    pub recent: Vec<(i64, bytes::Bytes)>,
}

/// An activity task in a worker's hands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StartedActivity {
    pub execution: WorkflowExecution,
    pub workflow_type: String,
    pub activity_id: String,
    pub activity_type: String,
    pub scheduled_event_id: i64,
    /// Where to read the input and header: the node that holds the scheduled event.
    pub scheduled_node: i64,
    /// The input and header, where the step has them at hand.
    pub input: Option<Box<ActivityInput>>,
    pub first_scheduled_time: i64,
    pub scheduled_time: i64,
    pub started_time: i64,
    pub attempt: i32,
    pub schedule_to_close_timeout: i64,
    pub start_to_close_timeout: i64,
    pub heartbeat_timeout: i64,
    pub heartbeat_details: Option<Payloads>,
    pub retry_policy: Option<RetryPolicy>,
    pub priority: Option<Priority>,
}

/// What an activity is called with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActivityInput {
    pub input: Option<Payloads>,
    pub header: Option<Header>,
}

/// A completed workflow task's answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkflowTaskCompleted {
    pub next: Option<Box<StartedWorkflowTask>>,
    pub activities: Vec<StartedActivity>,
    /// The worker goes back to this event: a speculative task vanished. Zero for none.
    pub reset_history_event_id: i64,
}

/// How far an update is, in the order in which it gets there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum UpdateStage {
    #[default]
    Unspecified,
    Admitted,
    Accepted,
    Completed,
}

/// Where an update stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateStatus {
    pub run_id: String,
    pub update_id: String,
    pub stage: UpdateStage,
    pub outcome: Option<Outcome>,
    pub accepted_event_id: i64,
}

/// What becomes of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryAnswer {
    Result(WorkflowQueryResult),
    /// The reject condition holds.
    Rejected(WorkflowExecutionStatus),
    /// Ask a worker directly.
    Dispatch(Box<QueryDispatch>),
}

/// How to ask a worker directly.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryDispatch {
    pub run_id: String,
    pub workflow_type: String,
    pub task_queue: String,
    /// The sticky queue and its schedule-to-start timeout in nanoseconds.
    pub sticky: Option<(String, i64)>,
    pub next_event_id: i64,
    pub previous_started_event_id: i64,
}

/// How far a run's history goes, for a reader of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Position {
    pub run_id: String,
    pub first_run_id: String,
    pub open: bool,
    pub next_event_id: i64,
    /// First event id of the node that holds the closing event.
    pub close_node: i64,
    /// Scheduled and started events of a transient task, which SDKs are shown.
    pub transient: Vec<HistoryEvent>,
    pub successor_run_id: String,
}

/// A request that cannot be done. Nothing was changed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejection {
    #[error("{0}")]
    InvalidArgument(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    FailedPrecondition(String),
    #[error("{0}")]
    PermissionDenied(String),
    /// The workflow cannot answer now: FAILED_PRECONDITION with WorkflowNotReadyFailure.
    #[error("{0}")]
    NotReady(String),
    /// RESOURCE_EXHAUSTED with cause BUSY_WORKFLOW.
    #[error("{0}")]
    Busy(String),
    /// RESOURCE_EXHAUSTED with cause CONCURRENT_LIMIT.
    #[error("{0}")]
    ConcurrentLimit(String),
    /// UNAVAILABLE: the caller asks again.
    #[error("{0}")]
    Unavailable(String),
    #[error("{message}")]
    AlreadyStarted {
        message: String,
        start_request_id: String,
        run_id: String,
        first_run_id: String,
    },
    /// The ticket's task was started before or is void: poll on.
    #[error("task is stale")]
    Stale,
    /// One of the operations of a multi-operation failed: the other one is aborted.
    #[error("{start}; {update}")]
    MultiOperation {
        start: Box<Rejection>,
        update: Box<Rejection>,
    },
    /// The other operation failed.
    #[error("operation was aborted")]
    Aborted,
    /// Succeeded, beside an operation that failed.
    #[error("ok")]
    Ok,
}
