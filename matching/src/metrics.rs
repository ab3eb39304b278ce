//! What all queues of a node count, under the names that Temporal's dashboards plot (reference 9.2).
//!
//! Plain atomics: whoever exports them takes a `snapshot`.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::{input::Input, output::Refusal};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A level, summed over the node's queues.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    pub(crate) fn add(&self, change: i64) {
        self.0.fetch_add(change, Relaxed);
    }

    #[must_use]
    pub fn value(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// Upper bounds of the time buckets, milliseconds; what is longer falls into one more bucket.
pub const BUCKETS_MS: [u64; 19] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000,
    500_000, 1_000_000,
];

/// Spans by bucket.
#[derive(Debug, Default)]
pub struct Latency {
    buckets: [AtomicU64; BUCKETS_MS.len() + 1],
    sum_micros: AtomicU64,
}

impl Latency {
    pub(crate) fn record(&self, span: Duration) {
        let bucket = BUCKETS_MS.partition_point(|&bound| Duration::from_millis(bound) < span);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum_micros
            .fetch_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    #[must_use]
    pub fn snapshot(&self) -> LatencySnapshot {
        LatencySnapshot {
            buckets: self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect(),
            sum_seconds: Duration::from_micros(self.sum_micros.load(Relaxed)).as_secs_f64(),
        }
    }
}

/// The count of each bucket, not cumulated; the last one is unbounded.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencySnapshot {
    pub buckets: Vec<u64>,
    pub sum_seconds: f64,
}

/// The value of one metric.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Counter(u64),
    Gauge(i64),
    Latency(LatencySnapshot),
}

/// One metric as it is exported.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub name: &'static str,
    pub help: &'static str,
    pub value: Value,
}

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $name:ident: $kind:ident,)+) => {
        /// The metrics of the node's queues.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $($(#[doc = $help])+ pub $name: $kind,)+
        }

        impl Metrics {
            /// Returns all metrics in a fixed order.
            #[must_use]
            pub fn snapshot(&self) -> Vec<Sample> {
                vec![$(Sample {
                    name: stringify!($name),
                    help: concat!($($help),+).trim_ascii_start(),
                    value: metrics!(@value $kind self.$name),
                },)+]
            }
        }
    };
    (@value Counter $metric:expr) => { Value::Counter($metric.value()) };
    (@value Gauge $metric:expr) => { Value::Gauge($metric.value()) };
    (@value Latency $metric:expr) => { Value::Latency($metric.snapshot()) };
}

metrics! {
    /// Polls that got a task.
    poll_success: Counter,
    /// Polls that got a task that had not waited.
    poll_success_sync: Counter,
    /// Polls that ended without a task.
    poll_timeouts: Counter,
    /// Polls refused because the queue held too many.
    polls_refused: Counter,
    /// Polls whose caller went away before an answer.
    polls_cancelled: Counter,
    /// How long polls waited that got a task, seconds.
    poll_latency: Latency,
    /// From a task being ready to a poll that waited for it, seconds.
    syncmatch_latency: Latency,
    /// From a task being ready to a poll when the task had waited, seconds.
    asyncmatch_latency: Latency,
    /// From a task being ready to a poll, seconds.
    task_dispatch_latency: Latency,
    /// Tasks announced, repeated ones included.
    tasks_added: Counter,
    /// Tasks refused because the queue was full; they wait in their shards.
    tasks_refused_full: Counter,
    /// Tasks refused because the sticky worker was gone; they go to the normal queue.
    tasks_refused_sticky: Counter,
    /// Tasks given to a poller that was gone; they were given again.
    tasks_undelivered: Counter,
    /// Queries that were given to a poller.
    queries_given: Counter,
    /// Queries that ended without an answer.
    queries_failed: Counter,
    /// Notices to shards dropped because the courier was behind; the shards announce again.
    notices_dropped: Counter,
    /// Polls that wait.
    pending_polls: Gauge,
    /// Tasks that wait in queues or are held back by shards.
    approximate_backlog_count: Gauge,
    /// Queues in memory.
    loaded_task_queue_count: Gauge,
    /// Queues started.
    task_queue_started: Counter,
    /// Queues stopped.
    task_queue_stopped: Counter,
}

impl Metrics {
    pub(crate) fn came(&self, input: &Input) {
        if matches!(input, Input::Announce(_)) {
            self.tasks_added.add(1);
        }
    }

    pub(crate) fn refused(&self, why: Refusal) {
        match why {
            Refusal::Full => self.tasks_refused_full.add(1),
            Refusal::StickyWorkerUnavailable => self.tasks_refused_sticky.add(1),
            Refusal::Draining => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_falls_into_the_bucket_that_holds_it() {
        let latency = Latency::default();
        for span in [
            Duration::ZERO,
            Duration::from_millis(1),
            Duration::from_micros(1_001),
            Duration::MAX,
        ] {
            latency.record(span);
        }
        let buckets = latency.snapshot().buckets;
        assert_eq!((buckets[0], buckets[1], buckets[BUCKETS_MS.len()]), (2, 1, 1));
    }

    #[test]
    fn every_metric_has_help() {
        let samples = Metrics::default().snapshot();
        assert!(
            samples
                .iter()
                .all(|sample| sample.help.ends_with('.') && !sample.help.starts_with(' '))
        );
    }
}
