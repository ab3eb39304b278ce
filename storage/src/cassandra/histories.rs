//! Histories: reads of histories and closed runs, from the shard's partition and the runs'.
//!
//! The tail is read first: what moves out of it meanwhile is found in the run's partition, and what stands in both
//! is taken from one.

use bytes::Bytes;
use proto::ids::ShardId;

use super::{
    Inner,
    landed::Mark,
    plan::{closed_id, closed_key, history_id},
    rows::{own, rows, typed},
    tails::Tail,
};
use crate::{
    batch::{HistoryKey, HistoryNode},
    error::StoreError,
    shard::{Budget, HistoryRange},
};

/// Nodes that the first request reads, and later ones at most.
const PAGE_NODES_FIRST: i32 = 16;
pub(super) const PAGE_NODES_MAX: i32 = 256;
/// Pages larger than this do not grow.
const PAGE_BYTES_WANTED: usize = 256 << 10;

/// seq, number, epoch, shard, value
type Columns<'frame> = (i64, i64, i64, i32, &'frame [u8]);

/// An answer as it grows.
struct Reading<'a> {
    range: &'a HistoryRange,
    budget: Budget,
    nodes: Vec<HistoryNode>,
}

impl Reading<'_> {
    /// Takes the next node; false when the answer is complete.
    fn take(&mut self, node: HistoryNode) -> bool {
        let first = node.first_event_id;
        if !self.budget.take(node.events.len()) {
            return false;
        }
        self.nodes.push(node);
        // Downwards, the node that holds the first event wanted is the last one.
        !(self.range.reverse && first <= self.range.from_event_id)
    }

    /// Takes what the tail has of the range; false when the answer is complete.
    fn take_tail(&mut self, tail: &Tail) -> bool {
        let range = self.range;
        let node = |(first_event_id, events): (&i64, &Bytes)| HistoryNode {
            history: range.history,
            first_event_id: *first_event_id,
            events: events.clone(),
        };
        if range.reverse {
            let mut nodes = tail.nodes().range(..range.to_event_id).rev().map(node);
            return nodes.all(|node| self.take(node));
        }
        let mut older = tail.nodes().range(..=range.from_event_id);
        let begin = older.next_back().map_or(i64::MIN, |(holder, _)| *holder);
        let mut nodes = tail.nodes().range(begin..range.to_event_id).map(node);
        nodes.all(|node| self.take(node))
    }
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

    pub(super) async fn history(
        &self,
        shard: ShardId,
        range: &HistoryRange,
    ) -> Result<Vec<HistoryNode>, StoreError> {
        if range.from_event_id >= range.to_event_id {
            return Ok(Vec::new());
        }
        let mut deadline = self.link.deadline();
        let id = history_id(&range.history);
        let tail = self.tails.read(&self.link, shard, &id, &mut deadline).await?;
        let mut reading = Reading {
            range,
            budget: range.budget(),
            nodes: Vec::new(),
        };
        let begin = tail.begin().unwrap_or(i64::MAX);
        if range.reverse {
            if reading.take_tail(&tail) {
                self.moved(&mut reading, begin).await?;
            }
        } else if begin <= range.from_event_id || self.moved(&mut reading, begin).await? {
            reading.take_tail(&tail);
        }
        Ok(reading.nodes)
    }

    /// Reads what the run's partition has of the range before `begin`; false when the answer is complete.
    async fn moved(&self, reading: &mut Reading<'_>, begin: i64) -> Result<bool, StoreError> {
        let range = reading.range;
        let mut part = Part {
            history: range.history,
            from: range.from_event_id,
            to: range.to_event_id.min(begin),
            down: range.reverse,
            rows: PAGE_NODES_FIRST,
        };
        if range.reverse {
            part.from = i64::MIN;
        } else if let Some(holder) = self.holder(range).await? {
            part.from = holder;
        }
        loop {
            let (page, next) = self.page(&part).await?;
            for node in page {
                if !reading.take(node) {
                    return Ok(false);
                }
            }
            match next {
                Some(next) => part = next,
                None => return Ok(true),
            }
        }
    }

    /// Returns where the node begins that holds the first event wanted, if the run's partition has it.
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
            // Two batches may have brought the same node here; see `detach_histories`.
            if nodes.last().is_some_and(|node| node.first_event_id == *seq) {
                continue;
            }
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
