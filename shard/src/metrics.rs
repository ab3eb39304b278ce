//! Counters of a node's shards, as plain atomics; the frontend's endpoint gives them their public names.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What all shards of a node have done.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Batches that became durable.
    pub commits: AtomicU64,
    /// Nanoseconds from a batch's cut to its acknowledgement, summed up.
    pub commit_nanos: AtomicU64,
    /// Bytes of committed batches.
    pub commit_bytes: AtomicU64,
    /// Runs whose state committed batches stored.
    pub commit_runs: AtomicU64,
    /// Requests that were asked.
    pub requests: AtomicU64,
    /// Rows that were loaded.
    pub loads: AtomicU64,
    /// Times that a shard was given up and taken again.
    pub restarts: AtomicU64,
}

impl Metrics {
    pub(crate) fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Relaxed);
    }
}
