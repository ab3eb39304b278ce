//! What a queue shows of itself: to DescribeTaskQueue, to operators as JSON, and to tests.

use std::{sync::Arc, time::Duration};

use proto::time::Timestamp;
use serde::{Serialize, Serializer};

use crate::input::WorkerVersions;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QueueView {
    pub stats: Stats,
    /// The levels that have something to show, the most urgent first.
    pub stats_by_priority: Vec<(u8, Stats)>,
    pub tickets: usize,
    pub ticket_bytes: usize,
    /// Ready tasks that shards hold back; not told apart by priority.
    pub held_back: u64,
    pub shards_held_back: usize,
    pub polls: usize,
    pub queries_waiting: usize,
    /// Queries in workers' hands.
    pub queries_given: usize,
    pub rate: RateView,
    /// Those of the last five minutes, the latest first.
    pub pollers: Vec<PollerView>,
    pub draining: bool,
}

/// The API's `TaskQueueStats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    pub approximate_backlog_count: u64,
    #[serde(rename = "approximate_backlog_age_seconds", serialize_with = "seconds")]
    pub approximate_backlog_age: Duration,
    /// Tasks a second over the last 30 s.
    pub tasks_add_rate: f64,
    /// Tasks a second over the last 30 s.
    pub tasks_dispatch_rate: f64,
    /// Tasks wait only because of the rate limit.
    pub rate_limiting_active: bool,
}

/// Dispatch rates, tasks a second; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct RateView {
    pub api: Option<f64>,
    pub worker: Option<f64>,
    pub effective: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PollerView {
    #[serde(serialize_with = "text")]
    pub identity: Arc<str>,
    #[serde(rename = "last_access_time_ms", serialize_with = "millis")]
    pub last_access_time: Timestamp,
    pub max_tasks_per_second: Option<f64>,
    #[serde(skip)]
    pub versions: Option<Arc<WorkerVersions>>,
}

fn millis<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_i64(time.nanos() / 1_000_000)
}

fn seconds<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(span.as_secs_f64())
}

fn text<S: Serializer>(text: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(text)
}
