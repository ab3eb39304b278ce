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
    /// How many the queue knows of.
    told: u64,
    oldest: Timestamp,
    credit: usize,
    scanning: bool,
    /// A task came while the rows were read, which may not have seen it.
    missed: bool,
    /// Rows before this one are not among the counted: their tickets were lost with the queue.
    counted_from: Bytes,
    /// The rows that are being read are to be read again from the queue's first on.
    restart: bool,
}

/// The queues that hold back, of this shard.
#[derive(Debug, Default)]
pub(crate) struct ReadyTasks {
    held: HashMap<QueueKey, Held>,
    /// Tickets announced per queue by the scan that a starting shard makes.
    recovered: HashMap<QueueKey, usize>,
    /// How far that scan has come; `None` when it is done.
    recovered_to: Option<Bytes>,
    /// When tasks that still wait are announced again; `None` while no task waits, or they are being read.
    next_sweep: Option<Timestamp>,
    /// How long the next sweep waits; grows while nothing moves.
    interval: Duration,
    /// The sweep under way has found tasks that wait.
    found: bool,
}

/// A ticket that is not redeemed for this long may be lost.
const QUIET: Duration = Duration::from_secs(10);
/// A queue hears of this part more of what is held back for it: what it shows is that near the truth.
const GROWTH_UNTOLD: u64 = 64;
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
        out.push(Output::Scan(Scan::Sweep {
            from: Bytes::new(),
            all: false,
        }));
    }

    /// Queues have lost their tickets, nobody knows which: reads the tasks that wait and announces all.
    pub(crate) fn sweep_all(&mut self, out: &mut Vec<Output>) {
        out.push(Output::Scan(Scan::Sweep {
            from: Bytes::new(),
            all: true,
        }));
    }

    /// Announces those again that have waited long enough for their tickets to be lost. Their queue ignores the
    /// tickets that it holds.
    pub(crate) fn swept(
        &mut self,
        rows: Vec<Row>,
        all: bool,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) -> Result<(), codec::Malformed> {
        let full = rows.len() == SCAN_ROWS_MAX;
        let mut next = None;
        for row in rows {
            let (queue, run, task) = codec::read_ready(&row.key, &row.value)?;
            self.found = true;
            if let Some(held) = self.held.get_mut(&queue) {
                // Its tasks come as it gives credit, which it is asked for again; go on behind them.
                let from = codec::after_prefix(&codec::ready_prefix(&queue));
                held.tell(queue, out);
                return self.end_sweep(from, all, now, out);
            }
            next = Some(after(&row.key));
            if all || Timestamp::from_nanos(task.scheduled_time) + QUIET <= now {
                out.push(Output::announce(queue, run, task));
            }
        }
        self.end_sweep(next.filter(|_| full), all, now, out)
    }

    fn end_sweep(
        &mut self,
        next: Option<Bytes>,
        all: bool,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) -> Result<(), codec::Malformed> {
        if let Some(from) = next {
            out.push(Output::Scan(Scan::Sweep { from, all }));
        } else if std::mem::take(&mut self.found) {
            self.next_sweep = Some(now + self.interval);
            self.interval = (self.interval * 2).min(SWEEP_LAST);
        }
        Ok(())
    }

    /// Announces a durable ready task, unless its queue is full.
    pub(crate) fn announce(
        &mut self,
        queue: QueueKey,
        run: RunKey,
        task: ReadyTask,
        durable: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let Some(held) = self.held.get_mut(&queue).filter(|_| !task.speculative) else {
            out.push(Output::Announce {
                queue,
                run,
                task,
                durable,
            });
            return;
        };
        let key = codec::ready_key(&queue, &run, &task);
        let is_counted = self.recovered_to.as_ref().is_none_or(|to| key < *to);
        held.begin_at(&key);
        // The scan of a starting shard counts what it has not come to.
        held.count += u64::from(is_counted);
        held.missed |= held.scanning;
        held.tell_growth(queue, out);
    }

    /// A queue has no room for this one.
    pub(crate) fn refused(&mut self, queue: QueueKey, run: &RunKey, task: &ReadyTask, out: &mut Vec<Output>) {
        let key = codec::ready_key(&queue, run, task);
        let at = Timestamp::from_nanos(task.scheduled_time);
        let held = self
            .held
            .entry(queue.clone())
            .or_insert_with(|| Held::at(key.clone(), at));
        if held.begin_at(&key) {
            held.oldest = at;
        }
        held.count += 1;
        held.credit = 0;
        held.tell_growth(queue, out);
    }

    /// A queue takes `free` more tickets.
    pub(crate) fn credit(&mut self, queue: QueueKey, free: usize, out: &mut Vec<Output>) {
        let Some(held) = self.held.get_mut(&queue) else {
            return;
        };
        held.credit += free;
        held.scan(queue, out);
    }

    /// A queue has lost its tickets. What was held back for it still is.
    pub(crate) fn announce_again(&mut self, queue: QueueKey, out: &mut Vec<Output>) {
        let from = codec::ready_prefix(&queue);
        let held = self.held.entry(queue.clone()).or_insert_with(|| {
            let mut held = Held::at(from.clone(), Timestamp::EPOCH);
            // None of its rows is counted.
            held.counted_from = codec::after_prefix(&from).unwrap_or_default();
            held
        });
        let announced_to = std::mem::replace(&mut held.cursor, from);
        if announced_to > held.counted_from {
            held.counted_from = announced_to;
        }
        held.told = 0;
        held.credit = RECOVERY_TICKETS_MAX;
        held.restart = held.scanning;
        held.scan(queue, out);
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
        if std::mem::take(&mut held.restart) {
            held.scan(queue, out);
            return Ok(());
        }
        let complete = rows.len() < limit;
        for row in rows {
            let (queue, run, task) = codec::read_ready(&row.key, &row.value)?;
            held.cursor = after(&row.key);
            held.oldest = Timestamp::from_nanos(task.scheduled_time);
            held.count = held.count.saturating_sub(u64::from(row.key >= held.counted_from));
            held.credit = held.credit.saturating_sub(1);
            out.push(Output::announce(queue, run, task));
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
            held.tell(queue, out);
        }
        Ok(())
    }

    /// Reads all rows once, when the shard starts. Returns what to read next.
    ///
    /// What a queue has no room for is counted, not announced: it waits for credit.
    pub(crate) fn recover(
        &mut self,
        rows: Vec<Row>,
        out: &mut Vec<Output>,
    ) -> Result<Option<Scan>, codec::Malformed> {
        let full = rows.len() == SCAN_ROWS_MAX;
        let mut counted: Vec<QueueKey> = Vec::new();
        for row in rows {
            let (queue, run, task) = codec::read_ready(&row.key, &row.value)?;
            self.recovered_to = Some(after(&row.key));
            if self.recover_held(&queue, row.key, &task) {
                if counted.last() != Some(&queue) {
                    counted.push(queue);
                }
            } else {
                out.push(Output::announce(queue, run, task));
            }
        }
        for queue in counted {
            if let Some(held) = self.held.get_mut(&queue) {
                held.tell(queue, out);
            }
        }
        if full {
            return Ok(self.recovered_to.clone().map(|from| Scan::AllReady { from }));
        }
        self.recovered.clear();
        self.recovered_to = None;
        Ok(None)
    }

    /// Counts a row that a starting shard does not announce; false if it is to be announced.
    fn recover_held(&mut self, queue: &QueueKey, key: Bytes, task: &ReadyTask) -> bool {
        if let Some(held) = self.held.get_mut(queue) {
            // The queue refused some before, or this shard has announced its share. Credit may have gone further.
            held.count += u64::from(key >= held.cursor);
            return true;
        }
        let announced = self.recovered.entry(queue.clone()).or_default();
        if *announced < RECOVERY_TICKETS_MAX {
            *announced += 1;
            return false;
        }
        let mut held = Held::at(key, Timestamp::from_nanos(task.scheduled_time));
        held.count = 1;
        self.held.insert(queue.clone(), held);
        true
    }

    pub(crate) fn held_queues(&self) -> usize {
        self.held.len()
    }
}

impl Held {
    fn at(cursor: Bytes, oldest: Timestamp) -> Self {
        Self {
            counted_from: cursor.clone(),
            restart: false,
            cursor,
            count: 0,
            told: 0,
            oldest,
            credit: 0,
            scanning: false,
            missed: false,
        }
    }

    /// Makes the row the first that is held back, if it is before the others.
    fn begin_at(&mut self, key: &Bytes) -> bool {
        if *key < self.counted_from {
            self.counted_from = key.clone();
        }
        let is_first = *key < self.cursor;
        if is_first {
            self.cursor = key.clone();
        }
        is_first
    }

    /// Tells the queue how many are held back.
    fn tell(&mut self, queue: QueueKey, out: &mut Vec<Output>) {
        // Zero would say that nothing is held back, which is known only when the rows have been read to their end.
        let (count, oldest) = (self.count.max(1), self.oldest);
        self.told = count;
        out.push(Output::HeldBack { queue, count, oldest });
    }

    /// Tells it if what it knows is too old: each task would be a message for each.
    fn tell_growth(&mut self, queue: QueueKey, out: &mut Vec<Output>) {
        if self.count > self.told + self.told / GROWTH_UNTOLD {
            self.tell(queue, out);
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

#[cfg(test)]
mod tests;
