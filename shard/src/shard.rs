//! Shard: many runs, one writer. Turns requests into steps, steps into batches, and releases what a batch
//! decided once it is durable.
//!
//! Pure: no async, no clock, no I/O. The actor feeds it inputs and does its outputs. There is no rollback: memory
//! runs ahead of the store, and when a commit fails the whole shard is dropped and read again.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use engine::{
    limits::Limits,
    outcome::{Rejection, Started},
    trigger::Trigger,
};
use proto::{
    ids::{RunKey, ShardId, WorkflowKey},
    time::Timestamp,
};
use storage::batch::HistoryKey;

use crate::{
    cache::{Cache, Pending},
    config::Config,
    input::{Input, Refusal, Request, Scan, Token},
    limits::SCAN_ROWS_MAX,
    namespaces::Namespaces,
    output::{AskError, Output},
    ready::ReadyTasks,
    stage::{Sealed, Stage},
    watchers::Watchers,
};

/// What a shard starts with.
pub struct Setup {
    pub id: ShardId,
    /// The last committed batch, as the lease says.
    pub batch: u64,
    /// Fresh random bytes.
    pub seed: [u8; 16],
    pub config: Arc<Config>,
    pub limits: Arc<Limits>,
    pub namespaces: Namespaces,
}

/// Many runs.
#[derive(Debug)]
pub struct Shard {
    pub(crate) id: ShardId,
    pub(crate) config: Arc<Config>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) namespaces: Namespaces,
    pub(crate) seed: [u8; 16],
    pub(crate) draws: u32,
    pub(crate) cache: Cache,
    pub(crate) stage: Stage,
    pub(crate) sealed: Option<Sealed>,
    /// The last batch that is durable.
    pub(crate) committed: u64,
    pub(crate) timers: BTreeSet<(Timestamp, RunKey)>,
    /// When rows of wake-ups must be read again; `None` while they are.
    pub(crate) next_scan: Option<Timestamp>,
    pub(crate) ready: ReadyTasks,
    pub(crate) watchers: Watchers,
    /// Starts whose update is still to be answered.
    pub(crate) combining: HashMap<Token, Box<Started>>,
    /// Runs that a batch removes which is not durable yet, by its number: their rows must not be read back.
    pub(crate) gone: HashMap<RunKey, u64>,
    /// Askers whose answers come with a later step of the run.
    pub(crate) deferred: HashMap<Token, RunKey>,
    /// Versions on their way to the index.
    pub(crate) indexing: HashMap<RunKey, u64>,
    /// Where the outbox rows begin that were not sent to the index since the shard started.
    pub(crate) outbox_from: Option<Bytes>,
    pub(crate) draining: bool,
}

impl Shard {
    /// Takes up a shard under a fresh lease; reads what is due and ready.
    #[must_use]
    pub fn new(setup: Setup, now: Timestamp, out: &mut Vec<Output>) -> Self {
        out.push(Output::Scan(Scan::Wakeups {
            from: Bytes::new(),
            until: now,
        }));
        out.push(Output::Scan(Scan::AllReady { from: Bytes::new() }));
        out.push(Output::Scan(Scan::Outbox { from: Bytes::new() }));
        Self {
            id: setup.id,
            config: setup.config,
            limits: setup.limits,
            namespaces: setup.namespaces,
            seed: setup.seed,
            draws: 0,
            cache: Cache::default(),
            stage: Stage::default(),
            sealed: None,
            committed: setup.batch,
            timers: BTreeSet::new(),
            next_scan: None,
            ready: ReadyTasks::default(),
            watchers: Watchers::default(),
            combining: HashMap::new(),
            gone: HashMap::new(),
            deferred: HashMap::new(),
            indexing: HashMap::new(),
            outbox_from: None,
            draining: false,
        }
    }

    /// Takes one input in.
    pub fn handle(&mut self, input: Input, now: Timestamp, out: &mut Vec<Output>) {
        match input {
            Input::Ask {
                token,
                target,
                request,
            } => {
                self.ask(
                    Pending {
                        token,
                        target,
                        request,
                    },
                    now,
                    out,
                );
            }
            Input::Gone(token) => {
                self.watchers.forget(token);
                self.combining.remove(&token);
                if let Some(run) = self.deferred.remove(&token)
                    && let Some(slot) = self.cache.slot_mut(&run)
                {
                    slot.run.forget(waiter(Some(token)));
                }
            }
            Input::Loaded { key, value } => self.loaded(key, value, now, out),
            Input::Scanned { scan, rows } => self.scanned(scan, rows, now, out),
            Input::Committed { batch } => self.committed(batch, now, out),
            Input::CommitFailed { batch, error } => {
                out.push(Output::Stop(format!("batch {batch}: {error}")));
            }
            Input::Indexed { runs } => self.indexed(runs, out),
            Input::Refused {
                queue,
                run,
                task,
                why,
            } => match why {
                Refusal::Full => self.ready.refused(queue, &run, &task, out),
                Refusal::Draining => out.push(Output::Announce { queue, run, task }),
                Refusal::StickyWorkerUnavailable => {
                    let trigger = Trigger::StickyUnavailable {
                        scheduled_event_id: task.scheduled_event_id,
                        attempt: task.attempt,
                    };
                    self.tell(&run, Request::Step(trigger), now, out);
                }
            },
            Input::Credit { queue, free } => self.ready.credit(queue, free, out),
            Input::Namespaces(namespaces) => self.namespaces = namespaces,
            Input::QueueMoved { queue } => self.ready.announce_again(queue, out),
            Input::Tick => self.tick(now, out),
            Input::Flush => self.flush(out),
            Input::Drain => {
                self.draining = true;
                self.flush(out);
            }
        }
    }

    /// Returns when `Tick` is wanted.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let timer = self.timers.first().map(|(at, _)| *at);
        [timer, self.next_scan, self.ready.next_sweep()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Tells whether a commit is on its way.
    #[must_use]
    pub fn is_committing(&self) -> bool {
        self.sealed.is_some()
    }

    /// The number of the batch that the stage becomes.
    pub(crate) fn next_batch(&self) -> u64 {
        self.committed + 1 + u64::from(self.sealed.is_some())
    }

    fn flush(&mut self, out: &mut Vec<Output>) {
        if self.sealed.is_some() {
            return;
        }
        let due = self.stage.is_urgent() || self.stage.lazy_rows() > SCAN_ROWS_MAX;
        if due || (self.draining && !self.stage.is_empty()) {
            let number = self.next_batch();
            self.write_runs(number);
            let (batch, sealed) = self.stage.seal(number);
            if batch.is_empty() {
                out.extend(sealed.outputs);
                return;
            }
            self.sealed = Some(sealed);
            out.push(Output::Commit(batch));
        } else if self.draining {
            out.push(Output::Drained);
        }
    }

    fn committed(&mut self, batch: u64, now: Timestamp, out: &mut Vec<Output>) {
        let Some(sealed) = self.sealed.take() else { return };
        self.committed = batch;
        self.gone.retain(|_, removed_in| *removed_in > batch);
        for output in sealed.outputs {
            match output {
                Output::Announce { queue, run, task } => {
                    self.ready.watch(now);
                    self.ready.announce(queue, run, task, out);
                }
                other => out.push(other),
            }
        }
        for run in &sealed.runs {
            self.tell_watchers(run, out);
            if let Some(slot) = self.cache.slot_mut(run) {
                slot.tail.trim(batch);
            }
        }
        self.evict(now);
    }

    fn evict(&mut self, now: Timestamp) {
        let (max, committed) = (self.config.cache_bytes_max.get(), self.committed);
        let watchers = &self.watchers;
        let evicted = self.cache.evict(max, committed, |run| watchers.watches(run));
        for (run, slot) in evicted {
            if let Some(at) = slot.armed {
                self.timers.remove(&(at, run));
            }
            // Its stored wake-up takes over; one in the past is read at once.
            if slot.run.state().wakeup != 0 {
                let at = Timestamp::from_nanos(slot.run.state().wakeup).max(now);
                self.next_scan = self.next_scan.map(|next| next.min(at)).or(Some(at));
            }
        }
    }

    /// Panics if a resident run breaks an invariant of the engine. For tests and simulations, after each input.
    pub fn check(&self) {
        for slot in self.cache.slots() {
            if let Err(broken) = engine::invariants::check(&slot.run, &self.limits) {
                panic!("run {}: {broken}", slot.run.state().run_id);
            }
        }
    }

    /// Returns the shard as an operator sees it.
    #[must_use]
    pub fn view(&self) -> crate::view::ShardView {
        crate::view::ShardView {
            shard: self.id.0,
            batch: self.committed,
            committing: self.sealed.is_some(),
            stage_bytes: self.stage.bytes(),
            resident_runs: self.cache.resident(),
            cache_bytes: self.cache.bytes(),
            timers: self.timers.len(),
            held_queues: self.ready.held_queues(),
            indexing: self.indexing.len(),
            watchers: self.watchers.len(),
        }
    }
}

pub(crate) fn history_key(run: &RunKey) -> HistoryKey {
    HistoryKey {
        namespace_id: run.workflow.namespace_id,
        run_id: run.run_id,
    }
}

/// What is said of a workflow that is not there.
pub(crate) fn not_found(workflow: &WorkflowKey) -> Rejection {
    Rejection::NotFound(format!("workflow not found for ID: {}", workflow.workflow_id))
}

pub(crate) fn waiter(token: Option<Token>) -> engine::effect::Waiter {
    // Token 0 is never given out: nobody hears an answer to it.
    engine::effect::Waiter(token.map_or(0, |token| token.0))
}

pub(crate) fn refuse(token: Option<Token>, error: AskError, out: &mut Vec<Output>) {
    if let Some(token) = token {
        out.push(Output::Reply {
            token,
            reply: Err(error),
        });
    }
}
