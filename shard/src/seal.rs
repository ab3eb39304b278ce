//! The rows of the runs that a batch stores: state, wake-up and visibility record, each written once per batch.

use bytes::Bytes;
use engine::Last;
use proto::{ids::RunKey, time::Timestamp};
use storage::{batch::Table, visibility::Update};

use crate::{
    cache::Slot,
    codec,
    limits::INDEXING_RECORDS_MAX,
    outbox,
    output::Output,
    shard::{Shard, history_key},
};

/// A stored wake-up that is this much too early is kept; looking at the run once is cheaper than a row now.
const EARLY: std::time::Duration = std::time::Duration::from_secs(30);

impl Shard {
    /// Puts the rows of all runs that changed into the stage.
    pub(crate) fn write_runs(&mut self, batch: u64) {
        for run in self.stage.dirty.clone() {
            let Some(mut slot) = self.cache.remove(&run) else {
                continue;
            };
            slot.staged_in = batch;
            self.write_wakeup(&run, &mut slot);
            self.write_state(&run, &mut slot);
            if std::mem::take(&mut slot.index) {
                self.write_record(&run, &slot);
            }
            self.cache.insert(run, slot);
        }
    }

    fn write_wakeup(&mut self, run: &RunKey, slot: &mut Slot) {
        let stored = Some(slot.run.state().wakeup)
            .filter(|at| *at != 0)
            .map(Timestamp::from_nanos);
        let wanted = slot.run.next_deadline(true).map(|(at, _)| at);
        let keep = match (stored, wanted) {
            (Some(stored), Some(wanted)) => stored <= wanted && wanted.since(stored) <= EARLY,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if keep {
            return;
        }
        if let Some(at) = stored {
            self.stage.delete(Table::Wakeup, codec::wakeup_key(at, run));
        }
        if let Some(at) = wanted {
            let workflow_id = Bytes::copy_from_slice(run.workflow.workflow_id.as_str().as_bytes());
            self.stage
                .put(Table::Wakeup, codec::wakeup_key(at, run), workflow_id);
        }
        slot.run.set_wakeup(wanted);
    }

    fn write_state(&mut self, run: &RunKey, slot: &mut Slot) {
        let key = codec::run_key(run);
        let state = slot.run.to_store().to_bytes();
        if slot.run.is_settled() {
            if slot.hot {
                self.stage.delete(Table::Run, key.clone());
            }
            self.stage.put(Table::Closed, key, state);
            slot.hot = false;
        } else {
            self.stage.put(Table::Run, key, state);
            slot.hot = true;
        }
    }

    fn write_record(&mut self, run: &RunKey, slot: &Slot) {
        let entry = self.namespaces.entry(run.workflow.namespace_id);
        let Some(record) = outbox::record(run, &slot.run, &entry.schema) else {
            return;
        };
        let version = record.version;
        let update = Update::Upsert(Box::new(record));
        self.write_update(run, version, update);
    }

    fn write_update(&mut self, run: &RunKey, version: u64, update: Update) {
        self.stage
            .put(Table::Outbox, codec::run_key(run), outbox::write(run, &update));
        if self.indexing.len() >= INDEXING_RECORDS_MAX && !self.indexing.contains_key(run) {
            // The row is enough for now: it is read when the index has caught up.
            return self.outbox_from = Some(Bytes::new());
        }
        self.indexing.insert(run.clone(), version);
        self.stage.park(Output::Index {
            run: run.clone(),
            update: Box::new(update),
        });
    }

    /// Removes all that there is of a closed run.
    pub(crate) fn purge(&mut self, run: &RunKey, last: Option<&Last>, out: &mut Vec<Output>) {
        let Some(slot) = self.cache.slot(run) else { return };
        if slot.run.is_open() || !slot.run.is_settled() {
            return;
        }
        let state = slot.run.state();
        let (wakeup, transitions) = (state.wakeup, state.transitions);
        if let Some(slot) = self.cache.remove(run)
            && let Some(at) = slot.armed
        {
            self.timers.remove(&(at, run.clone()));
        }
        self.stage.dirty.remove(run);
        self.gone.insert(run.clone(), self.next_batch());
        let key = codec::run_key(run);
        self.stage.delete(Table::Run, key.clone());
        self.stage.delete(Table::Closed, key);
        if wakeup != 0 {
            self.stage.delete(
                Table::Wakeup,
                codec::wakeup_key(Timestamp::from_nanos(wakeup), run),
            );
        }
        self.stage.forget(history_key(run));
        if last.is_some_and(|last| last.run_id == run.run_id.to_string()) {
            let batch = self.next_batch();
            self.set_current(&run.workflow, None, batch);
        }
        let version = u64::try_from(transitions).unwrap_or(0) + 1;
        let update = Update::Delete {
            namespace_id: run.workflow.namespace_id,
            run_id: run.run_id,
            version,
        };
        self.write_update(run, version, update);
        self.watchers.end(run, out);
    }
}
