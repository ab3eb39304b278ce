//! CassandraStore: shards, histories and the registry of a cluster, on Apache Cassandra.
//!
//! - **A shard is one partition** of the table `shard`: its open runs with the newest part of their histories
//!   ([`tails`]), newest runs, ready tasks, wake-ups, outbox and, in static columns, its fence. A commit is one
//!   conditional batch on it, however many runs it carries.
//! - **Older histories and closed runs** are rows of `run_data`, a partition per run. They are written before the
//!   conditional batch, marked with the batch's epoch and number, and count once that batch has landed
//!   ([`landed`] says how a reader knows).
//! - **An unknown outcome** is settled by sending the same batch again until the deadline: it lands now, or the
//!   fence says that it had landed.
//!
//! Every call is bounded by `callTimeout`. Commits in flight are bounded by a limit that follows latency.

mod cold;
mod commits;
pub mod config;
mod floors;
mod histories;
mod landed;
mod limiter;
pub(crate) mod link;
mod plan;
mod registry;
mod routing;
pub(crate) mod rows;
pub mod schema;
mod shards;
mod tails;
mod tls;
pub mod writers;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use proto::ids::{NodeId, ShardId};

use self::{
    cold::Cold,
    config::{CassandraConfig, InvalidConfig},
    floors::Floors,
    landed::Landed,
    limiter::Limiter,
    link::Link,
    registry::CassandraRegistry,
    shards::Shards,
    tails::Tails,
};
use crate::{
    batch::{Batch, HistoryNode, Table},
    error::{CommitError, StoreError},
    metrics::{Metrics, Snapshot},
    registry::{Entry, Registry, RegistryError, RegistryTable, RegistryWrite},
    shard::{BatchLimits, HistoryRange, Lease, Row, ShardStore},
};

/// Longer keys are refused; Cassandra's own limit is 65,535 bytes.
const KEY_MAX: usize = 60_000;
/// A quarter of the largest mutation that Cassandra takes by default (16 MiB): Paxos stores a batch twice.
const LIMITS: BatchLimits = BatchLimits {
    bytes: 4 << 20,
    writes: 4096,
};

/// The store cannot be opened or its schema not be changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    #[error(
        "open keyspace {keyspace}: it has no schema; run `perdure schema setup`, or set autoSetup for the first start"
    )]
    NoSchema { keyspace: String },
    #[error("update keyspace {keyspace}: there is none; run `perdure schema setup`")]
    NoKeyspace { keyspace: String },
    #[error(
        "open keyspace {keyspace}: its schema has version {found}, this release needs {needed} or a later one; run `perdure schema update`",
        needed = schema::NEEDED
    )]
    OlderSchema { keyspace: String, found: usize },
    #[error(
        "open keyspace {keyspace}: its schema has version {found}, made for a later release; this one knows versions up to {known} only",
        known = schema::CURRENT
    )]
    NewerSchema { keyspace: String, found: usize },
    #[error("set up TLS: name the certificates to trust in caFile")]
    NoCa,
    #[error("{action}: {why}")]
    Refused { action: String, why: String },
}

/// A store on a Cassandra cluster; cheap to clone.
#[derive(Clone)]
pub struct CassandraStore {
    inner: Arc<Inner>,
}

struct Inner {
    link: Link,
    shards: Shards,
    cold: Cold,
    landed: Landed,
    tails: Arc<Tails>,
    floors: Floors,
    limiter: Limiter,
    registry: CassandraRegistry,
    metrics: Metrics,
}

impl CassandraStore {
    /// Connects to the cluster and checks the schema's version, or sets it up if the settings say so.
    ///
    /// Needs a tokio runtime, which must live longer than the store: its connections are tasks of it.
    pub async fn open(config: &CassandraConfig) -> Result<Self, OpenError> {
        config.validate()?;
        if config.auto_setup {
            schema::setup(config).await?;
        }
        let link = Link::open(config).await?;
        let version = schema::check(&link.session(), config).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                shards: Shards::prepare(&link).await?,
                cold: Cold::prepare(&link).await?,
                landed: Landed::prepare(&link).await?,
                tails: Arc::new(Tails::prepare(&link, version).await?),
                floors: Floors::default(),
                limiter: Limiter::new(config.max_commits.get()),
                registry: CassandraRegistry::prepare(&link).await?,
                metrics: Metrics::default(),
                link,
            }),
        })
    }

    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// How many commits of this node may be in flight.
    #[must_use]
    pub fn commits_limit(&self) -> usize {
        self.inner.limiter.limit()
    }
}

#[async_trait]
impl ShardStore for CassandraStore {
    fn limits(&self) -> BatchLimits {
        LIMITS
    }

    fn counts(&self) -> Snapshot {
        self.inner.metrics.snapshot()
    }

    async fn acquire_above(&self, shard: ShardId, owner: &NodeId, batch: u64) -> Result<Lease, StoreError> {
        self.inner.metrics.acquires.inc();
        let inner = Arc::clone(&self.inner);
        let owner = owner.clone();
        let taken = async move { inner.acquire(shard, &owner, batch).await };
        self.inner
            .link
            .finish(taken)
            .await
            .unwrap_or_else(|| Err(stopped()))
    }

    async fn holds(&self, lease: &Lease) -> Result<bool, StoreError> {
        let holds = self.inner.shards.holds(&self.inner.link, lease).await?;
        if !holds {
            self.inner.floors.end(lease);
            self.inner.tails.end(lease);
        }
        Ok(holds)
    }

    fn is_shared(&self) -> bool {
        true
    }

    /// Writes nothing: whoever takes the next lease does not wait for this one to end.
    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        self.inner.floors.end(lease);
        self.inner.tails.end(lease);
        Ok(())
    }

    /// Goes on to its end even if the caller stops waiting for the answer.
    async fn commit(&self, lease: &Lease, batch: Batch) -> Result<(), CommitError> {
        let inner = Arc::clone(&self.inner);
        let lease = lease.clone();
        let settled = async move { inner.commit(&lease, batch).await };
        let answer = self.inner.link.finish(settled).await;
        answer.unwrap_or_else(|| Err(CommitError::GaveUp(stopped().to_string())))
    }

    async fn load(&self, shard: ShardId, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.inner.metrics.loads.inc();
        match table {
            Table::Closed => self.inner.load_closed(shard, key).await,
            _ => self.inner.shards.load(&self.inner.link, shard, table, key).await,
        }
    }

    async fn scan(
        &self,
        shard: ShardId,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.inner.metrics.scans.inc();
        debug_assert!(Table::SCANNED.contains(&table), "scan {table:?}");
        let range = shards::Range {
            shard,
            kind: shards::kind(table),
            from,
            to,
        };
        self.inner.scan(table, range, limit).await
    }

    async fn history(&self, shard: ShardId, range: HistoryRange) -> Result<Vec<HistoryNode>, StoreError> {
        self.inner.metrics.histories.inc();
        self.inner.history(shard, &range).await
    }

    async fn detach_histories(&self, lease: &Lease) -> Result<(), StoreError> {
        self.inner.detach_histories(lease).await
    }
}

#[async_trait]
impl Registry for CassandraStore {
    async fn get(&self, table: RegistryTable, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        self.inner.metrics.registry_reads.inc();
        self.inner.registry.get(&self.inner.link, table, key).await
    }

    async fn list(
        &self,
        table: RegistryTable,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.inner.metrics.registry_reads.inc();
        self.inner
            .registry
            .list(&self.inner.link, table, after, limit)
            .await
    }

    async fn write(&self, writes: Vec<RegistryWrite>) -> Result<(), RegistryError> {
        let inner = Arc::clone(&self.inner);
        let settled = async move {
            inner.registry.write(&inner.link, writes).await?;
            inner.metrics.registry_writes.inc();
            Ok(())
        };
        let answer = self.inner.link.finish(settled).await;
        answer.unwrap_or_else(|| Err(stopped().into()))
    }
}

pub(crate) fn stopped() -> StoreError {
    StoreError::Unavailable("store has stopped".to_owned())
}
