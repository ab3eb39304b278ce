//! Limits of the visibility index (P6). Sizes are bytes, the rest are counts.

/// Runs on one page (`frontend.visibilityMaxPageSize`).
pub const PAGE_SIZE_MAX: usize = 1000;

/// A query's text.
pub const QUERY_BYTES_MAX: usize = 64 * 1024;

/// How deep a query's parentheses and NOTs may nest.
pub const QUERY_DEPTH_MAX: usize = 64;

/// Comparisons and list items of one query.
pub const QUERY_TERMS_MAX: usize = 2000;

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
