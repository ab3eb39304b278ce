//! Time: what is due among resident runs, and the window over the stored wake-ups of the others.

use bytes::Bytes;
use engine::trigger::Trigger;
use proto::{ids::RunKey, time::Timestamp};
use storage::{batch::Table, shard::Row};

use crate::{
    cache::{Lookup, Pending, Slot},
    codec,
    input::{Request, RunTarget, Scan},
    limits::SCAN_ROWS_MAX,
    output::Output,
    ready::after,
    shard::Shard,
};

/// Runs that are woken by one tick; the rest follows with the next.
const WAKES_PER_TICK: usize = 256;
/// How soon a run is looked at again that was woken and is still due: only a bug makes one.
pub(crate) const RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// Returns when a resident run must be looked at; one that is being removed needs no more.
pub(crate) fn wanted_timer(slot: &Slot) -> Option<Timestamp> {
    let removed = slot.run.is_settled() && slot.run.state().deleting;
    let next = slot.run.next_deadline(false).filter(|_| !removed);
    next.map(|(at, _)| at)
}

impl Shard {
    /// Sets the run's timer to its next deadline.
    pub(crate) fn arm(&mut self, run: &RunKey) {
        let Some(slot) = self.cache.slot_mut(run) else {
            return;
        };
        let next = wanted_timer(slot);
        if slot.armed != next {
            if let Some(at) = slot.armed {
                self.timers.remove(&(at, run.clone()));
            }
            slot.armed = next;
            if let Some(at) = next {
                self.timers.insert((at, run.clone()));
            }
        }
    }

    pub(crate) fn tick(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        for _ in 0..WAKES_PER_TICK {
            let Some((at, run)) = self.timers.first().cloned().filter(|(at, _)| *at <= now) else {
                break;
            };
            self.timers.remove(&(at, run.clone()));
            let Some(slot) = self.cache.slot_mut(&run) else {
                continue;
            };
            slot.armed = None;
            let request = if !slot.run.is_open() && slot.run.next_deadline(true).is_some_and(is_retention) {
                Request::Purge
            } else {
                Request::Step(Trigger::Wake)
            };
            self.tell(&run, request, now, out);
            self.still_due(&run, now);
        }
        self.audit(now, out);
        if self.ready.next_sweep().is_some_and(|at| at <= now) {
            self.ready.begin_sweep(out);
        }
        if self.next_scan.is_some_and(|at| at <= now) {
            self.next_scan = None;
            out.push(Output::Scan(Scan::Wakeups {
                from: Bytes::new(),
                until: now,
            }));
        }
    }

    /// Keeps a run that woke without effect from being woken again and again.
    fn still_due(&mut self, run: &RunKey, now: Timestamp) {
        let Some(slot) = self.cache.slot_mut(run) else {
            return;
        };
        if slot.armed.is_some_and(|at| at > now)
            || (slot.armed.is_none() && slot.run.next_deadline(false).is_none())
        {
            return;
        }
        if let Some(at) = slot.armed.take() {
            self.timers.remove(&(at, run.clone()));
        }
        let at = now + RETRY;
        slot.armed = Some(at);
        self.timers.insert((at, run.clone()));
    }

    pub(crate) fn scanned_wakeups(
        &mut self,
        until: Timestamp,
        rows: Vec<Row>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) -> Result<(), codec::Malformed> {
        let full = rows.len() == SCAN_ROWS_MAX;
        let mut last = Bytes::new();
        for row in rows {
            let (at, run) = codec::read_wakeup(&row.key, &row.value)?;
            if at > until {
                self.next_scan = Some(self.next_scan.map_or(at, |next| next.min(at)));
                return Ok(());
            }
            last = row.key;
            self.wake_stored(at, run, now, out);
        }
        if full {
            out.push(Output::Scan(Scan::Wakeups {
                from: after(&last),
                until,
            }));
        }
        Ok(())
    }

    /// Removes the row of a wake-up that means nothing.
    fn drop_wakeup(&mut self, at: Timestamp, run: &RunKey) {
        let key = codec::wakeup_key(at, run);
        self.stage
            .change(&run.workflow, |unit| unit.delete_some_time(Table::Wakeup, key));
    }

    /// The run that a stored wake-up was for has been looked for; `found` tells whether it is there.
    pub(crate) fn woken(&mut self, run: &RunKey, found: bool, now: Timestamp, out: &mut Vec<Output>) {
        match self.waking.remove(run) {
            Some(at) if found => self.wake_stored(at, run.clone(), now, out),
            Some(at) => self.drop_wakeup(at, run),
            None => {}
        }
    }

    /// A stored wake-up is due.
    fn wake_stored(&mut self, at: Timestamp, run: RunKey, now: Timestamp, out: &mut Vec<Output>) {
        match self.cache.lookup(&run) {
            Lookup::Known(()) => {
                let stored = self.cache.slot(&run).map(|slot| slot.run.state().wakeup);
                if stored == Some(at.nanos()) {
                    // It came early: store when the run is really due.
                    self.stage.change(&run.workflow, |unit| unit.mark(run.clone()));
                } else {
                    self.drop_wakeup(at, &run);
                }
            }
            Lookup::Loading | Lookup::Absent => {
                self.waking.insert(run.clone(), at);
                let target = RunTarget {
                    workflow: run.workflow.clone(),
                    run_id: Some(run.run_id),
                };
                let request = Request::Step(Trigger::Wake);
                self.dispatch(
                    Pending {
                        token: None,
                        target,
                        request,
                        received: None,
                    },
                    now,
                    out,
                );
            }
        }
    }
}

fn is_retention((_, why): (Timestamp, engine::run::Why)) -> bool {
    why == engine::run::Why::Retention
}
