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
//! batch n has 2n, the deletion of a closed run by it 2n + 1, so it reaches all that came before it and nothing that
//! comes later, whenever it arrives. A history is forgotten once and for all.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use proto::ids::ShardId;
use scylla::statement::{
    batch::{Batch as Statements, BatchType},
    prepared::PreparedStatement,
};

use super::{
    OpenError,
    histories::PAGE_NODES_MAX,
    landed::Mark,
    link::{Deadline, Link},
    plan::{Plan, closed_id, closed_key},
    rows::{Values, signed},
};
use crate::error::StoreError;

/// Kind of the rows that say what is still to be deleted.
pub(super) const DEBTS: i8 = 9;

pub(super) const HISTORY: i8 = 1;
pub(super) const CLOSED: i8 = 2;
/// The time of a deletion that reaches whatever was or will be written: a history that is forgotten stays so, whichever
/// shards its run has belonged to.
const FORGOTTEN_AT: i64 = i64::MAX / 2;
/// Runs whose rows are written at the same time by one commit.
const WRITES_AT_ONCE: usize = 32;
/// A batch of rows is cut when it gets larger than this.
const WRITE_BYTES_MAX: usize = 1 << 20;

pub(super) struct Cold {
    insert: PreparedStatement,
    delete_history: PreparedStatement,
    delete_closed: PreparedStatement,
    pub(super) select_closed: PreparedStatement,
    pub(super) up: PreparedStatement,
    pub(super) down: PreparedStatement,
    /// Debts that were paid; their rows go with the shard's next batch.
    paid: Mutex<HashMap<ShardId, Vec<Bytes>>>,
}

#[derive(Clone)]
pub(super) struct ColdRow {
    pub(super) kind: i8,
    pub(super) seq: i64,
    pub(super) key: Bytes,
    pub(super) value: Bytes,
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
        runs: &BTreeMap<Bytes, Vec<ColdRow>>,
        mark: Mark,
        deadline: &mut Deadline,
    ) -> Result<(), StoreError> {
        let mut parts = Vec::new();
        for (id, rows) in runs {
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
                .map(|(id, rows)| self.write_run(link, id, rows, mark, *deadline))
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
        let at = if kind == HISTORY {
            FORGOTTEN_AT
        } else {
            signed(number * 2 + 1)
        };
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
