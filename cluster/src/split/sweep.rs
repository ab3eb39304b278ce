//! Sweep: deletes the rows of shards that were split or merged, and of those that were never finished.

use std::time::Duration;

use proto::ids::ShardId;
use shard::moving::{self, Spot};
use storage::{
    batch::{Batch, Write},
    error::{CommitError, StoreError},
    registry::RegistryError,
};

use crate::{placement::Owner, router::Router};

/// How long nothing is deleted: an owner of before that was cut off may still answer from memory what it has loaded.
const REST: Duration = Duration::from_secs(5);
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

/// Deletes the shard's rows, takes it off the map's list, and returns.
async fn sweep(router: &Router, shard: ShardId) -> Result<(), SweepError> {
    let store = &router.0.store;
    // Whoever may still be filling it is fenced.
    let lease = store.acquire(shard, &router.0.node).await?;
    let mut number = lease.batch;
    let mut spot = Some(Spot::default());
    let mut deleted = 0;
    while let Some(from) = spot {
        let rows = moving::read(&**store, shard, &from, ROWS).await?;
        spot = rows.next;
        deleted += rows.writes.len();
        // The last one empties what the backend itself owes for those before.
        if !rows.writes.is_empty() || spot.is_none() {
            number += 1;
            let begun = tokio::time::Instant::now();
            store.commit(&lease, removal(number, rows.writes)).await?;
            tokio::time::sleep(begun.elapsed() * PAUSES).await;
        }
    }
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
