//! Shard: many runs, one writer. Turns requests into steps, steps into batches, and releases what a batch
//! decided once it is durable.
//!
//! Pure: no async, no clock, no I/O. The actor feeds it inputs and does its outputs. There is no rollback: memory
//! runs ahead of the store, and when a commit fails the whole shard is dropped and read again.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use engine::{
    limits::Limits,
    outcome::{Rejection, Started},
    trigger::Trigger,
};
use proto::{
    ids::{RunId, RunKey, ShardId, WorkflowKey},
    time::Timestamp,
};
use storage::{batch::HistoryKey, shard::BatchLimits};

use crate::{
    auditor::Auditor,
    cache::{Cache, Pending},
    config::Config,
    drain::Phase,
    indexing::Indexing,
    input::{Input, Refusal, Request, Scan, Token},
    namespaces::Namespaces,
    output::{AskError, Output},
    proof::Proof,
    ready::ReadyTasks,
    seal::Sealed,
    stage::Stage,
    tally::Tally,
    watchers::Watchers,
};

/// What a shard starts with.
pub struct Setup {
    pub id: ShardId,
    /// The last committed batch, as the lease says.
    pub batch: u64,
    /// What the store takes in one commit.
    pub batch_limits: BatchLimits,
    /// When the lease was asked for: it was held at some later time.
    pub leased_at: Timestamp,
    /// How long after it was known to be held the lease counts as held without asking the store; `None` where
    /// nobody else can take it.
    pub lease_trust: Option<Duration>,
    /// Fresh random bytes.
    pub seed: [u8; 16],
    pub config: Arc<Config>,
    pub limits: Arc<Limits>,
    pub namespaces: Namespaces,
    /// Runs that must not be touched, as each has ended its shard several times.
    pub quarantine: Arc<BTreeSet<RunKey>>,
}

/// Many runs.
#[derive(Debug)]
pub struct Shard {
    pub(crate) id: ShardId,
    pub(crate) batch_limits: BatchLimits,
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
    /// Runs whose removal is not durable yet: their rows must not be read back.
    pub(crate) gone: HashSet<RunKey>,
    /// Runs that are loaded for a stored wake-up, and which one.
    pub(crate) waking: HashMap<RunKey, Timestamp>,
    /// Askers whose answers come with a later step of the run.
    pub(crate) deferred: HashMap<Token, RunKey>,
    pub(crate) indexing: Indexing,
    pub(crate) auditor: Auditor,
    pub(crate) phase: Phase,
    pub(crate) proof: Proof,
    /// Runs that are left alone: each has ended its shard several times.
    pub(crate) quarantine: Arc<BTreeSet<RunKey>>,
    /// The run that was taken up last while an input is handled.
    pub(crate) in_hand: Option<RunKey>,
    pub(crate) tally: Tally,
    /// When the call came in whose step is being absorbed.
    pub(crate) received: Option<Timestamp>,
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
        let auditor = Auditor::new(now, setup.config.audit_interval());
        Self {
            id: setup.id,
            batch_limits: setup.batch_limits,
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
            gone: HashSet::new(),
            waking: HashMap::new(),
            deferred: HashMap::new(),
            indexing: Indexing::default(),
            auditor,
            phase: Phase::default(),
            proof: Proof::new(setup.lease_trust, setup.leased_at),
            quarantine: setup.quarantine,
            in_hand: None,
            tally: Tally::default(),
            received: None,
        }
    }

    /// Takes one input in.
    pub fn handle(&mut self, input: Input, now: Timestamp, out: &mut Vec<Output>) {
        let proves = matches!(input, Input::Committed { .. } | Input::Proved(_));
        let from = out.len();
        self.take(input, now, out);
        self.in_hand = None;
        self.prove(if proves { out.len() } else { from }, now, out);
    }

    /// Returns the run that was being handled when a call of [`Self::handle`] panicked.
    #[must_use]
    pub fn in_hand(&self) -> Option<&RunKey> {
        self.in_hand.as_ref()
    }

    fn take(&mut self, input: Input, now: Timestamp, out: &mut Vec<Output>) {
        if self.phase != Phase::Serving && !concerns_drain(&input) {
            return;
        }
        match input {
            Input::Ask {
                token,
                target,
                request,
                received,
            } => {
                self.ask(
                    Pending {
                        token,
                        target,
                        request,
                        received: Some(received),
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
            Input::Audited(page) => self.audited(page, now, out),
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
                Refusal::Draining => out.push(Output::announce(queue, run, task)),
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
            Input::QueuesMoved => self.ready.sweep_all(out),
            Input::Tick => self.tick(now, out),
            Input::Flush => self.flush(now, out),
            Input::Check => self.check_lease(now, out),
            Input::Proved(held) => self.proved(held, out),
            Input::Drain => self.drain(now, out),
        }
    }

    /// Returns when `Tick` is wanted.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.phase != Phase::Serving {
            return None;
        }
        let timer = self.timers.first().map(|(at, _)| *at);
        [
            timer,
            self.next_scan,
            self.ready.next_sweep(),
            self.auditor.next_read(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Tells whether a commit is on its way.
    #[must_use]
    pub fn is_committing(&self) -> bool {
        self.sealed.is_some()
    }

    fn committed(&mut self, batch: u64, now: Timestamp, out: &mut Vec<Output>) {
        let Some(sealed) = self.sealed.take() else { return };
        self.committed = batch;
        self.proof.held(sealed.sealed_at, out);
        self.auditor.written(now, self.config.audit_period());
        for run in &sealed.gone {
            self.gone.remove(run);
        }
        self.count_durable(&sealed, now);
        for output in sealed.outputs {
            match output {
                Output::Announce { queue, run, task, .. } => {
                    self.count_announced(&run, &task, now);
                    self.ready.watch(now);
                    self.ready.announce(queue, run, task, now, out);
                }
                other => out.push(other),
            }
        }
        let from = out.len();
        out.extend(sealed.parked);
        self.proof.hold_back(from, now, out);
        for run in &sealed.runs {
            self.tell_watchers(run, out);
            if !self.stage.waits(&run.workflow)
                && let Some(slot) = self.cache.slot_mut(run)
            {
                slot.tail.trim();
            }
        }
        self.evict(now);
    }

    fn evict(&mut self, now: Timestamp) {
        let max = self.config.cache_bytes_max.get();
        let (watchers, stage, sealed) = (&self.watchers, &self.stage, self.sealed.as_ref());
        let evicted = self.cache.evict(
            max,
            |run| watchers.watches(run),
            |workflow| {
                stage.waits(workflow) || sealed.is_some_and(|sealed| sealed.workflows.contains(workflow))
            },
        );
        self.tally.evicted += evicted.len() as u64;
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
        for (_, slot) in self.cache.slots() {
            if let Err(broken) = engine::invariants::check(&slot.run, &self.limits) {
                panic!("run {}: {broken}", slot.run.state().run_id);
            }
        }
    }

    /// Returns a position with as many of the resident runs below it as from it on.
    #[must_use]
    pub fn median(&self) -> Option<u64> {
        let runs = self.cache.slots().map(|(run, _)| run.workflow.position());
        let mut positions: Vec<u64> = runs.collect();
        let middle = positions.len() / 2;
        (!positions.is_empty()).then(|| *positions.select_nth_unstable(middle).1)
    }

    /// Returns the shard as an operator sees it.
    #[must_use]
    pub fn view(&self) -> crate::view::ShardView {
        crate::view::ShardView {
            shard: self.id.0,
            // The lease is the actor's.
            epoch: 0,
            batch: self.committed,
            committing: self.sealed.is_some(),
            stage_bytes: self.stage.bytes(),
            resident_runs: self.cache.resident(),
            cache_bytes: self.cache.bytes(),
            timers: self.timers.len(),
            held_queues: self.ready.held_queues(),
            indexing: self.indexing.len(),
            watchers: self.watchers.len(),
            quarantined: self.quarantine.len(),
            repairs: self.auditor.repairs,
        }
    }
}

/// Tells whether a shard that lets go still listens to the input.
fn concerns_drain(input: &Input) -> bool {
    matches!(
        input,
        Input::Ask { .. }
            | Input::Gone(_)
            | Input::Committed { .. }
            | Input::CommitFailed { .. }
            | Input::Proved(_)
            | Input::Flush
    )
}

pub(crate) fn history_key(run: &RunKey) -> HistoryKey {
    HistoryKey {
        namespace_id: run.workflow.namespace_id,
        run_id: run.run_id,
    }
}

/// What is said of a workflow, or of the run that was named, that is not there.
pub(crate) fn not_found(workflow: &WorkflowKey, run_id: Option<RunId>) -> Rejection {
    let workflow_id = &workflow.workflow_id;
    Rejection::NotFound(run_id.map_or_else(
        || format!("workflow not found for ID: {workflow_id}"),
        |run_id| {
            format!("workflow execution not found for workflow ID \"{workflow_id}\" and run ID \"{run_id}\"")
        },
    ))
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
