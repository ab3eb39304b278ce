//! Auditor: holds what is stored of each run against the rows that must stand beside it (P4), a few runs at a time,
//! and puts right what does not hold.
//!
//! A pass begins when the shard starts, and again some time after something was written: rows that nobody wrote are
//! as they were, so that a shard that does nothing is not read either (P7). What was changed while a part was read
//! is left to the next pass.

use std::time::Duration;

use bytes::Bytes;
use engine::invariants::ready_tasks;
use proto::{ids::RunKey, time::Timestamp};
use storage::{batch::Table, error::StoreError};

use crate::{
    codec,
    input::Request,
    output::Output,
    shard::Shard,
    stage::Watch,
    timers::{RETRY, wanted_timer},
};

/// What a pass reads, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Each run must have its wake-up and the rows of its ready tasks.
    Runs,
    /// Each ready task must be one of its run's.
    Ready,
}

/// What is to be read next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub part: Part,
    pub from: Bytes,
}

/// What does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The run has no wake-up, or one that is too late.
    NoWakeup(RunKey),
    /// A ready task of the run has no row.
    NoReadyRow(RunKey),
    /// The row is of a task that the run does not have, or of no run.
    StrayReadyRow(RunKey, Bytes),
    /// The stored bytes are no state.
    Unreadable(Bytes),
}

/// What a read has found.
#[derive(Clone, Debug)]
pub struct Page {
    pub findings: Vec<Finding>,
    /// `None` when the pass is at its end.
    pub next: Option<Place>,
}

#[derive(Debug)]
enum State {
    /// Nothing has been written since the last pass, which ended then.
    Idle(Timestamp),
    Waiting(Timestamp, Place),
    Reading(Place),
}

/// How far the audit is.
#[derive(Debug)]
pub(crate) struct Auditor {
    state: State,
    /// Something was written since the pass began.
    written: bool,
    /// What was put right since the shard started.
    pub(crate) repairs: u64,
}

impl Auditor {
    pub(crate) fn new(now: Timestamp, interval: Duration) -> Self {
        Self {
            state: State::Waiting(now + interval, Place::first()),
            written: false,
            repairs: 0,
        }
    }

    pub(crate) fn next_read(&self) -> Option<Timestamp> {
        match &self.state {
            State::Waiting(at, _) => Some(*at),
            State::Idle(_) | State::Reading(_) => None,
        }
    }

    /// Something was written: another pass is due some time.
    pub(crate) fn written(&mut self, now: Timestamp, period: Duration) {
        self.written = true;
        if let State::Idle(since) = self.state {
            self.state = State::Waiting((since + period).max(now), Place::first());
        }
    }
}

impl Place {
    pub(crate) fn first() -> Self {
        Self {
            part: Part::Runs,
            from: Bytes::new(),
        }
    }
}

impl Shard {
    /// Reads the next part if it is time.
    pub(crate) fn audit(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if self.auditor.next_read().is_none_or(|at| at > now) {
            return;
        }
        let reading = State::Reading(Place::first());
        let State::Waiting(_, place) = std::mem::replace(&mut self.auditor.state, reading) else {
            return;
        };
        if place == Place::first() {
            self.auditor.written = false;
            self.audit_timers(now);
        }
        let sealed = self.sealed.iter().flat_map(|sealed| &sealed.workflows);
        self.stage.watch(sealed);
        self.auditor.state = State::Reading(place.clone());
        out.push(Output::Audit(place));
    }

    /// A part was read.
    pub(crate) fn audited(&mut self, page: Result<Page, StoreError>, now: Timestamp, out: &mut Vec<Output>) {
        let watch = self.stage.end_watch();
        let idle = State::Idle(now);
        let State::Reading(place) = std::mem::replace(&mut self.auditor.state, idle) else {
            return;
        };
        let next = match page {
            Ok(page) => {
                for finding in page.findings {
                    self.put_right(finding, &watch, now, out);
                }
                page.next
            }
            Err(error) => {
                tracing::warn!(shard = %self.id, %error, "audit not made");
                Some(place)
            }
        };
        if let Some(place) = next {
            self.auditor.state = State::Waiting(now + self.config.audit_interval(), place);
        } else if self.auditor.written {
            self.auditor.written(now, self.config.audit_period());
        }
    }

    /// Arms the timers of resident runs that have lost them.
    fn audit_timers(&mut self, now: Timestamp) {
        let lost = self.cache.slots().filter(|(_, slot)| {
            // One that woke without effect is looked at a little later.
            let latest = wanted_timer(slot).map(|at| at.max(now) + RETRY);
            latest.is_some_and(|at| slot.armed.is_none_or(|armed| armed > at))
        });
        let lost: Vec<RunKey> = lost.map(|(run, _)| run.clone()).collect();
        for run in lost {
            self.arm(&run);
            self.auditor.repairs += 1;
            tracing::error!(shard = %self.id, workflow_id = %run.workflow.workflow_id, "timer was lost");
        }
    }

    fn put_right(&mut self, finding: Finding, watch: &Watch, now: Timestamp, out: &mut Vec<Output>) {
        let (run, request) = match &finding {
            Finding::NoWakeup(run) | Finding::NoReadyRow(run) => (run, Some(Request::Repair)),
            Finding::StrayReadyRow(run, _) => (run, None),
            Finding::Unreadable(_) => {
                return tracing::error!(shard = %self.id, ?finding, "stored run is unreadable");
            }
        };
        if watch.covers(&run.workflow) || self.quarantine.contains(run) {
            return;
        }
        self.auditor.repairs += 1;
        tracing::error!(shard = %self.id, ?finding, "audit found a fault; it is put right");
        match (request, &finding) {
            (Some(request), _) => self.tell(run, request, now, out),
            (None, Finding::StrayReadyRow(_, key)) => {
                let key = key.clone();
                self.stage
                    .change(&run.workflow, |unit| unit.delete(Table::Ready, key));
            }
            (None, _) => {}
        }
    }

    /// Writes the run's wake-up and ready tasks anew.
    pub(crate) fn repair(&mut self, run: &RunKey) {
        let Some(slot) = self.cache.slot_mut(run) else {
            return;
        };
        // Whatever the state says of its wake-up is not to be relied on: a row is written, wherever it stood.
        slot.run.set_wakeup(None);
        let workflow_id = Bytes::copy_from_slice(run.workflow.workflow_id.as_str().as_bytes());
        let tasks = ready_tasks(&slot.run);
        self.stage.change(&run.workflow, |unit| {
            unit.mark(run.clone());
            for task in tasks.into_iter().filter(|task| !task.speculative) {
                let queue = codec::queue_of(run.workflow.namespace_id, &task);
                let key = codec::ready_key(&queue, run, &task);
                let run = run.clone();
                unit.put_ready(key, workflow_id.clone(), Output::announce(queue, run, task));
            }
        });
        self.arm(run);
    }
}
