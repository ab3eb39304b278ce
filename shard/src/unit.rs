//! Unit: the changes of one workflow that no commit tears apart.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proto::{
    ids::{RunKey, WorkflowKey},
    time::Timestamp,
};
use storage::batch::{Batch, HistoryKey, HistoryNode, Table, Write};

use crate::output::Output;

/// The changes of one workflow, of all its runs. What one step decides is in one unit, and the units of a workflow
/// are committed in their order.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) workflow: WorkflowKey,
    /// Runs whose state is to be stored.
    pub(crate) dirty: BTreeSet<RunKey>,
    /// Runs whose state is among the rows.
    pub(crate) stored: BTreeSet<RunKey>,
    /// Runs that go away.
    pub(crate) gone: BTreeSet<RunKey>,
    rows: BTreeMap<(Table, Bytes), Option<Bytes>>,
    history: Vec<HistoryNode>,
    forget: Vec<HistoryKey>,
    /// In the order in which they were decided. An announcement that became void is `None`.
    outputs: Vec<Option<Output>>,
    /// Where the announcements of ready tasks stand that this unit puts.
    announced: BTreeMap<Bytes, usize>,
    /// The run whose workflow task is completed here.
    pub(crate) completes: Option<RunKey>,
    /// State transitions that it makes durable.
    pub(crate) transitions: u64,
    /// When the calls were received that made them: the first, and the others.
    pub(crate) received: Option<Timestamp>,
    pub(crate) received_more: Vec<Timestamp>,
    /// Takes no more changes: the runs' states are among the rows as they were when it was closed.
    pub(crate) closed: bool,
    pub(crate) load: Load,
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    pub(crate) bytes: usize,
    /// Rows that would not be committed for their own sake.
    pub(crate) lazy: usize,
    /// Units that wait for a commit.
    pub(crate) urgent: usize,
}

impl Load {
    pub(crate) fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.lazy += other.lazy;
        self.urgent += other.urgent;
    }

    pub(crate) fn subtract(&mut self, other: Self) {
        self.bytes -= other.bytes;
        self.lazy -= other.lazy;
        self.urgent -= other.urgent;
    }
}

impl Unit {
    pub(crate) fn new(workflow: WorkflowKey) -> Self {
        Self {
            workflow,
            dirty: BTreeSet::new(),
            stored: BTreeSet::new(),
            gone: BTreeSet::new(),
            rows: BTreeMap::new(),
            history: Vec::new(),
            forget: Vec::new(),
            outputs: Vec::new(),
            announced: BTreeMap::new(),
            completes: None,
            transitions: 0,
            received: None,
            received_more: Vec::new(),
            closed: false,
            load: Load::default(),
        }
    }

    /// Tells whether it waits for a commit, and not only to ride with one.
    pub(crate) fn is_urgent(&self) -> bool {
        self.load.urgent > 0
    }

    pub(crate) fn mark(&mut self, run: RunKey) {
        self.dirty.insert(run);
        self.load.urgent = 1;
    }

    pub(crate) fn put(&mut self, table: Table, key: Bytes, value: Bytes) {
        self.load.bytes += key.len() + value.len();
        self.load.urgent = 1;
        self.rows.insert((table, key), Some(value));
    }

    pub(crate) fn delete(&mut self, table: Table, key: Bytes) {
        self.load.bytes += key.len();
        self.load.urgent = 1;
        self.rows.insert((table, key), None);
    }

    /// Removes a row with the next batch that is committed for another reason.
    pub(crate) fn delete_some_time(&mut self, table: Table, key: Bytes) {
        self.load.lazy += 1;
        self.rows.entry((table, key)).or_insert(None);
    }

    pub(crate) fn append(&mut self, node: HistoryNode) {
        self.load.bytes += node.events.len();
        self.load.urgent = 1;
        self.history.push(node);
    }

    pub(crate) fn forget(&mut self, history: HistoryKey) {
        self.history.retain(|node| node.history != history);
        self.load.urgent = 1;
        self.forget.push(history);
    }

    /// Holds the output back until the unit is durable.
    pub(crate) fn park(&mut self, output: Output) {
        self.outputs.push(Some(output));
    }

    /// Stores a ready task and announces it once it is durable.
    pub(crate) fn put_ready(&mut self, key: Bytes, workflow_id: Bytes, announce: Output) {
        self.announced.insert(key.clone(), self.outputs.len());
        self.outputs.push(Some(announce));
        self.put(Table::Ready, key, workflow_id);
    }

    /// Removes a ready task; one that never left this unit is as if it had not been.
    pub(crate) fn delete_ready(&mut self, key: Bytes) {
        if let Some(at) = self.announced.remove(&key) {
            self.outputs[at] = None;
            self.rows.remove(&(Table::Ready, key));
        } else {
            self.delete(Table::Ready, key);
        }
    }

    /// Counts a state transition, and the call that asked for it.
    pub(crate) fn count(&mut self, received: Option<Timestamp>) {
        self.transitions += 1;
        match (self.received, received) {
            (None, received) => self.received = received,
            (Some(_), Some(more)) => self.received_more.push(more),
            (Some(_), None) => {}
        }
    }

    /// Returns how many writes it is.
    pub(crate) fn writes(&self) -> usize {
        self.rows.len() + self.history.len() + self.forget.len()
    }

    /// Returns the bytes of its rows, and of its largest history node.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        let row = |((_, key), value): (&(Table, Bytes), &Option<Bytes>)| {
            key.len() + value.as_ref().map_or(0, Bytes::len)
        };
        let node = self.history.iter().map(|node| node.events.len()).max();
        (self.rows.iter().map(row).sum(), node.unwrap_or(0))
    }

    /// Moves what it writes into the batch.
    pub(crate) fn write(&mut self, batch: &mut Batch) {
        let rows = std::mem::take(&mut self.rows);
        let writes = rows
            .into_iter()
            .map(|((table, key), value)| Write { table, key, value });
        batch.writes.extend(writes);
        batch.history.append(&mut self.history);
        batch.forget.append(&mut self.forget);
    }

    pub(crate) fn take_outputs(&mut self) -> impl Iterator<Item = Output> {
        std::mem::take(&mut self.outputs).into_iter().flatten()
    }
}
