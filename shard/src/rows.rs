//! The rows of the runs that a batch stores: state, wake-up and visibility record, each written once per unit.

use bytes::Bytes;
use engine::Last;
use proto::{
    ids::{RunKey, WorkflowKey},
    time::Timestamp,
};
use storage::{batch::Table, visibility::Update};

use crate::{
    cache::Slot,
    codec, outbox,
    output::Output,
    shard::{Shard, history_key},
    unit::Unit,
};

/// A stored wake-up that is this much too early is kept; looking at the run once is cheaper than a row now.
const EARLY: std::time::Duration = std::time::Duration::from_secs(30);

impl Shard {
    /// Closes what is staged of the workflow if it is as much as a batch should carry: the next step's changes go
    /// into a batch of their own.
    pub(crate) fn make_room(&mut self, workflow: &WorkflowKey) {
        if let Some((at, mut unit)) = self.stage.take_full(workflow, self.batch_limits) {
            self.write_runs(&mut unit);
            unit.closed = true;
            self.stage.put_back(at, unit);
        }
    }

    /// Puts the rows of all its runs that changed into the unit.
    pub(crate) fn write_runs(&mut self, unit: &mut Unit) {
        for run in std::mem::take(&mut unit.dirty) {
            self.in_hand = Some(run.clone());
            let Some(mut slot) = self.cache.remove(&run) else {
                continue;
            };
            write_wakeup(unit, &run, &mut slot);
            write_state(unit, &run, &mut slot);
            if std::mem::take(&mut slot.index) {
                self.write_record(unit, &run, &slot);
            }
            self.cache.insert(run.clone(), slot);
            unit.stored.insert(run);
        }
    }

    fn write_record(&mut self, unit: &mut Unit, run: &RunKey, slot: &Slot) {
        let entry = self.namespaces.entry(run.workflow.namespace_id);
        if let Some(record) = outbox::record(run, &slot.run, &entry.schema) {
            self.indexing
                .write(unit, run, record.version, Update::Upsert(Box::new(record)));
        }
    }

    /// Removes all that there is of a closed run.
    pub(crate) fn purge(&mut self, run: &RunKey, last: Option<&Last>, out: &mut Vec<Output>) {
        let Some(slot) = self.cache.slot(run) else { return };
        if slot.run.is_open() || !slot.run.is_settled() {
            return;
        }
        let state = slot.run.state();
        let wakeup = state.wakeup;
        let schema = &self.namespaces.entry(run.workflow.namespace_id).schema;
        let gone = outbox::record(run, &slot.run, schema).map(outbox::gone);
        if let Some(slot) = self.cache.remove(run)
            && let Some(at) = slot.armed
        {
            self.timers.remove(&(at, run.clone()));
        }
        self.gone.insert(run.clone());
        if last.is_some_and(|last| last.run_id == run.run_id.to_string()) {
            self.set_current(&run.workflow, None);
        }
        let key = codec::run_key(run);
        self.stage.change(&run.workflow, |unit| {
            unit.dirty.remove(run);
            unit.gone.insert(run.clone());
            unit.delete(Table::Run, key.clone());
            unit.delete(Table::Closed, key);
            if wakeup != 0 {
                let at = Timestamp::from_nanos(wakeup);
                unit.delete(Table::Wakeup, codec::wakeup_key(at, run));
            }
            unit.forget(history_key(run));
            if let Some(update) = gone {
                self.indexing.write(unit, run, update.version(), update);
            }
        });
        self.watchers.end(run, out);
    }
}

fn write_wakeup(unit: &mut Unit, run: &RunKey, slot: &mut Slot) {
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
        unit.delete(Table::Wakeup, codec::wakeup_key(at, run));
    }
    if let Some(at) = wanted {
        let workflow_id = Bytes::copy_from_slice(run.workflow.workflow_id.as_str().as_bytes());
        unit.put(Table::Wakeup, codec::wakeup_key(at, run), workflow_id);
    }
    slot.run.set_wakeup(wanted);
}

fn write_state(unit: &mut Unit, run: &RunKey, slot: &mut Slot) {
    let key = codec::run_key(run);
    let state = slot.run.to_store().to_bytes();
    slot.run.set_stored_bytes(state.len());
    if slot.run.is_settled() {
        if slot.hot {
            unit.delete(Table::Run, key.clone());
        }
        unit.put(Table::Closed, key, state);
        slot.hot = false;
    } else {
        unit.put(Table::Run, key, state);
        slot.hot = true;
    }
}
