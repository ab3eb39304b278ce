//! CassandraIndex: the index of a cluster, in two tables of Cassandra.
//!
//! - **A run has a row under each of its terms**: every run, its type, its status once it has closed, and its
//!   workflow id ([`place`]). Each row holds the whole record, and all terms have the lists' order.
//! - **A term is cut into slices** by the hour, so that no partition grows without bound and what is old goes as a
//!   whole; a directory says which slices there are ([`slices`]).
//! - **A list reads one term**, or a few, that its filter asks for, in order, and asks the filter of each record
//!   ([`plan`], [`scan`]). So a filter that few runs match is costly unless it names a workflow id, a type, a status
//!   or a time.
//! - **Writes are blind.** A row's timestamp is made of its run's start and version, so the newest version stays
//!   without a condition and without a read, in whatever order updates come ([`writer`]).

mod place;
mod plan;
mod read;
mod scan;
mod slices;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use proto::ids::NamespaceId;
use tokio::sync::{Semaphore, SemaphorePermit};

use self::{plan::plan, scan::Scanner, slices::Slices, writer::Writer};
use super::{
    Count, Page, Update, VisibilityIndex,
    error::VisibilityError,
    limits::{
        APPLY_UPDATES_MAX, COUNT_RUNS_MAX, PAGE_SIZE_MAX, READ_QUEUE_MAX, READ_TIME_MAX, SCAN_RUNS_MAX,
    },
    query::{CountQuery, ListQuery},
    record::Record,
    tally::Tally,
    token::Position,
};
use crate::{
    cassandra::{OpenError, config::CassandraConfig, link::Link, schema},
    error::StoreError,
};

/// Queries that run at the same time.
const READS_AT_ONCE: usize = 16;

/// Keeps records in a keyspace of Cassandra.
pub struct CassandraIndex {
    writer: Writer,
    scanner: Arc<Scanner>,
    reads: Semaphore,
    waiting: Semaphore,
}

impl CassandraIndex {
    /// Connects to the keyspace and checks its schema, or sets it up if the settings say so.
    ///
    /// Needs a tokio runtime, which must live longer than the index.
    pub async fn open(config: &CassandraConfig) -> Result<Self, OpenError> {
        config.validate()?;
        if config.auto_setup {
            schema::setup(config).await?;
        }
        let link = Link::open(config).await?;
        schema::check(&link.session(), config).await?;
        let slices = Arc::new(Slices::prepare(&link).await?);
        Ok(Self {
            writer: Writer::prepare(&link, Arc::clone(&slices)).await?,
            scanner: Arc::new(Scanner::prepare(&link, slices).await?),
            reads: Semaphore::new(READS_AT_ONCE),
            waiting: Semaphore::new(READ_QUEUE_MAX),
        })
    }

    /// Waits for the right to run a query, in a queue that is bounded.
    async fn enter(&self) -> Result<SemaphorePermit<'_>, VisibilityError> {
        let _place = self.waiting.try_acquire().map_err(|_| VisibilityError::Busy)?;
        self.reads.acquire().await.map_err(|_| VisibilityError::Busy)
    }

    async fn page(
        &self,
        namespace_id: NamespaceId,
        query: &ListQuery,
        page_size: usize,
        after: Option<Position>,
    ) -> Result<Page, VisibilityError> {
        let mut scan = self
            .scanner
            .start(
                namespace_id,
                &plan(&query.filter),
                after,
                scan::Columns::Record(page_size),
            )
            .await?;
        let mut records: Vec<Record> = Vec::new();
        let mut last = None;
        for _ in 0..SCAN_RUNS_MAX {
            let Some(found) = scan.next().await? else {
                return Ok(Page {
                    records,
                    next_page_token: Bytes::new(),
                });
            };
            last = Some(found.position);
            if query.filter.matches(&found.record) {
                records.push(found.record);
                if records.len() == page_size {
                    break;
                }
            }
        }
        // Either the page is full, or enough was read: the next call goes on behind.
        Ok(Page {
            records,
            next_page_token: last.map(Position::to_bytes).unwrap_or_default(),
        })
    }

    async fn total(&self, namespace_id: NamespaceId, query: &CountQuery) -> Result<Count, VisibilityError> {
        let plan = plan(&query.filter);
        let columns = if plan.needs_record(&query.filter) {
            scan::Columns::Record(PAGE_SIZE_MAX)
        } else {
            scan::Columns::Key
        };
        let mut scan = self.scanner.start(namespace_id, &plan, None, columns).await?;
        let mut tally = Tally::new(query.group_by);
        let mut read = 0;
        while let Some(found) = scan.next().await? {
            read += 1;
            if read > COUNT_RUNS_MAX {
                return Err(VisibilityError::TooCostly {
                    limit: COUNT_RUNS_MAX,
                });
            }
            if query.filter.matches(&found.record) {
                tally.add(&found.record);
            }
        }
        Ok(tally.count())
    }
}

#[async_trait]
impl VisibilityIndex for CassandraIndex {
    async fn apply(&self, updates: Vec<Update>) -> Result<(), VisibilityError> {
        if updates.len() > APPLY_UPDATES_MAX {
            return Err(VisibilityError::TooMany {
                updates: updates.len(),
                limit: APPLY_UPDATES_MAX,
            });
        }
        self.writer.apply(updates).await
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
        let _right = self.enter().await?;
        within_time(self.page(namespace_id, &query, page_size, after)).await
    }

    async fn count(&self, namespace_id: NamespaceId, query: CountQuery) -> Result<Count, VisibilityError> {
        let _right = self.enter().await?;
        within_time(self.total(namespace_id, &query)).await
    }

    async fn delete_namespace(&self, namespace_id: NamespaceId) -> Result<(), VisibilityError> {
        self.writer.delete_namespace(namespace_id, &self.scanner).await
    }
}

async fn within_time<T>(
    answer: impl Future<Output = Result<T, VisibilityError>>,
) -> Result<T, VisibilityError> {
    tokio::time::timeout(READ_TIME_MAX, answer)
        .await
        .unwrap_or_else(|_| Err(VisibilityError::Unavailable("query takes too long".to_owned())))
}

impl From<StoreError> for VisibilityError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Broken(why) => Self::Broken(why),
            other => Self::Unavailable(other.to_string()),
        }
    }
}
