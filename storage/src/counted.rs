//! Counted: a store or an index whose calls are counted, whatever backend it is.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use bytes::Bytes;
use proto::{
    ids::{NamespaceId, NodeId, ShardId},
    metrics::{Counter, Histogram},
};

use crate::{
    batch::{Batch, HistoryNode, Table},
    error::{CommitError, StoreError},
    metrics::{Calls, Snapshot},
    shard::{BatchLimits, HistoryRange, Lease, Row, ShardStore},
    visibility::{
        Count, Page, Update, VisibilityIndex,
        error::VisibilityError,
        query::{CountQuery, ListQuery},
    },
};

/// A store whose calls are counted.
pub struct CountedStore {
    inner: Arc<dyn ShardStore>,
    metrics: Arc<Calls>,
    commit: Call,
    acquire: Call,
    holds: Call,
    release: Call,
    run: Call,
    current: Call,
    timers: Call,
    ready: Call,
    outbox: Call,
    history: Call,
}

/// The series of one operation.
struct Call {
    operation: &'static str,
    requests: Arc<Counter>,
    latency: Arc<Histogram>,
}

impl CountedStore {
    /// Counts the calls under the operations that the official server makes for the same.
    #[must_use]
    pub fn new(inner: Arc<dyn ShardStore>, metrics: Arc<Calls>) -> Self {
        let call = |operation| Call {
            operation,
            requests: metrics.persistence_requests.with(&[operation]),
            latency: metrics.persistence_latency.with(&[operation]),
        };
        Self {
            commit: call("UpdateWorkflowExecution"),
            acquire: call("GetOrCreateShard"),
            holds: call("AssertShardOwnership"),
            release: call("UpdateShard"),
            run: call("GetWorkflowExecution"),
            current: call("GetCurrentExecution"),
            timers: call("GetTimerTasks"),
            ready: call("GetTransferTasks"),
            outbox: call("GetVisibilityTasks"),
            history: call("ReadHistoryBranch"),
            inner,
            metrics,
        }
    }

    fn of(&self, table: Table) -> &Call {
        match table {
            Table::Run | Table::Closed => &self.run,
            Table::Current => &self.current,
            Table::Wakeup => &self.timers,
            Table::Ready => &self.ready,
            Table::Outbox => &self.outbox,
        }
    }

    async fn count<T, E: ErrorType>(
        &self,
        call: &Call,
        made: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let begun = Instant::now();
        let result = made.await;
        call.requests.inc();
        call.latency.record(begun.elapsed());
        if let Err(error) = &result {
            let metrics = &self.metrics;
            metrics.persistence_errors.with(&[call.operation]).inc();
            let labels = [call.operation, error.error_type()];
            metrics.persistence_error_with_type.with(&labels).inc();
        }
        result
    }
}

/// What a label says of an error.
trait ErrorType {
    fn error_type(&self) -> &'static str;
}

impl ErrorType for StoreError {
    fn error_type(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "serviceerror_Unavailable",
            Self::Broken(_) => "serviceerror_DataLoss",
        }
    }
}

impl ErrorType for CommitError {
    fn error_type(&self) -> &'static str {
        match self {
            Self::Fenced => "persistence_ShardOwnershipLostError",
            Self::GaveUp(_) => "serviceerror_Unavailable",
        }
    }
}

#[async_trait]
impl ShardStore for CountedStore {
    fn limits(&self) -> BatchLimits {
        self.inner.limits()
    }

    fn counts(&self) -> Snapshot {
        self.inner.counts()
    }

    async fn acquire_above(&self, shard: ShardId, owner: &NodeId, batch: u64) -> Result<Lease, StoreError> {
        let taken = self.inner.acquire_above(shard, owner, batch);
        self.count(&self.acquire, taken).await
    }

    async fn holds(&self, lease: &Lease) -> Result<bool, StoreError> {
        self.count(&self.holds, self.inner.holds(lease)).await
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        self.count(&self.release, self.inner.release(lease)).await
    }

    async fn commit(&self, lease: &Lease, batch: Batch) -> Result<(), CommitError> {
        self.count(&self.commit, self.inner.commit(lease, batch)).await
    }

    async fn load(&self, shard: ShardId, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let load = self.inner.load(shard, table, key);
        self.count(self.of(table), load).await
    }

    async fn scan(
        &self,
        shard: ShardId,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let scan = self.inner.scan(shard, table, from, to, limit);
        self.count(self.of(table), scan).await
    }

    async fn history(&self, shard: ShardId, range: HistoryRange) -> Result<Vec<HistoryNode>, StoreError> {
        self.count(&self.history, self.inner.history(shard, range)).await
    }

    async fn detach_histories(&self, lease: &Lease) -> Result<(), StoreError> {
        self.inner.detach_histories(lease).await
    }
}

/// An index whose calls are counted.
pub struct CountedIndex {
    inner: Arc<dyn VisibilityIndex>,
    metrics: Arc<Calls>,
}

impl CountedIndex {
    #[must_use]
    pub fn new(inner: Arc<dyn VisibilityIndex>, metrics: Arc<Calls>) -> Self {
        Self { inner, metrics }
    }

    async fn counted<T>(
        &self,
        operation: &'static str,
        made: impl Future<Output = Result<T, VisibilityError>>,
    ) -> Result<T, VisibilityError> {
        let begun = Instant::now();
        let result = made.await;
        let metrics = &self.metrics;
        metrics.visibility_persistence_requests.with(&[operation]).inc();
        let latency = metrics.visibility_persistence_latency.with(&[operation]);
        latency.record(begun.elapsed());
        if result.is_err() {
            metrics.visibility_persistence_errors.with(&[operation]).inc();
        }
        result
    }
}

#[async_trait]
impl VisibilityIndex for CountedIndex {
    async fn apply(&self, updates: Vec<Update>) -> Result<(), VisibilityError> {
        let apply = self.inner.apply(updates);
        self.counted("UpsertWorkflowExecution", apply).await
    }

    async fn list(
        &self,
        namespace_id: NamespaceId,
        query: ListQuery,
        page_size: usize,
        page_token: Bytes,
    ) -> Result<Page, VisibilityError> {
        let list = self.inner.list(namespace_id, query, page_size, page_token);
        self.counted("ListWorkflowExecutions", list).await
    }

    async fn count(&self, namespace_id: NamespaceId, query: CountQuery) -> Result<Count, VisibilityError> {
        let count = self.inner.count(namespace_id, query);
        self.counted("CountWorkflowExecutions", count).await
    }

    async fn delete_namespace(&self, namespace_id: NamespaceId) -> Result<(), VisibilityError> {
        let delete = self.inner.delete_namespace(namespace_id);
        self.counted("DeleteWorkflowExecution", delete).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStore;

    #[tokio::test]
    async fn calls_and_errors_are_counted_by_operation() {
        let metrics = Arc::new(Calls::default());
        let memory = Arc::new(MemoryStore::new());
        let store = CountedStore::new(memory, Arc::clone(&metrics));
        let node = NodeId {
            name: "a".into(),
            generation: 1,
        };
        let old = store.acquire(ShardId(1), &node).await.expect("a lease");
        let _new = store.acquire(ShardId(1), &node).await.expect("a lease");
        let batch = Batch {
            number: 1,
            ..Batch::default()
        };
        store.commit(&old, batch).await.expect_err("fenced");
        let counts = |operation| {
            (
                metrics.persistence_requests.with(&[operation]).value(),
                metrics.persistence_latency.with(&[operation]).count(),
                metrics.persistence_errors.with(&[operation]).value(),
            )
        };
        assert_eq!(counts("GetOrCreateShard"), (2, 2, 0));
        assert_eq!(counts("UpdateWorkflowExecution"), (1, 1, 1));
        let labels = ["UpdateWorkflowExecution", "persistence_ShardOwnershipLostError"];
        assert_eq!(metrics.persistence_error_with_type.with(&labels).value(), 1);
    }
}
