//! Reads: how the rows that a shard wants are found in its store. For the shells, real and simulated.

use bytes::Bytes;
use proto::ids::ShardId;
use storage::{
    batch::Table,
    error::StoreError,
    shard::{Row, ShardStore},
};

use crate::{
    codec,
    input::{LoadKey, Scan},
    limits::SCAN_ROWS_MAX,
};

/// Reads what [`Output::Load`] asks for.
///
/// [`Output::Load`]: crate::output::Output::Load
pub async fn load(
    store: &dyn ShardStore,
    shard: ShardId,
    key: &LoadKey,
) -> Result<Option<Bytes>, StoreError> {
    match key {
        LoadKey::Run(run) => {
            let key = codec::run_key(run);
            match store.load(shard, Table::Run, &key).await? {
                Some(state) => Ok(Some(state)),
                None => store.load(shard, Table::Closed, &key).await,
            }
        }
        LoadKey::Current(workflow) => {
            store
                .load(shard, Table::Current, &codec::current_key(workflow))
                .await
        }
    }
}

/// Reads what [`Output::Scan`] asks for.
///
/// [`Output::Scan`]: crate::output::Output::Scan
pub async fn scan(store: &dyn ShardStore, shard: ShardId, wanted: &Scan) -> Result<Vec<Row>, StoreError> {
    match wanted {
        // Beyond the wanted time one more row tells when to read again.
        Scan::Wakeups { from, .. } => store.scan(shard, Table::Wakeup, from, None, SCAN_ROWS_MAX).await,
        Scan::AllReady { from } | Scan::Sweep { from } => {
            store.scan(shard, Table::Ready, from, None, SCAN_ROWS_MAX).await
        }
        Scan::Ready { queue, from, limit } => {
            let end = codec::after_prefix(&codec::ready_prefix(queue));
            store
                .scan(shard, Table::Ready, from, end.as_deref(), *limit)
                .await
        }
        Scan::Outbox { from } => store.scan(shard, Table::Outbox, from, None, SCAN_ROWS_MAX).await,
    }
}
