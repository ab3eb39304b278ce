//! Limits of the visibility index (P6). Names tell units; the rest are counts.

use std::time::Duration;

/// Runs on one page (`frontend.visibilityMaxPageSize`).
pub const PAGE_SIZE_MAX: usize = 1000;

/// A query's text.
pub const QUERY_BYTES_MAX: usize = 512 * 1024;

/// How deep a query's parentheses may nest.
pub const QUERY_DEPTH_MAX: usize = 256;

/// How often AND and OR may alternate from the outermost to the innermost.
pub const FILTER_DEPTH_MAX: usize = 32;

/// Conditions and list items of one query.
pub const QUERY_TERMS_MAX: usize = 10_000;

/// Updates of one call to `apply`.
pub const APPLY_UPDATES_MAX: usize = 10_000;

/// KiB of updates that may wait for the writer; one call may have more if nothing waits.
pub(super) const WRITE_QUEUE_KIB_MAX: u32 = 64 * 1024;

/// Updates after which a transaction takes in no more calls.
pub(super) const TRANSACTION_UPDATES_MAX: usize = 2_000;

/// Calls that may wait for the writer, and for the readers together.
pub(super) const WRITE_QUEUE_MAX: usize = 256;
pub(super) const READ_QUEUE_MAX: usize = 256;

/// Runs that a backend without an index for the filter reads for one page, and for one count.
#[cfg(feature = "cassandra")]
pub(super) const SCAN_RUNS_MAX: usize = 10_000;
#[cfg(feature = "cassandra")]
pub(super) const COUNT_RUNS_MAX: usize = 1_000_000;

/// How long one query may run.
pub(super) const READ_TIME_MAX: Duration = Duration::from_secs(20);

/// What a request's search attributes may be, at most (`frontend.searchAttributes*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeLimits {
    pub keys_max: usize,
    pub value_bytes_max: usize,
    pub total_bytes_max: usize,
}

impl Default for AttributeLimits {
    fn default() -> Self {
        Self {
            keys_max: 100,
            value_bytes_max: 2 * 1024,
            total_bytes_max: 40 * 1024,
        }
    }
}
