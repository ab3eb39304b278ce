//! EmbeddedStore: the store of one node on its own disk, for all its shards and the registry.
//!
//! Owns the data directory: fjall's database, the lock that keeps a second process out, and the high-water mark.
//! Every write goes through one committer thread, which merges what waits into one write and one sync.
//! Reads run inline in the caller's thread: they are served from memory tables, the block cache and the page
//! cache, and a hop to another thread would cost more than they do.
//! Called by shards, by the frontend for histories and by the server, which opens and closes it.

mod committer;
mod journal;
mod layout;
mod lock;
mod mark;
mod open;
mod reads;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread::JoinHandle,
};

use async_trait::async_trait;
use bytes::Bytes;
use proto::ids::{NodeId, ShardId};
use tokio::sync::{mpsc, oneshot};

use self::{
    committer::{Acquire, Commit, Committer, Fences, Request},
    layout::{KEY_MAX, Layout, Prepared, Space},
    lock::DirectoryLock,
    mark::Mark,
};
use crate::{
    batch::{Batch, HistoryNode, Table},
    config::{EmbeddedConfig, InvalidConfig},
    error::{CommitError, StoreError},
    metrics::{Metrics, Snapshot},
    registry::{Entry, Registry, RegistryError, RegistryTable, RegistryWrite},
    shard::{BatchLimits, HistoryRange, Lease, Row, ShardStore},
};

/// The data directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("lock data directory {path}: another process uses it")]
    Locked { path: PathBuf },
    #[error(
        "open data directory {path}: its journal ends at commit {found}, but commit {expected} was acknowledged; \
         restore a copy, or remove {mark} to accept the loss"
    )]
    Truncated {
        path: PathBuf,
        mark: PathBuf,
        found: u64,
        expected: u64,
    },
    #[error(
        "open data directory: bytes from {offset} on of journal {path} are damaged and later commits stand behind \
         them, or earlier ones are missing; restore a copy"
    )]
    Damaged { path: PathBuf, offset: u64 },
    #[error("read high-water mark {path}: no valid record in it; remove it to open without this check")]
    BrokenMark { path: PathBuf },
    #[error("open data directory {path}: it has format {found}, this release reads {known}")]
    Format { path: PathBuf, found: u64, known: u64 },
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    #[error("{action} {path}: {source}")]
    Io {
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("open database {path}: {source}")]
    Engine { path: PathBuf, source: fjall::Error },
}

impl OpenError {
    fn truncated(directory: &Path, found: u64, expected: u64) -> Self {
        Self::Truncated {
            path: directory.to_owned(),
            mark: Mark::path(directory),
            found,
            expected,
        }
    }
}

/// Why the store takes no more calls; set once.
#[derive(Debug, Default)]
pub(crate) struct Health(OnceLock<String>);

impl Health {
    fn check(&self) -> Result<(), StoreError> {
        match self.0.get() {
            Some(reason) => Err(StoreError::Unavailable(reason.clone())),
            None => Ok(()),
        }
    }

    /// Refuses every later call because something broke; the first reason stays.
    fn fail(&self, reason: String) {
        if self.0.set(reason).is_ok() {
            tracing::error!(
                reason = self.reason(),
                "embedded store takes no more calls: open it anew"
            );
        }
    }

    /// Refuses every later call because the store was closed.
    fn close(&self) {
        let _ = self.0.set("store is closed".into());
    }

    fn reason(&self) -> String {
        self.0
            .get()
            .cloned()
            .unwrap_or_else(|| "committer has stopped".into())
    }
}

/// A store on the local disk.
///
/// Any failed write or sync poisons it: the outcome of a failed sync cannot be known, so nothing is tried again,
/// and every later call answers `Unavailable` until the process opens the directory anew.
///
/// Space comes back by itself: a removed row or forgotten history leaves a marker that goes, with the row, when
/// the engine merges the tables that hold them; the part of the key space that is written most is merged first.
pub struct EmbeddedStore {
    layout: Layout,
    requests: mpsc::Sender<Request>,
    committer: Mutex<Option<JoinHandle<()>>>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    // Last, so that the directory is free only when nothing of this store touches it any more.
    _lock: DirectoryLock,
}

impl EmbeddedStore {
    /// Opens the data directory `path`, makes it if it is not there.
    pub fn open(path: &Path, config: &EmbeddedConfig) -> Result<Arc<Self>, OpenError> {
        config.validate()?;
        let opened = open::open(path, config)?;

        let (requests, queue) = mpsc::channel(config.queue_max.get());
        let health = Arc::new(Health::default());
        let metrics = Arc::new(Metrics::default());
        let committer = Committer {
            layout: opened.layout.clone(),
            requests: queue,
            mark: opened.mark,
            health: Arc::clone(&health),
            metrics: Arc::clone(&metrics),
            group_bytes_max: usize::try_from(config.group_bytes_max.as_bytes()).unwrap_or(usize::MAX),
            sequence: opened.sequence,
            fences: Fences::default(),
        };
        let thread = std::thread::Builder::new()
            .name("perdure-commit".into())
            .spawn(move || committer.run())
            .map_err(|source| OpenError::Io {
                action: "start committer for",
                path: path.to_owned(),
                source,
            })?;
        Ok(Arc::new(Self {
            layout: opened.layout,
            requests,
            committer: Mutex::new(Some(thread)),
            health,
            metrics,
            _lock: opened.lock,
        }))
    }

    /// Stops taking writes, lets those that wait land, and leaves the high-water mark durable.
    ///
    /// The directory stays locked until the last handle on the store has gone.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.requests.send(Request::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
        self.join();
    }

    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn join(&self) {
        let thread = self
            .committer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // A panic has been told by the thread itself; the callers got `GaveUp`.
            let _ = thread.join();
        }
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, String> {
        let (reply, answer) = oneshot::channel();
        self.requests
            .send(request(reply))
            .await
            .map_err(|_| self.health.reason())?;
        answer.await.map_err(|_| self.health.reason())
    }

    /// Turns a batch into rows of the engine, in the caller's thread: the committer has one for all shards.
    fn prepare(&self, lease: &Lease, batch: Batch) -> Result<Commit, CommitError> {
        let size = batch.size();
        let mut rows = Vec::with_capacity(batch.writes.len() + batch.history.len());
        for write in batch.writes {
            if write.key.len() > KEY_MAX {
                return Err(CommitError::GaveUp(format!(
                    "write key of {} bytes: too long",
                    write.key.len()
                )));
            }
            let key = layout::row_key(lease.shard, write.table, &write.key).into();
            rows.push(Prepared {
                space: Space::of(write.table),
                key,
                value: write.value,
            });
        }
        for node in batch.history {
            if !batch.forget.contains(&node.history) {
                let key = layout::history_key(&node.history, node.first_event_id).into();
                rows.push(Prepared {
                    space: Space::History,
                    key,
                    value: Some(node.events),
                });
            }
        }
        for history in &batch.forget {
            let keys = self.layout.history_keys(history).map_err(gave_up)?;
            rows.extend(keys.into_iter().map(|key| Prepared {
                space: Space::History,
                key,
                value: None,
            }));
        }
        Ok(Commit {
            lease: lease.clone(),
            number: batch.number,
            rows,
            size,
        })
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        // Without a sender the committer lands what waits and stops; the database may go only after it.
        self.requests = mpsc::channel(1).0;
        self.join();
    }
}

fn gave_up(error: StoreError) -> CommitError {
    CommitError::GaveUp(error.to_string())
}

#[async_trait]
impl ShardStore for EmbeddedStore {
    fn limits(&self) -> BatchLimits {
        BatchLimits::default()
    }

    fn counts(&self) -> Snapshot {
        self.metrics.snapshot()
    }

    async fn acquire_above(&self, shard: ShardId, owner: &NodeId, batch: u64) -> Result<Lease, StoreError> {
        let owner = owner.clone();
        let acquire = Acquire {
            shard,
            owner,
            above: batch,
        };
        self.ask(|reply| Request::Acquire(acquire, reply))
            .await
            .map_err(StoreError::Unavailable)?
    }

    async fn holds(&self, lease: &Lease) -> Result<bool, StoreError> {
        self.health.check()?;
        Ok(self.layout.fence(lease.shard)?.epoch == lease.epoch)
    }

    fn is_shared(&self) -> bool {
        false
    }

    /// Does nothing: nobody else may open the directory, and the next owner need not wait.
    async fn release(&self, _lease: &Lease) -> Result<(), StoreError> {
        self.health.check()
    }

    /// Lands even if the caller stops waiting for the answer.
    async fn commit(&self, lease: &Lease, batch: Batch) -> Result<(), CommitError> {
        self.health.check().map_err(gave_up)?;
        let commit = self.prepare(lease, batch)?;
        self.ask(|reply| Request::Commit(commit, reply))
            .await
            .map_err(CommitError::GaveUp)?
    }

    async fn load(&self, shard: ShardId, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.health.check()?;
        self.metrics.loads.inc();
        self.layout.load(shard, table, key)
    }

    async fn scan(
        &self,
        shard: ShardId,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.health.check()?;
        self.metrics.scans.inc();
        self.layout.scan(shard, table, from, to, limit)
    }

    async fn history(&self, _: ShardId, range: HistoryRange) -> Result<Vec<HistoryNode>, StoreError> {
        self.health.check()?;
        self.metrics.histories.inc();
        self.layout.history(&range)
    }
}

#[async_trait]
impl Registry for EmbeddedStore {
    async fn get(&self, table: RegistryTable, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        self.health.check()?;
        self.metrics.registry_reads.inc();
        self.layout.registry_entry(table, key)
    }

    async fn list(
        &self,
        table: RegistryTable,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.health.check()?;
        self.metrics.registry_reads.inc();
        self.layout.registry_page(table, after, limit)
    }

    async fn write(&self, writes: Vec<RegistryWrite>) -> Result<(), RegistryError> {
        self.health.check()?;
        let answer = self.ask(|reply| Request::Registry(writes, reply)).await;
        answer.map_err(StoreError::Unavailable)?
    }
}

#[cfg(test)]
mod tests;
