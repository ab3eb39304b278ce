//! Layout: which keyspace a row lives in and what its key and value look like there.
//!
//! Rows with one kind of life share a keyspace, so that merging tables moves little that did not change:
//!
//! | keyspace | rows | life |
//! |---|---|---|
//! | `run` | open runs, fences, the sequence row | overwritten all the time |
//! | `current` | newest run of each workflow id | one write per run, kept until retention; read in vain by every start |
//! | `queue` | ready tasks, wake-ups, outbox | written once, soon removed: merged early, so scans pass few markers |
//! | `closed` | closed runs | written once, removed by retention |
//! | `history` | history nodes | written once, removed by retention |
//! | `registry` | namespaces, shard map | seldom written |
//!
//! A shard's row has the key `shard (4) | table (1) | key`, so a table of a shard is one range.
//! Keyspaces keep bloom filters on every level: a start of a new workflow id reads a row that is not there.

use std::sync::Arc;

use bytes::{BufMut, Bytes};
use fjall::{
    AbstractTree, Database, Keyspace, KeyspaceCreateOptions, LsmError, OwnedWriteBatch, PersistMode, UserKey,
    UserValue, compaction::Leveled,
};
use proto::ids::{NodeId, ShardId};

use crate::{
    batch::{HistoryKey, Table},
    config::EmbeddedConfig,
    error::StoreError,
    fence::Fence,
    registry::RegistryTable,
};

/// Length of the prefix before a row's own key.
pub(super) const ROW_PREFIX: usize = 5;
/// Length of the prefix before an event id.
pub(super) const HISTORY_PREFIX: usize = 32;
/// Longer keys are refused; the engine's own limit is 65,535 bytes with the prefix.
pub(super) const KEY_MAX: usize = 60_000;

/// Size that tables are cut to. One merge takes about ten of them at once, and with a single thread the memory
/// tables wait for it: small ones keep that wait, and the memory that piles up meanwhile, short.
const TABLE_BYTES: u64 = 16 << 20;

/// Memory tables that wait to be written; the engine stalls a writer at four.
const SEALED_MAX: usize = 3;
/// Tables that wait to be merged; the engine stalls a writer at thirty, and those in memory may join them.
const YOUNG_TABLES_MAX: usize = 26;

/// No other row of the database has it: those of shards are five bytes or longer, no registry table is 0.
const SEQUENCE_KEY: &[u8] = &[0];
const FENCE_TABLE: u8 = 0;
/// No registry table has the number of its first letter.
const FORMAT_KEY: &[u8] = b"format";

/// A place for rows with one kind of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    Run,
    Current,
    Queue,
    Closed,
    History,
    Registry,
}

impl Space {
    /// Name in the database and share of the write buffer, in 32ths.
    const ALL: [(Self, &str, u64); 6] = [
        (Self::Run, "run", 10),
        (Self::Current, "current", 4),
        (Self::Queue, "queue", 4),
        (Self::Closed, "closed", 4),
        (Self::History, "history", 9),
        (Self::Registry, "registry", 1),
    ];

    pub(super) fn of(table: Table) -> Self {
        match table {
            Table::Run => Self::Run,
            Table::Current => Self::Current,
            Table::Ready | Table::Wakeup | Table::Outbox => Self::Queue,
            Table::Closed => Self::Closed,
        }
    }
}

/// One row of a commit, as the engine takes it.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) space: Space,
    pub(super) key: Bytes,
    pub(super) value: Option<Bytes>,
}

/// The open database.
#[derive(Clone)]
pub(super) struct Layout {
    pub(super) database: Database,
    spaces: [Keyspace; 6],
}

impl Layout {
    pub(super) fn open(database: Database, config: &EmbeddedConfig) -> Result<Self, fjall::Error> {
        let open = |(_, name, share): (Space, &str, u64)| {
            let memtable = config.write_buffer.as_bytes() / 32 * share;
            let merging = Leveled::default().with_table_target_size(TABLE_BYTES);
            let options = KeyspaceCreateOptions::default().max_memtable_size(memtable);
            database.keyspace(name, || options.compaction_strategy(Arc::new(merging)))
        };
        let [run, current, queue, closed, history, registry] = Space::ALL.map(open);
        let spaces = [run?, current?, queue?, closed?, history?, registry?];
        Ok(Self { database, spaces })
    }

    /// Whether the engine has fallen so far behind with its tables that the next write might wait inside it.
    ///
    /// It then waits for ever if the thread that it waits for has died; here the wait can notice (see
    /// `Committer::wait_for_room`). A write adds one memory table to a keyspace at most, and stalls at four.
    pub(super) fn congested(&self) -> bool {
        self.spaces.iter().any(|space| {
            space.tree.sealed_memtable_count() >= SEALED_MAX || space.tree.l0_run_count() >= YOUNG_TABLES_MAX
        })
    }

    pub(super) fn space(&self, space: Space) -> &Keyspace {
        &self.spaces[space as usize]
    }

    pub(super) fn put(&self, batch: &mut OwnedWriteBatch, row: Prepared) {
        let space = self.space(row.space);
        match row.value {
            Some(value) => batch.insert(space, UserKey::from(row.key), UserValue::from(value)),
            None => batch.remove(space, UserKey::from(row.key)),
        }
    }
}

pub(super) fn row_key(shard: ShardId, table: Table, key: &[u8]) -> Vec<u8> {
    prefixed(shard, table as u8, key)
}

/// Returns the key after the last row of a table.
pub(super) fn table_end(shard: ShardId, table: Table) -> Vec<u8> {
    prefixed(shard, table as u8 + 1, &[])
}

fn prefixed(shard: ShardId, table: u8, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ROW_PREFIX + key.len());
    bytes.put_u32(shard.0);
    bytes.put_u8(table);
    bytes.put_slice(key);
    bytes
}

/// Returns the key of the node that starts at `event_id`; ids sort as unsigned numbers, negative ones are none.
pub(super) fn history_key(history: &HistoryKey, event_id: i64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HISTORY_PREFIX + 8);
    bytes.put_slice(history.namespace_id.as_bytes());
    bytes.put_slice(history.run_id.as_bytes());
    bytes.put_i64(event_id.max(0));
    bytes
}

pub(super) fn event_id(key: &[u8]) -> Result<i64, StoreError> {
    let id = key.get(HISTORY_PREFIX..).and_then(<[u8]>::first_chunk);
    id.map(|bytes| i64::from_be_bytes(*bytes))
        .ok_or_else(|| StoreError::Broken("read history key: too short".into()))
}

pub(super) fn registry_key(table: RegistryTable, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + key.len());
    bytes.put_u8(table as u8);
    bytes.put_slice(key);
    bytes
}

pub(super) fn registry_value(version: u64, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + value.len());
    bytes.put_u64(version);
    bytes.put_slice(value);
    bytes
}

pub(super) fn registry_version(value: &[u8]) -> Result<u64, StoreError> {
    number(value).ok_or_else(|| StoreError::Broken("read registry entry: no version".into()))
}

pub(super) fn fence_key(shard: ShardId) -> Vec<u8> {
    prefixed(shard, FENCE_TABLE, &[])
}

/// Writes the fence, and its owner for whoever looks at the row.
pub(super) fn fence_value(fence: Fence, owner: &NodeId) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(24 + owner.name.len());
    bytes.put_u64(fence.epoch);
    bytes.put_u64(fence.batch);
    bytes.put_u64(owner.generation);
    bytes.put_slice(owner.name.as_bytes());
    bytes
}

fn fence(value: &[u8]) -> Result<Fence, StoreError> {
    let broken = || StoreError::Broken("read fence: too short".into());
    let epoch = number(value).ok_or_else(broken)?;
    let batch = value.get(8..).and_then(number).ok_or_else(broken)?;
    Ok(Fence { epoch, batch })
}

/// Whether a key, of whatever keyspace, is that of the sequence row.
pub(super) fn is_sequence(key: &[u8]) -> bool {
    key == SEQUENCE_KEY
}

pub(super) fn sequence_row(sequence: u64) -> Prepared {
    number_row(Space::Run, SEQUENCE_KEY, sequence)
}

fn number_row(space: Space, key: &'static [u8], value: u64) -> Prepared {
    Prepared {
        space,
        key: Bytes::from_static(key),
        value: Some(Bytes::copy_from_slice(&value.to_be_bytes())),
    }
}

impl Layout {
    pub(super) fn sequence(&self) -> Result<Option<u64>, StoreError> {
        self.number(Space::Run, SEQUENCE_KEY)
    }

    pub(super) fn format(&self) -> Result<Option<u64>, StoreError> {
        self.number(Space::Registry, FORMAT_KEY)
    }

    pub(super) fn write_format(&self, format: u64) -> Result<(), fjall::Error> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        self.put(&mut batch, number_row(Space::Registry, FORMAT_KEY, format));
        batch.commit()
    }

    /// Returns a shard's fence; a shard that nobody ever acquired has epoch 0.
    pub(super) fn fence(&self, shard: ShardId) -> Result<Fence, StoreError> {
        let value = self
            .space(Space::Run)
            .get(fence_key(shard))
            .map_err(read_failed)?;
        value.map_or(Ok(Fence::default()), |value| fence(&value))
    }

    fn number(&self, space: Space, key: &[u8]) -> Result<Option<u64>, StoreError> {
        let value = self.space(space).get(key).map_err(read_failed)?;
        value
            .map(|value| number(&value).ok_or_else(|| StoreError::Broken("read number: too short".into())))
            .transpose()
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// Tells a disk that does not answer from bytes that are not what was written.
pub(super) fn read_failed(error: fjall::Error) -> StoreError {
    match error {
        fjall::Error::Io(source) => StoreError::Unavailable(format!("read table: {source}")),
        fjall::Error::Storage(LsmError::Io(source)) => {
            StoreError::Unavailable(format!("read table: {source}"))
        }
        other => StoreError::Broken(format!("read table: {other}")),
    }
}
