//! Shards: leases, commits and reads of the table `shard`, a partition per shard.
//!
//! # Tombstones
//!
//! Ready tasks, wake-ups and outbox rows live for seconds, and each leaves a tombstone that a scan walks over.
//! Where rows go from the beginning of their table a scan begins above them ([`super::floors`]). Cassandra refuses
//! a read that meets too many tombstones all the same; then the range is halved until each half is read.

use bytes::{BufMut, Bytes, BytesMut};
use proto::ids::{NodeId, ShardId};
use scylla::{
    client::execution_profile::ExecutionProfileHandle,
    errors::{DbError, ExecutionError, RequestAttemptError},
    response::query_result::QueryResult,
    statement::{Consistency, prepared::PreparedStatement},
};

use super::{
    Inner, OpenError, cold,
    config::SerialLevel,
    floors::NO_ROW,
    landed::EPOCHS,
    link::{Deadline, Link, profile},
    plan::Plan,
    rows::{Answer, Conditional, Found, answer, own, rows, signed, typed, unsigned},
    tails::tail_end,
};
use crate::{
    batch::Table,
    error::StoreError,
    fence::Fence,
    shard::{Lease, Row},
};

/// Rows that one request reads.
const PAGE_ROWS: usize = 1000;
/// How often a range may be halved: eight times for each byte of a key.
const HALVES_MAX: u32 = 1024;

pub(super) struct Shards {
    select: PreparedStatement,
    select_fence: PreparedStatement,
    select_epoch: PreparedStatement,
    range: PreparedStatement,
    range_open: PreparedStatement,
    insert: PreparedStatement,
    delete: PreparedStatement,
    take: PreparedStatement,
    pub(super) advance: PreparedStatement,
    pub(super) advance_floors: PreparedStatement,
    pub(super) conditional: ExecutionProfileHandle,
}

/// Part of a table of a shard.
#[derive(Clone, Copy)]
pub(super) struct Range<'a> {
    pub(super) shard: ShardId,
    pub(super) kind: i8,
    pub(super) from: &'a [u8],
    pub(super) to: Option<&'a [u8]>,
}

impl Shards {
    pub(super) async fn prepare(link: &Link) -> Result<Self, OpenError> {
        let rows = i32::try_from(PAGE_ROWS).unwrap_or(i32::MAX);
        let mut select_fence = link
            .prepare(
                "SELECT epoch, number, owner, floors FROM ks.shard WHERE shard = ? LIMIT 1",
                1,
            )
            .await?;
        select_fence.set_consistency(match link.config().consistency.default.serial_consistency {
            SerialLevel::LocalSerial => Consistency::LocalSerial,
            SerialLevel::Serial => Consistency::Serial,
        });
        Ok(Self {
            select: link
                .prepare("SELECT value FROM ks.shard WHERE shard = ? AND kind = ? AND key = ?", 1)
                .await?,
            select_fence,
            select_epoch: link
                .prepare("SELECT epoch FROM ks.shard WHERE shard = ? LIMIT 1", 1)
                .await?,
            range: link
                .prepare(
                    "SELECT key, value FROM ks.shard WHERE shard = ? AND kind = ? AND key >= ? AND key < ? LIMIT ?",
                    rows,
                )
                .await?,
            range_open: link
                .prepare(
                    "SELECT key, value FROM ks.shard WHERE shard = ? AND kind = ? AND key >= ? LIMIT ?",
                    rows,
                )
                .await?,
            insert: link
                .prepare("INSERT INTO ks.shard (shard, kind, key, value) VALUES (?, ?, ?, ?)", rows)
                .await?,
            delete: link
                .prepare("DELETE FROM ks.shard WHERE shard = ? AND kind = ? AND key = ?", rows)
                .await?,
            take: link
                .prepare(
                    "UPDATE ks.shard SET epoch = ?, number = ?, owner = ? WHERE shard = ? IF epoch = ? AND number = ?",
                    rows,
                )
                .await?,
            advance: link
                .prepare("UPDATE ks.shard SET number = ? WHERE shard = ? IF epoch = ? AND number = ?", rows)
                .await?,
            advance_floors: link
                .prepare(
                    "UPDATE ks.shard SET number = ?, floors = ? WHERE shard = ? IF epoch = ? AND number = ?",
                    rows,
                )
                .await?,
            conditional: profile(link.config(), true)
                .into_handle_with_label("conditional".to_owned()),
        })
    }

    pub(super) async fn load(
        &self,
        link: &Link,
        shard: ShardId,
        table: Table,
        key: &[u8],
    ) -> Result<Option<Bytes>, StoreError> {
        let mut deadline = link.deadline();
        let values = (id(shard), kind(table), key);
        let found = rows(link.execute(&self.select, values, &mut deadline).await?)?;
        let row = typed::<(Option<&[u8]>,)>(&found)?.into_iter().next();
        Ok(row.map(|(value,)| own(value.unwrap_or_default())))
    }

    /// Reads at the level of all reads: whoever has a lease has it from a majority.
    pub(super) async fn holds(&self, link: &Link, lease: &Lease) -> Result<bool, StoreError> {
        let mut deadline = link.deadline();
        let values = (id(lease.shard),);
        let found = rows(link.execute(&self.select_epoch, values, &mut deadline).await?)?;
        let row = typed::<(Option<i64>,)>(&found)?.into_iter().next();
        Ok(row.is_some_and(|(epoch,)| epoch.map(unsigned) == Some(lease.epoch)))
    }

    pub(super) async fn scan(
        &self,
        link: &Link,
        range: Range<'_>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let mut deadline = link.deadline();
        let mut found = Vec::new();
        let mut parts = vec![(
            Bytes::copy_from_slice(range.from),
            range.to.map(Bytes::copy_from_slice),
            0,
        )];
        while let Some((from, to, halved)) = parts.pop() {
            if found.len() >= limit {
                break;
            }
            let part = Range {
                from: &from,
                to: to.as_deref(),
                ..range
            };
            if part.to.is_some_and(|to| to <= part.from) {
                continue;
            }
            let page = (limit - found.len()).min(PAGE_ROWS);
            match self.part(link, part, page).await {
                Ok(result) => {
                    let result = rows(result)?;
                    let columns = typed::<(&[u8], Option<&[u8]>)>(&result)?;
                    let is_full = columns.len() == page;
                    found.extend(columns.into_iter().map(|(key, value)| Row {
                        key: own(key),
                        value: own(value.unwrap_or_default()),
                    }));
                    if let Some(last) = found.last().filter(|_| is_full) {
                        parts.push((after(&last.key), to, halved));
                    }
                }
                Err(error) if too_many_tombstones(&error) && halved < HALVES_MAX => {
                    let middle = part.middle();
                    parts.push((middle.clone(), to, halved + 1));
                    parts.push((from, Some(middle), halved + 1));
                }
                Err(error) => {
                    link.after(&error, &mut deadline).await?;
                    parts.push((from, to, halved));
                }
            }
        }
        Ok(found)
    }

    /// Reads at most `page` rows of a range.
    async fn part(&self, link: &Link, range: Range<'_>, page: usize) -> Result<QueryResult, ExecutionError> {
        let count = i32::try_from(page).unwrap_or(i32::MAX);
        let (shard, kind) = (id(range.shard), range.kind);
        let session = link.session();
        match range.to {
            Some(to) => {
                session
                    .execute_unpaged(&self.range, (shard, kind, range.from, to, count))
                    .await
            }
            None => {
                session
                    .execute_unpaged(&self.range_open, (shard, kind, range.from, count))
                    .await
            }
        }
    }

    async fn fence(
        &self,
        link: &Link,
        shard: ShardId,
        deadline: &mut Deadline,
    ) -> Result<Stored, StoreError> {
        let result = rows(link.execute(&self.select_fence, (id(shard),), deadline).await?)?;
        let row = typed::<(Option<i64>, Option<i64>, Option<String>, Option<&[u8]>)>(&result)?
            .into_iter()
            .next();
        let (epoch, batch, owner, floors) = row.unwrap_or_default();
        Ok(Stored {
            epoch,
            batch,
            owner,
            floors: own(floors.unwrap_or_default()),
        })
    }

    /// Adds what the batch writes in the shard's partition.
    pub(super) fn writes(
        &self,
        statement: &mut Conditional,
        shard: ShardId,
        plan: &Plan,
        remove_tail: &PreparedStatement,
    ) {
        for tail in &plan.leaving {
            statement.push(remove_tail, (id(shard), tail.clone(), tail_end(tail)));
        }
        for ((kind, key), value) in &plan.hot {
            match value {
                Some(value) => {
                    statement.push(&self.insert, (id(shard), *kind, key.clone(), value.clone()));
                }
                None => statement.push(&self.delete, (id(shard), *kind, key.clone())),
            }
        }
    }
}

/// The fence as it is stored.
#[derive(Debug, Default)]
pub(super) struct Stored {
    epoch: Option<i64>,
    batch: Option<i64>,
    owner: Option<String>,
    floors: Bytes,
}

impl Stored {
    pub(super) fn of(found: &[Found]) -> Self {
        found.first().map_or_else(Self::default, |row| Self {
            epoch: row.bigint("epoch"),
            batch: row.bigint("number"),
            owner: row.text("owner").map(str::to_owned),
            floors: Bytes::new(),
        })
    }

    pub(super) fn fence(&self) -> Fence {
        Fence {
            epoch: unsigned(self.epoch.unwrap_or(0)),
            batch: unsigned(self.batch.unwrap_or(0)),
        }
    }
}

impl Inner {
    /// Reads rows in order, from the floor on if there is one.
    pub(super) async fn scan(
        &self,
        table: Table,
        range: Range<'_>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let (from, learning) = self.floors.scan(range.shard, table, range.from);
        let range = Range { from: &from, ..range };
        let found = self.shards.scan(&self.link, range, limit).await;
        if let Some(learning) = learning {
            let lowest = match &found {
                Ok(rows) => match rows.first() {
                    Some(row) => Some(&*row.key),
                    None if range.to.is_none() && limit > 0 => Some(&NO_ROW[..]),
                    None => None,
                },
                Err(_) => None,
            };
            self.floors.scanned(learning, lowest);
        }
        found
    }

    pub(super) async fn acquire(
        &self,
        shard: ShardId,
        owner: &NodeId,
        above: u64,
    ) -> Result<Lease, StoreError> {
        let mut deadline = self.link.deadline();
        let name = format!("{}/{}/{:x}", owner.name, owner.generation, nonce());
        loop {
            let stored = self.shards.fence(&self.link, shard, &mut deadline).await?;
            if stored.owner.as_deref() == Some(&name) {
                // An attempt that was not answered had been applied.
                return self.taken(stored.fence().lease(shard), &stored.floors).await;
            }
            let next = stored.fence().next_epoch(above);
            let mut statement = Conditional::new(&self.shards.conditional);
            let (epoch, batch) = (signed(next.epoch), signed(next.batch));
            let values = (epoch, batch, name.clone(), id(shard), stored.epoch, stored.batch);
            statement.push(&self.shards.take, values);
            let begun = (
                id(shard),
                EPOCHS,
                next.epoch.to_be_bytes().to_vec(),
                // What has landed before; the epoch's own batches are numbered from `next.batch` on.
                stored.fence().batch.to_be_bytes().to_vec(),
            );
            statement.push(&self.shards.insert, begun);
            match self.link.batch(&statement.batch, statement.values).await {
                Ok(result) => {
                    if let Answer::Applied = answer(result)? {
                        return self.taken(next.lease(shard), &stored.floors).await;
                    }
                }
                Err(error) => self.link.after(&error, &mut deadline).await?,
            }
        }
    }

    async fn taken(&self, lease: Lease, floors: &[u8]) -> Result<Lease, StoreError> {
        self.floors.begin(&lease, floors);
        self.tails.begin(&lease);
        self.settle_debts(&lease).await?;
        Ok(lease)
    }

    /// Pays what earlier owners owed.
    async fn settle_debts(&self, lease: &Lease) -> Result<(), StoreError> {
        let mut deadline = self.link.deadline();
        let values = (id(lease.shard), cold::DEBTS, [0_u8; 0].as_slice(), i32::MAX);
        let result = self
            .link
            .execute(&self.shards.range_open, values, &mut deadline)
            .await?;
        let found = rows(result)?;
        let debts = typed::<(&[u8], &[u8])>(&found)?
            .into_iter()
            .map(|(key, value)| (own(key), own(value)))
            .collect();
        self.cold.adopt(&self.link, lease.shard, debts).await;
        Ok(())
    }
}

impl Range<'_> {
    /// Returns a key about halfway between the ends.
    fn middle(&self) -> Bytes {
        let shared = self.to.map_or(0, |to| {
            let pairs = self.from.iter().zip(to);
            pairs.take_while(|(from, to)| from == to).count()
        });
        let number = |bytes: &[u8], rest: u8| {
            let digits = (shared..shared + 8).map(|at| bytes.get(at).copied().unwrap_or(rest));
            digits.fold(0_u64, |number, digit| number << 8 | u64::from(digit))
        };
        let low = number(self.from, 0);
        let high = self.to.map_or(u64::MAX, |to| number(to, 0));
        let mut middle = BytesMut::from(&self.from[..shared.min(self.from.len())]);
        middle.put_u64(low + high.saturating_sub(low) / 2);
        middle.freeze()
    }
}

fn too_many_tombstones(error: &ExecutionError) -> bool {
    matches!(
        error,
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(DbError::ReadFailure { .. }, _))
    )
}

/// Returns the smallest key after this one.
pub(super) fn after(key: &[u8]) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.put_slice(key);
    next.put_u8(0);
    next.freeze()
}

pub(super) fn id(shard: ShardId) -> i32 {
    shard.0.cast_signed()
}

pub(super) fn kind(table: Table) -> i8 {
    (table as u8).cast_signed()
}

/// Tells this attempt from those of others; no secret.
fn nonce() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::time::Instant::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_lies_between() {
        let cases: [(&[u8], Option<&[u8]>); 6] = [
            (b"", None),
            (b"abc", Some(b"abd")),
            (b"a", Some(b"z")),
            (b"", Some(b"\0\0\0\0\0\0\0\x04")),
            (&[0xff; 7], None),
            (b"same prefix 1", Some(b"same prefix 9")),
        ];
        for (from, to) in cases {
            let range = Range {
                shard: ShardId(1),
                kind: kind(Table::Ready),
                from,
                to,
            };
            let middle = range.middle();
            assert!(*middle >= *from, "{from:?} {to:?} {middle:?}");
            assert!(to.is_none_or(|to| *middle <= *to), "{from:?} {to:?} {middle:?}");
            assert!(*middle != *from, "{from:?} {to:?} {middle:?}");
        }
    }
}
