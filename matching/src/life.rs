//! What the actor leaves behind: the node's gauges put right, and word to the host, even after a panic.

use std::{fmt, time::Duration};

use proto::{ids::QueueKey, time::Timestamp};

use crate::{
    handle::Ended,
    metrics::QueueMetrics,
    output::{Give, Given},
    queue::Queue,
};

/// Lives as long as the actor: dropped with it, whatever ended it.
pub(crate) struct Life {
    pub(crate) key: QueueKey,
    pub(crate) metrics: QueueMetrics,
    ended: Option<Box<dyn FnOnce(QueueKey, Ended) + Send>>,
    /// What this queue has added to the node's gauges.
    polls: i64,
    backlog: i64,
}

impl Life {
    pub(crate) fn new(
        key: QueueKey,
        metrics: QueueMetrics,
        ended: Box<dyn FnOnce(QueueKey, Ended) + Send>,
    ) -> Self {
        metrics.task_queue_started.add(1);
        metrics.loaded_task_queue_count.add(1);
        Self {
            key,
            metrics,
            ended: Some(ended),
            polls: 0,
            backlog: 0,
        }
    }

    /// Brings the node's gauges up to the queue's numbers.
    pub(crate) fn show(&mut self, queue: &Queue) {
        let polls = i64::try_from(queue.polls()).unwrap_or(i64::MAX);
        let backlog = queue.backlog();
        if polls != self.polls {
            self.metrics.pending_polls.add(polls - self.polls);
            self.polls = polls;
        }
        if backlog != self.backlog {
            self.metrics.approximate_backlog_count.add(backlog - self.backlog);
            self.backlog = backlog;
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.metrics.pending_polls.add(-self.polls);
        self.metrics.approximate_backlog_count.add(-self.backlog);
        self.metrics.loaded_task_queue_count.add(-1);
        self.metrics.task_queue_stopped.add(1);
        let how = if std::thread::panicking() {
            Ended::Panicked
        } else {
            Ended::Stopped
        };
        if let Some(ended) = self.ended.take() {
            ended(self.key.clone(), how);
        }
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Life")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// What is counted of a give once it has arrived.
pub(crate) struct Counted {
    sync: bool,
    waited: Duration,
    /// From being ready; `None` for a query.
    dispatch: Option<Duration>,
}

impl Counted {
    pub(crate) fn of(give: &Give, now: Timestamp) -> Self {
        let dispatch = match &give.task {
            Given::Ticket(ticket) => Some(now.since(ticket.scheduled_time)),
            Given::Query { .. } => None,
        };
        Self {
            sync: give.sync,
            waited: give.waited,
            dispatch,
        }
    }

    pub(crate) fn count(&self, metrics: &QueueMetrics) {
        metrics.poll_latency.record(self.waited);
        metrics.poll_success.add(1);
        if self.sync {
            metrics.poll_success_sync.add(1);
        }
        let Some(dispatch) = self.dispatch else {
            metrics.queries_given.add(1);
            return;
        };
        metrics.task_dispatch_latency.record(dispatch);
        if self.sync {
            &metrics.syncmatch_latency
        } else {
            &metrics.asyncmatch_latency
        }
        .record(dispatch);
    }
}
