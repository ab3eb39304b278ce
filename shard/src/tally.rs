//! Tally: what a shard has done since its shell last looked. Plain numbers: the core counts, the shell exports.

use std::time::Duration;

use engine::{
    effect::{ReadyKind, ReadyTask},
    metrics::Counted,
    outcome::{Rejection, Reply, Step},
    run::Run,
    trigger::Trigger,
};
use proto::{
    ids::{NamespaceId, RunKey},
    temporal::{enums::v1::WorkflowExecutionStatus, history::v1::HistoryEvent},
    time::Timestamp,
};

use crate::{cache::Pending, input::Request, seal::Sealed, shard::Shard, stage::Stage};

/// What a shard has done since its shell last took it over.
#[derive(Debug, Default)]
pub struct Tally {
    /// Runs that were wanted, and those of them that were not in memory.
    pub runs_wanted: u64,
    pub runs_missed: u64,
    /// Newest runs of workflow ids that were wanted, and those of them that were not in memory.
    pub currents_wanted: u64,
    pub currents_missed: u64,
    pub evicted: u64,
    /// Tickets of tasks that were started before, or void.
    pub stale: Vec<ReadyKind>,
    pub batches: Vec<BatchTally>,
    /// How long each request that changed something took to be durable.
    pub durable: Vec<Duration>,
    /// What concerns one namespace.
    pub done: Vec<(NamespaceId, Done)>,
}

/// A durable batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchTally {
    pub transitions: u64,
    pub bytes: u64,
}

/// Something that was done in a namespace.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// A ready task became durable this long after it became ready, and its queue was told.
    Announced(ReadyKind, Duration),
    /// A worker took a task up that had been ready this long.
    Begun(ReadyKind, Duration),
    WorkflowTaskCompleted,
    /// A run changed, for this many times in all.
    Transition(u64),
    Counted(Counted),
    Closed(Box<Closed>),
}

/// A run that closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    pub status: WorkflowExecutionStatus,
    pub workflow_type: String,
    pub task_queue: String,
    pub ran: Duration,
    pub events: u64,
    pub bytes: u64,
}

/// What a request was, once it is gone.
#[derive(Clone, Copy)]
pub(crate) enum Asked {
    Begin(ReadyKind),
    CompleteWorkflowTask,
    Other,
}

impl Asked {
    pub(crate) fn of(pending: &Pending) -> Self {
        match &pending.request {
            Request::Step(Trigger::BeginWorkflowTask(_)) => Self::Begin(ReadyKind::Workflow),
            Request::Step(Trigger::BeginActivity(_)) => Self::Begin(ReadyKind::Activity),
            Request::Step(Trigger::CompleteWorkflowTask(_)) => Self::CompleteWorkflowTask,
            Request::Step(_) | Request::Start(_) | Request::Reset(_) | Request::Purge | Request::Repair => {
                Self::Other
            }
        }
    }
}

impl Shard {
    /// Counts what came of a request. Must come before its outputs are parked.
    pub(crate) fn count_asked(
        &mut self,
        namespace: NamespaceId,
        asked: Asked,
        received: Option<Timestamp>,
        result: &Result<Step, Rejection>,
    ) {
        match (asked, result) {
            (Asked::Begin(kind), Ok(step)) => {
                let waited = match &step.reply {
                    Reply::WorkflowTask(task) => span(task.scheduled_time, task.started_time),
                    Reply::Activity(task) => span(task.scheduled_time, task.started_time),
                    _ => Duration::ZERO,
                };
                self.tally.done.push((namespace, Done::Begun(kind, waited)));
            }
            (Asked::Begin(kind), Err(Rejection::Stale | Rejection::NotFound(_))) => {
                self.tally.stale.push(kind);
            }
            (Asked::CompleteWorkflowTask, Ok(_)) => {
                self.tally.done.push((namespace, Done::WorkflowTaskCompleted));
            }
            (Asked::Begin(_) | Asked::CompleteWorkflowTask | Asked::Other, _) => {}
        }
        if let (Ok(step), Some(received)) = (result, received)
            && (step.durable || step.successor.is_some())
        {
            self.received = Some(received);
        }
    }

    /// Counts what a step did to a run.
    pub(crate) fn count_step(&mut self, key: &RunKey, step: &mut Step, written: &[HistoryEvent]) {
        let namespace = key.workflow.namespace_id;
        let counted = std::mem::take(&mut step.counted);
        let counted = counted.into_iter().map(Done::Counted);
        self.tally.done.extend(counted.map(|done| (namespace, done)));
        if !step.durable {
            return;
        }
        let Some(slot) = self.cache.slot(key) else { return };
        let transitions = u64::try_from(slot.run.state().transitions).unwrap_or(0);
        self.tally.done.push((namespace, Done::Transition(transitions)));
        // The event that closes a run is its last.
        if !slot.run.is_open() && written.last().is_some_and(is_close) {
            let closed = Box::new(closed(&slot.run));
            self.tally.done.push((namespace, Done::Closed(closed)));
        }
    }

    pub(crate) fn count_announced(&mut self, run: &RunKey, task: &ReadyTask, now: Timestamp) {
        let waited = now.since(Timestamp::from_nanos(task.scheduled_time));
        let done = Done::Announced(task.kind, waited);
        self.tally.done.push((run.workflow.namespace_id, done));
    }

    pub(crate) fn count_durable(&mut self, sealed: &Sealed, now: Timestamp) {
        self.tally.batches.push(BatchTally {
            transitions: sealed.transitions,
            bytes: sealed.bytes,
        });
        let durable = sealed.received.iter().map(|received| now.since(*received));
        self.tally.durable.extend(durable);
    }

    /// The stage, to see how full it is.
    pub(crate) fn stage(&self) -> &Stage {
        &self.stage
    }
}

fn is_close(event: &HistoryEvent) -> bool {
    use proto::temporal::enums::v1::EventType as Type;
    matches!(
        event.event_type(),
        Type::WorkflowExecutionCompleted
            | Type::WorkflowExecutionFailed
            | Type::WorkflowExecutionCanceled
            | Type::WorkflowExecutionTerminated
            | Type::WorkflowExecutionTimedOut
            | Type::WorkflowExecutionContinuedAsNew
    )
}

fn closed(run: &Run) -> Closed {
    let state = run.state();
    Closed {
        status: run.status(),
        workflow_type: state.workflow_type.clone(),
        task_queue: state.task_queue.clone(),
        ran: span(state.start_time, state.close_time),
        events: u64::try_from(state.next_event_id - 1).unwrap_or(0),
        bytes: u64::try_from(state.history_bytes).unwrap_or(0),
    }
}

fn span(from: i64, to: i64) -> Duration {
    Timestamp::from_nanos(to).since(Timestamp::from_nanos(from))
}
