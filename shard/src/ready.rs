//! Ready tasks and their queues' credit: what a queue has no room for stays in its rows, in order.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use engine::effect::ReadyTask;
use proto::{
    ids::{QueueKey, RunKey},
    time::Timestamp,
};
use storage::shard::Row;

use crate::{
    codec,
    input::Scan,
    limits::{RECOVERY_TICKETS_MAX, SCAN_ROWS_MAX},
    output::Output,
};

/// A queue that did not take all tickets.
#[derive(Debug)]
struct Held {
    /// Rows from here on are not announced.
    cursor: Bytes,
    /// About how many.
    count: u64,
    oldest: Timestamp,
    credit: usize,
    scanning: bool,
    /// A task came while the rows were read, which may not have seen it.
    missed: bool,
}

/// The queues that hold back, of this shard.
#[derive(Debug, Default)]
pub(crate) struct ReadyTasks {
    held: HashMap<QueueKey, Held>,
    /// Tickets announced per queue by the scan that a starting shard makes.
    recovered: HashMap<QueueKey, usize>,
    /// When tasks that still wait are announced again; `None` while no task waits, or they are being read.
    next_sweep: Option<Timestamp>,
    /// How long the next sweep waits; grows while nothing moves.
    interval: Duration,
    /// The sweep under way has found tasks that wait.
    found: bool,
}

/// A ticket that is not redeemed for this long may be lost.
const QUIET: Duration = Duration::from_secs(10);
/// The longest time between two sweeps.
const SWEEP_LAST: Duration = Duration::from_secs(160);

impl ReadyTasks {
    /// Returns when `begin_sweep` is wanted.
    pub(crate) fn next_sweep(&self) -> Option<Timestamp> {
        self.next_sweep
    }

    /// A task has become ready: should its ticket get lost, it is announced again.
    pub(crate) fn watch(&mut self, now: Timestamp) {
        if self.next_sweep.is_none_or(|at| at > now + QUIET) && !self.found {
            self.interval = QUIET;
            self.next_sweep = Some(now + QUIET);
        }
    }

    /// Reads the tasks that wait.
    pub(crate) fn begin_sweep(&mut self, out: &mut Vec<Output>) {
        self.next_sweep = None;
        self.found = false;
        out.push(Output::Scan(Scan::Sweep { from: Bytes::new() }));
    }

    /// Announces those again that have waited long enough for their tickets to be lost. Their queue ignores the
    /// tickets that it holds.
    pub(crate) fn swept(
        &mut self,
        rows: Vec<Row>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) -> Result<(), codec::Malformed> {
        let full = rows.len() == SCAN_ROWS_MAX;
        let mut next = None;
        for row in rows {
            let (queue, run, task) = codec::read_ready(&row.key, &row.value)?;
            self.found = true;
            if let Some(held) = self.held.get(&queue) {
                // Its tasks come as it gives credit, which it is asked for again; go on behind them.
                let from = codec::after_prefix(&codec::ready_prefix(&queue));
                let (count, oldest) = (held.count.max(1), held.oldest);
                out.push(Output::HeldBack { queue, count, oldest });
                return self.end_sweep(from, now, out);
            }
            next = Some(after(&row.key));
            if Timestamp::from_nanos(task.scheduled_time) + QUIET <= now {
                out.push(Output::Announce { queue, run, task });
            }
        }
        self.end_sweep(next.filter(|_| full), now, out)
    }

    fn end_sweep(
        &mut self,
        next: Option<Bytes>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) -> Result<(), codec::Malformed> {
        if let Some(from) = next {
            out.push(Output::Scan(Scan::Sweep { from }));
        } else if std::mem::take(&mut self.found) {
            self.next_sweep = Some(now + self.interval);
            self.interval = (self.interval * 2).min(SWEEP_LAST);
        }
        Ok(())
    }

    /// Announces a durable ready task, unless its queue is full.
    pub(crate) fn announce(&mut self, queue: QueueKey, run: RunKey, task: ReadyTask, out: &mut Vec<Output>) {
        let Some(held) = self.held.get_mut(&queue).filter(|_| !task.speculative) else {
            out.push(Output::Announce { queue, run, task });
            return;
        };
        let key = codec::ready_key(&queue, &run, &task);
        if key < held.cursor {
            held.cursor = key;
        }
        held.count += 1;
        held.missed |= held.scanning;
        if held.count.is_power_of_two() {
            out.push(Output::HeldBack {
                queue,
                count: held.count,
                oldest: held.oldest,
            });
        }
    }

    /// A queue has no room for this one.
    pub(crate) fn refused(&mut self, queue: QueueKey, run: &RunKey, task: &ReadyTask, out: &mut Vec<Output>) {
        let key = codec::ready_key(&queue, run, task);
        let at = Timestamp::from_nanos(task.scheduled_time);
        let held = self
            .held
            .entry(queue.clone())
            .or_insert_with(|| Held::at(key.clone(), at));
        if key < held.cursor {
            held.cursor = key;
            held.oldest = at;
        }
        held.count += 1;
        held.credit = 0;
        if held.count.is_power_of_two() {
            out.push(Output::HeldBack {
                queue,
                count: held.count,
                oldest: held.oldest,
            });
        }
    }

    /// A queue takes `free` more tickets.
    pub(crate) fn credit(&mut self, queue: QueueKey, free: usize, out: &mut Vec<Output>) {
        let Some(held) = self.held.get_mut(&queue) else {
            return;
        };
        held.credit += free;
        held.scan(queue, out);
    }

    /// A queue has lost its tickets.
    pub(crate) fn announce_again(&mut self, queue: QueueKey, out: &mut Vec<Output>) {
        let from = codec::ready_prefix(&queue);
        let mut held = Held::at(from, Timestamp::EPOCH);
        held.credit = RECOVERY_TICKETS_MAX;
        held.scan(queue.clone(), out);
        self.held.insert(queue, held);
    }

    /// Some of a queue's rows were read.
    pub(crate) fn scanned(
        &mut self,
        queue: QueueKey,
        limit: usize,
        rows: Vec<Row>,
        out: &mut Vec<Output>,
    ) -> Result<(), codec::Malformed> {
        let Some(held) = self.held.get_mut(&queue) else {
            return Ok(());
        };
        held.scanning = false;
        let complete = rows.len() < limit;
        for row in rows {
            let (queue, run, task) = codec::read_ready(&row.key, &row.value)?;
            held.cursor = after(&row.key);
            held.oldest = Timestamp::from_nanos(task.scheduled_time);
            held.count = held.count.saturating_sub(1);
            held.credit = held.credit.saturating_sub(1);
            out.push(Output::Announce { queue, run, task });
        }
        if complete && !std::mem::take(&mut held.missed) {
            self.held.remove(&queue);
            // Nothing is held back any more: the queue forgets the shard.
            out.push(Output::HeldBack {
                queue,
                count: 0,
                oldest: Timestamp::EPOCH,
            });
        } else if held.credit > 0 {
            held.scan(queue, out);
        } else {
            let (count, oldest) = (held.count.max(1), held.oldest);
            out.push(Output::HeldBack { queue, count, oldest });
        }
        Ok(())
    }

    /// Reads all rows once, when the shard starts. Returns what to read next.
    pub(crate) fn recover(
        &mut self,
        rows: Vec<Row>,
        out: &mut Vec<Output>,
    ) -> Result<Option<Scan>, codec::Malformed> {
        let full = rows.len() == SCAN_ROWS_MAX;
        let mut next = None;
        for row in rows {
            let (queue, run, task) = codec::read_ready(&row.key, &row.value)?;
            let announced = self.recovered.entry(queue.clone()).or_default();
            if *announced >= RECOVERY_TICKETS_MAX {
                // The rest of this queue waits for credit; go on behind it.
                let at = Timestamp::from_nanos(task.scheduled_time);
                let mut held = Held::at(row.key, at);
                held.count = 1;
                out.push(Output::HeldBack {
                    queue: queue.clone(),
                    count: 1,
                    oldest: at,
                });
                next = codec::after_prefix(&codec::ready_prefix(&queue));
                self.held.insert(queue, held);
                return Ok(next.map(|from| Scan::AllReady { from }));
            }
            *announced += 1;
            next = Some(after(&row.key));
            out.push(Output::Announce { queue, run, task });
        }
        if full {
            return Ok(next.map(|from| Scan::AllReady { from }));
        }
        self.recovered.clear();
        Ok(None)
    }

    pub(crate) fn held_queues(&self) -> usize {
        self.held.len()
    }
}

impl Held {
    fn at(cursor: Bytes, oldest: Timestamp) -> Self {
        Self {
            cursor,
            count: 0,
            oldest,
            credit: 0,
            scanning: false,
            missed: false,
        }
    }

    fn scan(&mut self, queue: QueueKey, out: &mut Vec<Output>) {
        if self.scanning || self.credit == 0 {
            return;
        }
        self.scanning = true;
        self.missed = false;
        let limit = self.credit.min(SCAN_ROWS_MAX);
        out.push(Output::Scan(Scan::Ready {
            queue,
            from: self.cursor.clone(),
            limit,
        }));
    }
}

/// Returns the smallest key after this one.
pub(crate) fn after(key: &Bytes) -> Bytes {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next.into()
}
