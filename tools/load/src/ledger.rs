//! Who was started and how it ended: the truth that a run's verdict rests on.
//!
//! Every workflow has a number, which is part of its id, so a worker finds its row without a map. Clients open
//! rows, workers close them when the server acknowledged the closing command.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use serde::Serialize;
use tokio::sync::{Notify, oneshot};

use crate::recorder::Recorder;

/// The verdict over all rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Verdict {
    /// Workflows whose start was acknowledged.
    pub started: u64,
    /// Workflows whose start failed for good and that never ended.
    pub not_started: u64,
    /// Workflows that reached their end.
    pub completed: u64,
    /// Started, never ended.
    pub missing: u64,
    /// Ended more than once.
    pub duplicated: u64,
    /// Ended with a result, signal or child missing, foreign or twice.
    pub wrong: u64,
    /// Children that ended, and how many should have.
    pub children_completed: u64,
    pub children_expected: u64,
    /// Closings that no row knows.
    pub unknown: u64,
}

impl Verdict {
    /// Every start succeeded, nothing is missing and nothing happened twice.
    pub(crate) fn is_clean(&self) -> bool {
        self.missing == 0
            && self.not_started == 0
            && self.duplicated == 0
            && self.wrong == 0
            && self.unknown == 0
            && self.children_completed == self.children_expected
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Pending,
    Acknowledged,
    Failed,
}

struct Row {
    intended: Instant,
    measured: bool,
    start: Start,
    ends: u8,
    children: u32,
    waiter: Option<oneshot::Sender<()>>,
}

#[derive(Default)]
struct Rows {
    rows: Vec<Row>,
    open: usize,
    wrong: u64,
    unknown: u64,
}

/// See the module.
pub(crate) struct Ledger {
    prefix: String,
    recorder: Arc<Recorder>,
    rows: Mutex<Rows>,
    settled: Notify,
}

impl Ledger {
    /// `prefix` begins every workflow id of this run and of no other.
    pub(crate) fn new(prefix: String, recorder: Arc<Recorder>) -> Self {
        Self {
            prefix,
            recorder,
            rows: Mutex::default(),
            settled: Notify::new(),
        }
    }

    /// Opens a row; latency will count from `intended`, unless it is not `measured`.
    pub(crate) fn open(&self, intended: Instant, measured: bool) -> (u64, oneshot::Receiver<()>) {
        let (waiter, wait) = oneshot::channel();
        let row = Row {
            intended,
            measured,
            start: Start::Pending,
            ends: 0,
            children: 0,
            waiter: Some(waiter),
        };
        let mut rows = self.rows();
        rows.rows.push(row);
        rows.open += 1;
        self.recorder.started();
        (rows.rows.len() as u64 - 1, wait)
    }

    pub(crate) fn workflow_id(&self, number: u64) -> String {
        format!("{}-{number}", self.prefix)
    }

    /// The number of a workflow or of a child's parent, and whether it is a child; `None` if not of this run.
    pub(crate) fn number_of(&self, workflow_id: &str) -> Option<(u64, bool)> {
        let rest = workflow_id.strip_prefix(&self.prefix)?.strip_prefix('-')?;
        let (number, child) = rest
            .split_once('.')
            .map_or((rest, false), |(number, _)| (number, true));
        Some((number.parse().ok()?, child))
    }

    pub(crate) fn start_acknowledged(&self, number: u64) {
        if let Some(row) = self.rows().rows.get_mut(number as usize) {
            row.start = Start::Acknowledged;
        }
    }

    /// The start failed for good; the workflow may still turn up.
    pub(crate) fn start_failed(&self, number: u64) {
        let mut rows = self.rows();
        if let Some(row) = rows.rows.get_mut(number as usize) {
            row.start = Start::Failed;
            row.waiter = None;
            if row.ends == 0 {
                rows.open -= 1;
                self.notify(&rows);
            }
        }
    }

    /// The server acknowledged the command that closes (or puts to sleep) this workflow.
    pub(crate) fn ended(&self, workflow_id: &str, wrong: bool, now: Instant) {
        let mut rows = self.rows();
        let Some((number, child)) = self.number_of(workflow_id) else {
            rows.unknown += 1;
            return;
        };
        rows.wrong += u64::from(wrong);
        let Some(row) = rows.rows.get_mut(number as usize) else {
            rows.unknown += 1;
            return;
        };
        if child {
            row.children += 1;
            return;
        }
        row.ends = row.ends.saturating_add(1);
        if row.ends > 1 {
            return;
        }
        let latency = row.measured.then(|| now.saturating_duration_since(row.intended));
        let waiter = row.waiter.take();
        if row.start != Start::Failed {
            rows.open -= 1;
        }
        self.recorder.closed(latency);
        self.notify(&rows);
        drop(rows);
        if let Some(waiter) = waiter {
            // A caller that left does not wait.
            let _ = waiter.send(());
        }
    }

    /// Waits until every opened row ended or its start failed.
    pub(crate) async fn settled(&self) {
        loop {
            let changed = self.settled.notified();
            if self.rows().open == 0 {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.rows().open
    }

    /// The numbers of workflows that were started and did not end.
    pub(crate) fn missing(&self) -> Vec<u64> {
        let rows = self.rows();
        let open = rows
            .rows
            .iter()
            .zip(0..)
            .filter(|(row, _)| row.ends == 0 && row.start != Start::Failed);
        open.map(|(_, number)| number).collect()
    }

    /// Up to so many workflows that ended, spread over all of them.
    pub(crate) fn ended_sample(&self, count: usize) -> Vec<u64> {
        let rows = self.rows();
        let ended: Vec<u64> = rows
            .rows
            .iter()
            .zip(0..)
            .filter(|(row, _)| row.ends > 0)
            .map(|(_, number)| number)
            .collect();
        let step = (ended.len() / count.max(1)).max(1);
        ended.into_iter().step_by(step).take(count).collect()
    }

    pub(crate) fn verdict(&self, children_of: impl Fn(u64) -> u32) -> Verdict {
        let rows = self.rows();
        let mut verdict = Verdict {
            wrong: rows.wrong,
            unknown: rows.unknown,
            ..Verdict::default()
        };
        for (row, number) in rows.rows.iter().zip(0..) {
            verdict.started += u64::from(row.start == Start::Acknowledged);
            verdict.completed += u64::from(row.ends > 0);
            verdict.duplicated += u64::from(row.ends > 1);
            verdict.not_started += u64::from(row.start == Start::Failed && row.ends == 0);
            verdict.missing += u64::from(row.start != Start::Failed && row.ends == 0);
            verdict.children_completed += u64::from(row.children);
            verdict.children_expected += if row.ends > 0 {
                u64::from(children_of(number))
            } else {
                0
            };
        }
        verdict
    }

    fn notify(&self, rows: &Rows) {
        if rows.open == 0 {
            self.settled.notify_waiters();
        }
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        Ledger::new("load-x".to_owned(), Arc::default())
    }

    #[test]
    fn ids_carry_the_number() {
        let ledger = ledger();
        assert_eq!(ledger.number_of(&ledger.workflow_id(17)), Some((17, false)));
        assert_eq!(ledger.number_of("load-x-17.3"), Some((17, true)));
        assert_eq!(ledger.number_of("load-y-17"), None);
        assert_eq!(ledger.number_of("load-x-"), None);
    }

    #[test]
    fn each_workflow_ends_exactly_once() {
        let ledger = ledger();
        let now = Instant::now();
        let waits: Vec<_> = (0..3).map(|_| ledger.open(now, true)).collect();
        (0..3).for_each(|number| ledger.start_acknowledged(number));
        ledger.ended("load-x-0", false, now);
        ledger.ended("load-x-1", false, now);
        ledger.ended("load-x-1", false, now);
        assert_eq!(ledger.missing(), [2]);
        assert_eq!(ledger.ended_sample(9), [0, 1]);
        assert_eq!(ledger.ended_sample(1), [0]);
        let verdict = ledger.verdict(|_| 0);
        assert_eq!((verdict.started, verdict.completed), (3, 2));
        assert_eq!((verdict.missing, verdict.duplicated), (1, 1));
        assert!(!verdict.is_clean());
        let mut heard = waits.into_iter().map(|(_, mut wait)| wait.try_recv().is_ok());
        assert_eq!(
            heard.next().zip(heard.next()).zip(heard.next()),
            Some(((true, true), false))
        );
    }

    #[test]
    fn a_failed_start_is_not_missing_but_may_turn_up() {
        let ledger = ledger();
        let now = Instant::now();
        let _wait = (ledger.open(now, true), ledger.open(now, true));
        ledger.start_failed(0);
        ledger.start_failed(1);
        assert_eq!(ledger.in_flight(), 0);
        ledger.ended("load-x-1", false, now);
        let verdict = ledger.verdict(|_| 0);
        assert_eq!(
            (verdict.not_started, verdict.completed, verdict.missing),
            (1, 1, 0)
        );
        assert_eq!(ledger.in_flight(), 0);
    }

    #[test]
    fn children_and_strangers_are_counted() {
        let ledger = ledger();
        let now = Instant::now();
        let _wait = ledger.open(now, false);
        ledger.start_acknowledged(0);
        ledger.ended("load-x-0.0", false, now);
        ledger.ended("load-x-0", false, now);
        ledger.ended("load-z-0", false, now);
        let verdict = ledger.verdict(|_| 2);
        assert_eq!(
            (
                verdict.children_completed,
                verdict.children_expected,
                verdict.unknown
            ),
            (1, 2, 1)
        );
    }
}
