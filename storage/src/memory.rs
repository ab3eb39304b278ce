//! MemoryStore: shards and the registry in memory, for tests, for the simulation and for `--in-memory`.
//!
//! Deterministic: no clock, no thread, no chance. Every future is ready at once unless a [`faults::Gate`] holds it.
//! Never durable: what "reopening" means here is another handle on the same store.

pub mod faults;

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use proto::ids::{NodeId, ShardId};
use tokio::sync::oneshot;

use self::faults::{Faults, Operation, Outcome};
use crate::{
    batch::{Batch, HistoryKey, HistoryNode, Table},
    error::{CommitError, StoreError},
    fence::{Fence, Verdict},
    metrics::{Metrics, Snapshot},
    registry::{Entry, Registry, RegistryError, RegistryTable, RegistryWrite, Versions},
    shard::{BatchLimits, HistoryRange, Lease, Row, ShardStore},
};

/// A store that forgets with the process.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    limits: BatchLimits,
    faults: Faults,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct State {
    shards: BTreeMap<ShardId, Shard>,
    histories: BTreeMap<HistoryKey, BTreeMap<i64, Bytes>>,
    registry: BTreeMap<RegistryTable, BTreeMap<Bytes, (Bytes, u64)>>,
}

#[derive(Debug, Default)]
struct Shard {
    fence: Fence,
    tables: BTreeMap<Table, BTreeMap<Bytes, Bytes>>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(BatchLimits::default())
    }

    #[must_use]
    pub fn with_limits(limits: BatchLimits) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                limits,
                faults: Faults::default(),
                metrics: Metrics::default(),
            }),
        }
    }

    /// Returns where a test says what goes wrong.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Runs `act` on the store as the faults allow; `lost` is the answer to an operation that got none.
    async fn perform<T: Send + 'static>(
        &self,
        operation: Operation<'_>,
        act: impl FnOnce(&Shared) -> T + Send + 'static,
        lost: fn() -> T,
    ) -> T {
        let Some(fault) = self.shared.faults.of(operation) else {
            return act(&self.shared);
        };
        let thief = match operation {
            Operation::Commit(lease, _) if fault.outcome == Outcome::Stolen => Some(lease.shard),
            _ => None,
        };
        let shared = Arc::clone(&self.shared);
        let (reply, answer) = oneshot::channel();
        let arrive = move || {
            if let Some(shard) = thief {
                shared.acquire(shard, 0);
            }
            let answer = match fault.outcome {
                Outcome::Done | Outcome::Stolen => act(&shared),
                Outcome::Lost => lost(),
                Outcome::Unanswered => {
                    act(&shared);
                    lost()
                }
            };
            let _ = reply.send(answer);
        };
        match fault.arrives {
            Some(gate) => gate.park(Box::new(arrive)),
            None => arrive(),
        }
        let answer = answer.await.unwrap_or_else(|_| lost());
        if let Some(gate) = fault.answers {
            gate.passed().await;
        }
        answer
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn epoch(&self, shard: ShardId) -> u64 {
        self.state()
            .shards
            .get(&shard)
            .map_or(0, |shard| shard.fence.epoch)
    }

    fn acquire(&self, shard: ShardId, above: u64) -> Lease {
        self.metrics.acquires.inc();
        let mut state = self.state();
        let fence = &mut state.shards.entry(shard).or_default().fence;
        *fence = fence.next_epoch(above);
        fence.lease(shard)
    }

    fn commit(&self, lease: &Lease, batch: Batch) -> Result<(), CommitError> {
        let mut state = self.state();
        let shard = state.shards.entry(lease.shard).or_default();
        let verdict = shard.fence.judge(lease.epoch, batch.number);
        match &verdict {
            Ok(Verdict::Apply) => self.metrics.commits.inc(),
            Ok(Verdict::Landed) => self.metrics.resent.inc(),
            Err(CommitError::Fenced) => self.metrics.fenced.inc(),
            Err(CommitError::GaveUp(_)) => self.metrics.gave_up.inc(),
        }
        if verdict? == Verdict::Landed {
            return Ok(());
        }
        self.metrics
            .rows
            .add((batch.writes.len() + batch.history.len() + batch.forget.len()) as u64);
        self.metrics.bytes.add(batch.size() as u64);
        shard.fence.batch = batch.number;
        for write in batch.writes {
            let table = shard.tables.entry(write.table).or_default();
            match write.value {
                Some(value) => table.insert(write.key, value),
                None => table.remove(&write.key),
            };
        }
        for node in batch.history {
            state
                .histories
                .entry(node.history)
                .or_default()
                .insert(node.first_event_id, node.events);
        }
        for history in batch.forget {
            state.histories.remove(&history);
        }
        Ok(())
    }

    fn load(&self, shard: ShardId, table: Table, key: &[u8]) -> Option<Bytes> {
        self.metrics.loads.inc();
        self.state()
            .shards
            .get(&shard)?
            .tables
            .get(&table)?
            .get(key)
            .cloned()
    }

    fn scan(&self, shard: ShardId, table: Table, from: &[u8], to: Option<&[u8]>, limit: usize) -> Vec<Row> {
        self.metrics.scans.inc();
        if to.is_some_and(|to| to <= from) {
            return Vec::new();
        }
        let state = self.state();
        let Some(rows) = state
            .shards
            .get(&shard)
            .and_then(|shard| shard.tables.get(&table))
        else {
            return Vec::new();
        };
        rows.range::<[u8], _>((
            Bound::Included(from),
            to.map_or(Bound::Unbounded, Bound::Excluded),
        ))
        .take(limit)
        .map(|(key, value)| Row {
            key: key.clone(),
            value: value.clone(),
        })
        .collect()
    }

    fn history(&self, range: &HistoryRange) -> Vec<HistoryNode> {
        self.metrics.histories.inc();
        let state = self.state();
        let Some(nodes) = state.histories.get(&range.history) else {
            return Vec::new();
        };
        if range.from_event_id >= range.to_event_id {
            return Vec::new();
        }
        let first = nodes
            .range(..=range.from_event_id)
            .next_back()
            .map_or(range.from_event_id, |(id, _)| *id);
        let mut budget = range.budget();
        let part = nodes.range(first..range.to_event_id);
        let node = |(id, events): (&i64, &Bytes)| HistoryNode {
            history: range.history,
            first_event_id: *id,
            events: events.clone(),
        };
        let fits = |node: &HistoryNode| budget.take(node.events.len());
        if range.reverse {
            part.rev().map(node).take_while(fits).collect()
        } else {
            part.map(node).take_while(fits).collect()
        }
    }

    fn registry_entry(&self, table: RegistryTable, key: &[u8]) -> Option<Entry> {
        self.metrics.registry_reads.inc();
        let state = self.state();
        let (key, (value, version)) = state.registry.get(&table)?.get_key_value(key)?;
        Some(Entry {
            key: key.clone(),
            value: value.clone(),
            version: *version,
        })
    }

    fn registry_page(&self, table: RegistryTable, after: Option<&[u8]>, limit: usize) -> Vec<Entry> {
        self.metrics.registry_reads.inc();
        let state = self.state();
        let Some(entries) = state.registry.get(&table) else {
            return Vec::new();
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        entries
            .range::<[u8], _>((from, Bound::Unbounded))
            .take(limit)
            .map(|(key, (value, version))| Entry {
                key: key.clone(),
                value: value.clone(),
                version: *version,
            })
            .collect()
    }

    fn registry_write(&self, writes: Vec<RegistryWrite>) -> Result<(), RegistryError> {
        let mut state = self.state();
        let stored = |table: RegistryTable, key: &[u8]| {
            let entry = state.registry.get(&table).and_then(|entries| entries.get(key));
            Ok(entry.map_or(0, |(_, version)| *version))
        };
        Versions::default().check(&writes, stored)?;
        self.metrics.registry_writes.inc();
        for write in writes {
            let entries = state.registry.entry(write.table).or_default();
            match write.value {
                Some(value) => entries.insert(write.key, (value, write.expected + 1)),
                None => entries.remove(&write.key),
            };
        }
        Ok(())
    }
}

#[async_trait]
impl ShardStore for MemoryStore {
    fn limits(&self) -> BatchLimits {
        self.shared.limits
    }

    fn counts(&self) -> Snapshot {
        self.shared.metrics.snapshot()
    }

    async fn acquire_above(&self, shard: ShardId, _: &NodeId, batch: u64) -> Result<Lease, StoreError> {
        self.perform(
            Operation::Acquire(shard),
            move |shared| Ok(shared.acquire(shard, batch)),
            unavailable,
        )
        .await
    }

    async fn holds(&self, lease: &Lease) -> Result<bool, StoreError> {
        let (shard, epoch) = (lease.shard, lease.epoch);
        self.perform(
            Operation::Read(shard),
            move |shared| Ok(shared.epoch(shard) == epoch),
            unavailable,
        )
        .await
    }

    /// Simulated nodes share it.
    fn is_shared(&self) -> bool {
        true
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        self.perform(Operation::Release(lease), |_| Ok(()), unavailable)
            .await
    }

    async fn commit(&self, lease: &Lease, batch: Batch) -> Result<(), CommitError> {
        if !self.shared.faults.armed() {
            return self.shared.commit(lease, batch);
        }
        let held = lease.clone();
        let carried = batch.clone();
        let act = move |shared: &Shared| shared.commit(&held, carried);
        self.perform(Operation::Commit(lease, &batch), act, || {
            Err(CommitError::GaveUp("reach the store: fault injected".into()))
        })
        .await
    }

    async fn load(&self, shard: ShardId, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        if !self.shared.faults.armed() {
            return Ok(self.shared.load(shard, table, key));
        }
        let key = Bytes::copy_from_slice(key);
        let act = move |shared: &Shared| Ok(shared.load(shard, table, &key));
        self.perform(Operation::Read(shard), act, unavailable).await
    }

    async fn scan(
        &self,
        shard: ShardId,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let from = Bytes::copy_from_slice(from);
        let to = to.map(Bytes::copy_from_slice);
        let act = move |shared: &Shared| Ok(shared.scan(shard, table, &from, to.as_deref(), limit));
        self.perform(Operation::Read(shard), act, unavailable).await
    }

    async fn history(&self, _: ShardId, range: HistoryRange) -> Result<Vec<HistoryNode>, StoreError> {
        self.perform(
            Operation::History,
            move |shared| Ok(shared.history(&range)),
            unavailable,
        )
        .await
    }
}

#[async_trait]
impl Registry for MemoryStore {
    async fn get(&self, table: RegistryTable, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        let key = Bytes::copy_from_slice(key);
        let act = move |shared: &Shared| Ok(shared.registry_entry(table, &key));
        self.perform(Operation::RegistryRead, act, unavailable).await
    }

    async fn list(
        &self,
        table: RegistryTable,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let after = after.map(Bytes::copy_from_slice);
        let act = move |shared: &Shared| Ok(shared.registry_page(table, after.as_deref(), limit));
        self.perform(Operation::RegistryRead, act, unavailable).await
    }

    async fn write(&self, writes: Vec<RegistryWrite>) -> Result<(), RegistryError> {
        let act = move |shared: &Shared| shared.registry_write(writes);
        self.perform(Operation::RegistryWrite, act, || Err(lost().into()))
            .await
    }
}

fn lost() -> StoreError {
    StoreError::Unavailable("reach the store: fault injected".into())
}

fn unavailable<T>() -> Result<T, StoreError> {
    Err(lost())
}

#[cfg(test)]
mod tests;
