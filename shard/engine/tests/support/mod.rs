//! What the engine's tests share: a world in which runs live, and what is checked of it after every step.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on stops")]

pub mod build;
pub mod json;
pub mod project;
pub mod render;
pub mod script;

use std::{collections::BTreeMap, time::Duration};

use perdure_engine::{
    Current, Last,
    effect::{Effect, ReadyKind, ReadyTask, Waiter},
    hand_over, invariants, is_in_hand,
    limits::Limits,
    outcome::{NewRun, Rejection, Reply, Step},
    replay::replay,
    reset::reset,
    run::Run,
    start, step,
    trigger::{Context, Namespace, Reset, Start, Trigger},
};
use proto::{ids::derive, temporal::history::v1::HistoryEvent, time::Timestamp};

/// When every test begins.
pub const EPOCH: Timestamp = Timestamp::from_seconds(1_735_689_600);
pub const NAMESPACE_ID: &str = "32049b68-7872-4094-8e63-d0dd59896a83";

/// One workflow id, all its runs, a clock, and the rows that the shard would hold.
pub struct World {
    pub now: Timestamp,
    pub limits: Limits,
    pub namespace: Namespace,
    pub runs: Vec<Known>,
    /// Callers whose answer is still to come, and the run that owes it.
    pub waiting: BTreeMap<Waiter, usize>,
    draws: u32,
}

/// A run, and what is stored beside its state.
pub struct Known {
    pub run: Run,
    pub history: Vec<HistoryEvent>,
    pub ready: BTreeMap<(ReadyKind, i64), ReadyTask>,
    /// Made by a reset: its times are not those of its events.
    pub is_reset: bool,
}

impl Default for World {
    fn default() -> Self {
        let namespace = Namespace {
            name: "default".to_owned(),
            retention: Duration::from_secs(24 * 3600),
        };
        Self {
            now: EPOCH,
            limits: Limits::default(),
            namespace,
            runs: Vec::new(),
            waiting: BTreeMap::new(),
            draws: 0,
        }
    }
}

impl World {
    /// The run that runs under the workflow id, or ran last.
    pub fn newest(&self) -> usize {
        self.runs.len().saturating_sub(1)
    }

    /// The waiter of the last trigger.
    pub fn waiter(&self) -> Waiter {
        Waiter(u64::from(self.draws))
    }

    pub fn start(&mut self, request: Start) -> Result<Step, Rejection> {
        let waiter = self.next_waiter();
        let Self {
            now,
            limits,
            namespace,
            runs,
            draws,
            ..
        } = self;
        let ctx = context(*now, limits, namespace, *draws, waiter);
        let result = match runs.last_mut() {
            None => start(Current::None, request, &ctx),
            Some(known) if known.run.is_open() => start(Current::Open(&mut known.run), request, &ctx),
            Some(known) => {
                let last: Last = known.run.last();
                start(
                    Current::Closed {
                        last: &last,
                        run: Some(&mut known.run),
                    },
                    request,
                    &ctx,
                )
            }
        };
        self.settle(self.newest(), result)
    }

    pub fn step(&mut self, index: usize, trigger: Trigger) -> Result<Step, Rejection> {
        let waiter = self.next_waiter();
        let Self {
            now,
            limits,
            namespace,
            runs,
            draws,
            ..
        } = self;
        let ctx = context(*now, limits, namespace, *draws, waiter);
        let known = &mut runs[index];
        let before = known.run.clone();
        let result = step(&mut known.run, trigger, &ctx);
        if result.is_err() {
            assert_eq!(
                before.to_store(),
                known.run.to_store(),
                "a rejected trigger changes nothing"
            );
        }
        self.settle(index, result)
    }

    /// Resets the run at `index`.
    pub fn reset(&mut self, index: usize, mut request: Reset) -> Result<Vec<(usize, Step)>, Rejection> {
        let waiter = self.next_waiter();
        request.base.clone_from(&self.runs[index].history);
        let mut at = index;
        while let Some(next) = self.successor(at) {
            request.later.extend(self.runs[next].history.iter().cloned());
            at = next;
        }
        let Self {
            now,
            limits,
            namespace,
            runs,
            draws,
            ..
        } = self;
        let ctx = context(*now, limits, namespace, *draws, waiter);
        let newest = runs.len() - 1;
        let (head, tail) = runs.split_at_mut(newest);
        let (base, current) = match head.get_mut(index) {
            Some(base) => (&mut base.run, Some(&mut tail[0].run)),
            None => (&mut tail[0].run, None),
        };
        let steps = reset(base, current, request, &ctx)?;
        let mut done = Vec::new();
        if let Some(step) = steps.current {
            done.push((newest, self.settle(newest, Ok(step))?));
        }
        done.push((index, self.settle(index, Ok(steps.base))?));
        if self.runs.len() > newest + 1 {
            self.runs[newest + 1].is_reset = true;
            self.check(newest + 1);
        }
        Ok(done)
    }

    fn successor(&self, index: usize) -> Option<usize> {
        let id = &self.runs[index].run.state().successor_run_id;
        self.runs.iter().position(|known| known.run.state().run_id == *id)
    }

    /// Makes durable what a worker has in hand, as an owner does before it lets go.
    pub fn hand_over(&mut self, index: usize) -> Result<Step, Rejection> {
        let waiter = self.next_waiter();
        let ctx = context(self.now, &self.limits, &self.namespace, self.draws, waiter);
        let run = &mut self.runs[index].run;
        let step = if is_in_hand(run) {
            hand_over(run, &ctx)
        } else {
            Step::default()
        };
        self.settle(index, Ok(step))
    }

    /// Loses what a run keeps in memory only, as when it leaves the cache.
    pub fn reload(&mut self, index: usize) {
        let known = &mut self.runs[index];
        known.run = Run::load(known.run.to_store().into_owned());
        known.ready.retain(|_, task| !task.speculative);
        self.waiting.retain(|_, run| *run != index);
        self.check(index);
    }

    /// The caller that has waited for the run the longest gives up.
    pub fn forget(&mut self, index: usize) {
        let first = self
            .waiting
            .iter()
            .find(|(_, run)| **run == index)
            .map(|(waiter, _)| *waiter);
        if let Some(waiter) = first {
            self.waiting.remove(&waiter);
            self.runs[index].run.forget(waiter);
            self.check(index);
        }
    }

    fn next_waiter(&mut self) -> Waiter {
        self.draws += 1;
        self.waiter()
    }

    /// Takes the step's events, rows and successor into the world, and checks everything.
    fn settle(&mut self, index: usize, result: Result<Step, Rejection>) -> Result<Step, Rejection> {
        let step = result?;
        for effect in &step.effects {
            self.take_answer(effect);
        }
        if let Some(known) = self.runs.get_mut(index) {
            known.history.extend(step.events.iter().cloned());
            known.take(&step.effects);
            let stored = known.run.state().to_bytes();
            known.run.set_stored_bytes(stored.len());
            self.check(index);
        } else {
            assert!(step.events.is_empty(), "there is no run that could have events");
        }
        if let Some(new) = &step.successor {
            let NewRun { run, events, effects } = &**new;
            let mut known = Known {
                run: run.clone(),
                history: events.clone(),
                ready: BTreeMap::new(),
                is_reset: false,
            };
            known.take(effects);
            // A reset run is checked once it is known for one.
            self.runs.push(known);
            for effect in effects {
                self.take_answer(effect);
            }
            if run.state().reset_request_id.is_empty() {
                self.check(self.newest());
            }
        }
        match &step.reply {
            Reply::StartedAndUpdated { update: None, .. } => {
                self.waiting.insert(self.waiter(), self.newest());
            }
            Reply::Deferred => {
                self.waiting.insert(self.waiter(), index);
            }
            _ => {}
        }
        Ok(step)
    }

    fn take_answer(&mut self, effect: &Effect) {
        if let Effect::Resolve { waiter, .. } = effect {
            assert!(
                self.waiting.remove(waiter).is_some(),
                "{waiter:?} waits and is answered once"
            );
        }
    }

    /// Holds a run against everything that must be true of it.
    pub fn check(&self, index: usize) {
        let known = &self.runs[index];
        let state = known.run.state();
        if let Err(broken) = invariants::check(&known.run, &self.limits) {
            panic!("{broken}\n{state:#?}");
        }
        assert_eq!(
            known.ready,
            known.expected_ready(),
            "rows of ready tasks agree with the state"
        );
        let ids: Vec<_> = known.history.iter().map(|event| event.event_id).collect();
        let dense: Vec<_> = (1..state.next_event_id).collect();
        assert_eq!(ids, dense, "event ids are dense");
        if state.buffered.is_empty() {
            let replayed =
                replay(&state.namespace_id, &state.run_id, &known.history).expect("history replays");
            let (live, told) = (
                project::project(state, known.is_reset),
                project::project(replayed.state(), known.is_reset),
            );
            assert!(
                live == told,
                "history tells what the run is\nlive: {live:#?}\ntold: {told:#?}"
            );
        }
        let is_owed = self.waiting.values().any(|run| *run == index);
        assert!(known.run.is_open() || !is_owed, "nobody waits for a closed run");
        let stored = Run::load(known.run.to_store().into_owned());
        let durable = stored.next_deadline(true).map(|(at, _)| at);
        let owed = known.run.next_deadline(true).map(|(at, _)| at);
        assert_eq!(durable, owed, "the stored state wakes up when the live one does");
    }
}

impl Known {
    fn take(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Ready(task) => {
                    self.ready
                        .insert((task.kind, task.scheduled_event_id), task.clone());
                }
                Effect::Unready(task) => {
                    self.ready.remove(&(task.kind, task.scheduled_event_id));
                }
                Effect::Deliver(_) | Effect::Resolve { .. } => {}
            }
        }
    }

    /// The rows that there must be, going by the state.
    fn expected_ready(&self) -> BTreeMap<(ReadyKind, i64), ReadyTask> {
        invariants::ready_tasks(&self.run)
            .into_iter()
            .map(|task| ((task.kind, task.scheduled_event_id), task))
            .collect()
    }
}

fn context<'a>(
    now: Timestamp,
    limits: &'a Limits,
    namespace: &'a Namespace,
    draws: u32,
    waiter: Waiter,
) -> Context<'a> {
    Context {
        now,
        seed: derive(*b"the world's seed", draws),
        namespace,
        limits,
        waiter,
    }
}
