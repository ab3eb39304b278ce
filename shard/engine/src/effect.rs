//! Effect: what a step owes to the outside. The shard releases it once the step is durable (P3).

use proto::temporal::{
    common::v1::{Header, Payloads, Priority, WorkflowExecution},
    enums::v1::WorkflowExecutionStatus,
    failure::v1::Failure,
    history::v1::HistoryEvent,
};

use crate::{
    outcome::{Rejection, Reply},
    state::Parent,
};

/// A caller that waits for more than its own step: the shard finds its channel by this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Waiter(pub u64);

/// Something owed to the outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A task became ready: store its row and announce a ticket.
    Ready(ReadyTask),
    /// A ready task was started or is void: remove its row.
    Unready(ReadyTask),
    /// Something for another run. The run's state holds the debt until the answer comes back as a trigger.
    Deliver(Delivery),
    /// A caller that waited has its answer.
    Resolve {
        waiter: Waiter,
        reply: Result<Reply, Rejection>,
    },
}

/// What a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReadyKind {
    Workflow,
    Activity,
}

/// A ready task: the durable record that a ticket hints at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyTask {
    pub kind: ReadyKind,
    pub queue: String,
    pub sticky: bool,
    pub scheduled_event_id: i64,
    pub attempt: i32,
    pub scheduled_time: i64,
    /// 1 to 5, lower first; 3 where nothing is set (reference 2.25).
    pub priority: u8,
    /// Exists in memory only: no row, just the ticket.
    pub speculative: bool,
}

/// Names a debt within its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeliveryId {
    StartChild(i64),
    FirstTask(i64),
    Signal(i64),
    Cancel(i64),
    ClosePolicy(i64),
    Report,
}

/// Something for another run.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    pub id: DeliveryId,
    pub to: Target,
    pub message: Message,
}

/// Another workflow, by namespace id; the current run if `run_id` is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub namespace_id: String,
    pub workflow_id: String,
    pub run_id: String,
}

/// What is delivered.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    StartChild(Box<ChildStart>),
    /// The child's start is recorded: schedule its first workflow task.
    FirstTask,
    Signal {
        request_id: String,
        signal_name: String,
        input: Option<Payloads>,
        header: Option<Header>,
        child_workflow_only: bool,
        from: WorkflowExecution,
        initiated_event_id: i64,
    },
    Cancel {
        request_id: String,
        reason: String,
        child_workflow_only: bool,
        from: WorkflowExecution,
        initiated_event_id: i64,
    },
    /// The parent has closed: terminate the child.
    TerminateChild {
        from: WorkflowExecution,
        first_run_id: String,
    },
    /// The parent has closed: ask the child to cancel.
    CancelChild {
        from: WorkflowExecution,
        first_run_id: String,
    },
    /// The child has closed.
    ChildClosed(Box<ChildClosed>),
}

/// A child to start: what it starts with is in the parent's history.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildStart {
    pub initiated_event_id: i64,
    /// First event id of the node that holds the initiated event.
    pub initiated_node: i64,
    /// The initiated event, where the step has it at hand; else it is read from history.
    pub event: Option<Box<HistoryEvent>>,
    pub parent: Parent,
    pub root: WorkflowExecution,
    /// De-duplicates the start.
    pub request_id: String,
    /// What the child takes over where it names no priority of its own.
    pub parent_priority: Option<Priority>,
}

/// How a child ended, as its parent is told.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildClosed {
    pub initiated_event_id: i64,
    pub child: WorkflowExecution,
    pub first_run_id: String,
    pub workflow_type: String,
    pub status: WorkflowExecutionStatus,
    pub result: Option<Payloads>,
    pub failure: Option<Failure>,
    pub retry_state: i32,
}
