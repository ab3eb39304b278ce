//! Stage: what the next commit writes, and the outputs that wait for it to be durable (P3).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proto::ids::RunKey;
use storage::batch::{Batch, HistoryKey, HistoryNode, Table, Write};

use crate::output::Output;

/// What the next commit writes.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    /// Runs whose state is to be stored.
    pub(crate) dirty: BTreeSet<RunKey>,
    rows: BTreeMap<(Table, Bytes), Option<Bytes>>,
    history: Vec<HistoryNode>,
    forget: Vec<HistoryKey>,
    /// In the order in which they were decided. An announcement that became void is `None`.
    outputs: Vec<Option<Output>>,
    /// Where the announcements of ready tasks stand that this stage puts.
    announced: BTreeMap<Bytes, usize>,
    bytes: usize,
    /// Something waits for the commit; rows that can wait are not counted.
    urgent: bool,
}

/// A batch on its way, and what waits for it.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) runs: BTreeSet<RunKey>,
    pub(crate) outputs: Vec<Output>,
}

impl Stage {
    pub(crate) fn is_urgent(&self) -> bool {
        self.urgent
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
            && self.dirty.is_empty()
            && self.history.is_empty()
            && self.forget.is_empty()
            && self.outputs.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many rows wait that would not be committed for their own sake.
    pub(crate) fn lazy_rows(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn mark(&mut self, run: RunKey) {
        self.dirty.insert(run);
        self.urgent = true;
    }

    pub(crate) fn put(&mut self, table: Table, key: Bytes, value: Bytes) {
        self.bytes += key.len() + value.len();
        self.urgent = true;
        self.rows.insert((table, key), Some(value));
    }

    pub(crate) fn delete(&mut self, table: Table, key: Bytes) {
        self.bytes += key.len();
        self.urgent = true;
        self.rows.insert((table, key), None);
    }

    /// Removes a row with the next batch that is committed for another reason.
    pub(crate) fn delete_some_time(&mut self, table: Table, key: Bytes) {
        self.rows.entry((table, key)).or_insert(None);
    }

    pub(crate) fn append(&mut self, node: HistoryNode) {
        self.bytes += node.events.len();
        self.urgent = true;
        self.history.push(node);
    }

    pub(crate) fn forget(&mut self, history: HistoryKey) {
        self.history.retain(|node| node.history != history);
        self.urgent = true;
        self.forget.push(history);
    }

    /// Holds the output back until the batch is durable.
    pub(crate) fn park(&mut self, output: Output) {
        self.urgent = true;
        self.outputs.push(Some(output));
    }

    /// Stores a ready task and announces it once it is durable.
    pub(crate) fn put_ready(&mut self, key: Bytes, workflow_id: Bytes, announce: Output) {
        self.announced.insert(key.clone(), self.outputs.len());
        self.outputs.push(Some(announce));
        self.put(Table::Ready, key, workflow_id);
    }

    /// Removes a ready task. Returns false if it never left this stage, so that nobody has heard of it.
    pub(crate) fn delete_ready(&mut self, key: Bytes) -> bool {
        if let Some(at) = self.announced.remove(&key) {
            self.outputs[at] = None;
            self.rows.remove(&(Table::Ready, key));
            return false;
        }
        self.delete(Table::Ready, key);
        true
    }

    /// Cuts the batch; the stage is empty after it.
    pub(crate) fn seal(&mut self, number: u64) -> (Batch, Sealed) {
        let stage = std::mem::take(self);
        let writes = stage
            .rows
            .into_iter()
            .map(|((table, key), value)| Write { table, key, value })
            .collect();
        let batch = Batch {
            number,
            writes,
            history: stage.history,
            forget: stage.forget,
        };
        let outputs = stage.outputs.into_iter().flatten().collect();
        (
            batch,
            Sealed {
                runs: stage.dirty,
                outputs,
            },
        )
    }
}
