//! What the queues of a node count, under the names that Temporal's dashboards plot (reference 9.2), and their own.

use std::{ops::Deref, sync::Arc};

use proto::{
    ids::{QueueKey, TaskKind},
    metrics::{Counter, Family, Gauge, Histogram, Metric, OTHER, Scale},
};

use crate::{input::Input, output::Refusal};

const MANAGER: &[(&str, &str)] = &[
    ("service_name", "matching"),
    ("operation", "TaskQueueMgr"),
    ("namespace_state", "active"),
    ("worker_version", "__unversioned__"),
];
const ENGINE: &[(&str, &str)] = &[("service_name", "matching"), ("operation", "MatchingEngine")];
const MATCH: &[(&str, &str)] = &[("service_name", "matching")];
const QUEUE: &[&str] = &["namespace", "taskqueue", "task_type", "partition"];
const POLL: &[&str] = &["namespace", "taskqueue", "task_type", "partition", "poll_result"];
const ADD: &[&str] = &["namespace", "taskqueue", "task_type", "partition", "operation"];

proto::metrics! {
    /// The metrics of the node's queues.
    pub struct Metrics {
        /// Polls that got a task.
        poll_success: Family<Counter> = Metric::official("poll_success", MANAGER).by(QUEUE);
        /// Polls that got a task that had not waited.
        poll_success_sync: Family<Counter> = Metric::official("poll_success_sync", MANAGER).by(QUEUE);
        /// Polls that ended without a task.
        poll_timeouts: Family<Counter> = Metric::official("poll_timeouts", MANAGER).by(QUEUE);
        /// How long polls waited that got a task.
        poll_latency: Family<Histogram> =
            Metric::official("poll_latency", MANAGER).histogram(Scale::Time).by(POLL);
        /// From a task being ready to a poll that waited for it.
        syncmatch_latency: Family<Histogram> =
            Metric::official("syncmatch_latency", MATCH).histogram(Scale::Time).by(ADD);
        /// From a task being ready to a poll when the task had waited.
        asyncmatch_latency: Family<Histogram> =
            Metric::official("asyncmatch_latency", MATCH).histogram(Scale::Time).by(ADD);
        /// From a task being ready to a poll.
        task_dispatch_latency: Family<Histogram> =
            Metric::official("task_dispatch_latency", ENGINE).histogram(Scale::Time).by(QUEUE);
        /// Tasks announced, repeated ones included.
        tasks_added: Family<Counter> = Metric::official("tasks_added", MANAGER).by(QUEUE);
        /// Polls that wait.
        pending_polls: Family<Gauge> = Metric::official("pending_polls", MANAGER).gauge().by(QUEUE);
        /// Tasks that wait in queues or are held back by shards.
        approximate_backlog_count: Family<Gauge> =
            Metric::official("approximate_backlog_count", MANAGER).gauge().by(QUEUE);
        /// Queues in memory.
        loaded_task_queue_count: Family<Gauge> =
            Metric::official("loaded_task_queue_count", ENGINE).gauge().by(&["namespace", "task_type"]);
        /// Queues started.
        task_queue_started: Family<Counter> =
            Metric::official("task_queue_started", MANAGER).by(&["namespace", "task_type"]);
        /// Queues stopped.
        task_queue_stopped: Family<Counter> =
            Metric::official("task_queue_stopped", MANAGER).by(&["namespace", "task_type"]);
        /// From a task being durable to its being in a worker's poll.
        delivered: Histogram = Metric::own("perdure_durable_to_delivered_seconds").histogram(Scale::Time);
        /// Polls refused because the queue held too many.
        polls_refused: Counter = Metric::own("perdure_polls_refused_total");
        /// Polls whose caller went away before an answer.
        polls_cancelled: Counter = Metric::own("perdure_polls_cancelled_total");
        /// Tickets refused because the queue was full; their tasks wait in their shards.
        tasks_refused_full: Counter = Metric::own("perdure_tickets_refused_full_total");
        /// Tickets refused because the sticky worker was gone; their tasks go to the normal queue.
        tasks_refused_sticky: Counter = Metric::own("perdure_tickets_refused_sticky_total");
        /// Tickets given to a poller that was gone; they were given again.
        tasks_undelivered: Counter = Metric::own("perdure_tickets_undelivered_total");
        /// Queries that were given to a poller.
        queries_given: Counter = Metric::own("perdure_queries_given_total");
        /// Queries that ended without an answer.
        queries_failed: Counter = Metric::own("perdure_queries_failed_total");
        /// Notices to shards dropped because the courier was behind; the shards announce again.
        notices_dropped: Counter = Metric::own("perdure_queue_notices_dropped_total");
    }
}

/// The metrics of one queue: its series of the node's, looked up once.
#[derive(Debug)]
pub(crate) struct QueueMetrics {
    node: Arc<Metrics>,
    pub(crate) poll_success: Arc<Counter>,
    pub(crate) poll_success_sync: Arc<Counter>,
    pub(crate) poll_timeouts: Arc<Counter>,
    pub(crate) poll_latency: Arc<Histogram>,
    pub(crate) syncmatch_latency: Arc<Histogram>,
    pub(crate) asyncmatch_latency: Arc<Histogram>,
    pub(crate) task_dispatch_latency: Arc<Histogram>,
    pub(crate) tasks_added: Arc<Counter>,
    pub(crate) pending_polls: Arc<Gauge>,
    pub(crate) approximate_backlog_count: Arc<Gauge>,
    pub(crate) loaded_task_queue_count: Arc<Gauge>,
    pub(crate) task_queue_started: Arc<Counter>,
    pub(crate) task_queue_stopped: Arc<Counter>,
}

impl Deref for QueueMetrics {
    type Target = Metrics;

    /// What is not kept by queue is the node's.
    fn deref(&self) -> &Metrics {
        &self.node
    }
}

impl QueueMetrics {
    pub(crate) fn new(node: Arc<Metrics>, namespace: &str, key: &QueueKey) -> Self {
        let (task_type, operation) = match key.kind {
            TaskKind::Workflow => ("Workflow", "AddWorkflowTask"),
            TaskKind::Activity => ("Activity", "AddActivityTask"),
        };
        // A sticky queue's name is its worker's: there are as many as there ever were workers.
        let (name, partition) = if key.sticky {
            (OTHER, "__sticky__")
        } else {
            (&*key.name, "0")
        };
        let queue = [namespace, name, task_type, partition];
        let poll = [namespace, name, task_type, partition, "dispatch"];
        let add = [namespace, name, task_type, partition, operation];
        let kind = [namespace, task_type];
        Self {
            poll_success: node.poll_success.with(&queue),
            poll_success_sync: node.poll_success_sync.with(&queue),
            poll_timeouts: node.poll_timeouts.with(&queue),
            poll_latency: node.poll_latency.with(&poll),
            syncmatch_latency: node.syncmatch_latency.with(&add),
            asyncmatch_latency: node.asyncmatch_latency.with(&add),
            task_dispatch_latency: node.task_dispatch_latency.with(&queue),
            tasks_added: node.tasks_added.with(&queue),
            pending_polls: node.pending_polls.with(&queue),
            approximate_backlog_count: node.approximate_backlog_count.with(&queue),
            loaded_task_queue_count: node.loaded_task_queue_count.with(&kind),
            task_queue_started: node.task_queue_started.with(&kind),
            task_queue_stopped: node.task_queue_stopped.with(&kind),
            node,
        }
    }

    pub(crate) fn came(&self, input: &Input) {
        if matches!(input, Input::Announce(_)) {
            self.tasks_added.inc();
        }
    }

    pub(crate) fn refused(&self, why: Refusal) {
        match why {
            Refusal::Full => self.tasks_refused_full.inc(),
            Refusal::StickyWorkerUnavailable => self.tasks_refused_sticky.inc(),
            Refusal::Draining => {}
        }
    }
}
