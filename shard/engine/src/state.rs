//! State: what is stored of a run, in the shape in which it is stored.
//!
//! Each struct is its own protobuf message, so that memory and disk have one shape and release n+1 reads what
//! release n wrote. Tags are part of the stored format: never reuse one. Times and spans are nanoseconds;
//! zero stands for "not set".

mod others;
mod stored;

use std::{collections::BTreeMap, time::Duration};

use prost::Message;
use proto::{
    temporal::{
        common::v1::{Memo, Payloads, Priority, RetryPolicy, SearchAttributes},
        enums::v1::WorkflowExecutionStatus,
        failure::v1::Failure,
        history::v1::{HistoryEvent, WorkflowExecutionStartedEventAttributes},
        sdk::v1::UserMetadata,
        update::v1::{Outcome, Request as UpdateRequest},
        workflow::v1::{ResetPoints, VersioningOverride},
    },
    time::Timestamp,
};

pub use self::{
    others::{Child, ExternalCancel, ExternalSignal, Parent, Report},
    stored::Malformed,
};

/// Everything that is stored of one run.
#[derive(Clone, PartialEq, Message)]
pub struct State {
    // Who it is.
    #[prost(string, tag = "1")]
    pub namespace_id: String,
    #[prost(string, tag = "2")]
    pub workflow_id: String,
    #[prost(string, tag = "3")]
    pub run_id: String,
    /// The first run of the chain that continue-as-new, retry and cron make.
    #[prost(string, tag = "4")]
    pub first_run_id: String,
    /// The run that this one was reset from, or itself.
    #[prost(string, tag = "5")]
    pub original_run_id: String,
    #[prost(message, optional, tag = "6")]
    pub parent: Option<Parent>,
    #[prost(string, tag = "7")]
    pub root_workflow_id: String,
    #[prost(string, tag = "8")]
    pub root_run_id: String,
    /// Of a child: its parent has recorded its start, so it may run.
    #[prost(bool, tag = "9")]
    pub may_run: bool,

    // What it runs, and for how long.
    #[prost(string, tag = "10")]
    pub workflow_type: String,
    #[prost(string, tag = "11")]
    pub task_queue: String,
    #[prost(int64, tag = "12")]
    pub execution_timeout: i64,
    #[prost(int64, tag = "13")]
    pub run_timeout: i64,
    #[prost(int64, tag = "14")]
    pub task_timeout: i64,
    #[prost(int64, tag = "15")]
    pub execution_expiration: i64,
    #[prost(int64, tag = "16")]
    pub run_expiration: i64,
    #[prost(int64, tag = "17")]
    pub start_time: i64,
    /// Start time plus the first backoff.
    #[prost(int64, tag = "18")]
    pub execution_time: i64,
    #[prost(int64, tag = "19")]
    pub close_time: i64,
    #[prost(enumeration = "WorkflowExecutionStatus", tag = "20")]
    pub status: i32,
    /// Until when the first workflow task waits (cron, start delay, retry); zero once it has been scheduled.
    #[prost(int64, tag = "21")]
    pub backoff_until: i64,
    #[prost(int32, tag = "22")]
    pub attempt: i32,
    #[prost(message, optional, tag = "23")]
    pub retry_policy: Option<RetryPolicy>,
    #[prost(string, tag = "24")]
    pub cron_schedule: String,
    /// Kept only where a retry or a cron schedule may need to start the same again.
    #[prost(message, optional, boxed, tag = "25")]
    pub started: Option<Box<WorkflowExecutionStartedEventAttributes>>,
    #[prost(message, optional, tag = "26")]
    pub memo: Option<Memo>,
    #[prost(message, optional, tag = "27")]
    pub search_attributes: Option<SearchAttributes>,
    #[prost(message, optional, tag = "28")]
    pub priority: Option<Priority>,
    #[prost(message, optional, tag = "29")]
    pub user_metadata: Option<UserMetadata>,
    #[prost(message, optional, tag = "30")]
    pub versioning_override: Option<VersioningOverride>,
    /// The result of the last successful run of a cron chain.
    #[prost(message, optional, tag = "31")]
    pub last_completion_result: Option<Payloads>,
    /// The build of the worker that completed the last workflow task, if it names one.
    #[prost(string, tag = "32")]
    pub last_build_id: String,
    /// The started event tells a run time-out, be it zero.
    #[prost(bool, tag = "33")]
    pub tells_run_timeout: bool,
    /// It has, or had, a versioning override.
    #[prost(bool, tag = "34")]
    pub tells_versioning: bool,

    // Requests seen.
    #[prost(string, tag = "35")]
    pub create_request_id: String,
    /// Request ids that were attached to the running workflow.
    #[prost(btree_map = "string, message", tag = "36")]
    pub request_ids: BTreeMap<String, RequestId>,
    /// 128-bit hashes of the signals' request ids, one after another.
    #[prost(bytes = "vec", tag = "37")]
    pub signal_requests: Vec<u8>,
    #[prost(int64, tag = "38")]
    pub signal_count: i64,

    // History.
    #[prost(int64, tag = "40")]
    pub next_event_id: i64,
    #[prost(int64, tag = "41")]
    pub history_bytes: i64,
    #[prost(int64, tag = "42")]
    pub transitions: i64,
    /// First event id of the node that holds the closing event.
    #[prost(int64, tag = "43")]
    pub close_node: i64,
    /// Events that came while a workflow task was started; they get their ids when it ends.
    #[prost(message, repeated, tag = "44")]
    pub buffered: Vec<HistoryEvent>,
    #[prost(message, optional, tag = "45")]
    pub reset_points: Option<ResetPoints>,

    // Workflow task.
    #[prost(message, optional, tag = "50")]
    pub task: Option<WorkflowTask>,
    #[prost(message, optional, tag = "51")]
    pub sticky: Option<Sticky>,
    /// Attempt of the workflow task that is pending or comes next, from 1.
    #[prost(int32, tag = "52")]
    pub task_attempt: i32,
    /// Started event of the last completed workflow task; zero before the first.
    #[prost(int64, tag = "53")]
    pub last_completed_started_id: i64,
    /// A closing command met buffered events: signals and updates wait so that the workflow can close.
    #[prost(bool, tag = "54")]
    pub close_attempted: bool,
    /// The updates that the started task has brought its worker, as the run's last owner stored them when it handed the
    /// run over. Empty in memory: there they are among the updates that were not accepted yet.
    #[prost(message, repeated, tag = "55")]
    pub updates_in_hand: Vec<UpdateRequest>,

    // What it waits for.
    #[prost(btree_map = "int64, message", tag = "60")]
    pub activities: BTreeMap<i64, Activity>,
    #[prost(btree_map = "string, message", tag = "61")]
    pub timers: BTreeMap<String, Timer>,
    #[prost(btree_map = "int64, message", tag = "62")]
    pub children: BTreeMap<i64, Child>,
    #[prost(btree_map = "int64, message", tag = "63")]
    pub signals_out: BTreeMap<i64, ExternalSignal>,
    #[prost(btree_map = "int64, message", tag = "64")]
    pub cancels_out: BTreeMap<i64, ExternalCancel>,
    #[prost(btree_map = "string, message", tag = "65")]
    pub updates: BTreeMap<String, Update>,

    // How it ends.
    #[prost(bool, tag = "70")]
    pub cancel_requested: bool,
    #[prost(string, tag = "71")]
    pub cancel_request_id: String,
    /// The run that continues this one.
    #[prost(string, tag = "72")]
    pub successor_run_id: String,
    /// The run that a reset made of this one.
    #[prost(string, tag = "73")]
    pub reset_run_id: String,
    #[prost(int64, tag = "74")]
    pub last_reset_time: i64,
    /// What the parent is to be told; gone once it knows.
    #[prost(message, optional, tag = "75")]
    pub report: Option<Report>,
    /// The run goes away as soon as it has closed and owes nothing.
    #[prost(bool, tag = "76")]
    pub deleting: bool,
    /// When retention ends; zero while open.
    #[prost(int64, tag = "77")]
    pub retention_until: i64,
    /// When the run began that this one was reset from; zero if it was not.
    #[prost(int64, tag = "78")]
    pub original_start_time: i64,
    /// The request that made this run by a reset.
    #[prost(string, tag = "79")]
    pub reset_request_id: String,

    // The shard's own notes.
    /// The stored wake-up; zero if there is none.
    #[prost(int64, tag = "80")]
    pub wakeup: i64,
}

/// Where an attached request id stands in history.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RequestId {
    #[prost(int32, tag = "1")]
    pub event_type: i32,
    #[prost(int64, tag = "2")]
    pub event_id: i64,
}

/// The pending workflow task.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WorkflowTask {
    #[prost(int64, tag = "1")]
    pub scheduled_event_id: i64,
    /// Zero while not started.
    #[prost(int64, tag = "2")]
    pub started_event_id: i64,
    #[prost(int32, tag = "3")]
    pub attempt: i32,
    #[prost(int64, tag = "4")]
    pub scheduled_time: i64,
    /// When the first task of a chain of heartbeats was scheduled.
    #[prost(int64, tag = "5")]
    pub original_scheduled_time: i64,
    #[prost(int64, tag = "6")]
    pub started_time: i64,
    /// Start to close.
    #[prost(int64, tag = "7")]
    pub timeout: i64,
    /// The queue that it waits in: the sticky one or the workflow's own.
    #[prost(string, tag = "8")]
    pub queue: String,
    #[prost(bool, tag = "9")]
    pub sticky: bool,
    /// When it gives up waiting in its queue; zero for never.
    #[prost(int64, tag = "10")]
    pub schedule_to_start_deadline: i64,
    /// Its scheduled and started events are not in history: attempt 2 and later, and speculative tasks.
    #[prost(bool, tag = "11")]
    pub transient: bool,
    /// Exists in memory only, to carry updates; vanishes if the worker rejects them all.
    #[prost(bool, tag = "12")]
    pub speculative: bool,
    /// The poll that started it.
    #[prost(string, tag = "13")]
    pub request_id: String,
    #[prost(string, tag = "14")]
    pub identity: String,
    #[prost(bool, tag = "15")]
    pub suggest_continue_as_new: bool,
    #[prost(int32, repeated, tag = "16")]
    pub suggest_reasons: Vec<i32>,
    #[prost(int64, tag = "17")]
    pub history_bytes: i64,
    /// The build of the worker that has it.
    #[prost(string, tag = "18")]
    pub build_id: String,
}

/// The queue of the worker that has the run in its cache.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Sticky {
    #[prost(string, tag = "1")]
    pub queue: String,
    #[prost(int64, tag = "2")]
    pub schedule_to_start_timeout: i64,
}

/// A pending activity.
#[derive(Clone, PartialEq, Message)]
pub struct Activity {
    #[prost(int64, tag = "1")]
    pub scheduled_event_id: i64,
    /// First event id of the node that holds the scheduled event.
    #[prost(int64, tag = "2")]
    pub scheduled_node: i64,
    #[prost(string, tag = "3")]
    pub activity_id: String,
    #[prost(string, tag = "4")]
    pub activity_type: String,
    #[prost(string, tag = "5")]
    pub task_queue: String,
    #[prost(int64, tag = "6")]
    pub schedule_to_close_timeout: i64,
    #[prost(int64, tag = "7")]
    pub schedule_to_start_timeout: i64,
    #[prost(int64, tag = "8")]
    pub start_to_close_timeout: i64,
    #[prost(int64, tag = "9")]
    pub heartbeat_timeout: i64,
    #[prost(message, optional, tag = "10")]
    pub retry_policy: Option<RetryPolicy>,
    /// When the first attempt was scheduled.
    #[prost(int64, tag = "11")]
    pub first_scheduled_time: i64,
    /// When this attempt becomes, or became, ready to be handed out.
    #[prost(int64, tag = "12")]
    pub scheduled_time: i64,
    #[prost(int64, tag = "13")]
    pub expiration: i64,
    #[prost(int32, tag = "14")]
    pub attempt: i32,
    /// Zero while not started.
    #[prost(int64, tag = "15")]
    pub started_time: i64,
    #[prost(string, tag = "16")]
    pub started_identity: String,
    #[prost(string, tag = "17")]
    pub started_request_id: String,
    #[prost(bool, tag = "18")]
    pub cancel_requested: bool,
    #[prost(int64, tag = "19")]
    pub cancel_requested_event_id: i64,
    #[prost(message, optional, tag = "20")]
    pub heartbeat_details: Option<Payloads>,
    #[prost(int64, tag = "21")]
    pub heartbeat_time: i64,
    #[prost(message, optional, tag = "22")]
    pub last_failure: Option<Failure>,
    #[prost(string, tag = "23")]
    pub last_worker_identity: String,
    #[prost(int64, tag = "24")]
    pub last_attempt_complete_time: i64,
    #[prost(message, optional, tag = "25")]
    pub priority: Option<Priority>,
    /// The attempt waits for its backoff: it is not in the queue yet.
    #[prost(bool, tag = "26")]
    pub backing_off: bool,
    /// The interval that this attempt's backoff lasts.
    #[prost(int64, tag = "27")]
    pub retry_interval: i64,
    /// The build of the worker that has the attempt, if it names one.
    #[prost(string, tag = "28")]
    pub started_build_id: String,
}

/// A pending user timer.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Timer {
    #[prost(int64, tag = "1")]
    pub started_event_id: i64,
    #[prost(int64, tag = "2")]
    pub fire_time: i64,
}

/// An update that was accepted, or admitted by a reset.
#[derive(Clone, PartialEq, Message)]
pub struct Update {
    /// Zero while only admitted.
    #[prost(int64, tag = "1")]
    pub accepted_event_id: i64,
    /// Zero until completed.
    #[prost(int64, tag = "2")]
    pub completed_event_id: i64,
    #[prost(message, optional, tag = "3")]
    pub outcome: Option<Outcome>,
    /// The request, of an update that a reset admitted again.
    #[prost(message, optional, tag = "4")]
    pub admitted: Option<proto::temporal::update::v1::Request>,
}

/// The id of an event that waits in the buffer.
pub const BUFFERED: i64 = -123;

/// Reads a stored span.
#[must_use]
pub fn span(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// Returns the span as it is stored.
#[must_use]
pub fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

/// Reads a stored time.
#[must_use]
pub fn time(nanos: i64) -> Option<Timestamp> {
    (nanos != 0).then(|| Timestamp::from_nanos(nanos))
}
