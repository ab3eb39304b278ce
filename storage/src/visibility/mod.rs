//! Visibility: the index that answers "which runs", fed from the shards' outboxes.
//!
//! Owns the record that is indexed, the list filter's language and the backends that answer it. It decides
//! nothing about a run and is never asked about one by the engine: it may lag, but it never ends wrong, since
//! each record carries its run's version and an older one is ignored.
//!
//! The shard makes [`record::Record`]s and delivers them with [`VisibilityIndex::apply`]; the frontend checks
//! search attributes (`attributes`), parses queries (`query`) and asks with [`VisibilityIndex::list`] and
//! [`VisibilityIndex::count`].

#[cfg(any(test, feature = "suite"))]
mod arbitrary;
pub mod attributes;
#[cfg(feature = "cassandra")]
pub mod cassandra;
pub mod embedded;
pub mod error;
pub mod limits;
pub mod memory;
pub mod query;
pub mod record;
#[cfg(any(test, feature = "suite"))]
pub mod suite;
mod tally;
mod token;

use async_trait::async_trait;
use bytes::Bytes;
use proto::ids::{NamespaceId, RunId};

use self::{
    attributes::SearchValue,
    error::VisibilityError,
    query::{CountQuery, ListQuery},
    record::Record,
};

/// What a shard tells the index about one run.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// The run as it is at the record's version.
    Upsert(Box<Record>),
    /// The run is gone as of the record's version; it was last as the record says, but for its memo and its
    /// search attributes, which are left out.
    Delete(Box<Record>),
}

impl Update {
    fn run(&self) -> (NamespaceId, RunId) {
        (self.record().namespace_id, self.record().run_id)
    }

    /// Returns about how many bytes the update takes in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        self.record().size()
    }

    #[must_use]
    pub fn version(&self) -> u64 {
        self.record().version
    }

    fn record(&self) -> &Record {
        match self {
            Self::Upsert(record) | Self::Delete(record) => record,
        }
    }
}

/// Some of the runs that a query asks for, in its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    pub records: Vec<Record>,
    /// Where the next page begins; empty after the last one. A last page that is full has a token, whose page
    /// is empty. A page that is short may have one, if the backend has read enough for one call.
    pub next_page_token: Bytes,
}

/// How many runs match, and how they divide by the query's GROUP BY.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Count {
    pub total: u64,
    /// Largest group first, of equal ones by name; empty if the query has no GROUP BY.
    pub groups: Vec<Group>,
}

/// The runs that share one value of the GROUP BY attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// A Keyword; empty for the runs without the attribute.
    pub value: SearchValue,
    pub count: u64,
}

/// Keeps a record of each run and finds runs by their attributes.
///
/// # Contract
///
/// - **Order of writes.** Of two updates of one run the one with the higher version stays, in whatever order
///   and however often they come. A deleted run stays deleted for updates with a lower version, as long as they
///   come within the backend's window for late ones.
/// - **What a run keeps.** Its updates have the same workflow id, type, start time, parent and root; once closed it
///   stays closed, with the same status and close time; two updates with one version are the same.
/// - **Durability.** `apply` answers `Ok` only after all updates are committed. The caller keeps them in its
///   outbox until then and sends them again after an error or a restart.
/// - **Order of lists.** Open runs first, then by close time, newest first; then by start time, newest first;
///   then by run id.
/// - **Work** of one call is bounded. A backend that reads many runs for few that match may return a page that is
///   short and yet has a token, and refuses a count that it cannot make ([`VisibilityError::TooCostly`]).
/// - **Pages** are stable: a run that is there from the first page to the last, without changing its place in
///   the order, is returned exactly once, whatever is inserted or deleted meanwhile.
/// - **Bounds.** No call blocks its caller's thread. Work waits in bounded queues; when one is full the call
///   answers [`VisibilityError::Busy`].
#[async_trait]
pub trait VisibilityIndex: Send + Sync + 'static {
    async fn apply(&self, updates: Vec<Update>) -> Result<(), VisibilityError>;

    /// Returns at most `page_size` runs, which is clamped to [`limits::PAGE_SIZE_MAX`]; an empty token asks for
    /// the first page.
    async fn list(
        &self,
        namespace_id: NamespaceId,
        query: ListQuery,
        page_size: usize,
        page_token: Bytes,
    ) -> Result<Page, VisibilityError>;

    async fn count(&self, namespace_id: NamespaceId, query: CountQuery) -> Result<Count, VisibilityError>;

    /// Removes every record of the namespace.
    async fn delete_namespace(&self, namespace_id: NamespaceId) -> Result<(), VisibilityError>;
}
