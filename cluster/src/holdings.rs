//! Holdings: the shards of this node, and how they come and go, one step at a time each.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use proto::ids::ShardId;
use shard::{handle::ShardHandle, output::AskError};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::router::Router;

/// How long a shard may take to finish its batches and release its lease when it goes elsewhere.
const FINISH: Duration = Duration::from_secs(5);

/// A lock for each shard: it is taken up or given up under it, so the two never meet.
#[derive(Debug, Default)]
pub(crate) struct Holdings(RwLock<HashMap<ShardId, Arc<Mutex<()>>>>);

impl Holdings {
    /// Waits until nothing else happens to the shard.
    pub(crate) async fn lock(&self, shard: ShardId) -> OwnedMutexGuard<()> {
        self.of(shard).lock_owned().await
    }

    fn of(&self, shard: ShardId) -> Arc<Mutex<()>> {
        if let Some(lock) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&shard) {
            return Arc::clone(lock);
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(shard).or_default())
    }
}

impl Router {
    /// Lets a shard go, for another node to take up: what it has taken is made durable and its lease released.
    /// Calls that come meanwhile wait for its next owner.
    ///
    /// One that does not finish in time is fenced by its next owner.
    pub(crate) async fn give_up(&self, shard: ShardId) -> Result<(), AskError> {
        let _alone = self.0.holdings.lock(shard).await;
        let mut handle = None;
        self.0.shards.send_if_modified(|shards| {
            if !shards.contains_key(&shard) {
                return false;
            }
            let mut next: HashMap<_, _> = (**shards).clone();
            handle = next.remove(&shard);
            *shards = Arc::new(next);
            true
        });
        let Some(handle) = handle else { return Ok(()) };
        let drained = match tokio::time::timeout(FINISH, drain(&handle)).await {
            Ok(drained) => drained,
            Err(_) => Err(AskError::Busy("shard did not finish in time")),
        };
        if let Err(error) = &drained {
            tracing::warn!(%shard, %error, "shard not given up in good order");
        }
        drained
    }
}

/// Drains the shard, also if its mailbox is full for a moment.
async fn drain(handle: &ShardHandle) -> Result<(), AskError> {
    const AGAIN: Duration = Duration::from_millis(5);
    loop {
        match handle.drain().await {
            Err(AskError::Busy(_)) => tokio::time::sleep(AGAIN).await,
            drained => return drained,
        }
    }
}
