//! What the server has acknowledged, and what it was asked for: the truth that histories are held against.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use proto::temporal::update::v1::Outcome;

use crate::kind::Kind;

/// All that is known of one workflow id.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub kind: Kind,
    /// The first run, once its start is acknowledged.
    pub run_id: Option<String>,
    /// Request ids of signals that were sent, and whether they were acknowledged.
    pub signals: BTreeMap<String, bool>,
    /// Results that workers sent, by their text, which no other attempt has.
    pub results: BTreeMap<String, Sent>,
    /// Workflow tasks whose answer was acknowledged: run id and id of the started event.
    pub tasks: Vec<(String, i64)>,
    /// Outcomes that callers were given, by update id.
    pub updates: BTreeMap<String, Outcome>,
    pub cancel_acknowledged: bool,
    pub terminate_acknowledged: bool,
    /// A caller was shown the end of the last run.
    pub ended: bool,
}

/// A result on its way.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub run_id: String,
    pub activity_id: String,
    pub acknowledged: bool,
}

impl Record {
    pub(crate) const fn new(kind: Kind) -> Self {
        Self {
            kind,
            run_id: None,
            signals: BTreeMap::new(),
            results: BTreeMap::new(),
            tasks: Vec::new(),
            updates: BTreeMap::new(),
            cancel_acknowledged: false,
            terminate_acknowledged: false,
            ended: false,
        }
    }

    /// Whether the server has acknowledged anything about this workflow.
    pub(crate) fn exists(&self) -> bool {
        self.run_id.is_some()
            || self.ended
            || !self.tasks.is_empty()
            || self.results.values().any(|sent| sent.acknowledged)
    }

    fn count(&self) -> Counts {
        Counts {
            starts: usize::from(self.run_id.is_some()),
            signals: self
                .signals
                .values()
                .filter(|acknowledged| **acknowledged)
                .count(),
            results: self.results.values().filter(|sent| sent.acknowledged).count(),
            updates: self.updates.len(),
            tasks: self.tasks.len(),
            ended: usize::from(self.ended),
        }
    }
}

/// How many things are acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub starts: usize,
    pub signals: usize,
    pub results: usize,
    pub updates: usize,
    pub tasks: usize,
    pub ended: usize,
}

impl Counts {
    /// Checks that a full comparison makes: one for each acknowledged thing.
    pub(crate) const fn total(&self) -> usize {
        self.starts + self.signals + self.results + self.updates + self.tasks + self.ended
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "{} starts, {} signals, {} activity results, {} updates, {} workflow tasks, {} ends",
            self.starts, self.signals, self.results, self.updates, self.tasks, self.ended
        )
    }
}

/// Records by workflow id, shared by callers and workers.
#[derive(Debug, Default)]
pub(crate) struct Model(Mutex<BTreeMap<String, Record>>);

impl Model {
    /// Changes a record; one that is not there begins with the kind.
    pub(crate) fn note(&self, workflow_id: &str, kind: Kind, change: impl FnOnce(&mut Record)) {
        let mut records = self.records();
        if let Some(record) = records.get_mut(workflow_id) {
            return change(record);
        }
        let mut record = Record::new(kind);
        change(&mut record);
        records.insert(workflow_id.to_owned(), record);
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for record in self.records().values() {
            let one = record.count();
            sum.starts += one.starts;
            sum.signals += one.signals;
            sum.results += one.results;
            sum.updates += one.updates;
            sum.tasks += one.tasks;
            sum.ended += one.ended;
        }
        sum
    }

    /// A copy of the records that `wanted` chooses.
    pub(crate) fn copy(&self, mut wanted: impl FnMut(&str, &Record) -> bool) -> BTreeMap<String, Record> {
        let records = self.records();
        let chosen = records.iter().filter(|(id, record)| wanted(id, record));
        chosen.map(|(id, record)| (id.clone(), record.clone())).collect()
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<String, Record>> {
        // A panic ends the program anyway; what was noted before it is still right.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
