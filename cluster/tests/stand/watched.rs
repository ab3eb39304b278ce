//! Watched: a store that keeps which batches were committed under which lease, in the order in which they were.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use proto::ids::{NodeId, ShardId};
use storage::{
    batch::{Batch, HistoryNode, Table},
    error::{CommitError, StoreError},
    memory::MemoryStore,
    metrics::Snapshot,
    shard::{BatchLimits, HistoryRange, Lease, Row, ShardStore},
};
use tokio::sync::watch;

/// One committed batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) epoch: u64,
    pub(crate) batch: u64,
}

#[derive(Clone)]
pub(crate) struct Watched {
    store: MemoryStore,
    commits: Arc<Mutex<BTreeMap<ShardId, Vec<Committed>>>>,
    owners: Arc<Mutex<BTreeMap<(ShardId, u64), String>>>,
    /// The node that gets no lease until it is let in.
    kept_out: Arc<watch::Sender<Option<String>>>,
}

impl Watched {
    pub(crate) fn new(store: MemoryStore) -> Self {
        Self {
            store,
            commits: Arc::default(),
            owners: Arc::default(),
            kept_out: Arc::default(),
        }
    }

    /// The node waits for each lease until [`Self::let_in`].
    pub(crate) fn keep_out(&self, node: &str) {
        self.kept_out.send_replace(Some(node.to_owned()));
    }

    pub(crate) fn let_in(&self) {
        self.kept_out.send_replace(None);
    }

    /// Panics if a shard ever had two writers: an older lease wrote after a newer one, or a batch came twice.
    pub(crate) fn check(&self) {
        for (shard, commits) in &*self.commits.lock().expect("no panic") {
            for pair in commits.windows(2) {
                let [before, after] = pair else { continue };
                assert!(
                    before.epoch <= after.epoch && before.batch < after.batch,
                    "{shard}: {before:?} and then {after:?}"
                );
            }
        }
    }

    /// Returns the node of the shard's newest lease.
    pub(crate) fn owner(&self, shard: ShardId) -> Option<String> {
        let owners = self.owners.lock().expect("no panic");
        let newest = owners.range((shard, 0)..=(shard, u64::MAX)).next_back();
        newest.map(|(_, owner)| owner.clone())
    }
}

#[async_trait]
impl ShardStore for Watched {
    fn limits(&self) -> BatchLimits {
        self.store.limits()
    }

    fn counts(&self) -> Snapshot {
        self.store.counts()
    }

    async fn acquire_above(&self, shard: ShardId, owner: &NodeId, batch: u64) -> Result<Lease, StoreError> {
        let mut kept_out = self.kept_out.subscribe();
        while kept_out.borrow_and_update().as_deref() == Some(&*owner.name) {
            // The sender is this value's.
            let _ = kept_out.changed().await;
        }
        let lease = self.store.acquire_above(shard, owner, batch).await?;
        let mut owners = self.owners.lock().expect("no panic");
        owners.insert((shard, lease.epoch), owner.name.to_string());
        Ok(lease)
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        self.store.release(lease).await
    }

    async fn holds(&self, lease: &Lease) -> Result<bool, StoreError> {
        self.store.holds(lease).await
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn commit(&self, lease: &Lease, batch: Batch) -> Result<(), CommitError> {
        let number = batch.number;
        self.store.commit(lease, batch).await?;
        let committed = Committed {
            epoch: lease.epoch,
            batch: number,
        };
        let mut commits = self.commits.lock().expect("no panic");
        commits.entry(lease.shard).or_default().push(committed);
        Ok(())
    }

    async fn load(&self, shard: ShardId, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.store.load(shard, table, key).await
    }

    async fn scan(
        &self,
        shard: ShardId,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.store.scan(shard, table, from, to, limit).await
    }

    async fn history(&self, shard: ShardId, range: HistoryRange) -> Result<Vec<HistoryNode>, StoreError> {
        self.store.history(shard, range).await
    }

    async fn detach_histories(&self, lease: &Lease) -> Result<(), StoreError> {
        self.store.detach_histories(lease).await
    }
}
