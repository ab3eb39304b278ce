//! Cold: histories and closed runs, in partitions of their own.
//!
//! # When a row counts
//!
//! Rows are written before the conditional batch that commits them, marked with its epoch and number, and count
//! once it has landed. What an owner wrote for a batch that never landed does no harm: no reader takes it, and it
//! goes with its run.
//!
//! # How rows go
//!
//! The batch that forgets a history or removes a closed run carries a debt: a row in the shard's partition that
//! names what is to be deleted. Once the batch has landed the rows are deleted, and the debt goes with a later
//! batch. The next owner pays what is left. Timestamps of these rows are batch numbers and not clocks: a row of
//! batch n has 2n, a deletion by it 2n + 1, so it reaches all that came before it and nothing that comes later,
//! whenever it arrives.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::{BufMut, Bytes, BytesMut};
use proto::ids::ShardId;
use scylla::statement::{
    batch::{Batch as Statements, BatchType},
    prepared::PreparedStatement,
};

use super::{
    Inner, OpenError,
    landed::Mark,
    link::{Deadline, Link},
    rows::{Values, own, rows, signed, typed},
    shards::kind,
};
use crate::{
    batch::{Batch, HistoryKey, HistoryNode, Table},
    error::StoreError,
    shard::{HistoryRange, Lease},
};

/// Kind of the rows that say what is still to be deleted.
pub(super) const DEBTS: i8 = 9;

const HISTORY: i8 = 1;
const CLOSED: i8 = 2;
/// Nodes that the first request reads, and later ones at most.
const PAGE_NODES_FIRST: i32 = 16;
const PAGE_NODES_MAX: i32 = 256;
/// Pages larger than this do not grow.
const PAGE_BYTES_WANTED: usize = 256 << 10;
/// Runs whose rows are written at the same time by one commit.
const WRITES_AT_ONCE: usize = 32;
/// A batch of rows is cut when it gets larger than this.
const WRITE_BYTES_MAX: usize = 1 << 20;

pub(super) struct Cold {
    insert: PreparedStatement,
    delete_history: PreparedStatement,
    delete_closed: PreparedStatement,
    select_closed: PreparedStatement,
    up: PreparedStatement,
    down: PreparedStatement,
    /// Debts that were paid; their rows go with the shard's next batch.
    paid: Mutex<HashMap<ShardId, Vec<Bytes>>>,
}

/// What a commit writes, and where.
pub(super) struct Plan {
    /// Rows of the shard's partition, by kind and key; the later write of a row stays.
    pub(super) hot: BTreeMap<(i8, Bytes), Option<Bytes>>,
    /// Debts whose rows this batch removes.
    pub(super) paid: Vec<Bytes>,
    /// What the fence's row is to have of [`super::floors`].
    pub(super) floors: Option<Bytes>,
    /// Rows of `run_data`, by partition.
    cold: BTreeMap<Bytes, Vec<ColdRow>>,
    debts: Vec<Bytes>,
    mark: Mark,
}

#[derive(Clone)]
struct ColdRow {
    kind: i8,
    seq: i64,
    key: Bytes,
    value: Bytes,
}

/// Divides a batch into what its conditional statement carries and what is written before it.
pub(super) fn plan(lease: &Lease, batch: Batch, paid: Vec<Bytes>, floors: Option<Bytes>) -> Plan {
    let mut plan = Plan {
        hot: BTreeMap::new(),
        paid,
        floors,
        cold: BTreeMap::new(),
        debts: Vec::new(),
        mark: Mark::new(lease, batch.number),
    };
    for key in &plan.paid {
        plan.hot.insert((DEBTS, key.clone()), None);
    }
    let mut closed = BTreeMap::new();
    for write in batch.writes {
        if write.table == Table::Closed {
            closed.insert(write.key, write.value);
        } else {
            plan.hot.insert((kind(write.table), write.key), write.value);
        }
    }
    for node in batch.history {
        if !batch.forget.contains(&node.history) {
            let row = ColdRow {
                kind: HISTORY,
                seq: node.first_event_id,
                key: Bytes::new(),
                value: node.events,
            };
            plan.cold.entry(history_id(&node.history)).or_default().push(row);
        }
    }
    for (key, value) in closed {
        match value {
            Some(value) => {
                let row = ColdRow {
                    kind: CLOSED,
                    seq: 0,
                    key: closed_key(lease.shard, &key),
                    value,
                };
                plan.cold.entry(closed_id(&key)).or_default().push(row);
            }
            None => plan.owe(CLOSED, &key),
        }
    }
    for history in batch.forget {
        plan.owe(HISTORY, &history_id(&history));
    }
    plan
}

impl Plan {
    fn owe(&mut self, kind: i8, target: &[u8]) {
        let mut key = BytesMut::with_capacity(9 + target.len());
        key.put_i8(kind);
        key.put_u64(self.mark.batch);
        key.put_slice(target);
        let key = key.freeze();
        self.hot.insert((DEBTS, key.clone()), Some(Bytes::new()));
        self.debts.push(key);
    }
}

impl Cold {
    pub(super) async fn prepare(link: &Link) -> Result<Self, OpenError> {
        let columns = "seq, number, epoch, shard, value";
        Ok(Self {
            insert: link
                .prepare(
                    "INSERT INTO ks.run_data (id, kind, seq, key, number, epoch, shard, value) \
                     VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
                    1,
                )
                .await?,
            delete_history: link
                .prepare("DELETE FROM ks.run_data USING TIMESTAMP ? WHERE id = ? AND kind = 1", 1)
                .await?,
            delete_closed: link
                .prepare(
                    "DELETE FROM ks.run_data USING TIMESTAMP ? WHERE id = ? AND kind = 2 AND seq = 0 AND key = ?",
                    1,
                )
                .await?,
            select_closed: link
                .prepare(
                    &format!("SELECT {columns} FROM ks.run_data WHERE id = ? AND kind = 2 AND seq = 0 AND key = ?"),
                    PAGE_NODES_MAX,
                )
                .await?,
            up: link
                .prepare(
                    &format!("SELECT {columns} FROM ks.run_data WHERE id = ? AND kind = 1 AND seq >= ? AND seq < ? LIMIT ?"),
                    PAGE_NODES_MAX,
                )
                .await?,
            down: link
                .prepare(
                    &format!(
                        "SELECT {columns} FROM ks.run_data WHERE id = ? AND kind = 1 AND seq >= ? AND seq < ? \
                         ORDER BY seq DESC LIMIT ?"
                    ),
                    PAGE_NODES_MAX,
                )
                .await?,
            paid: Mutex::default(),
        })
    }

    /// Writes the rows that must be there before the conditional batch is sent.
    pub(super) async fn write(
        &self,
        link: &Link,
        plan: &Plan,
        deadline: &mut Deadline,
    ) -> Result<(), StoreError> {
        let mut parts = Vec::new();
        for (id, rows) in &plan.cold {
            let mut part = Vec::new();
            let mut bytes = 0;
            for row in rows {
                if bytes + row.value.len() > WRITE_BYTES_MAX && !part.is_empty() {
                    parts.push((id.clone(), std::mem::take(&mut part)));
                    bytes = 0;
                }
                bytes += row.value.len();
                part.push(row.clone());
            }
            parts.push((id.clone(), part));
        }
        for chunk in parts.chunks(WRITES_AT_ONCE) {
            let tasks: Vec<_> = chunk
                .iter()
                .map(|(id, rows)| self.write_run(link, id, rows, plan.mark, *deadline))
                .collect();
            for task in tasks {
                task.await.unwrap_or_else(|_| Err(super::stopped()))?;
            }
        }
        Ok(())
    }

    /// Writes rows of one partition; they land together.
    fn write_run(
        &self,
        link: &Link,
        id: &Bytes,
        rows: &[ColdRow],
        mark: Mark,
        mut deadline: Deadline,
    ) -> tokio::task::JoinHandle<Result<(), StoreError>> {
        let mut statements = Statements::new(BatchType::Unlogged);
        let (batch, epoch, shard) = mark.columns();
        let mut values = Vec::new();
        for row in rows {
            statements.append_statement(self.insert.clone());
            values.push((
                id.clone(),
                row.kind,
                row.seq,
                row.key.clone(),
                batch,
                epoch,
                shard,
                row.value.clone(),
                signed(mark.batch * 2),
            ));
        }
        let sender = link.clone();
        link.runtime().spawn(async move {
            let boxed = || {
                values
                    .iter()
                    .cloned()
                    .map(|row| Box::new(row) as Values)
                    .collect()
            };
            sender.batch_again(&statements, boxed, &mut deadline).await
        })
    }

    /// Takes the paid debts of a shard, for a batch to remove.
    pub(super) fn paid(&self, shard: ShardId) -> Vec<Bytes> {
        self.debts().remove(&shard).unwrap_or_default()
    }

    /// The batch that removed these debts has not landed.
    pub(super) fn not_landed(&self, shard: ShardId, paid: Vec<Bytes>) {
        if !paid.is_empty() {
            self.debts().entry(shard).or_default().extend(paid);
        }
    }

    /// The batch has landed: deletes what it no longer wants.
    pub(super) async fn landed(&self, link: &Link, shard: ShardId, plan: &Plan, deadline: &mut Deadline) {
        for debt in &plan.debts {
            self.pay(link, shard, debt, deadline).await;
        }
    }

    /// Pays the debts of earlier owners.
    pub(super) async fn adopt(&self, link: &Link, shard: ShardId, debts: Vec<(Bytes, Bytes)>) {
        self.debts().remove(&shard);
        let mut deadline = link.deadline();
        for (debt, _) in debts {
            self.pay(link, shard, &debt, &mut deadline).await;
        }
    }

    async fn pay(&self, link: &Link, shard: ShardId, debt: &Bytes, deadline: &mut Deadline) {
        let Some((kind, number, target)) = parse_debt(debt) else {
            tracing::error!(%shard, "debt of a shard is malformed");
            return;
        };
        let at = signed(number * 2 + 1);
        let deleted = if kind == HISTORY {
            link.execute(&self.delete_history, (at, target), deadline).await
        } else {
            let values = (at, closed_id(target), closed_key(shard, target));
            link.execute(&self.delete_closed, values, deadline).await
        };
        match deleted {
            Ok(_) => self.debts().entry(shard).or_default().push(debt.clone()),
            // The row of the debt stays: the next owner pays it.
            Err(error) => tracing::warn!(%shard, %error, "history or closed run not deleted yet"),
        }
    }

    fn debts(&self) -> MutexGuard<'_, HashMap<ShardId, Vec<Bytes>>> {
        self.paid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse_debt(debt: &[u8]) -> Option<(i8, u64, &[u8])> {
    let (kind, rest) = debt.split_first()?;
    let (number, target) = rest.split_first_chunk::<8>()?;
    Some((kind.cast_signed(), u64::from_be_bytes(*number), target))
}

impl Inner {
    pub(super) async fn load_closed(&self, shard: ShardId, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let mut deadline = self.link.deadline();
        let values = (closed_id(key), closed_key(shard, key));
        let result = self
            .link
            .execute(&self.cold.select_closed, values, &mut deadline)
            .await?;
        let found = rows(result)?;
        // Batch numbers grow downwards.
        for (_, batch, epoch, shard, value) in typed::<Columns<'_>>(&found)?.into_iter().rev() {
            if self
                .landed
                .has(&self.link, Mark::from_columns(batch, epoch, shard))
                .await?
            {
                return Ok(Some(own(value)));
            }
        }
        Ok(None)
    }

    pub(super) async fn history(&self, range: &HistoryRange) -> Result<Vec<HistoryNode>, StoreError> {
        if range.from_event_id >= range.to_event_id {
            return Ok(Vec::new());
        }
        let mut part = Part {
            history: range.history,
            from: range.from_event_id,
            to: range.to_event_id,
            down: range.reverse,
            rows: PAGE_NODES_FIRST,
        };
        if range.reverse {
            part.from = i64::MIN;
        } else if let Some(holder) = self.holder(range).await? {
            part.from = holder;
        }
        let mut budget = range.budget();
        let mut nodes = Vec::new();
        loop {
            let (page, next) = self.page(&part).await?;
            for node in page {
                let first = node.first_event_id;
                if !budget.take(node.events.len()) {
                    return Ok(nodes);
                }
                nodes.push(node);
                // Downwards, the node that holds the first event wanted is the last one.
                if range.reverse && first <= range.from_event_id {
                    return Ok(nodes);
                }
            }
            match next {
                Some(next) => part = next,
                None => return Ok(nodes),
            }
        }
    }

    /// Returns where the node begins that holds the first event wanted.
    async fn holder(&self, range: &HistoryRange) -> Result<Option<i64>, StoreError> {
        let mut part = Part {
            history: range.history,
            from: i64::MIN,
            to: range.from_event_id.saturating_add(1),
            down: true,
            rows: 2,
        };
        loop {
            let (page, next) = self.page(&part).await?;
            match (page.first(), next) {
                (Some(node), _) => return Ok(Some(node.first_event_id)),
                (None, Some(next)) => part = next,
                (None, None) => return Ok(None),
            }
        }
    }

    /// Reads some nodes that count, and returns where to go on.
    async fn page(&self, part: &Part) -> Result<(Vec<HistoryNode>, Option<Part>), StoreError> {
        let mut deadline = self.link.deadline();
        let id = history_id(&part.history);
        let statement = if part.down { &self.cold.down } else { &self.cold.up };
        let values = (id, part.from, part.to, part.rows);
        let found = rows(self.link.execute(statement, values, &mut deadline).await?)?;
        let found = typed::<Columns<'_>>(&found)?;
        let full = found.len() >= usize::try_from(part.rows).unwrap_or(usize::MAX);
        let last = found.last().map(|row| row.0);
        // The rows of one event id may go on behind a full page: they are read again with the next one.
        let whole = found.iter().filter(|row| !full || Some(row.0) != last);
        let mut nodes: Vec<HistoryNode> = Vec::new();
        let mut bytes = 0;
        for (seq, batch, epoch, shard, events) in whole {
            let mark = Mark::from_columns(*batch, *epoch, *shard);
            if self.landed.has(&self.link, mark).await? {
                bytes += events.len();
                nodes.push(HistoryNode {
                    history: part.history,
                    first_event_id: *seq,
                    events: own(events),
                });
            }
        }
        let next = last.filter(|_| full).map(|last| part.after(last, bytes));
        Ok((nodes, next))
    }
}

/// Part of a history to read.
struct Part {
    history: HistoryKey,
    from: i64,
    to: i64,
    down: bool,
    rows: i32,
}

impl Part {
    /// The part that begins with the last event id read, of which some rows may be missing. The page grows, so
    /// that many rows of one event id do not stop it, unless its nodes are large.
    fn after(&self, last: i64, bytes: usize) -> Self {
        let (from, to) = if self.down {
            (self.from, last.saturating_add(1))
        } else {
            (last, self.to)
        };
        let moved = (from, to) != (self.from, self.to);
        let rows = if moved && bytes > PAGE_BYTES_WANTED {
            self.rows
        } else {
            self.rows.saturating_mul(2)
        };
        let rows = if moved { rows.min(PAGE_NODES_MAX) } else { rows };
        Self {
            from,
            to,
            rows,
            ..*self
        }
    }
}

/// seq, number, epoch, shard, value
type Columns<'frame> = (i64, i64, i64, i32, &'frame [u8]);

pub(super) fn history_id(history: &HistoryKey) -> Bytes {
    let mut id = BytesMut::with_capacity(32);
    id.put_slice(history.namespace_id.as_bytes());
    id.put_slice(history.run_id.as_bytes());
    id.freeze()
}

/// Returns the partition of a closed run: its history's. Its key ends with what names the history.
fn closed_id(key: &[u8]) -> Bytes {
    const RUN_KEY: usize = 40;
    if key.len() == RUN_KEY {
        return own(&key[8..]);
    }
    let mut id = BytesMut::with_capacity(1 + key.len());
    id.put_u8(u8::MAX);
    id.put_slice(key);
    id.freeze()
}

fn closed_key(shard: ShardId, key: &[u8]) -> Bytes {
    let mut row = BytesMut::with_capacity(4 + key.len());
    row.put_u32(shard.0);
    row.put_slice(key);
    row.freeze()
}
