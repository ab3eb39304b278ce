//! ShardStore: where a shard keeps its rows and histories, and the contract of its commit.

use async_trait::async_trait;
use bytes::Bytes;
use proto::ids::{NodeId, ShardId};

use crate::{
    batch::{Batch, HistoryKey, HistoryNode, Table},
    error::{CommitError, StoreError},
    metrics::Snapshot,
};

/// The right to write a shard: the store refuses a commit under any but the newest one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub shard: ShardId,
    /// Grows with each acquisition.
    pub epoch: u64,
    /// The last committed batch when the lease was taken.
    pub batch: u64,
}

/// One row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub key: Bytes,
    pub value: Bytes,
}

/// What a commit carries at most, so that it stays quick; the shard cuts its batches by both.
///
/// One transaction that is larger by itself comes alone in its batch, and a backend must take it: rows of up to
/// 7.5 MiB, and history nodes of up to 4 MiB each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    pub bytes: usize,
    pub writes: usize,
}

/// Part of a history to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryRange {
    pub history: HistoryKey,
    /// The first event wanted; the node that holds it is the oldest one returned. The store does not know where the
    /// newest node ends, so it returns that node for any later `from_event_id` too.
    pub from_event_id: i64,
    /// The first event not wanted; a node that starts at or after it is not returned.
    pub to_event_id: i64,
    /// Newest node first; limits then cut off the oldest ones.
    pub reverse: bool,
    pub max_nodes: usize,
    /// At least one node of the range is returned, whatever its size and `max_nodes`.
    pub max_bytes: usize,
}

impl Default for BatchLimits {
    /// What the local backends take; the same in memory as on a disk, so that a simulation tells the truth.
    fn default() -> Self {
        Self {
            bytes: 4 << 20,
            writes: 8192,
        }
    }
}

impl HistoryRange {
    pub(crate) fn budget(&self) -> Budget {
        Budget {
            nodes: self.max_nodes,
            bytes: self.max_bytes,
            first: true,
        }
    }
}

/// How much of a history one answer may still carry.
pub(crate) struct Budget {
    nodes: usize,
    bytes: usize,
    first: bool,
}

impl Budget {
    /// Takes a node of `size` bytes if it fits; the first one always does.
    pub(crate) fn take(&mut self, size: usize) -> bool {
        let fits = self.first || (self.nodes > 0 && size <= self.bytes);
        if fits {
            self.nodes = self.nodes.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(size);
        }
        self.first = false;
        fits
    }
}

/// Keeps the rows and histories of shards. Knows bytes, keys and numbers, never a run.
///
/// # Contract
///
/// - **Lease.** `acquire` makes the epoch one larger, durably, before it returns. From then on a commit under
///   an older epoch is refused with [`CommitError::Fenced`], also one that is under way. Two owners may both
///   believe in their lease; only the newest can commit (P2).
/// - **Numbered batches.** A commit is applied if and only if the stored pair (epoch, batch number) is
///   (lease's epoch, `batch.number - 1`); it then stores `batch.number`. If the stored pair is already
///   (lease's epoch, `batch.number`), the batch had landed before and `commit` answers `Ok` without writing.
///   So the settlement of an unknown outcome is to send the same batch again, and a time-out is never a guess.
/// - **One in flight.** A shard sends its next batch only after the last one is answered.
/// - **All or nothing, durable.** When `commit` answers `Ok`, every write of the batch is on stable storage.
///   No reader ever sees a part of a batch.
/// - **Unknown outcome.** A backend sends again by itself for a bounded time. [`CommitError::GaveUp`] means that
///   it could not settle: the batch may or may not have landed. The caller must stop, and acquire and read again.
/// - **Reads** see every batch that was acknowledged before the read began. Reads need no lease: a reader that
///   has lost its shard may see stale rows, and learns of it at its next commit.
/// - **History** is append-only. A node becomes visible with the commit that carries it; nodes of committed
///   batches never change until their history is forgotten.
#[async_trait]
pub trait ShardStore: Send + Sync + 'static {
    fn limits(&self) -> BatchLimits;

    /// What the store has counted since it was opened.
    fn counts(&self) -> Snapshot;

    async fn acquire(&self, shard: ShardId, owner: &NodeId) -> Result<Lease, StoreError> {
        self.acquire_above(shard, owner, 0).await
    }

    /// As `acquire`; the shard's next batch has a number above `batch`, too. So a shard that takes over what others
    /// have written numbers on from them, and whatever a backend orders by numbers stays in order.
    async fn acquire_above(&self, shard: ShardId, owner: &NodeId, batch: u64) -> Result<Lease, StoreError>;

    /// Tells whether the lease is the newest one. Sees every acquisition that ended before the call began.
    async fn holds(&self, lease: &Lease) -> Result<bool, StoreError>;

    /// Tells whether another process can acquire leases of this store.
    fn is_shared(&self) -> bool;

    /// Gives the lease back, so that another node need not wait; a lease that is no longer the newest is ignored.
    async fn release(&self, lease: &Lease) -> Result<(), StoreError>;

    async fn commit(&self, lease: &Lease, batch: Batch) -> Result<(), CommitError>;

    async fn load(&self, shard: ShardId, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Returns at most `limit` rows with `from <= key < to` in key order; `to` of `None` is the table's end.
    /// `table` is one of [`Table::SCANNED`].
    async fn scan(
        &self,
        shard: ShardId,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError>;

    /// Reads part of a history. `shard` is the shard that the run belongs to, whose rows may hold the newest nodes.
    async fn history(&self, shard: ShardId, range: HistoryRange) -> Result<Vec<HistoryNode>, StoreError>;

    /// Moves what the shard's rows hold of histories to where it stands whatever shard its run belongs to; what is
    /// committed later under this lease goes there at once. After it, histories need not be copied with the rows.
    async fn detach_histories(&self, _: &Lease) -> Result<(), StoreError> {
        // A store that keeps histories apart has nothing to move.
        Ok(())
    }
}
