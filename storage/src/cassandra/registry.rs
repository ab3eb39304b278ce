//! Registry: one partition, written by conditional batches over its rows.

use std::collections::BTreeMap;

use bytes::Bytes;
use scylla::{client::execution_profile::ExecutionProfileHandle, statement::prepared::PreparedStatement};

use super::{
    OpenError,
    link::{Link, profile},
    rows::{Answer, Conditional, answer, own, rows, signed, typed, unsigned},
};
use crate::{
    error::StoreError,
    registry::{Entry, RegistryError, RegistryTable, RegistryWrite, Versions},
};

/// The one partition.
const PART: i8 = 0;
const PAGE_ENTRIES: usize = 1000;

pub(super) struct CassandraRegistry {
    select: PreparedStatement,
    select_writer: PreparedStatement,
    page: PreparedStatement,
    page_first: PreparedStatement,
    insert: PreparedStatement,
    update: PreparedStatement,
    delete: PreparedStatement,
    conditional: ExecutionProfileHandle,
}

/// What one entry becomes, of all writes of one call to it.
struct Change {
    expected: u64,
    version: u64,
    value: Option<Bytes>,
}

type Changes = BTreeMap<(RegistryTable, Bytes), Change>;

impl CassandraRegistry {
    pub(super) async fn prepare(link: &Link) -> Result<Self, OpenError> {
        let entries = i32::try_from(PAGE_ENTRIES).unwrap_or(i32::MAX);
        Ok(Self {
            select: link
                .prepare(
                    "SELECT key, value, version FROM ks.registry WHERE part = ? AND kind = ? AND key = ?",
                    1,
                )
                .await?,
            select_writer: link
                .prepare(
                    "SELECT version, writer FROM ks.registry WHERE part = ? AND kind = ? AND key = ?",
                    1,
                )
                .await?,
            page: link
                .prepare(
                    "SELECT key, value, version FROM ks.registry WHERE part = ? AND kind = ? AND key > ? LIMIT ?",
                    entries,
                )
                .await?,
            page_first: link
                .prepare(
                    "SELECT key, value, version FROM ks.registry WHERE part = ? AND kind = ? LIMIT ?",
                    entries,
                )
                .await?,
            insert: link
                .prepare(
                    "INSERT INTO ks.registry (part, kind, key, value, version, writer) VALUES (?, ?, ?, ?, ?, ?) IF NOT EXISTS",
                    1,
                )
                .await?,
            update: link
                .prepare(
                    "UPDATE ks.registry SET value = ?, version = ?, writer = ? \
                     WHERE part = ? AND kind = ? AND key = ? IF version = ?",
                    1,
                )
                .await?,
            delete: link
                .prepare(
                    "DELETE FROM ks.registry WHERE part = ? AND kind = ? AND key = ? IF version = ?",
                    1,
                )
                .await?,
            conditional: profile(link.config(), true).into_handle_with_label("conditional".to_owned()),
        })
    }

    pub(super) async fn get(
        &self,
        link: &Link,
        table: RegistryTable,
        key: &[u8],
    ) -> Result<Option<Entry>, StoreError> {
        let mut deadline = link.deadline();
        let values = (PART, kind(table), key);
        let found = rows(link.execute(&self.select, values, &mut deadline).await?)?;
        Ok(typed::<Columns<'_>>(&found)?.into_iter().next().map(entry))
    }

    pub(super) async fn list(
        &self,
        link: &Link,
        table: RegistryTable,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut deadline = link.deadline();
        let mut entries: Vec<Entry> = Vec::new();
        let mut after = after.map(Bytes::copy_from_slice);
        while entries.len() < limit {
            let page = (limit - entries.len()).min(PAGE_ENTRIES);
            let count = i32::try_from(page).unwrap_or(i32::MAX);
            let result = match &after {
                Some(after) => {
                    let values = (PART, kind(table), after.clone(), count);
                    link.execute(&self.page, values, &mut deadline).await?
                }
                None => {
                    let values = (PART, kind(table), count);
                    link.execute(&self.page_first, values, &mut deadline).await?
                }
            };
            let found = rows(result)?;
            let more: Vec<Entry> = typed::<Columns<'_>>(&found)?.into_iter().map(entry).collect();
            let full = more.len() == page;
            entries.extend(more);
            if !full {
                break;
            }
            after = entries.last().map(|entry| entry.key.clone());
        }
        Ok(entries)
    }

    /// Settles an unknown outcome by sending the same writes again: the rows name who wrote them.
    pub(super) async fn write(&self, link: &Link, writes: Vec<RegistryWrite>) -> Result<(), RegistryError> {
        let changes = changes(writes)?;
        if changes.is_empty() {
            return Ok(());
        }
        let writer = nonce();
        let mut deadline = link.deadline();
        let mut unknown = false;
        loop {
            let statement = self.statement(&changes, &writer);
            match link.batch(&statement.batch, statement.values).await {
                Ok(result) => match answer(result)? {
                    Answer::Applied => return Ok(()),
                    Answer::Refused(_) if unknown && self.landed(link, &changes, &writer).await? => {
                        return Ok(());
                    }
                    Answer::Refused(_) => return Err(RegistryError::Conflict),
                },
                Err(error) => {
                    unknown = true;
                    link.after(&error, &mut deadline).await?;
                }
            }
        }
    }

    /// Whether these writes are there already: the first attempt was applied and its answer lost.
    async fn landed(&self, link: &Link, changes: &Changes, writer: &[u8]) -> Result<bool, StoreError> {
        let mut deadline = link.deadline();
        for ((table, key), change) in changes {
            let values = (PART, kind(*table), key.clone());
            let found = rows(link.execute(&self.select_writer, values, &mut deadline).await?)?;
            let row = typed::<(Option<i64>, Option<&[u8]>)>(&found)?.into_iter().next();
            let ours = match (&change.value, row) {
                (Some(_), Some((_, written_by))) => written_by == Some(writer),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            if !ours {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn statement(&self, changes: &Changes, writer: &[u8]) -> Conditional {
        let mut statement = Conditional::new(&self.conditional);
        for ((table, key), change) in changes {
            let (kind, key) = (kind(*table), key.clone());
            let version = signed(change.version);
            let expected = (change.expected > 0).then(|| signed(change.expected));
            match &change.value {
                Some(value) if expected.is_none() => {
                    let values = (PART, kind, key, value.clone(), version, writer.to_vec());
                    statement.push(&self.insert, values);
                }
                Some(value) => {
                    let values = (value.clone(), version, writer.to_vec(), PART, kind, key, expected);
                    statement.push(&self.update, values);
                }
                None => statement.push(&self.delete, (PART, kind, key, expected)),
            }
        }
        statement
    }
}

/// Puts several writes of one entry together; each expects what the one before it makes.
fn changes(writes: Vec<RegistryWrite>) -> Result<Changes, RegistryError> {
    // Nothing is known of the store here, so the first write of an entry finds what it expects.
    let first: BTreeMap<_, _> = writes
        .iter()
        .rev()
        .map(|write| ((write.table, write.key.clone()), write.expected))
        .collect();
    let stored = |table: RegistryTable, key: &[u8]| {
        let found = first.get(&(table, Bytes::copy_from_slice(key)));
        Ok(found.copied().unwrap_or(0))
    };
    Versions::default().check(&writes, stored)?;
    let mut changes = Changes::new();
    for write in writes {
        let expected = first
            .get(&(write.table, write.key.clone()))
            .copied()
            .unwrap_or(write.expected);
        let change = Change {
            expected,
            version: write.expected + 1,
            value: write.value,
        };
        changes.insert((write.table, write.key), change);
    }
    Ok(changes)
}

type Columns<'frame> = (&'frame [u8], Option<&'frame [u8]>, i64);

fn entry((key, value, version): Columns<'_>) -> Entry {
    Entry {
        key: own(key),
        value: own(value.unwrap_or_default()),
        version: unsigned(version),
    }
}

fn kind(table: RegistryTable) -> i8 {
    (table as u8).cast_signed()
}

/// Names one call; no secret.
fn nonce() -> Vec<u8> {
    use std::hash::{BuildHasher, RandomState};
    let now = std::time::Instant::now();
    let halves = [RandomState::new().hash_one(now), RandomState::new().hash_one(now)];
    halves.iter().flat_map(|half| half.to_be_bytes()).collect()
}
