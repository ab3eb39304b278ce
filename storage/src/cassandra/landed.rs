//! Landed: which batches of a shard have been committed, for readers of rows that were written before their batch.
//!
//! A row of `run_data` is marked with its shard, epoch and batch number. Within one epoch the numbers up to the
//! fence's have landed. Of an older epoch those have landed that are not above the number with which the next
//! epoch began, which the shard's partition keeps for every epoch. What is known to have landed stays so: most
//! answers come from memory.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use proto::ids::ShardId;
use scylla::statement::prepared::PreparedStatement;

use super::{
    OpenError,
    link::Link,
    rows::{rows, signed, typed, unsigned},
};
use crate::{error::StoreError, fence::Fence, shard::Lease};

/// Kind of the rows that keep the epochs.
pub(super) const EPOCHS: i8 = 0;

/// What this node knows of each shard's commits.
pub(super) struct Landed {
    known: Mutex<HashMap<ShardId, Known>>,
    select_fence: PreparedStatement,
    select_epochs: PreparedStatement,
}

#[derive(Clone, Debug, Default)]
struct Known {
    fence: Fence,
    /// The last batch before each epoch.
    begun: BTreeMap<u64, u64>,
}

/// The mark of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    pub(super) batch: u64,
    pub(super) epoch: u64,
    pub(super) shard: ShardId,
}

impl Known {
    /// Whether the batch has landed, or `None` if what is known is too old to tell.
    fn has(&self, mark: Mark) -> Option<bool> {
        if mark.epoch == self.fence.epoch {
            return (mark.batch <= self.fence.batch).then_some(true);
        }
        let next = self.begun.range(mark.epoch + 1..).next();
        next.map(|(_, last)| mark.batch <= *last)
    }
}

impl Landed {
    pub(super) async fn prepare(link: &Link) -> Result<Self, OpenError> {
        Ok(Self {
            known: Mutex::default(),
            select_fence: link
                .prepare("SELECT epoch, number FROM ks.shard WHERE shard = ? LIMIT 1", 1)
                .await?,
            select_epochs: link
                .prepare(
                    "SELECT key, value FROM ks.shard WHERE shard = ? AND kind = 0",
                    5000,
                )
                .await?,
        })
    }

    /// A batch of ours has landed.
    pub(super) fn note(&self, lease: &Lease, batch: u64) {
        if let Some(known) = self.known().get_mut(&lease.shard)
            && known.fence.epoch == lease.epoch
        {
            known.fence.batch = known.fence.batch.max(batch);
        }
    }

    /// Whether the batch has landed. One that is under way meanwhile may count or not.
    pub(super) async fn has(&self, link: &Link, mark: Mark) -> Result<bool, StoreError> {
        if let Some(known) = self.known().get(&mark.shard).and_then(|known| known.has(mark)) {
            return Ok(known);
        }
        let known = self.read(link, mark.shard).await?;
        // Not told by the newest state: the batch is later than all that have landed.
        let has = known.has(mark).unwrap_or(false);
        self.known().insert(mark.shard, known);
        Ok(has)
    }

    async fn read(&self, link: &Link, shard: ShardId) -> Result<Known, StoreError> {
        let mut deadline = link.deadline();
        let id = (shard.0.cast_signed(),);
        // The epochs are read after the fence, so that none before the fence's is missing.
        let fence = rows(link.execute(&self.select_fence, id, &mut deadline).await?)?;
        let epochs = rows(link.execute(&self.select_epochs, id, &mut deadline).await?)?;
        let mut known = Known::default();
        if let Some((Some(epoch), Some(batch))) = typed::<(Option<i64>, Option<i64>)>(&fence)?.first() {
            known.fence = Fence {
                epoch: unsigned(*epoch),
                batch: unsigned(*batch),
            };
        }
        for (epoch, last) in typed::<(&[u8], &[u8])>(&epochs)? {
            known.begun.insert(number(epoch)?, number(last)?);
        }
        Ok(known)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<ShardId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn number(bytes: &[u8]) -> Result<u64, StoreError> {
    let bytes = bytes
        .try_into()
        .map_err(|_| StoreError::Broken("epoch of a shard is malformed".to_owned()))?;
    Ok(u64::from_be_bytes(bytes))
}

impl Mark {
    pub(super) fn new(lease: &Lease, batch: u64) -> Self {
        Self {
            batch,
            epoch: lease.epoch,
            shard: lease.shard,
        }
    }

    pub(super) fn columns(self) -> (i64, i64, i32) {
        (signed(self.batch), signed(self.epoch), self.shard.0.cast_signed())
    }

    pub(super) fn from_columns(batch: i64, epoch: i64, shard: i32) -> Self {
        Self {
            batch: unsigned(batch),
            epoch: unsigned(epoch),
            shard: ShardId(shard.cast_unsigned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_has_landed() {
        let known = Known {
            fence: Fence { epoch: 5, batch: 20 },
            begun: [(1, 0), (2, 7), (4, 7), (5, 12)].into(),
        };
        let cases = [
            (5, 20, Some(true)),
            (5, 21, None),
            (6, 21, None),
            (4, 12, Some(true)),
            (4, 13, Some(false)),
            (2, 7, Some(true)),
            (2, 8, Some(false)),
            (1, 7, Some(true)),
            (1, 8, Some(false)),
        ];
        for (epoch, batch, expected) in cases {
            let mark = Mark {
                batch,
                epoch,
                shard: ShardId(1),
            };
            assert_eq!(known.has(mark), expected, "epoch {epoch}, batch {batch}");
        }
    }
}
