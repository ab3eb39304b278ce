//! The queries that wait for a poller, and those in workers' hands until they are answered or end.

use std::collections::{BTreeMap, BTreeSet};

use proto::time::Timestamp;

use crate::input::{QueryId, QueryTask};

#[derive(Debug, Default)]
pub(super) struct Queries {
    waiting: BTreeMap<QueryId, Box<QueryTask>>,
    /// Waiting and given, with their deadlines.
    open: BTreeMap<QueryId, Timestamp>,
    deadlines: BTreeSet<(Timestamp, QueryId)>,
    /// Of those that wait.
    bytes: usize,
}

impl Queries {
    /// Returns how many wait or are given.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn add(&mut self, id: QueryId, task: Box<QueryTask>, deadline: Timestamp) {
        self.bytes += task.bytes();
        self.waiting.insert(id, task);
        self.open.insert(id, deadline);
        self.deadlines.insert((deadline, id));
    }

    /// Takes the oldest for a poller; it stays open.
    pub(super) fn pop_first(&mut self) -> Option<(QueryId, Box<QueryTask>)> {
        let (id, task) = self.waiting.pop_first()?;
        self.bytes -= task.bytes();
        Some((id, task))
    }

    /// Lets a query wait again, unless it has ended.
    pub(super) fn put_back(&mut self, id: QueryId, task: Box<QueryTask>) {
        if self.open.contains_key(&id) {
            self.bytes += task.bytes();
            self.waiting.insert(id, task);
        }
    }

    pub(super) fn remove(&mut self, id: QueryId) {
        if let Some(task) = self.waiting.remove(&id) {
            self.bytes -= task.bytes();
        }
        if let Some(deadline) = self.open.remove(&id) {
            self.deadlines.remove(&(deadline, id));
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Takes out one query whose deadline has come, and says whether it still waited.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<(QueryId, bool)> {
        let (deadline, id) = *self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        let waited = self.waiting.contains_key(&id);
        self.remove(id);
        Some((id, waited))
    }

    /// Takes out one query that waits.
    pub(super) fn pop_waiting(&mut self) -> Option<QueryId> {
        let id = *self.waiting.first_key_value()?.0;
        self.remove(id);
        Some(id)
    }
}
