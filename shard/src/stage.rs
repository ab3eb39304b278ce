//! Stage: what the next commits write, workflow by workflow, and the outputs that wait for it to be durable (P3).
//!
//! Cuts no batch by itself: the shard takes units off the front, in the order in which they were begun.

use std::collections::{BTreeMap, HashMap, HashSet};

use proto::ids::WorkflowKey;
use storage::shard::BatchLimits;

use crate::{
    limits::WATCHED_WORKFLOWS_MAX,
    output::Output,
    unit::{Load, Unit},
};

/// What the next commits write.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    /// In the order in which they were begun.
    units: BTreeMap<u64, Unit>,
    /// The last unit of each workflow that has one.
    newest: HashMap<WorkflowKey, u64>,
    begun: u64,
    load: Load,
    watch: Option<Watch>,
}

/// The workflows that were changed, or of which something was not durable, while it was kept.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    workflows: HashSet<WorkflowKey>,
    /// There were more than are kept.
    overflown: bool,
}

impl Watch {
    pub(crate) fn covers(&self, workflow: &WorkflowKey) -> bool {
        self.overflown || self.workflows.contains(workflow)
    }

    fn add(&mut self, workflow: &WorkflowKey) {
        if self.workflows.len() < WATCHED_WORKFLOWS_MAX {
            self.workflows.insert(workflow.clone());
        } else {
            self.overflown = true;
        }
    }
}

impl Stage {
    /// Tells whether something waits for a commit; rows that can wait are not counted.
    pub(crate) fn is_urgent(&self) -> bool {
        self.load.urgent > 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.load.bytes
    }

    /// Returns how many rows wait that would not be committed for their own sake.
    pub(crate) fn lazy_rows(&self) -> usize {
        self.load.lazy
    }

    /// Tells whether something of the workflow waits to be durable.
    pub(crate) fn waits(&self, workflow: &WorkflowKey) -> bool {
        self.unit(workflow).is_some_and(Unit::is_urgent)
    }

    /// Begins to keep which workflows are changed; of those that are given, something is on its way.
    pub(crate) fn watch<'a>(&mut self, sealed: impl Iterator<Item = &'a WorkflowKey>) {
        let mut watch = Watch::default();
        self.newest.keys().for_each(|workflow| watch.add(workflow));
        sealed.for_each(|workflow| watch.add(workflow));
        self.watch = Some(watch);
    }

    pub(crate) fn end_watch(&mut self) -> Watch {
        self.watch.take().unwrap_or_default()
    }

    fn unit(&self, workflow: &WorkflowKey) -> Option<&Unit> {
        self.units.get(self.newest.get(workflow)?)
    }

    /// Changes what is to be written of the workflow.
    pub(crate) fn change(&mut self, workflow: &WorkflowKey, change: impl FnOnce(&mut Unit)) {
        if let Some(watch) = &mut self.watch {
            watch.add(workflow);
        }
        let newest = self.newest.get(workflow).copied();
        let at = newest
            .filter(|at| self.units.get(at).is_some_and(|unit| !unit.closed))
            .unwrap_or_else(|| self.begin(workflow, newest.is_some()));
        let Some(unit) = self.units.get_mut(&at) else {
            return;
        };
        self.load.subtract(unit.load);
        change(unit);
        self.load.add(unit.load);
    }

    fn begin(&mut self, workflow: &WorkflowKey, follows: bool) -> u64 {
        self.begun += 1;
        self.newest.insert(workflow.clone(), self.begun);
        let mut unit = Unit::new(workflow.clone());
        // What waits for the workflow waits for its last unit, even if that has nothing urgent of its own.
        unit.load.urgent = usize::from(follows);
        self.load.add(unit.load);
        self.units.insert(self.begun, unit);
        self.begun
    }

    /// Holds the output back until what waits of the workflow is durable.
    pub(crate) fn park(&mut self, workflow: &WorkflowKey, output: Output) {
        if let Some(unit) = self.newest.get(workflow).and_then(|at| self.units.get_mut(at)) {
            unit.park(output);
        }
    }

    /// Takes the workflow's last unit out if the next change had better go into another one: both together would
    /// be more than a batch should carry. It is given back by [`Self::put_back`].
    pub(crate) fn take_full(&mut self, workflow: &WorkflowKey, limits: BatchLimits) -> Option<(u64, Unit)> {
        let at = *self.newest.get(workflow)?;
        let unit = self.units.get(&at)?;
        let full = unit.load.bytes > limits.bytes / 2 || unit.writes() > limits.writes / 2;
        if unit.closed || !unit.is_urgent() || !full {
            return None;
        }
        let unit = self.take(at)?;
        Some((at, unit))
    }

    /// Takes the unit out that was begun first.
    pub(crate) fn take_first(&mut self) -> Option<(u64, Unit)> {
        let (&at, _) = self.units.first_key_value()?;
        Some((at, self.take(at)?))
    }

    fn take(&mut self, at: u64) -> Option<Unit> {
        let unit = self.units.remove(&at)?;
        self.load.subtract(unit.load);
        if self.newest.get(&unit.workflow) == Some(&at) {
            self.newest.remove(&unit.workflow);
        }
        Some(unit)
    }

    /// Gives back what was taken out, to its place.
    pub(crate) fn put_back(&mut self, at: u64, unit: Unit) {
        self.load.add(unit.load);
        let newest = self.newest.entry(unit.workflow.clone()).or_insert(at);
        *newest = at.max(*newest);
        self.units.insert(at, unit);
    }

    /// Takes out all that waits of the workflow.
    pub(crate) fn take_all(&mut self, workflow: &WorkflowKey) -> Vec<Unit> {
        let of_workflow = |(at, unit): (&u64, &Unit)| (unit.workflow == *workflow).then_some(*at);
        let places: Vec<u64> = self.units.iter().filter_map(of_workflow).collect();
        places.into_iter().filter_map(|at| self.take(at)).collect()
    }
}
