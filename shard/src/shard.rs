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
    Current, Last,
    effect::Effect,
    limits::Limits,
    outcome::{Rejection, Reply, Started, Step},
    run::Run,
    state::State,
    trigger::{Context, StartWith, Trigger},
};
use proto::{
    ids::{RunId, RunKey, ShardId, WorkflowKey, derive},
    time::Timestamp,
};
use storage::{
    batch::{HistoryKey, HistoryNode, Table},
    error::StoreError,
};

use crate::{
    cache::{Cache, Lookup, Pending, Slot},
    codec,
    config::Config,
    input::{Input, LoadKey, Refusal, Request, RunTarget, Scan, Token},
    limits::{INDEXING_RECORDS_MAX, PENDING_PER_RUN_MAX, SCAN_ROWS_MAX},
    namespaces::Namespaces,
    output::{AskError, Output},
    ready::{ReadyTasks, after},
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
    limits: Arc<Limits>,
    pub(crate) namespaces: Namespaces,
    seed: [u8; 16],
    draws: u32,
    pub(crate) cache: Cache,
    pub(crate) stage: Stage,
    sealed: Option<Sealed>,
    /// The last batch that is durable.
    pub(crate) committed: u64,
    pub(crate) timers: BTreeSet<(Timestamp, RunKey)>,
    /// When rows of wake-ups must be read again; `None` while they are.
    pub(crate) next_scan: Option<Timestamp>,
    pub(crate) ready: ReadyTasks,
    pub(crate) watchers: Watchers,
    /// Starts whose update is still to be answered.
    combining: HashMap<Token, Box<Started>>,
    /// Runs that a batch removes which is not durable yet, by its number: their rows must not be read back.
    pub(crate) gone: HashMap<RunKey, u64>,
    /// Askers whose answers come with a later step of the run.
    deferred: HashMap<Token, RunKey>,
    /// Versions on their way to the index.
    pub(crate) indexing: HashMap<RunKey, u64>,
    /// Where the outbox rows begin that were not sent to the index since the shard started.
    pub(crate) outbox_from: Option<Bytes>,
    draining: bool,
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

    /// Asks a run without waiting for the answer.
    pub(crate) fn tell(&mut self, run: &RunKey, request: Request, now: Timestamp, out: &mut Vec<Output>) {
        let target = RunTarget {
            workflow: run.workflow.clone(),
            run_id: Some(run.run_id),
        };
        self.ask(
            Pending {
                token: None,
                target,
                request,
            },
            now,
            out,
        );
    }

    fn ask(&mut self, pending: Pending, now: Timestamp, out: &mut Vec<Output>) {
        if self.draining {
            return refuse(pending.token, AskError::Moved, out);
        }
        if self.stage.bytes() > self.config.stage_bytes_max.get() && pending.token.is_some() {
            return refuse(
                pending.token,
                AskError::Busy("too much waits to be committed"),
                out,
            );
        }
        self.dispatch(pending, now, out);
    }

    /// Finds the run that is meant and lets it take the request; loads what is missing first.
    pub(crate) fn dispatch(&mut self, pending: Pending, now: Timestamp, out: &mut Vec<Output>) {
        let workflow = pending.target.workflow.clone();
        let needs_current = pending.target.run_id.is_none()
            || matches!(
                pending.request,
                Request::Start(_) | Request::Purge | Request::Reset(_)
            );
        let last = if needs_current {
            match self.cache.lookup_current(&workflow) {
                Lookup::Known(last) => last.cloned(),
                Lookup::Absent => {
                    out.push(Output::Load(LoadKey::Current(workflow.clone())));
                    self.cache.wait_for_current(workflow, pending);
                    return;
                }
                Lookup::Loading => {
                    let token = pending.token;
                    if self.cache.wait_for_current(workflow, pending) > PENDING_PER_RUN_MAX {
                        refuse(
                            token,
                            AskError::Busy("too many requests wait for one workflow"),
                            out,
                        );
                    }
                    return;
                }
            }
        } else {
            None
        };
        if matches!(pending.request, Request::Start(_)) {
            return self.start(pending, last, now, out);
        }
        let run_id = pending
            .target
            .run_id
            .or_else(|| last.as_ref()?.run_id.parse().ok());
        let Some(run_id) = run_id else {
            let rejection = not_found(&workflow);
            return self.release(None, pending.token, Err(rejection.into()), out);
        };
        let run = workflow.run(run_id);
        let Some(pending) = self.ensure_resident(&run, pending, out) else {
            return;
        };
        match pending.request {
            Request::Purge => self.purge(&run, last.as_ref(), out),
            Request::Reset(_) => {
                let newest = last
                    .and_then(|last| last.run_id.parse().ok())
                    .map(|id| workflow.run(id));
                self.reset(&run, newest.filter(|newest| *newest != run), pending, now, out);
            }
            Request::Step(_) | Request::Start(_) => self.step(&run, pending, now, out),
        }
    }

    /// Returns the request if the run is resident; else it waits until the run is loaded.
    fn ensure_resident(&mut self, run: &RunKey, pending: Pending, out: &mut Vec<Output>) -> Option<Pending> {
        if self.gone.contains_key(run) {
            self.release(
                Some(run),
                pending.token,
                Err(not_found(&run.workflow).into()),
                out,
            );
            return None;
        }
        match self.cache.lookup(run) {
            Lookup::Known(()) => return Some(pending),
            Lookup::Absent => out.push(Output::Load(LoadKey::Run(run.clone()))),
            Lookup::Loading => {}
        }
        let token = pending.token;
        if self.cache.wait_for_run(run.clone(), pending) > PENDING_PER_RUN_MAX {
            refuse(token, AskError::Busy("too many requests wait for one run"), out);
        }
        None
    }

    fn start(&mut self, pending: Pending, last: Option<Last>, now: Timestamp, out: &mut Vec<Output>) {
        let workflow = pending.target.workflow.clone();
        let key = last
            .as_ref()
            .and_then(|last| Some(workflow.run(last.run_id.parse::<RunId>().ok()?)));
        let with_update = matches!(&pending.request,
            Request::Start(start) if matches!(start.with, StartWith::Update(_)));
        let open = last.as_ref().is_some_and(is_open);
        let pending = match &key {
            // The run itself is needed only if it runs, or may know the update.
            Some(key) if open || with_update => match self.ensure_resident(key, pending, out) {
                Some(pending) => pending,
                None => return,
            },
            _ => pending,
        };
        let Request::Start(start) = pending.request else {
            return;
        };
        let namespace = self.namespaces.entry(workflow.namespace_id).namespace;
        let ctx = Context {
            now,
            seed: self.draw(),
            namespace: &namespace,
            limits: &self.limits,
            waiter: waiter(pending.token),
        };
        let run = key
            .as_ref()
            .and_then(|key| self.cache.slot_mut(key))
            .map(|slot| &mut slot.run);
        let current = match (&last, run) {
            (Some(_), Some(run)) if run.is_open() => Current::Open(run),
            (Some(last), run) => Current::Closed { last, run },
            (None, _) => Current::None,
        };
        match engine::start(current, start, &ctx) {
            Ok(step) => self.absorb(key.as_ref(), &workflow, step, pending.token, now, out),
            Err(rejection) => self.release(key.as_ref(), pending.token, Err(rejection.into()), out),
        }
    }

    fn step(&mut self, run: &RunKey, pending: Pending, now: Timestamp, out: &mut Vec<Output>) {
        if let Request::Step(Trigger::Position { wait_after }) = pending.request {
            return self.position(run, pending.token, wait_after, out);
        }
        let namespace = self.namespaces.entry(run.workflow.namespace_id).namespace;
        let seed = self.draw();
        let Some(slot) = self.cache.slot_mut(run) else {
            return;
        };
        let ctx = Context {
            now,
            seed,
            namespace: &namespace,
            limits: &self.limits,
            waiter: waiter(pending.token),
        };
        let Request::Step(trigger) = pending.request else {
            return;
        };
        match engine::step(&mut slot.run, trigger, &ctx) {
            Ok(step) => self.absorb(Some(run), &run.workflow, step, pending.token, now, out),
            Err(rejection) => self.release(Some(run), pending.token, Err(rejection.into()), out),
        }
    }

    /// Resets the base run; `newest` is the newest run of the workflow id, if that is another one.
    fn reset(
        &mut self,
        base: &RunKey,
        newest: Option<RunKey>,
        pending: Pending,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let pending = match &newest {
            Some(newest) => match self.ensure_resident(newest, pending, out) {
                Some(pending) => pending,
                None => return,
            },
            None => pending,
        };
        let Request::Reset(request) = pending.request else {
            return;
        };
        let namespace = self.namespaces.entry(base.workflow.namespace_id).namespace;
        let seed = self.draw();
        let ctx = Context {
            now,
            seed,
            namespace: &namespace,
            limits: &self.limits,
            waiter: waiter(pending.token),
        };
        let Some(mut slot) = self.cache.remove(base) else {
            return;
        };
        let current = newest
            .as_ref()
            .and_then(|key| self.cache.slot_mut(key))
            .map(|slot| &mut slot.run);
        let result = engine::reset::reset(&mut slot.run, current, *request, &ctx);
        self.cache.insert(base.clone(), slot);
        match result {
            Ok(steps) => {
                if let (Some(newest), Some(mut step)) = (newest, steps.current) {
                    self.absorb_run(&newest, &mut step, false, now, out);
                }
                self.absorb(Some(base), &base.workflow, steps.base, pending.token, now, out);
            }
            Err(rejection) => self.release(Some(base), pending.token, Err(rejection.into()), out),
        }
    }

    fn draw(&mut self) -> [u8; 16] {
        self.draws = self.draws.wrapping_add(1);
        derive(self.seed, self.draws)
    }

    /// Stages what a step decided.
    fn absorb(
        &mut self,
        run: Option<&RunKey>,
        workflow: &WorkflowKey,
        mut step: Step,
        token: Option<Token>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let successor = step.successor.take();
        let mut owner = run.cloned();
        if let Some(run) = run {
            let was_current = successor.is_none();
            self.absorb_run(run, &mut step, was_current, now, out);
        }
        if let Some(new) = successor {
            let new = *new;
            let Ok(key) = new.run.key() else {
                return refuse(token, AskError::Broken("new run has no key".to_owned()), out);
            };
            debug_assert_eq!(
                key.workflow, *workflow,
                "a run is continued under its own workflow id"
            );
            self.cache.insert(key.clone(), Slot::new(new.run, false));
            let mut first = Step {
                events: new.events,
                durable: true,
                index: true,
                effects: new.effects,
                ..Step::default()
            };
            self.absorb_run(&key, &mut first, true, now, out);
            owner = Some(key);
        }
        self.answer(owner.as_ref(), step, token, out);
    }

    fn absorb_run(
        &mut self,
        key: &RunKey,
        step: &mut Step,
        may_be_current: bool,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let batch = self.next_batch();
        let Some(slot) = self.cache.slot_mut(key) else {
            return;
        };
        let written = std::mem::take(&mut step.events);
        // A new run may begin with the long history of a reset; every other step writes one node.
        let begins = written.first().is_some_and(|event| event.event_id == 1);
        let nodes = if begins {
            engine::replay::nodes(&written)
        } else {
            vec![written.as_slice()]
        };
        for node in nodes {
            let Some(first) = node.first() else { continue };
            let history = proto::temporal::history::v1::History {
                events: node.to_vec(),
            };
            let events = Bytes::from(prost::Message::encode_to_vec(&history));
            slot.tail.push(first.event_id, events.clone(), batch);
            let first_event_id = first.event_id;
            self.stage.append(HistoryNode {
                history: history_key(key),
                first_event_id,
                events,
            });
        }
        slot.index |= step.index;
        if step.durable || step.index {
            slot.staged_in = batch;
            self.stage.mark(key.clone());
            let last = slot.run.last();
            // An open run is always the newest of its workflow id, and so is one that has just closed.
            let starts = !slot.hot;
            let closed = !slot.run.is_open();
            if may_be_current && (starts || (closed && step.index)) && self.is_current_or_unknown(key) {
                self.set_current(&key.workflow, Some(last), batch);
            }
        }
        for effect in std::mem::take(&mut step.effects) {
            self.effect(key, effect, out);
        }
        self.arm(key);
        self.cache.touch(key);
        if self
            .cache
            .slot(key)
            .is_some_and(|slot| slot.run.state().deleting && slot.run.is_settled())
        {
            self.tell(key, Request::Purge, now, out);
        }
    }

    fn is_current_or_unknown(&self, key: &RunKey) -> bool {
        match self.cache.lookup_current(&key.workflow) {
            Lookup::Known(Some(last)) => {
                last.run_id == key.run_id.to_string() || self.cache.slot(key).is_some_and(|slot| !slot.hot)
            }
            Lookup::Known(None) | Lookup::Absent | Lookup::Loading => true,
        }
    }

    pub(crate) fn set_current(&mut self, workflow: &WorkflowKey, last: Option<Last>, batch: u64) {
        let key = codec::current_key(workflow);
        match &last {
            Some(last) => {
                self.stage
                    .put(Table::Current, key, prost::Message::encode_to_vec(last).into());
            }
            None => self.stage.delete(Table::Current, key),
        }
        if !matches!(self.cache.lookup_current(workflow), Lookup::Loading) {
            self.cache.set_current(workflow.clone(), last, batch);
        }
    }

    fn effect(&mut self, key: &RunKey, effect: Effect, out: &mut Vec<Output>) {
        let workflow_id = || Bytes::copy_from_slice(key.workflow.workflow_id.as_str().as_bytes());
        match effect {
            Effect::Ready(task) => {
                let queue = codec::queue_of(key.workflow.namespace_id, &task);
                let speculative = task.speculative;
                let row = codec::ready_key(&queue, key, &task);
                let announce = Output::Announce {
                    queue,
                    run: key.clone(),
                    task,
                };
                if speculative {
                    self.park(key, announce, out);
                } else {
                    self.stage.put_ready(row, workflow_id(), announce);
                }
            }
            Effect::Unready(task) => {
                let queue = codec::queue_of(key.workflow.namespace_id, &task);
                let row = codec::ready_key(&queue, key, &task);
                if !task.speculative {
                    self.stage.delete_ready(row);
                }
            }
            Effect::Deliver(delivery) => {
                let delivery = Box::new(delivery);
                self.park(
                    key,
                    Output::Deliver {
                        from: key.clone(),
                        delivery,
                    },
                    out,
                );
            }
            Effect::Resolve { waiter, reply } => {
                let token = Token(waiter.0);
                self.deferred.remove(&token);
                let reply = self.combine(token, reply);
                self.park(key, Output::Reply { token, reply }, out);
            }
        }
    }

    /// Joins the answer of an update with that of the start it came with.
    fn combine(&mut self, token: Token, reply: Result<Reply, Rejection>) -> Result<Reply, AskError> {
        let Some(started) = self.combining.remove(&token) else {
            return reply.map_err(AskError::from);
        };
        match reply {
            Ok(Reply::Update(update)) => Ok(Reply::StartedAndUpdated {
                started,
                update: Some(update),
            }),
            Ok(other) => Ok(other),
            Err(update) => {
                let start = Box::new(Rejection::Ok);
                Err(Rejection::MultiOperation {
                    start,
                    update: Box::new(update),
                }
                .into())
            }
        }
    }

    fn answer(&mut self, run: Option<&RunKey>, step: Step, token: Option<Token>, out: &mut Vec<Output>) {
        let Some(token) = token else { return };
        let mut reply = step.reply;
        match &mut reply {
            Reply::Deferred => return,
            Reply::StartedAndUpdated {
                started,
                update: None,
            } => {
                self.combining.insert(token, started.clone());
                return;
            }
            _ => {}
        }
        if let Some(slot) = run.and_then(|run| self.cache.slot(run)) {
            crate::fill::fill(&mut reply, slot);
        }
        if step.early {
            out.push(Output::Reply {
                token,
                reply: Ok(reply),
            });
        } else {
            self.release(run, Some(token), Ok(reply), out);
        }
    }

    /// Answers once everything that the answer tells of the run is durable.
    pub(crate) fn release(
        &mut self,
        run: Option<&RunKey>,
        token: Option<Token>,
        reply: Result<Reply, AskError>,
        out: &mut Vec<Output>,
    ) {
        let Some(token) = token else { return };
        let output = Output::Reply { token, reply };
        match run {
            Some(run) => self.park(run, output, out),
            None => out.push(output),
        }
    }

    /// Lets the output go once everything known of the run is durable.
    pub(crate) fn park(&mut self, run: &RunKey, output: Output, out: &mut Vec<Output>) {
        // A run that is not here may have gone with a batch that is not durable: then the newest one is waited for.
        let newest = self.next_batch() - u64::from(self.stage.is_empty());
        let staged_in = self.cache.slot(run).map_or(newest, |slot| slot.staged_in);
        if staged_in <= self.committed {
            out.push(output);
        } else if let Some(sealed) = self.sealed.as_mut().filter(|_| staged_in == self.committed + 1) {
            sealed.outputs.push(output);
        } else {
            self.stage.park(output);
        }
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

    fn loaded(
        &mut self,
        key: LoadKey,
        value: Result<Option<Bytes>, StoreError>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        match key {
            LoadKey::Run(run) => self.loaded_run(&run, value, now, out),
            LoadKey::Current(workflow) => self.loaded_current(&workflow, value, now, out),
        }
    }

    fn loaded_run(
        &mut self,
        run: &RunKey,
        value: Result<Option<Bytes>, StoreError>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let waiting = self.cache.loaded_run(run);
        let error = match value.map(|bytes| bytes.map(|bytes| State::from_bytes(&bytes))) {
            Ok(Some(Ok(state))) => {
                let loaded = Run::load(state);
                let hot = !loaded.is_settled();
                self.cache.insert(run.clone(), Slot::new(loaded, hot));
                self.arm(run);
                for pending in waiting {
                    self.dispatch(pending, now, out);
                }
                return;
            }
            Ok(None) => AskError::Rejected(not_found(&run.workflow)),
            Ok(Some(Err(error))) => AskError::Broken(format!("run {}: {error}", run.run_id)),
            Err(error) => AskError::Unavailable(error.to_string()),
        };
        for pending in waiting {
            // A workflow id whose newest run is gone is free.
            if matches!(pending.request, Request::Start(_)) && matches!(error, AskError::Rejected(_)) {
                self.cache.set_current(run.workflow.clone(), None, 0);
                self.dispatch(pending, now, out);
            } else {
                refuse(pending.token, error.clone(), out);
            }
        }
    }

    fn loaded_current(
        &mut self,
        workflow: &WorkflowKey,
        value: Result<Option<Bytes>, StoreError>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let last = match value {
            Ok(None) => Ok(None),
            Ok(Some(bytes)) => match prost::Message::decode(bytes) {
                Ok(last) => Ok(Some(last)),
                Err(_) => Err(AskError::Broken(
                    "newest run of a workflow id is malformed".to_owned(),
                )),
            },
            Err(error) => Err(AskError::Unavailable(error.to_string())),
        };
        match last {
            Ok(last) => {
                for pending in self.cache.loaded_current(workflow, last) {
                    self.dispatch(pending, now, out);
                }
            }
            Err(error) => {
                for pending in self.cache.failed_current(workflow) {
                    refuse(pending.token, error.clone(), out);
                }
            }
        }
    }

    fn scanned(
        &mut self,
        scan: Scan,
        rows: Result<Vec<storage::shard::Row>, StoreError>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let rows = match rows {
            Ok(rows) => rows,
            // What is not read now is read again: the shard cannot go on without it.
            Err(error) => {
                tracing::warn!(shard = self.id.0, %error, "rows not read");
                return out.push(Output::Stop(error.to_string()));
            }
        };
        let result = match scan {
            Scan::Wakeups { until, .. } => self.scanned_wakeups(until, rows, now, out),
            Scan::AllReady { .. } => {
                if !rows.is_empty() {
                    self.ready.watch(now);
                }
                self.ready
                    .recover(rows, out)
                    .map(|next| out.extend(next.map(Output::Scan)))
            }
            Scan::Sweep { .. } => self.ready.swept(rows, now, out),
            Scan::Ready { queue, limit, .. } => self.ready.scanned(queue, limit, rows, out),
            Scan::Outbox { .. } => self.scanned_outbox(rows, out),
        };
        if let Err(error) = result {
            out.push(Output::Stop(error.to_string()));
        }
    }

    fn scanned_outbox(
        &mut self,
        rows: Vec<storage::shard::Row>,
        out: &mut Vec<Output>,
    ) -> Result<(), codec::Malformed> {
        let full = rows.len() == SCAN_ROWS_MAX;
        self.outbox_from = None;
        for row in rows {
            let (run, version, update) =
                crate::outbox::read(&row.value).ok_or(codec::Malformed("outbox row"))?;
            if full {
                self.outbox_from = Some(after(&row.key));
            }
            self.indexing.entry(run.clone()).or_insert(version);
            out.push(Output::Index {
                run,
                update: Box::new(update),
            });
        }
        self.read_outbox(out);
        Ok(())
    }

    fn read_outbox(&mut self, out: &mut Vec<Output>) {
        if self.indexing.len() < INDEXING_RECORDS_MAX
            && let Some(from) = self.outbox_from.take()
        {
            out.push(Output::Scan(Scan::Outbox { from }));
        }
    }

    fn indexed(&mut self, runs: Vec<(RunKey, u64)>, out: &mut Vec<Output>) {
        for (run, version) in runs {
            if self.indexing.get(&run) == Some(&version) {
                self.indexing.remove(&run);
                self.stage.delete_some_time(Table::Outbox, codec::run_key(&run));
            }
        }
        self.read_outbox(out);
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

fn waiter(token: Option<Token>) -> engine::effect::Waiter {
    // Token 0 is never given out: nobody hears an answer to it.
    engine::effect::Waiter(token.map_or(0, |token| token.0))
}

fn refuse(token: Option<Token>, error: AskError, out: &mut Vec<Output>) {
    if let Some(token) = token {
        out.push(Output::Reply {
            token,
            reply: Err(error),
        });
    }
}

fn is_open(last: &Last) -> bool {
    use proto::temporal::enums::v1::WorkflowExecutionStatus::{Paused, Running};
    matches!(last.status(), Running | Paused)
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
