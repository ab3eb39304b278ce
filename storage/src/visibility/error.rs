//! What can go wrong in the index, by what the caller does next.

/// A call to the index failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VisibilityError {
    /// The page token is not one that this query's last page gave.
    #[error("invalid page token")]
    InvalidToken,
    /// More updates than one call may have: send them in parts. Nothing was applied.
    #[error("apply {updates} updates in one call: at most {limit} allowed")]
    TooMany { updates: usize, limit: usize },
    /// The answer needs more runs read than one call may.
    #[error("count would read more than {limit} runs: ask by workflow id, type, status or time")]
    TooCostly { limit: usize },
    /// Too many calls wait already: try again later.
    #[error("visibility index busy")]
    Busy,
    /// Not now: try again later.
    #[error("visibility index unavailable: {0}")]
    Unavailable(String),
    /// The stored bytes are not what this release or an older one writes.
    #[error("visibility record broken: {0}")]
    Broken(String),
}

/// A query cannot be answered; the message is meant for the client, as INVALID_ARGUMENT.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid query: {message}")]
pub struct QueryError {
    message: String,
}

impl QueryError {
    /// Says what is wrong, without what it is wrong with.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

/// Search attributes cannot be accepted; the message is meant for the client, as INVALID_ARGUMENT.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AttributeError {
    message: String,
}

impl AttributeError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}
