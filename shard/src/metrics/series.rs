//! The series of one namespace, as one shard counts in them: looked up when they are wanted first.

use std::{cell::OnceCell, collections::HashMap, sync::Arc};

use engine::{
    effect::ReadyKind,
    metrics::{Attempt, AttemptEnd, Counted, Due},
};
use proto::{
    metrics::{Counter, Family, Histogram},
    temporal::enums::v1::{TimeoutType, WorkflowExecutionStatus},
};

use super::Metrics;
use crate::{
    limits::COUNTED_NAMES_MAX,
    tally::{Closed, Done},
};

/// The series of one namespace.
#[derive(Debug)]
pub(super) struct InNamespace {
    name: Box<str>,
    ready: [Ready; 2],
    transitions: Arc<Histogram>,
    completed: Arc<Counter>,
    history_bytes: Arc<Histogram>,
    history_events: Arc<Histogram>,
    due: [OnceCell<TaskSeries>; DUE.len()],
    queues: Named<QueueSeries>,
    types: Named<[OnceCell<Arc<Counter>>; STATUSES]>,
}

/// The series of one kind of task.
#[derive(Debug)]
struct Ready {
    added: Arc<Counter>,
    begun: Arc<Counter>,
    waited: Arc<Histogram>,
    transfer: TaskSeries,
}

/// The series of something that becomes due or ready and is done.
#[derive(Debug)]
struct TaskSeries {
    done: Arc<Counter>,
    latency: Arc<Histogram>,
}

impl TaskSeries {
    fn new(metrics: &Metrics, namespace: &str, operation: &str) -> Self {
        let labels = [namespace, operation, operation];
        Self {
            done: metrics.task_requests.with(&labels),
            latency: metrics.task_latency_queue.with(&labels),
        }
    }
}

/// The series of one task queue.
#[derive(Debug, Default)]
struct QueueSeries {
    closed: [OnceCell<ClosedSeries>; STATUSES],
    attempts: [OnceCell<AttemptSeries>; 4],
}

#[derive(Debug)]
struct ClosedSeries {
    runs: Arc<Counter>,
    latency: Arc<Histogram>,
}

#[derive(Debug)]
struct AttemptSeries {
    /// Of a failed or timed-out attempt it is counted by itself.
    ended: Option<Arc<Counter>>,
    ran: Arc<Histogram>,
    in_all: Arc<Histogram>,
}

/// Something for each of the names that clients chose. Past the limit all are one.
#[derive(Debug)]
struct Named<T> {
    known: HashMap<Box<str>, T>,
    rest: T,
}

impl<T: Default> Default for Named<T> {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            rest: T::default(),
        }
    }
}

impl<T: Default> Named<T> {
    fn get(&mut self, name: &str) -> &T {
        if !self.known.contains_key(name) {
            if self.known.len() >= COUNTED_NAMES_MAX {
                return &self.rest;
            }
            self.known.insert(name.into(), T::default());
        }
        self.known.get(name).unwrap_or(&self.rest)
    }
}

impl InNamespace {
    pub(super) fn new(metrics: &Metrics, name: &str) -> Self {
        Self {
            ready: [ReadyKind::Workflow, ReadyKind::Activity].map(|kind| Ready::new(metrics, name, kind)),
            transitions: metrics.state_transition_count.with(&[name]),
            completed: metrics.workflow_tasks_completed.with(&[name]),
            history_bytes: metrics.history_size.with(&[name]),
            history_events: metrics.history_count.with(&[name]),
            due: Default::default(),
            queues: Named::default(),
            types: Named::default(),
            name: name.into(),
        }
    }

    pub(super) fn count(&mut self, metrics: &Metrics, done: Done) {
        match done {
            Done::Announced(kind, waited) => {
                let ready = &self.ready[kind as usize];
                ready.added.inc();
                ready.transfer.done.inc();
                ready.transfer.latency.record(waited);
            }
            Done::Begun(kind, waited) => {
                let ready = &self.ready[kind as usize];
                ready.begun.inc();
                ready.waited.record(waited);
            }
            Done::WorkflowTaskCompleted => self.completed.inc(),
            Done::Transition(transitions) => self.transitions.record_value(transitions),
            Done::Counted(counted) => self.count_counted(metrics, &counted),
            Done::Closed(closed) => self.count_closed(metrics, &closed),
        }
    }

    fn count_counted(&mut self, metrics: &Metrics, counted: &Counted) {
        let name = &*self.name;
        match counted {
            Counted::Attempt(attempt) => self.count_attempt(metrics, attempt),
            Counted::WorkflowTaskFailed(cause) => {
                let cause = cause.as_str_name();
                let cause = cause.strip_prefix("WORKFLOW_TASK_FAILED_CAUSE_").unwrap_or(cause);
                metrics.failed_workflow_tasks.with(&[name, &camel(cause)]).inc();
            }
            Counted::WorkflowTaskTimedOut(kind) => {
                count_timeout(metrics, name, "TimerActiveTaskWorkflowTaskTimeout", *kind);
            }
            Counted::Due { what, late } => {
                let at = DUE.iter().position(|(due, _)| due == what).unwrap_or(0);
                let series = self.due[at].get_or_init(|| TaskSeries::new(metrics, name, DUE[at].1));
                series.done.inc();
                series.latency.record(*late);
                metrics.wakeup_lateness.record(*late);
            }
        }
    }

    fn count_attempt(&mut self, metrics: &Metrics, attempt: &Attempt) {
        let (name, queue) = (&*self.name, &*attempt.queue);
        let (at, operation, ended) = match attempt.how {
            AttemptEnd::Completed => (0, "RespondActivityTaskCompleted", Some(&metrics.activity_success)),
            AttemptEnd::Canceled => (1, "RespondActivityTaskCanceled", Some(&metrics.activity_cancel)),
            AttemptEnd::Failed => (2, "RespondActivityTaskFailed", None),
            AttemptEnd::TimedOut(_) => (3, "TimerActiveTaskActivityTimeout", None),
        };
        let labels = [name, operation, queue];
        let series = self.queues.get(queue).attempts[at].get_or_init(|| AttemptSeries {
            ended: ended.map(|family| family.with(&labels)),
            ran: metrics.activity_start_to_close_latency.with(&labels),
            in_all: metrics.activity_schedule_to_close_latency.with(&labels),
        });
        if let Some(ended) = &series.ended {
            ended.inc();
        }
        if let Some(ran) = attempt.ran {
            series.ran.record(ran);
        }
        if attempt.last {
            series.in_all.record(attempt.in_all);
        }
        match attempt.how {
            AttemptEnd::Completed | AttemptEnd::Canceled => {}
            AttemptEnd::Failed => {
                metrics.activity_task_fail.with(&labels).inc();
                if attempt.last {
                    metrics.activity_fail.with(&labels).inc();
                }
            }
            AttemptEnd::TimedOut(kind) => {
                count_timeout(metrics, name, operation, kind);
                let labels = [name, operation, queue, timeout_name(kind)];
                metrics.activity_task_timeout.with(&labels).inc();
                if attempt.last {
                    metrics.activity_timeout.with(&labels).inc();
                }
            }
        }
    }

    fn count_closed(&mut self, metrics: &Metrics, closed: &Closed) {
        let name = &*self.name;
        let Some((at, status, family)) = status(metrics, closed.status) else {
            return;
        };
        let series = self.queues.get(&closed.task_queue).closed[at].get_or_init(|| {
            let labels = [name, &*closed.task_queue];
            ClosedSeries {
                runs: family.with(&labels),
                latency: metrics.workflow_schedule_to_close_latency.with(&labels),
            }
        });
        series.runs.inc();
        series.latency.record(closed.ran);
        self.history_bytes.record_value(closed.bytes);
        self.history_events.record_value(closed.events);
        let of_type = self.types.get(&closed.workflow_type);
        let labels = || [name, &*closed.workflow_type, status];
        of_type[at]
            .get_or_init(|| metrics.workflows_closed.with(&labels()))
            .inc();
    }
}

impl Ready {
    fn new(metrics: &Metrics, name: &str, kind: ReadyKind) -> Self {
        let (add, record, transfer) = match kind {
            ReadyKind::Workflow => (
                "AddWorkflowTask",
                "RecordWorkflowTaskStarted",
                "TransferActiveTaskWorkflowTask",
            ),
            ReadyKind::Activity => (
                "AddActivityTask",
                "RecordActivityTaskStarted",
                "TransferActiveTaskActivity",
            ),
        };
        let waited = &metrics.task_schedule_to_start_latency;
        Self {
            added: metrics.service_requests.with(&["matching", name, add]),
            begun: metrics.service_requests.with(&["history", name, record]),
            waited: waited.with(&[name, record, task_type(kind)]),
            transfer: TaskSeries::new(metrics, name, transfer),
        }
    }
}

/// Ways in which a run closes.
const STATUSES: usize = 6;

/// What a run that closed so is counted as: its place, its label, its metric.
fn status(
    metrics: &Metrics,
    status: WorkflowExecutionStatus,
) -> Option<(usize, &'static str, &Family<Counter>)> {
    use WorkflowExecutionStatus as Status;
    Some(match status {
        Status::Completed => (0, "completed", &metrics.workflow_success),
        Status::Failed => (1, "failed", &metrics.workflow_failed),
        Status::Canceled => (2, "canceled", &metrics.workflow_cancel),
        Status::Terminated => (3, "terminated", &metrics.workflow_terminate),
        Status::TimedOut => (4, "timed_out", &metrics.workflow_timeout),
        Status::ContinuedAsNew => (5, "continued_as_new", &metrics.workflow_continued_as_new),
        Status::Unspecified | Status::Running | Status::Paused => return None,
    })
}

fn count_timeout(metrics: &Metrics, namespace: &str, operation: &'static str, kind: TimeoutType) {
    let family = match kind {
        TimeoutType::ScheduleToStart => &metrics.schedule_to_start_timeout,
        TimeoutType::StartToClose => &metrics.start_to_close_timeout,
        TimeoutType::ScheduleToClose => &metrics.schedule_to_close_timeout,
        TimeoutType::Heartbeat => &metrics.heartbeat_timeout,
        TimeoutType::Unspecified => return,
    };
    family.with(&[namespace, operation]).inc();
}

pub(super) fn task_type(kind: ReadyKind) -> &'static str {
    match kind {
        ReadyKind::Workflow => "Workflow",
        ReadyKind::Activity => "Activity",
    }
}

fn timeout_name(kind: TimeoutType) -> &'static str {
    match kind {
        TimeoutType::ScheduleToStart => "ScheduleToStart",
        TimeoutType::StartToClose => "StartToClose",
        TimeoutType::ScheduleToClose => "ScheduleToClose",
        TimeoutType::Heartbeat => "Heartbeat",
        TimeoutType::Unspecified => "Unspecified",
    }
}

/// What time brings about, and what it is counted as.
const DUE: [(Due, &str); 7] = [
    (Due::UserTimer, "TimerActiveTaskUserTimer"),
    (Due::ActivityTimeout, "TimerActiveTaskActivityTimeout"),
    (Due::ActivityRetry, "TimerActiveTaskActivityRetryTimer"),
    (Due::WorkflowTaskTimeout, "TimerActiveTaskWorkflowTaskTimeout"),
    (Due::WorkflowRunTimeout, "TimerActiveTaskWorkflowRunTimeout"),
    (
        Due::WorkflowExecutionTimeout,
        "TimerActiveTaskWorkflowExecutionTimeout",
    ),
    (Due::WorkflowBackoff, "TimerActiveTaskWorkflowBackoffTimer"),
];

/// Writes the name of an API constant as the official server's labels have it: `BAD_BINARY` as `BadBinary`.
fn camel(constant: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_owned() + &rest.to_ascii_lowercase()
    };
    constant.split('_').map(word).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn closed(queue: usize, status: WorkflowExecutionStatus) -> Done {
        Done::Closed(Box::new(Closed {
            status,
            workflow_type: "order".to_owned(),
            task_queue: format!("q{queue}"),
            ran: Duration::from_secs(1),
            events: 11,
            bytes: 1_000,
        }))
    }

    #[test]
    fn runs_are_counted_by_queue_and_status() {
        let metrics = Metrics::default();
        let mut series = InNamespace::new(&metrics, "default");
        for _ in 0..2 {
            series.count(&metrics, closed(1, WorkflowExecutionStatus::Completed));
        }
        series.count(&metrics, closed(1, WorkflowExecutionStatus::TimedOut));
        series.count(&metrics, closed(2, WorkflowExecutionStatus::Completed));
        let queue = |queue| ["default", queue];
        assert_eq!(metrics.workflow_success.with(&queue("q1")).value(), 2);
        assert_eq!(metrics.workflow_timeout.with(&queue("q1")).value(), 1);
        assert_eq!(metrics.workflow_success.with(&queue("q2")).value(), 1);
        let latency = &metrics.workflow_schedule_to_close_latency;
        assert_eq!(latency.with(&queue("q1")).count(), 3);
        let closed = metrics.workflows_closed.with(&["default", "order", "completed"]);
        assert_eq!(closed.value(), 3);
    }

    #[test]
    fn names_past_the_limit_are_counted_all_the_same() {
        let metrics = Metrics::default();
        let mut series = InNamespace::new(&metrics, "default");
        let queues = 2 * COUNTED_NAMES_MAX;
        for queue in 0..queues {
            series.count(&metrics, closed(queue, WorkflowExecutionStatus::Completed));
        }
        assert_eq!(series.queues.known.len(), COUNTED_NAMES_MAX);
        assert_eq!(
            metrics.workflow_success.value(),
            i64::try_from(queues).unwrap_or(0)
        );
    }
}
