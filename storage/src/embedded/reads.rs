//! Reads: rows, histories and registry entries as the last durable commit left them.
//!
//! Each read sees one moment of the database, so it never sees a part of a merged write.

use std::ops::Bound;

use bytes::Bytes;
use fjall::{Guard, Iter, Readable, Snapshot};
use proto::ids::ShardId;

use super::layout::{self, HISTORY_PREFIX, Layout, ROW_PREFIX, Space, read_failed};
use crate::{
    batch::{HistoryKey, HistoryNode, Table},
    error::StoreError,
    registry::{Entry, RegistryTable},
    shard::{HistoryRange, Row},
};

impl Layout {
    pub(super) fn load(&self, shard: ShardId, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let key = layout::row_key(shard, table, key);
        let value = self
            .database
            .snapshot()
            .get(self.space(Space::of(table)), key)
            .map_err(read_failed)?;
        Ok(value.map(|value| own(&value)))
    }

    pub(super) fn scan(
        &self,
        shard: ShardId,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let end = match to {
            Some(to) if to <= from => return Ok(Vec::new()),
            Some(to) => layout::row_key(shard, table, to),
            None => layout::table_end(shard, table),
        };
        let rows = self.range(Space::of(table), &layout::row_key(shard, table, from), &end);
        rows.take(limit)
            .map(|row| {
                let (key, value) = row.into_inner().map_err(read_failed)?;
                Ok(Row {
                    key: own(&key[ROW_PREFIX..]),
                    value: own(&value),
                })
            })
            .collect()
    }

    pub(super) fn history(&self, range: &HistoryRange) -> Result<Vec<HistoryNode>, StoreError> {
        if range.from_event_id >= range.to_event_id {
            return Ok(Vec::new());
        }
        let mut budget = range.budget();
        let mut nodes = Vec::new();
        let take = |node: &HistoryNode| budget.take(node.events.len());
        if range.reverse {
            self.nodes_down(range, take, &mut nodes)?;
        } else {
            self.nodes_up(range, take, &mut nodes)?;
        }
        Ok(nodes)
    }

    fn nodes_up(
        &self,
        range: &HistoryRange,
        mut take: impl FnMut(&HistoryNode) -> bool,
        nodes: &mut Vec<HistoryNode>,
    ) -> Result<(), StoreError> {
        let snapshot = self.database.snapshot();
        let first = self.holder(&snapshot, range)?;
        let end = layout::history_key(&range.history, range.to_event_id);
        for row in snapshot.range(self.space(Space::History), first..end) {
            let node = node(range.history, row)?;
            if !take(&node) {
                break;
            }
            nodes.push(node);
        }
        Ok(())
    }

    fn nodes_down(
        &self,
        range: &HistoryRange,
        mut take: impl FnMut(&HistoryNode) -> bool,
        nodes: &mut Vec<HistoryNode>,
    ) -> Result<(), StoreError> {
        let start = layout::history_key(&range.history, 0);
        let end = layout::history_key(&range.history, range.to_event_id);
        for row in self.range(Space::History, &start, &end).rev() {
            let node = node(range.history, row)?;
            let oldest = node.first_event_id <= range.from_event_id;
            if !take(&node) {
                break;
            }
            nodes.push(node);
            if oldest {
                break;
            }
        }
        Ok(())
    }

    /// Returns the key of the node that holds the first event wanted.
    fn holder(&self, snapshot: &Snapshot, range: &HistoryRange) -> Result<Vec<u8>, StoreError> {
        let wanted = layout::history_key(&range.history, range.from_event_id);
        if range.from_event_id <= 1 {
            // Histories start at event 1: the usual read from the beginning needs no look back.
            return Ok(layout::history_key(&range.history, 0));
        }
        let start = layout::history_key(&range.history, 0);
        match snapshot
            .range(self.space(Space::History), start..=wanted.clone())
            .next_back()
        {
            Some(row) => Ok(row.key().map_err(read_failed)?.to_vec()),
            None => Ok(wanted),
        }
    }

    /// Returns the keys of all nodes of a history.
    pub(super) fn history_keys(&self, history: &HistoryKey) -> Result<Vec<Bytes>, StoreError> {
        let start = layout::history_key(history, 0);
        let snapshot = self.database.snapshot();
        snapshot
            .prefix(self.space(Space::History), &start[..HISTORY_PREFIX])
            .map(|row| Ok(own(&row.key().map_err(read_failed)?)))
            .collect()
    }

    pub(super) fn registry_entry(
        &self,
        table: RegistryTable,
        key: &[u8],
    ) -> Result<Option<Entry>, StoreError> {
        let stored = layout::registry_key(table, key);
        let value = self
            .database
            .snapshot()
            .get(self.space(Space::Registry), stored)
            .map_err(read_failed)?;
        value.map(|value| entry(key, &value)).transpose()
    }

    pub(super) fn registry_page(
        &self,
        table: RegistryTable,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let start = layout::registry_key(table, after.unwrap_or_default());
        let start = if after.is_some() {
            Bound::Excluded(start)
        } else {
            Bound::Included(start)
        };
        let end = Bound::Excluded(vec![table as u8 + 1]);
        let rows = self
            .database
            .snapshot()
            .range(self.space(Space::Registry), (start, end));
        rows.take(limit)
            .map(|row| {
                let (key, value) = row.into_inner().map_err(read_failed)?;
                entry(&key[1..], &value)
            })
            .collect()
    }

    fn range(&self, space: Space, start: &[u8], end: &[u8]) -> Iter {
        self.database.snapshot().range(self.space(space), start..end)
    }
}

/// Copies bytes out of the engine: a part of a block would keep the whole block in memory for as long as a
/// cache holds the row.
fn own(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// Shares a node's bytes with the block they came in: histories are read to be sent, not to be kept.
fn node(history: HistoryKey, row: Guard) -> Result<HistoryNode, StoreError> {
    let (key, value) = row.into_inner().map_err(read_failed)?;
    Ok(HistoryNode {
        history,
        first_event_id: layout::event_id(&key)?,
        events: value.into(),
    })
}

fn entry(key: &[u8], value: &[u8]) -> Result<Entry, StoreError> {
    let version = layout::registry_version(value)?;
    Ok(Entry {
        key: own(key),
        value: own(&value[8..]),
        version,
    })
}
