//! Cache: runs in memory, bounded in bytes; what is not durable yet, or watched, stays.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;
use engine::{Last, run::Run};
use proto::{
    ids::{RunKey, WorkflowKey},
    time::Timestamp,
};

use crate::{
    input::{Request, RunTarget, Token},
    limits::{CURRENT_ENTRIES_MAX, TAIL_BYTES_MAX},
};

/// A request that waits for rows to be loaded.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) token: Option<Token>,
    pub(crate) target: RunTarget,
    pub(crate) request: Request,
    /// When the call came in that asks; `None` for what the shard asks itself.
    pub(crate) received: Option<Timestamp>,
}

/// A resident run.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) run: Run,
    pub(crate) tail: Tail,
    /// The time in the shard's timers.
    pub(crate) armed: Option<Timestamp>,
    /// The visibility record is to be written with the next batch.
    pub(crate) index: bool,
    /// Has a row among the hot ones.
    pub(crate) hot: bool,
    weight: usize,
    touched: u64,
}

impl Slot {
    pub(crate) fn new(run: Run, hot: bool) -> Self {
        Self {
            run,
            tail: Tail::default(),
            armed: None,
            index: false,
            hot,
            weight: 0,
            touched: 0,
        }
    }
}

/// The newest nodes of a run's history.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    nodes: VecDeque<(i64, Bytes)>,
    bytes: usize,
}

impl Tail {
    pub(crate) fn push(&mut self, first_event_id: i64, events: Bytes) {
        self.bytes += events.len();
        self.nodes.push_back((first_event_id, events));
    }

    /// Forgets old nodes over the limit; all must be durable.
    pub(crate) fn trim(&mut self) {
        while self.bytes > TAIL_BYTES_MAX
            && let Some((_, events)) = self.nodes.pop_front()
        {
            self.bytes -= events.len();
        }
    }

    pub(crate) fn nodes(&self) -> Vec<(i64, Bytes)> {
        self.nodes.iter().cloned().collect()
    }

    pub(crate) fn node(&self, first_event_id: i64) -> Option<&Bytes> {
        self.nodes
            .iter()
            .find(|(id, _)| *id == first_event_id)
            .map(|(_, events)| events)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[derive(Debug)]
enum Entry {
    Loading(Vec<Pending>),
    Resident(Box<Slot>),
}

#[derive(Debug)]
enum CurrentEntry {
    Loading(Vec<Pending>),
    Known(Option<Last>),
}

/// What the cache knows of a row.
pub(crate) enum Lookup<T> {
    Absent,
    Loading,
    Known(T),
}

/// Runs in memory.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    runs: HashMap<RunKey, Entry>,
    currents: HashMap<WorkflowKey, CurrentEntry>,
    /// Resident runs, the one that was used longest ago first.
    order: BTreeMap<u64, RunKey>,
    uses: u64,
    bytes: usize,
}

impl Cache {
    pub(crate) fn lookup(&self, run: &RunKey) -> Lookup<()> {
        match self.runs.get(run) {
            None => Lookup::Absent,
            Some(Entry::Loading(_)) => Lookup::Loading,
            Some(Entry::Resident(_)) => Lookup::Known(()),
        }
    }

    pub(crate) fn lookup_current(&self, workflow: &WorkflowKey) -> Lookup<Option<&Last>> {
        match self.currents.get(workflow) {
            None => Lookup::Absent,
            Some(CurrentEntry::Loading(_)) => Lookup::Loading,
            Some(CurrentEntry::Known(last)) => Lookup::Known(last.as_ref()),
        }
    }

    pub(crate) fn slot(&self, run: &RunKey) -> Option<&Slot> {
        match self.runs.get(run) {
            Some(Entry::Resident(slot)) => Some(slot),
            Some(Entry::Loading(_)) | None => None,
        }
    }

    pub(crate) fn slot_mut(&mut self, run: &RunKey) -> Option<&mut Slot> {
        match self.runs.get_mut(run) {
            Some(Entry::Resident(slot)) => Some(slot),
            Some(Entry::Loading(_)) | None => None,
        }
    }

    /// Lets the request wait for the run. Returns how many wait.
    pub(crate) fn wait_for_run(&mut self, run: RunKey, pending: Pending) -> usize {
        match self.runs.entry(run).or_insert_with(|| Entry::Loading(Vec::new())) {
            Entry::Loading(waiting) => {
                waiting.push(pending);
                waiting.len()
            }
            Entry::Resident(_) => 0,
        }
    }

    pub(crate) fn wait_for_current(&mut self, workflow: WorkflowKey, pending: Pending) -> usize {
        match self
            .currents
            .entry(workflow)
            .or_insert_with(|| CurrentEntry::Loading(Vec::new()))
        {
            CurrentEntry::Loading(waiting) => {
                waiting.push(pending);
                waiting.len()
            }
            CurrentEntry::Known(_) => 0,
        }
    }

    /// Ends the wait for a run. Returns those who waited.
    pub(crate) fn loaded_run(&mut self, run: &RunKey) -> Vec<Pending> {
        match self.runs.remove(run) {
            Some(Entry::Loading(waiting)) => waiting,
            Some(resident @ Entry::Resident(_)) => {
                self.runs.insert(run.clone(), resident);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    pub(crate) fn loaded_current(&mut self, workflow: &WorkflowKey, last: Option<Last>) -> Vec<Pending> {
        match self.currents.remove(workflow) {
            Some(CurrentEntry::Loading(waiting)) => {
                self.set_current(workflow.clone(), last);
                waiting
            }
            Some(known @ CurrentEntry::Known(_)) => {
                self.currents.insert(workflow.clone(), known);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// Forgets that the row was to be loaded. Returns those who waited.
    pub(crate) fn failed_current(&mut self, workflow: &WorkflowKey) -> Vec<Pending> {
        match self.currents.remove(workflow) {
            Some(CurrentEntry::Loading(waiting)) => waiting,
            Some(CurrentEntry::Known(_)) | None => Vec::new(),
        }
    }

    pub(crate) fn set_current(&mut self, workflow: WorkflowKey, last: Option<Last>) {
        self.currents.insert(workflow, CurrentEntry::Known(last));
    }

    /// Forgets what is known of the newest run; it is read again when it is asked for.
    pub(crate) fn forget_current(&mut self, workflow: &WorkflowKey) {
        if matches!(self.currents.get(workflow), Some(CurrentEntry::Known(_))) {
            self.currents.remove(workflow);
        }
    }

    /// Takes out all requests that wait for rows, in the order of their tokens.
    pub(crate) fn take_pending(&mut self) -> Vec<Pending> {
        let runs = self.runs.values_mut().filter_map(|entry| match entry {
            Entry::Loading(waiting) => Some(std::mem::take(waiting)),
            Entry::Resident(_) => None,
        });
        let currents = self.currents.values_mut().filter_map(|entry| match entry {
            CurrentEntry::Loading(waiting) => Some(std::mem::take(waiting)),
            CurrentEntry::Known(_) => None,
        });
        let mut pending: Vec<_> = runs.chain(currents).flatten().collect();
        pending.sort_by_key(|pending| pending.token);
        pending
    }

    pub(crate) fn insert(&mut self, run: RunKey, mut slot: Slot) {
        // A slot that was taken out for a while is no longer counted.
        (slot.weight, slot.touched) = (0, 0);
        self.runs.insert(run.clone(), Entry::Resident(Box::new(slot)));
        self.touch(&run);
    }

    /// Counts the run as used now and weighs it again.
    pub(crate) fn touch(&mut self, run: &RunKey) {
        self.uses += 1;
        let Some(Entry::Resident(slot)) = self.runs.get_mut(run) else {
            return;
        };
        self.order.remove(&slot.touched);
        slot.touched = self.uses;
        self.order.insert(self.uses, run.clone());
        self.bytes -= slot.weight;
        slot.weight = slot.run.weight() + slot.tail.bytes();
        self.bytes += slot.weight;
    }

    pub(crate) fn remove(&mut self, run: &RunKey) -> Option<Slot> {
        match self.runs.remove(run)? {
            Entry::Resident(slot) => {
                self.order.remove(&slot.touched);
                self.bytes -= slot.weight;
                Some(*slot)
            }
            loading @ Entry::Loading(_) => {
                self.runs.insert(run.clone(), loading);
                None
            }
        }
    }

    /// Lets runs go that were used longest ago, until the rest fits. Those that are watched must stay, and those
    /// of which something is not durable.
    pub(crate) fn evict(
        &mut self,
        bytes_max: usize,
        watched: impl Fn(&RunKey) -> bool,
        unsettled: impl Fn(&WorkflowKey) -> bool,
    ) -> Vec<(RunKey, Slot)> {
        /// How many candidates are looked at, so that a crowd of pinned runs costs little.
        const TRIES: usize = 64;
        let mut evicted = Vec::new();
        if self.bytes > bytes_max {
            let candidates: Vec<_> = self.order.values().take(TRIES).cloned().collect();
            for run in candidates {
                let stays = self
                    .slot(&run)
                    .is_none_or(|slot| slot.run.is_watched() || watched(&run) || unsettled(&run.workflow));
                if self.bytes <= bytes_max {
                    break;
                }
                if stays {
                    self.touch(&run);
                } else if let Some(slot) = self.remove(&run) {
                    evicted.push((run, slot));
                }
            }
        }
        if self.currents.len() > CURRENT_ENTRIES_MAX {
            self.currents.retain(|workflow, entry| match entry {
                CurrentEntry::Loading(_) => true,
                CurrentEntry::Known(_) => unsettled(workflow),
            });
        }
        evicted
    }

    /// Returns the resident runs, the one that was used longest ago first.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (&RunKey, &Slot)> {
        self.order.values().filter_map(|run| Some((run, self.slot(run)?)))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn resident(&self) -> usize {
        self.order.len()
    }
}
