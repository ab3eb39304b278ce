//! Sweep: deletes the rows of shards that were split or merged, and of those that were never finished.

use std::time::Duration;

use proto::ids::ShardId;
use shard::moving::{self, Rows, Spot};
use storage::{
    batch::{Batch, Write},
    error::{CommitError, StoreError},
    registry::RegistryError,
    shard::Lease,
};

use crate::{placement::Owner, router::Router};

/// How long nothing is deleted: an owner of before that was cut off may still answer from memory what it has loaded.
pub const REST: Duration = Duration::from_secs(5);
/// Rows that one batch deletes, besides the closed runs whose wake-ups are among them.
const ROWS: usize = 200;
/// A batch is followed by a pause of this many times as long as it took.
const PAUSES: u32 = 4;
/// How long until rows that could not be deleted are looked at again.
const RETRY: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Map(#[from] RegistryError),
}

/// Deletes what falls to this node, for as long as it runs.
pub(crate) async fn run(router: Router) {
    let mut placement = router.0.placement.subscribe();
    loop {
        let known = std::sync::Arc::clone(&placement.borrow_and_update());
        let garbage = known.map().garbage.iter().copied().map(ShardId);
        let Some(shard) = garbage.into_iter().find(|shard| known.shard(*shard) == Owner::Me) else {
            if placement.changed().await.is_err() {
                return;
            }
            continue;
        };
        tokio::time::sleep(REST).await;
        if let Err(error) = sweep(&router, shard).await {
            tracing::warn!(%shard, %error, "rows of a shard that is gone are not deleted yet");
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// What is deleted next. Pure: rows come in, batches go out; the simulation does the same.
#[derive(Debug)]
pub struct Sweep {
    number: u64,
    spot: Option<Spot>,
    deleted: usize,
}

impl Sweep {
    /// Begins under a lease that was just taken: whoever may still be filling the shard is fenced.
    #[must_use]
    pub fn new(lease: &Lease) -> Self {
        Self {
            number: lease.batch,
            spot: Some(Spot::default()),
            deleted: 0,
        }
    }

    /// Returns where to read on, and how many rows; `None` when all are deleted.
    #[must_use]
    pub fn wants(&self) -> Option<(Spot, usize)> {
        Some((self.spot.clone()?, ROWS))
    }

    /// Returns the batch that removes what was read, if anything is to be removed.
    pub fn read(&mut self, rows: Rows) -> Option<Batch> {
        self.spot = rows.next;
        self.deleted += rows.writes.len();
        // The last one empties what the backend itself owes for those before.
        (!rows.writes.is_empty() || self.spot.is_none()).then(|| {
            self.number += 1;
            removal(self.number, rows.writes)
        })
    }
}

/// Deletes the shard's rows, takes it off the map's list, and returns.
async fn sweep(router: &Router, shard: ShardId) -> Result<(), SweepError> {
    let store = &router.0.store;
    let lease = store.acquire(shard, &router.0.node).await?;
    let mut sweep = Sweep::new(&lease);
    while let Some((from, limit)) = sweep.wants() {
        let rows = moving::read(&**store, shard, &from, limit).await?;
        if let Some(batch) = sweep.read(rows) {
            let begun = tokio::time::Instant::now();
            store.commit(&lease, batch).await?;
            tokio::time::sleep(begun.elapsed() * PAUSES).await;
        }
    }
    let deleted = sweep.deleted;
    store.release(&lease).await?;
    loop {
        let stored = router.read_map().await?;
        if !stored.map.garbage.contains(&shard.0) {
            return Ok(());
        }
        match router.change_map(&stored, stored.map.cleaned(shard)).await {
            Ok(_) => {
                tracing::info!(%shard, deleted, "rows of a shard that is gone are deleted");
                return Ok(());
            }
            Err(RegistryError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Returns the batch that removes the rows; a closed run goes before the wake-up by which it is found.
fn removal(number: u64, writes: Vec<Write>) -> Batch {
    let gone = |write: Write| Write { value: None, ..write };
    Batch {
        number,
        writes: writes.into_iter().rev().map(gone).collect(),
        ..Batch::default()
    }
}
