//! What the shards of a node count, under the names that Temporal's dashboards plot (reference 9.2), and their own.

mod export;
mod series;

use proto::metrics::{Counter, Family, Gauge, Histogram, Metric, Scale};

pub(crate) use self::export::{Export, Levels};

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
