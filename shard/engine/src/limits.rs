//! Limits of a run, with the official server's values (reference 7).

mod dynamic;

use std::time::Duration;

pub use dynamic::InvalidLimit;

/// A longer span of time is taken for this one: a hundred years.
pub(crate) const SPAN_MAX: prost_types::Duration = prost_types::Duration {
    seconds: 100 * 365 * 24 * 60 * 60,
    nanos: 0,
};

/// What a run may grow to, and what happens then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A larger payload fails the task that carries it.
    pub blob_bytes: usize,
    pub memo_bytes: usize,
    /// Beyond these the run is terminated.
    pub history_bytes: i64,
    pub history_events: i64,
    pub state_bytes: usize,
    /// From these on workflow tasks suggest continue-as-new.
    pub suggest_bytes: i64,
    pub suggest_events: i64,
    /// Further signals are refused.
    pub signals: i64,
    /// Beyond these the workflow task fails.
    pub pending_activities: usize,
    pub pending_children: usize,
    pub pending_signals: usize,
    pub pending_cancels: usize,
    /// Beyond these the started workflow task fails and the buffer is flushed.
    pub buffered_events: usize,
    pub buffered_bytes: usize,
    pub updates_in_flight: usize,
    pub updates_in_flight_bytes: usize,
    pub updates_total: usize,
    pub buffered_queries: usize,
    /// What an activity keeps of its last failure.
    pub last_failure_bytes: usize,
    pub task_timeout_default: Duration,
    pub task_timeout_max: Duration,
    pub heartbeat_chain: Duration,
    pub reset_points: usize,
    /// New queries and updates are refused from this attempt of the workflow task on.
    pub not_ready_attempt: i32,
    /// A chain of runs by continue-as-new gets to work on at most one run per this time.
    pub continue_interval: Duration,
    pub task_retry_max: Duration,
    pub id_bytes: usize,
}

const MIB: usize = 1 << 20;

impl Default for Limits {
    fn default() -> Self {
        Self {
            blob_bytes: 2 * MIB,
            memo_bytes: 2 * MIB,
            history_bytes: 50 << 20,
            history_events: 51_200,
            state_bytes: 8 * MIB,
            suggest_bytes: 4 << 20,
            suggest_events: 4_096,
            signals: 10_000,
            pending_activities: 2_000,
            pending_children: 2_000,
            pending_signals: 2_000,
            pending_cancels: 2_000,
            buffered_events: 100,
            buffered_bytes: 2 * MIB,
            updates_in_flight: 10,
            updates_in_flight_bytes: 20 * MIB,
            updates_total: 2_000,
            buffered_queries: 1,
            last_failure_bytes: 4 << 10,
            task_timeout_default: Duration::from_secs(10),
            task_timeout_max: Duration::from_secs(120),
            heartbeat_chain: Duration::from_secs(30 * 60),
            reset_points: 20,
            not_ready_attempt: 3,
            continue_interval: Duration::from_secs(1),
            task_retry_max: Duration::from_secs(600),
            id_bytes: 1_000,
        }
    }
}
