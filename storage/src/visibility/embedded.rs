//! Embedded index: visibility in an SQLite file, or in memory, of this process.
//!
//! # What survives
//!
//! A batch is one transaction in SQLite's write-ahead log; `apply` answers after its commit. What was answered
//! survives the process, however that ends. A loss of power may take the last transactions, and never tears
//! one: only with [`EmbeddedOptions::survive_power_loss`], at the price of a sync for each transaction, does
//! what was answered survive that too.

mod dictionary;
mod gone;
mod plan;
mod reader;
mod row;
mod schema;
mod source;
mod sql;
mod threads;
mod watch;
mod writer;

use std::{num::NonZeroUsize, path::Path, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use proto::ids::NamespaceId;
use tokio::sync::oneshot;

use self::{
    plan::Costs,
    threads::{Job, List, Threads, stopped},
    watch::Abandoned,
};
use super::{
    Count, Page, Update, VisibilityIndex,
    error::VisibilityError,
    limits::{APPLY_UPDATES_MAX, PAGE_SIZE_MAX},
    query::{CountQuery, ListQuery},
    token::Position,
};

/// How an index in a file works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// Threads that answer queries; each has a connection and its cache.
    pub readers: NonZeroUsize,
    /// Whether `apply` answers only after a sync. Without it a loss of power may take what was answered in the
    /// last moments.
    pub survive_power_loss: bool,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            readers: NonZeroUsize::MIN.saturating_add(1),
            survive_power_loss: false,
        }
    }
}

/// The index of a single node. Cheap to clone; dropping the last one finishes what is queued, which blocks,
/// and closes the file.
#[derive(Clone, Debug)]
pub struct EmbeddedIndex {
    threads: Arc<Threads>,
}

impl EmbeddedIndex {
    /// Opens the index in the file, which is made if it is not there. Blocks; no other process may have it open
    /// for writing.
    pub fn open(path: &Path, options: &EmbeddedOptions) -> Result<Self, VisibilityError> {
        Ok(Self {
            threads: Arc::new(Threads::open(Some(path), options, Costs::default())?),
        })
    }

    /// Makes an empty index in memory, with one thread.
    pub fn in_memory() -> Result<Self, VisibilityError> {
        Self::in_memory_with(Costs::default())
    }

    fn in_memory_with(costs: Costs) -> Result<Self, VisibilityError> {
        Ok(Self {
            threads: Arc::new(Threads::open(None, &EmbeddedOptions::default(), costs)?),
        })
    }
}

#[async_trait]
impl VisibilityIndex for EmbeddedIndex {
    async fn apply(&self, updates: Vec<Update>) -> Result<(), VisibilityError> {
        if updates.len() > APPLY_UPDATES_MAX {
            return Err(VisibilityError::TooMany {
                updates: updates.len(),
                limit: APPLY_UPDATES_MAX,
            });
        }
        if updates.is_empty() {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        self.threads.apply(updates, reply)?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    async fn list(
        &self,
        namespace_id: NamespaceId,
        query: ListQuery,
        page_size: usize,
        page_token: Bytes,
    ) -> Result<Page, VisibilityError> {
        let after = Position::from_bytes(&page_token)?;
        let page_size = if page_size == 0 {
            PAGE_SIZE_MAX
        } else {
            page_size.min(PAGE_SIZE_MAX)
        };
        let (reply, answer) = oneshot::channel();
        let abandoned = Abandoned::default();
        let _guard = abandoned.guard();
        let list = List {
            namespace: namespace_id,
            query,
            page_size,
            after,
        };
        self.threads.read(Job::List {
            list,
            abandoned,
            reply,
        })?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    async fn count(&self, namespace_id: NamespaceId, query: CountQuery) -> Result<Count, VisibilityError> {
        let (reply, answer) = oneshot::channel();
        let abandoned = Abandoned::default();
        let _guard = abandoned.guard();
        self.threads.read(Job::Count {
            namespace: namespace_id,
            query,
            abandoned,
            reply,
        })?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    async fn delete_namespace(&self, namespace_id: NamespaceId) -> Result<(), VisibilityError> {
        let (reply, answer) = oneshot::channel();
        self.threads.write(Job::DeleteNamespace {
            namespace: namespace_id,
            reply,
        })?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}

impl From<rusqlite::Error> for VisibilityError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::{Error, ErrorCode};
        match &error {
            Error::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::OperationInterrupted => Self::Unavailable("query took too long".to_owned()),
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Broken(error.to_string()),
                _ => Self::Unavailable(error.to_string()),
            },
            Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::Utf8Error(..)
            | Error::InvalidColumnType(..) => Self::Broken(error.to_string()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
