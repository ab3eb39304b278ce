//! Named maxima of a shard.

/// Rows of wake-ups or ready tasks that are read at once.
pub(crate) const SCAN_ROWS_MAX: usize = 500;
/// Tickets of one queue that are announced while a shard starts; the rest waits for credit.
pub(crate) const RECOVERY_TICKETS_MAX: usize = 5_000;
/// Visibility records on their way to the index; the rest stays in the outbox.
pub(crate) const INDEXING_RECORDS_MAX: usize = 10_000;
/// Requests that wait for one run to be loaded.
pub(crate) const PENDING_PER_RUN_MAX: usize = 1_000;
/// Callers that wait for news of one run.
pub(crate) const WATCHERS_PER_RUN_MAX: usize = 10_000;
/// Bytes of a run's newest history nodes that stay in memory.
pub(crate) const TAIL_BYTES_MAX: usize = 256 << 10;
/// Newest runs by workflow id that stay in memory.
pub(crate) const CURRENT_ENTRIES_MAX: usize = 100_000;
/// Bytes of one history node, as the official server has it (reference 7).
pub(crate) const NODE_BYTES_MAX: usize = 4 << 20;
/// Bytes of the rows of one workflow in one commit, which every store takes: Cassandra takes 16 MiB by default and
/// keeps a conditional batch twice.
pub(crate) const UNIT_BYTES_MAX: usize = 15 << 19;
/// Rows that the auditor reads at once, besides those that must stand beside them.
pub(crate) const AUDIT_ROWS_MAX: usize = 20;
/// Workflows that may change while the auditor reads; with more, what it finds is left to the next pass.
pub(crate) const WATCHED_WORKFLOWS_MAX: usize = 100_000;
/// Task queues, and workflow types, that one shard counts by name in one namespace.
pub(crate) const COUNTED_NAMES_MAX: usize = 1_000;
