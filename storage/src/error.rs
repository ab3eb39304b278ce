//! What can go wrong in a store, by what the caller does next.

/// A read, a lease or a registry call failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Not now: try again later.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// The stored bytes are not what this release or an older one writes.
    #[error("stored data broken: {0}")]
    Broken(String),
}

/// A commit was not acknowledged.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// A newer lease exists: nothing was written, nothing ever will be under this one.
    #[error("commit fenced: a newer lease exists")]
    Fenced,
    /// The outcome is unknown and could not be settled: stop, acquire again, read again.
    #[error("commit not settled: {0}")]
    GaveUp(String),
}
