//! What the shards of a node count, under the names that Temporal's dashboards plot (reference 9.2), and their own.

use std::{collections::HashMap, sync::Arc};

use engine::{
    effect::ReadyKind,
    metrics::{Attempt, AttemptEnd, Counted, Due},
};
use proto::{
    ids::NamespaceId,
    metrics::{Counter, Family, Gauge, Histogram, Metric, Scale},
    temporal::enums::v1::{TimeoutType, WorkflowExecutionStatus},
};

use crate::{
    namespaces::Namespaces,
    tally::{Closed, Done, Tally},
};

type Labels = &'static [(&'static str, &'static str)];

const HISTORY: Labels = &[("service_name", "history")];
const CONTEXT: Labels = &[("service_name", "history"), ("operation", "WorkflowContext")];
const RESPOND_TASK: Labels = &[
    ("service_name", "history"),
    ("operation", "RespondWorkflowTaskCompleted"),
];
const COMPLETION: Labels = &[
    ("service_name", "history"),
    ("operation", "CompletionStats"),
    ("namespace_state", "active"),
];
const RUNS: Labels = &[("service_name", "history"), ("cache_type", "mutablestate")];
const QUEUE: &[&str] = &["namespace", "taskqueue"];
const OPERATION: &[&str] = &["namespace", "operation"];
const ACTIVITY: &[&str] = &["namespace", "operation", "taskqueue"];
const TIMEOUT: &[&str] = &["namespace", "operation", "taskqueue", "timeout_type"];
const TASK: &[&str] = &["namespace", "operation", "task_type"];

proto::metrics! {
    /// The metrics of a node's shards.
    pub struct Metrics {
        /// Tasks that queues were told of (AddWorkflowTask, AddActivityTask) and that workers took up (Record...Started).
        service_requests: Family<Counter> =
            Metric::official("service_requests", &[]).by(&["service_name", "namespace", "operation"]);
        /// How long tasks were ready before a worker took them up.
        task_schedule_to_start_latency: Family<Histogram> =
            Metric::official("task_schedule_to_start_latency", HISTORY).histogram(Scale::Time).by(TASK);
        /// Things that became due or ready and were done, by what they are.
        task_requests: Family<Counter> = Metric::official("task_requests", HISTORY).by(TASK);
        /// From something being due or ready to its being done: durable and announced, or taken into a step.
        task_latency_queue: Family<Histogram> =
            Metric::official("task_latency_queue", HISTORY).histogram(Scale::Time).by(TASK);
        /// How many times a run had changed when it changed once more; its count is the number of transitions.
        state_transition_count: Family<Histogram> =
            Metric::official("state_transition_count", CONTEXT).histogram(Scale::Count).by(&["namespace"]);
        /// Workflow tasks that workers completed.
        workflow_tasks_completed: Family<Counter> =
            Metric::official("workflow_tasks_completed", CONTEXT).by(&["namespace"]);
        /// Workflow tasks that failed, by cause.
        failed_workflow_tasks: Family<Counter> =
            Metric::official("failed_workflow_tasks", RESPOND_TASK).by(&["namespace", "failure"]);
        /// Runs that completed.
        workflow_success: Family<Counter> = Metric::official("workflow_success", COMPLETION).by(QUEUE);
        /// Runs that failed.
        workflow_failed: Family<Counter> = Metric::official("workflow_failed", COMPLETION).by(QUEUE);
        /// Runs that were canceled.
        workflow_cancel: Family<Counter> = Metric::official("workflow_cancel", COMPLETION).by(QUEUE);
        /// Runs that timed out.
        workflow_timeout: Family<Counter> = Metric::official("workflow_timeout", COMPLETION).by(QUEUE);
        /// Runs that were terminated.
        workflow_terminate: Family<Counter> = Metric::official("workflow_terminate", COMPLETION).by(QUEUE);
        /// Runs that continued as new.
        workflow_continued_as_new: Family<Counter> =
            Metric::official("workflow_continued_as_new", COMPLETION).by(QUEUE);
        /// How long runs took that closed.
        workflow_schedule_to_close_latency: Family<Histogram> =
            Metric::official("workflow_schedule_to_close_latency", COMPLETION).histogram(Scale::Time).by(QUEUE);
        /// Size of the histories of runs that closed.
        history_size: Family<Histogram> =
            Metric::official("history_size", COMPLETION).histogram(Scale::Bytes).by(&["namespace"]);
        /// Events in the histories of runs that closed.
        history_count: Family<Histogram> =
            Metric::official("history_count", COMPLETION).histogram(Scale::Count).by(&["namespace"]);
        /// Activities that completed.
        activity_success: Family<Counter> = Metric::official("activity_success", HISTORY).by(ACTIVITY);
        /// Activities that failed for good.
        activity_fail: Family<Counter> = Metric::official("activity_fail", HISTORY).by(ACTIVITY);
        /// Attempts of activities that failed.
        activity_task_fail: Family<Counter> = Metric::official("activity_task_fail", HISTORY).by(ACTIVITY);
        /// Activities that were canceled.
        activity_cancel: Family<Counter> = Metric::official("activity_cancel", HISTORY).by(ACTIVITY);
        /// Activities that timed out for good.
        activity_timeout: Family<Counter> = Metric::official("activity_timeout", HISTORY).by(TIMEOUT);
        /// Attempts of activities that timed out.
        activity_task_timeout: Family<Counter> = Metric::official("activity_task_timeout", HISTORY).by(TIMEOUT);
        /// How long attempts of activities took that ended.
        activity_start_to_close_latency: Family<Histogram> =
            Metric::official("activity_start_to_close_latency", HISTORY).histogram(Scale::Time).by(ACTIVITY);
        /// How long activities took that ended, all attempts included.
        activity_schedule_to_close_latency: Family<Histogram> =
            Metric::official("activity_schedule_to_close_latency", HISTORY).histogram(Scale::Time).by(ACTIVITY);
        /// Schedule-to-start timeouts of activities and workflow tasks.
        schedule_to_start_timeout: Family<Counter> =
            Metric::official("schedule_to_start_timeout", HISTORY).by(OPERATION);
        /// Start-to-close timeouts of activities and workflow tasks.
        start_to_close_timeout: Family<Counter> =
            Metric::official("start_to_close_timeout", HISTORY).by(OPERATION);
        /// Schedule-to-close timeouts of activities.
        schedule_to_close_timeout: Family<Counter> =
            Metric::official("schedule_to_close_timeout", HISTORY).by(OPERATION);
        /// Heartbeat timeouts of activities.
        heartbeat_timeout: Family<Counter> = Metric::official("heartbeat_timeout", HISTORY).by(OPERATION);
        /// Runs, and newest runs of workflow ids, that were wanted.
        cache_requests: Family<Counter> = Metric::official("cache_requests", RUNS).by(&["operation"]);
        /// Those of them that were not in memory.
        cache_miss: Family<Counter> = Metric::official("cache_miss", RUNS).by(&["operation"]);
        /// Runs in memory.
        cache_usage: Gauge = Metric::official("cache_usage", RUNS).gauge();
        /// Shards that were given up.
        shard_closed_count: Counter =
            Metric::official("shard_closed_count", &[("service_name", "history"), ("operation", "ShardController")]);
        /// Runs that closed, by type and status.
        workflows_closed: Family<Counter> =
            Metric::own("perdure_workflows_closed_total").by(&["namespace", "workflow_type", "status"]);
        /// From the receipt of a call that changed a run to its change being durable.
        receipt_to_durable: Histogram = Metric::own("perdure_receipt_to_durable_seconds").histogram(Scale::Time);
        /// From a batch's cut to its acknowledgement.
        commit_latency: Histogram = Metric::own("perdure_commit_latency_seconds").histogram(Scale::Time);
        /// State transitions in a durable batch: how wide the group commit is.
        batch_transitions: Histogram = Metric::own("perdure_batch_transitions").histogram(Scale::Count);
        /// Size of a durable batch.
        batch_bytes: Histogram = Metric::own("perdure_batch_bytes").histogram(Scale::Bytes);
        /// Bytes that wait for their commit to begin.
        stage_bytes: Gauge = Metric::own("perdure_stage_bytes").gauge();
        /// Runs in memory.
        resident_runs: Gauge = Metric::own("perdure_resident_runs").gauge();
        /// Bytes of the runs in memory.
        cache_bytes: Gauge = Metric::own("perdure_cache_bytes").gauge();
        /// Runs that left memory to make room.
        evictions: Counter = Metric::own("perdure_cache_evictions_total");
        /// How late runs were woken for what was due.
        wakeup_lateness: Histogram = Metric::own("perdure_wakeup_lateness_seconds").histogram(Scale::Time);
        /// Tickets whose task had been started before or was void.
        stale_tickets: Family<Counter> = Metric::own("perdure_stale_tickets_total").by(&["task_type"]);
        /// Requests to runs.
        requests: Counter = Metric::own("perdure_shard_requests_total");
    }
}

/// The series of one namespace that are wanted often.
#[derive(Debug)]
struct Often {
    name: Arc<str>,
    ready: [Ready; 2],
    transitions: Arc<Histogram>,
    completed: Arc<Counter>,
}

/// The series of one kind of task.
#[derive(Debug)]
struct Ready {
    added: Arc<Counter>,
    begun: Arc<Counter>,
    waited: Arc<Histogram>,
    transferred: Arc<Counter>,
    transfer: Arc<Histogram>,
}

/// Carries a shard's tally to the node's metrics. Belongs to the shard's shell.
#[derive(Debug)]
pub(crate) struct Export {
    metrics: Arc<Metrics>,
    often: HashMap<NamespaceId, Often>,
    shown: Levels,
}

/// What this shard has added to the node's gauges.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Levels {
    pub(crate) stage_bytes: usize,
    pub(crate) resident_runs: usize,
    pub(crate) cache_bytes: usize,
}

impl Drop for Export {
    fn drop(&mut self) {
        self.show(Levels::default());
    }
}

impl Export {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            often: HashMap::new(),
            shown: Levels::default(),
        }
    }

    /// Brings the node's gauges up to the shard's levels.
    pub(crate) fn show(&mut self, levels: Levels) {
        let metrics = &self.metrics;
        let change = |gauge: &Gauge, from: usize, to: usize| {
            if from != to {
                gauge.add(level(to) - level(from));
            }
        };
        change(&metrics.stage_bytes, self.shown.stage_bytes, levels.stage_bytes);
        change(
            &metrics.resident_runs,
            self.shown.resident_runs,
            levels.resident_runs,
        );
        change(
            &metrics.cache_usage,
            self.shown.resident_runs,
            levels.resident_runs,
        );
        change(&metrics.cache_bytes, self.shown.cache_bytes, levels.cache_bytes);
        self.shown = levels;
    }

    pub(crate) fn count(&mut self, tally: Tally, namespaces: &Namespaces) {
        self.count_cache(&tally);
        let metrics = Arc::clone(&self.metrics);
        for batch in tally.batches {
            metrics.batch_transitions.record_value(batch.transitions);
            metrics.batch_bytes.record_value(batch.bytes);
        }
        for waited in tally.durable {
            metrics.receipt_to_durable.record(waited);
        }
        for kind in tally.stale {
            metrics.stale_tickets.with(&[task_type(kind)]).inc();
        }
        for (namespace, done) in tally.done {
            let often = self.often.entry(namespace).or_insert_with(|| {
                let found = namespaces.find(namespace);
                Often::new(&metrics, found.map_or("", |entry| &entry.namespace.name))
            });
            often.count(&metrics, done);
        }
    }

    fn count_cache(&self, tally: &Tally) {
        let metrics = &self.metrics;
        let counts = [
            (
                &metrics.cache_requests,
                "HistoryCacheGetOrCreate",
                tally.runs_wanted,
            ),
            (&metrics.cache_miss, "HistoryCacheGetOrCreate", tally.runs_missed),
            (
                &metrics.cache_requests,
                "HistoryCacheGetOrCreateCurrent",
                tally.currents_wanted,
            ),
            (
                &metrics.cache_miss,
                "HistoryCacheGetOrCreateCurrent",
                tally.currents_missed,
            ),
        ];
        for (family, operation, count) in counts {
            if count > 0 {
                family.with(&[operation]).add(count);
            }
        }
        metrics.evictions.add(tally.evicted);
    }
}

impl Often {
    fn new(metrics: &Metrics, name: &str) -> Self {
        Self {
            name: name.into(),
            ready: [ReadyKind::Workflow, ReadyKind::Activity].map(|kind| Ready::new(metrics, name, kind)),
            transitions: metrics.state_transition_count.with(&[name]),
            completed: metrics.workflow_tasks_completed.with(&[name]),
        }
    }

    fn ready(&self, kind: ReadyKind) -> &Ready {
        match kind {
            ReadyKind::Workflow => &self.ready[0],
            ReadyKind::Activity => &self.ready[1],
        }
    }

    fn count(&self, metrics: &Metrics, done: Done) {
        match done {
            Done::Announced(kind, waited) => {
                let ready = self.ready(kind);
                ready.added.inc();
                ready.transferred.inc();
                ready.transfer.record(waited);
            }
            Done::Begun(kind, waited) => {
                let ready = self.ready(kind);
                ready.begun.inc();
                ready.waited.record(waited);
            }
            Done::WorkflowTaskCompleted => self.completed.inc(),
            Done::Transition(transitions) => self.transitions.record_value(transitions),
            Done::Counted(counted) => self.count_seldom(metrics, &counted),
            Done::Closed(closed) => self.count_closed(metrics, &closed),
        }
    }

    fn count_seldom(&self, metrics: &Metrics, counted: &Counted) {
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
                let operation = due_operation(*what);
                metrics.task_requests.with(&[name, operation, operation]).inc();
                let latency = metrics.task_latency_queue.with(&[name, operation, operation]);
                latency.record(*late);
                metrics.wakeup_lateness.record(*late);
            }
        }
    }

    fn count_attempt(&self, metrics: &Metrics, attempt: &Attempt) {
        let (name, queue) = (&*self.name, &*attempt.queue);
        let operation = match attempt.how {
            AttemptEnd::Completed => "RespondActivityTaskCompleted",
            AttemptEnd::Failed => "RespondActivityTaskFailed",
            AttemptEnd::Canceled => "RespondActivityTaskCanceled",
            AttemptEnd::TimedOut(_) => "TimerActiveTaskActivityTimeout",
        };
        let labels = [name, operation, queue];
        match attempt.how {
            AttemptEnd::Completed => metrics.activity_success.with(&labels).inc(),
            AttemptEnd::Canceled => metrics.activity_cancel.with(&labels).inc(),
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
        if let Some(ran) = attempt.ran {
            metrics.activity_start_to_close_latency.with(&labels).record(ran);
        }
        if attempt.last {
            let in_all = metrics.activity_schedule_to_close_latency.with(&labels);
            in_all.record(attempt.in_all);
        }
    }

    fn count_closed(&self, metrics: &Metrics, closed: &Closed) {
        use WorkflowExecutionStatus as Status;
        let (name, labels) = (&*self.name, [&*self.name, &*closed.task_queue]);
        let (family, status) = match closed.status {
            Status::Completed => (&metrics.workflow_success, "completed"),
            Status::Failed => (&metrics.workflow_failed, "failed"),
            Status::Canceled => (&metrics.workflow_cancel, "canceled"),
            Status::Terminated => (&metrics.workflow_terminate, "terminated"),
            Status::TimedOut => (&metrics.workflow_timeout, "timed_out"),
            Status::ContinuedAsNew => (&metrics.workflow_continued_as_new, "continued_as_new"),
            Status::Unspecified | Status::Running | Status::Paused => return,
        };
        family.with(&labels).inc();
        let latency = metrics.workflow_schedule_to_close_latency.with(&labels);
        latency.record(closed.ran);
        metrics.history_size.with(&[name]).record_value(closed.bytes);
        metrics.history_count.with(&[name]).record_value(closed.events);
        let labels = [name, &closed.workflow_type, status];
        metrics.workflows_closed.with(&labels).inc();
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
            transferred: metrics.task_requests.with(&[name, transfer, transfer]),
            transfer: metrics.task_latency_queue.with(&[name, transfer, transfer]),
        }
    }
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

fn task_type(kind: ReadyKind) -> &'static str {
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

fn due_operation(what: Due) -> &'static str {
    match what {
        Due::UserTimer => "TimerActiveTaskUserTimer",
        Due::ActivityTimeout => "TimerActiveTaskActivityTimeout",
        Due::ActivityRetry => "TimerActiveTaskActivityRetryTimer",
        Due::WorkflowTaskTimeout => "TimerActiveTaskWorkflowTaskTimeout",
        Due::WorkflowRunTimeout => "TimerActiveTaskWorkflowRunTimeout",
        Due::WorkflowExecutionTimeout => "TimerActiveTaskWorkflowExecutionTimeout",
        Due::WorkflowBackoff => "TimerActiveTaskWorkflowBackoffTimer",
    }
}

/// Writes the name of an API constant as the official server's labels have it: `BAD_BINARY` as `BadBinary`.
fn camel(constant: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_owned() + &rest.to_ascii_lowercase()
    };
    constant.split('_').map(word).collect()
}

fn level(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
