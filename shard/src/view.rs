//! The shard as an operator sees it.

use serde::Serialize;

/// One shard at one moment.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct ShardView {
    pub shard: u32,
    /// The lease under which it writes.
    pub epoch: u64,
    /// The last durable batch.
    pub batch: u64,
    pub committing: bool,
    pub stage_bytes: usize,
    pub resident_runs: usize,
    pub cache_bytes: usize,
    pub timers: usize,
    /// Queues that had no room for all their tasks.
    pub held_queues: usize,
    /// Visibility records that the index has not confirmed.
    pub indexing: usize,
    pub watchers: usize,
    /// Runs that are left alone, as each has ended its shard several times.
    pub quarantined: usize,
    /// Faults that the auditor has put right since the shard started.
    pub repairs: u64,
}
