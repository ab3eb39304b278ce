//! Trigger: everything that can move a run. The frontend parses requests into these; then they cannot be wrong.

use std::time::Duration;

use proto::{
    temporal::{
        command::v1::Command,
        common::v1::{
            Callback, Header, Link, Memo, MeteringMetadata, Payloads, Priority, RetryPolicy,
            SearchAttributes, WorkflowExecution,
        },
        enums::v1::{
            QueryRejectCondition, StartChildWorkflowExecutionFailedCause, WorkflowIdConflictPolicy,
            WorkflowIdReusePolicy, WorkflowTaskFailedCause,
        },
        failure::v1::Failure,
        history::v1::HistoryEvent,
        protocol::v1::Message as ProtocolMessage,
        query::v1::{WorkflowQuery, WorkflowQueryResult},
        sdk::v1::{UserMetadata, WorkflowTaskCompletedMetadata},
        update::v1::Request as UpdateRequest,
        workflow::v1::VersioningOverride,
    },
    time::Timestamp,
};

use crate::{
    effect::{ChildClosed, Waiter},
    options::ChangeOptions,
    outcome::UpdateStage,
    state::Parent,
};

/// What every step is given beside its trigger: time, randomness and the rules are arguments.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub now: Timestamp,
    /// Fresh random bytes; run ids and request ids of this step are made of them.
    pub seed: [u8; 16],
    pub namespace: &'a Namespace,
    pub limits: &'a crate::limits::Limits,
    /// Names the asker, for a reply that comes later.
    pub waiter: Waiter,
}

/// What a run needs to know of its namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    pub name: String,
    pub retention: Duration,
}

/// Everything that can move a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Trigger {
    // The client's calls.
    Signal(Box<Signal>),
    RequestCancel(Box<RequestCancel>),
    Terminate(Box<Terminate>),
    /// Terminates if open; the run goes away once it owes nothing.
    Delete,
    Query {
        query: Box<WorkflowQuery>,
        reject: QueryRejectCondition,
    },
    Update(Box<AdmitUpdate>),
    PollUpdate {
        update_id: String,
        wait: UpdateStage,
    },
    Describe,
    ChangeOptions(Box<ChangeOptions>),
    /// How far history goes. With `wait_after`, answers when there is an event from that id on, or on close.
    Position {
        wait_after: Option<i64>,
    },
    ResetSticky,
    /// The sticky queue has no worker: a task that waits there goes to the workflow's own queue.
    StickyUnavailable {
        scheduled_event_id: i64,
        attempt: i32,
    },

    // The worker's calls.
    BeginWorkflowTask(Box<BeginTask>),
    CompleteWorkflowTask(Box<CompleteWorkflowTask>),
    FailWorkflowTask(Box<FailWorkflowTask>),
    BeginActivity(Box<BeginTask>),
    CompleteActivity {
        activity: ActivityRef,
        result: Option<Payloads>,
        identity: String,
    },
    FailActivity(Box<FailActivity>),
    CancelActivity {
        activity: ActivityRef,
        details: Option<Payloads>,
        identity: String,
    },
    Heartbeat {
        activity: ActivityRef,
        details: Option<Payloads>,
        identity: String,
    },

    // Time.
    /// Something may be due: does all that is, and hands out again what is owed and not on its way.
    Wake,

    // Answers and messages from other runs.
    ChildStarted {
        initiated_event_id: i64,
        run_id: String,
    },
    ChildStartFailed {
        initiated_event_id: i64,
        cause: StartChildWorkflowExecutionFailedCause,
    },
    FirstTaskScheduled {
        initiated_event_id: i64,
    },
    ScheduleFirstTask {
        parent: WorkflowExecution,
    },
    /// The parent closed without a record of this child: a child that was never told to run ends.
    EndOrphan {
        parent: WorkflowExecution,
    },
    ChildClosed(Box<ChildClosed>),
    ExternalSignalDone {
        initiated_event_id: i64,
        result: Result<(), ExternalFailure>,
    },
    ExternalCancelDone {
        initiated_event_id: i64,
        result: Result<(), ExternalFailure>,
    },
    ClosePolicyApplied {
        initiated_event_id: i64,
    },
    ReportDelivered,
    /// A delivery could not be made now: it will be tried again.
    DeliveryFailed {
        id: crate::effect::DeliveryId,
    },
}

/// Why a signal or cancel request to another workflow failed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExternalFailure {
    WorkflowNotFound,
    NamespaceNotFound,
    SignalLimit,
}

/// A workflow to start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StartWorkflow {
    pub namespace_id: String,
    pub workflow_id: String,
    pub workflow_type: String,
    pub task_queue: String,
    pub input: Option<Payloads>,
    pub header: Option<Header>,
    /// Zero for none.
    pub execution_timeout: Duration,
    pub run_timeout: Duration,
    pub task_timeout: Duration,
    pub identity: String,
    pub request_id: String,
    pub reuse: WorkflowIdReusePolicy,
    pub conflict: WorkflowIdConflictPolicy,
    pub retry_policy: Option<RetryPolicy>,
    pub cron_schedule: String,
    pub start_delay: Duration,
    pub memo: Option<Memo>,
    pub search_attributes: Option<SearchAttributes>,
    pub user_metadata: Option<UserMetadata>,
    pub links: Vec<Link>,
    pub callbacks: Vec<Callback>,
    pub priority: Option<Priority>,
    pub versioning_override: Option<VersioningOverride>,
    pub last_completion_result: Option<Payloads>,
    pub continued_failure: Option<Failure>,
    pub eager: bool,
    pub on_conflict: OnConflict,
    /// Set for a child: it starts without a workflow task, which its parent asks for later.
    pub parent: Option<Parent>,
    pub root: Option<WorkflowExecution>,
}

/// What to attach to a running workflow that is used in place of a new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnConflict {
    pub attach_request_id: bool,
    pub attach_callbacks: bool,
    pub attach_links: bool,
}

/// A start, and what goes in with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    pub workflow: Box<StartWorkflow>,
    pub with: StartWith,
}

/// What goes in with a start.
#[derive(Clone, Debug, PartialEq)]
pub enum StartWith {
    Nothing,
    Signal(Box<Signal>),
    Update(Box<AdmitUpdate>),
}

/// A signal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signal {
    pub name: String,
    pub input: Option<Payloads>,
    pub header: Option<Header>,
    pub identity: String,
    pub request_id: String,
    pub links: Vec<Link>,
    /// The workflow that sent it, if one did.
    pub from: Option<WorkflowExecution>,
    /// The sender must be the parent.
    pub child_only: bool,
}

/// A request to cancel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestCancel {
    pub reason: String,
    pub identity: String,
    pub request_id: String,
    pub links: Vec<Link>,
    /// The chain that the current run must belong to; empty for any.
    pub first_run_id: String,
    pub from: Option<WorkflowExecution>,
    pub from_initiated_event_id: i64,
    /// The sender must be the parent.
    pub child_only: bool,
}

/// A request to terminate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terminate {
    pub reason: String,
    pub details: Option<Payloads>,
    pub identity: String,
    pub links: Vec<Link>,
    pub first_run_id: String,
    pub from: Option<WorkflowExecution>,
    pub child_only: bool,
}

/// An update to admit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AdmitUpdate {
    pub request: UpdateRequest,
    pub wait: UpdateStage,
    pub first_run_id: String,
}

/// A poller that takes up a ready task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BeginTask {
    pub scheduled_event_id: i64,
    pub attempt: i32,
    /// The queue that was polled.
    pub queue: String,
    pub sticky: bool,
    pub identity: String,
    /// The poller's build, if it names one.
    pub build_id: String,
    /// De-duplicates a repeated begin.
    pub request_id: String,
}

/// Which started workflow task a worker speaks of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskRef {
    pub scheduled_event_id: i64,
    pub started_event_id: i64,
    pub started_time: i64,
    pub attempt: i32,
}

/// A worker's completed workflow task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CompleteWorkflowTask {
    pub task: TaskRef,
    pub identity: String,
    pub commands: Vec<Command>,
    pub messages: Vec<ProtocolMessage>,
    pub query_results: Vec<(String, WorkflowQueryResult)>,
    /// The sticky queue and its schedule-to-start timeout; `None` ends stickiness.
    pub sticky: Option<(String, Duration)>,
    pub return_new_task: bool,
    pub force_new_task: bool,
    pub sdk_metadata: Option<WorkflowTaskCompletedMetadata>,
    pub metering: Option<MeteringMetadata>,
    pub binary_checksum: String,
    pub build_id: String,
    /// The SDK lets a speculative task vanish although it carried events.
    pub discard_speculative_with_events: bool,
    /// De-duplicates the begin of a task that is returned inline.
    pub request_id: String,
}

/// A worker's failed workflow task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FailWorkflowTask {
    pub task: TaskRef,
    pub cause: WorkflowTaskFailedCause,
    pub failure: Option<Failure>,
    pub identity: String,
    pub binary_checksum: String,
}

/// Which activity a worker or an operator speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActivityRef {
    /// By task token: this attempt of it.
    Token {
        scheduled_event_id: i64,
        attempt: i32,
        started_time: i64,
    },
    ById(String),
}

/// A worker's failed activity.
#[derive(Clone, Debug, PartialEq)]
pub struct FailActivity {
    pub activity: ActivityRef,
    pub failure: Option<Failure>,
    pub identity: String,
    pub last_heartbeat_details: Option<Payloads>,
}

/// A reset: a new run that repeats the base run's history up to a point.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reset {
    /// The base run's events, all that there were when they were read.
    pub base: Vec<HistoryEvent>,
    /// Events of later runs of the chain whose signals and updates are applied again, oldest first.
    pub later: Vec<HistoryEvent>,
    pub workflow_task_finish_event_id: i64,
    pub reason: String,
    pub request_id: String,
    pub identity: String,
    pub reapply_signals: bool,
    pub reapply_updates: bool,
    /// Signals to apply after the reset.
    pub post_signals: Vec<Signal>,
    /// Changes of the new run's options, in order.
    pub post_options: Vec<ChangeOptions>,
}
