//! Batch: the writes of one commit, as a value.

use bytes::Bytes;
use proto::ids::{NamespaceId, RunId};

/// The tables of a shard. A row's key sorts bytewise within its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// State of each open run, and of each closed one that still owes something.
    Run = 1,
    /// The newest run of each workflow id.
    Current = 2,
    /// Tasks that are ready and not started, in the order in which a queue hands them out.
    Ready = 3,
    /// When to look at a run again, by time.
    Wakeup = 4,
    /// Visibility records that the index has not confirmed.
    Outbox = 5,
    /// State of runs that have closed and owe nothing; outside the shard's hot partition.
    Closed = 6,
}

impl Table {
    pub const ALL: [Self; 6] = [
        Self::Run,
        Self::Current,
        Self::Ready,
        Self::Wakeup,
        Self::Outbox,
        Self::Closed,
    ];
    /// Those with an order to go through; a closed run is only read by its key.
    pub const SCANNED: [Self; 5] = [Self::Run, Self::Current, Self::Ready, Self::Wakeup, Self::Outbox];
}

/// One row's new value, or its removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub table: Table,
    pub key: Bytes,
    /// `None` removes the row; removing a row that is not there is no error.
    pub value: Option<Bytes>,
}

/// A run's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HistoryKey {
    pub namespace_id: NamespaceId,
    pub run_id: RunId,
}

/// The events of one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryNode {
    pub history: HistoryKey,
    /// Id of the node's first event. Nodes of a history are dense: the next one starts after this one's last.
    pub first_event_id: i64,
    pub events: Bytes,
}

/// What one commit writes: all of it or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The number after the last committed one.
    pub number: u64,
    /// Applied in order: of two writes to one row the later one stays.
    pub writes: Vec<Write>,
    pub history: Vec<HistoryNode>,
    /// Histories that go away whole, with the nodes that this batch carries for them.
    pub forget: Vec<HistoryKey>,
}

impl Batch {
    /// Returns how many bytes the batch carries, keys and values.
    #[must_use]
    pub fn size(&self) -> usize {
        let rows: usize = self
            .writes
            .iter()
            .map(|write| write.key.len() + write.value.as_ref().map_or(0, Bytes::len))
            .sum();
        let nodes: usize = self.history.iter().map(|node| 40 + node.events.len()).sum();
        rows + nodes + self.forget.len() * 32
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.history.is_empty() && self.forget.is_empty()
    }
}
