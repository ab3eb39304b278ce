//! Errors, by what to do next.

use crate::{output::QueryEnd, ticket::Ticket};

/// Why the queue did not take a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Back off and try again.
    #[error("queue's mailbox is full")]
    Busy,
    /// RESOURCE_EXHAUSTED with cause CONCURRENT_LIMIT.
    #[error("queue holds too many polls")]
    TooManyPolls,
    /// The queue ended or died: look it up again and retry.
    #[error("queue is gone")]
    Gone,
}

/// Tickets that were not announced; the shard keeps them as if they had been refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("announce tickets: {why}")]
pub struct NotAnnounced {
    pub why: AskError,
    pub tickets: Vec<Ticket>,
}

/// Why a query has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    #[error("no poller seen for task queue recently, worker may be down")]
    NoPoller,
    #[error("sticky worker unavailable")]
    StickyWorkerUnavailable,
    #[error("query ran out of time")]
    Deadline,
    /// RESOURCE_EXHAUSTED with cause CONCURRENT_LIMIT.
    #[error("queue holds too many queries")]
    TooMany,
    /// The queue goes elsewhere, ended or died: look it up again and retry.
    #[error("queue moved")]
    Moved,
    #[error("queue's mailbox is full")]
    Busy,
}

impl From<QueryEnd> for QueryError {
    fn from(why: QueryEnd) -> Self {
        match why {
            QueryEnd::NoPoller => Self::NoPoller,
            QueryEnd::StickyWorkerUnavailable => Self::StickyWorkerUnavailable,
            QueryEnd::Deadline => Self::Deadline,
            QueryEnd::Full => Self::TooMany,
            QueryEnd::Draining => Self::Moved,
        }
    }
}

impl From<AskError> for QueryError {
    fn from(why: AskError) -> Self {
        match why {
            AskError::Busy => Self::Busy,
            AskError::TooManyPolls => Self::TooMany,
            AskError::Gone => Self::Moved,
        }
    }
}

/// Why an answer reached nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// NOT_FOUND: nobody waits for it, or it was answered before.
    #[error("query expired")]
    Expired,
    #[error("queue's mailbox is full")]
    Busy,
    /// The queue ended or died, and the waiting query with it.
    #[error("queue is gone")]
    Gone,
}
