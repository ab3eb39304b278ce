//! Indexer: feeds the visibility index from the shards. Of several records of a run only the newest is written.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use proto::ids::{RunKey, ShardId};
use shard::input::Input;
use storage::visibility::Update;
use tokio::sync::Notify;

use crate::router::Router;

/// How long records gather: a run that starts and closes meanwhile is written once.
const GATHER: Duration = Duration::from_millis(30);
/// Records in one transaction.
const BATCH_RECORDS_MAX: usize = 500;
/// How long until the index is tried again after an error.
const RETRY: Duration = Duration::from_secs(1);

/// A record that waits, and since when.
struct Waiting {
    shard: ShardId,
    update: Update,
    since: Instant,
}

/// Records on their way to the index. Each shard bounds its own.
#[derive(Default)]
pub(crate) struct Indexer {
    waiting: Mutex<HashMap<RunKey, Waiting>>,
    arrived: Notify,
}

impl Indexer {
    pub(crate) fn start(router: Router) -> Arc<Self> {
        let indexer = Arc::new(Self::default());
        let task = Arc::clone(&indexer);
        // Ends with the runtime: what is not written by then is in the shards' outboxes.
        tokio::spawn(async move { task.run(router).await });
        indexer
    }

    /// Takes a record in; an older one of the same run is dropped.
    pub(crate) fn add(&self, shard: ShardId, run: RunKey, update: Update) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = waiting
            .get(&run)
            .is_none_or(|known| known.update.version() <= update.version());
        if newest {
            let since = Instant::now();
            waiting.insert(run, Waiting { shard, update, since });
        }
        if waiting.len() == 1 {
            self.arrived.notify_one();
        }
    }

    async fn run(&self, router: Router) {
        loop {
            self.arrived.notified().await;
            tokio::time::sleep(GATHER).await;
            while let Some(batch) = self.take() {
                self.write(&router, batch).await;
            }
        }
    }

    fn take(&self) -> Option<HashMap<RunKey, Waiting>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() {
            return None;
        }
        if waiting.len() <= BATCH_RECORDS_MAX {
            return Some(std::mem::take(&mut waiting));
        }
        let keys: Vec<_> = waiting.keys().take(BATCH_RECORDS_MAX).cloned().collect();
        Some(
            keys.into_iter()
                .filter_map(|key| waiting.remove_entry(&key))
                .collect(),
        )
    }

    async fn write(&self, router: &Router, batch: HashMap<RunKey, Waiting>) {
        let updates: Vec<_> = batch.values().map(|record| record.update.clone()).collect();
        while let Err(error) = router.visibility().apply(updates.clone()).await {
            tracing::warn!(%error, "visibility records not written");
            tokio::time::sleep(RETRY).await;
        }
        let mut done: HashMap<ShardId, Vec<(RunKey, u64)>> = HashMap::new();
        for (run, record) in batch {
            router.metrics().indexed(&record.update, record.since.elapsed());
            let runs = done.entry(record.shard).or_default();
            runs.push((run, record.update.version()));
        }
        for (shard, runs) in done {
            router.tell_here(shard, Input::Indexed { runs });
        }
    }
}
