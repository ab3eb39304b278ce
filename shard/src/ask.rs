//! Ask: how a request finds its run, and what the engine makes of it.

use engine::{
    Current, Last,
    trigger::{Context, StartWith, Trigger},
};
use proto::{
    ids::{RunId, RunKey, derive},
    time::Timestamp,
};

use crate::{
    cache::{Lookup, Pending},
    drain::{Phase, give_back},
    input::{LoadKey, Request, RunTarget},
    limits::PENDING_PER_RUN_MAX,
    output::{AskError, Output},
    shard::{Shard, not_found, refuse, waiter},
    tally::Asked,
};

impl Shard {
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
                received: None,
            },
            now,
            out,
        );
    }

    pub(crate) fn ask(&mut self, pending: Pending, now: Timestamp, out: &mut Vec<Output>) {
        if self.phase != Phase::Serving {
            return give_back(pending, out);
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
            self.tally.currents_wanted += 1;
            match self.cache.lookup_current(&workflow) {
                Lookup::Known(last) => last.cloned(),
                Lookup::Absent => {
                    self.tally.currents_missed += 1;
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
            let rejection = not_found(&workflow, None);
            return self.release(None, pending.token, Err(rejection.into()), out);
        };
        let run = workflow.run(run_id);
        let Some(pending) = self.ensure_resident(&run, pending, out) else {
            return;
        };
        match pending.request {
            Request::Purge => self.purge(&run, last.as_ref(), out),
            Request::Repair => self.repair(&run),
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
        if self.gone.contains(run) {
            let rejection = not_found(&run.workflow, pending.target.run_id);
            self.release(Some(run), pending.token, Err(rejection.into()), out);
            return None;
        }
        if self.quarantine.contains(run) {
            refuse(pending.token, quarantined(run), out);
            return None;
        }
        self.in_hand = Some(run.clone());
        self.tally.runs_wanted += 1;
        match self.cache.lookup(run) {
            Lookup::Known(()) => return Some(pending),
            Lookup::Absent => {
                self.tally.runs_missed += 1;
                out.push(Output::Load(LoadKey::Run(run.clone())));
            }
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
        if !open && !with_update {
            // A start that the engine cannot bear is known by its workflow, as its run has no name yet.
            let run = workflow.run(NO_RUN);
            if self.quarantine.contains(&run) {
                return refuse(pending.token, quarantined(&run), out);
            }
            self.in_hand = Some(run);
        }
        let asked = Asked::of(&pending);
        let Request::Start(start) = pending.request else {
            return;
        };
        self.make_room(&workflow);
        let entry = self.namespaces.entry(workflow.namespace_id);
        let ctx = Context {
            now,
            seed: self.draw(),
            namespace: &entry.namespace,
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
        let result = engine::start(current, start, &ctx);
        self.count_asked(workflow.namespace_id, asked, pending.received, &result);
        match result {
            Ok(step) => self.absorb(key.as_ref(), &workflow, step, pending.token, now, out),
            Err(rejection) => self.release(key.as_ref(), pending.token, Err(rejection.into()), out),
        }
    }

    fn step(&mut self, run: &RunKey, pending: Pending, now: Timestamp, out: &mut Vec<Output>) {
        if let Request::Step(Trigger::Position { wait_after }) = pending.request {
            return self.position(run, pending.token, wait_after, out);
        }
        self.make_room(&run.workflow);
        let entry = self.namespaces.entry(run.workflow.namespace_id);
        let seed = self.draw();
        let Some(slot) = self.cache.slot_mut(run) else {
            return;
        };
        let ctx = Context {
            now,
            seed,
            namespace: &entry.namespace,
            limits: &self.limits,
            waiter: waiter(pending.token),
        };
        let asked = Asked::of(&pending);
        let Request::Step(trigger) = pending.request else {
            return;
        };
        let completes = matches!(trigger, Trigger::CompleteWorkflowTask(_));
        let result = engine::step(&mut slot.run, trigger, &ctx);
        self.count_asked(run.workflow.namespace_id, asked, pending.received, &result);
        match result {
            Ok(step) => {
                if completes && step.durable {
                    self.stage
                        .change(&run.workflow, |unit| unit.completes = Some(run.clone()));
                }
                self.absorb(Some(run), &run.workflow, step, pending.token, now, out);
            }
            Err(rejection) => self.release(Some(run), pending.token, Err(rejection.into()), out),
        }
    }

    /// Makes durable what the run's next owner must know.
    pub(crate) fn hand_over(&mut self, run: &RunKey, now: Timestamp, out: &mut Vec<Output>) {
        self.make_room(&run.workflow);
        let entry = self.namespaces.entry(run.workflow.namespace_id);
        let seed = self.draw();
        let Some(slot) = self.cache.slot_mut(run) else {
            return;
        };
        let ctx = Context {
            now,
            seed,
            namespace: &entry.namespace,
            limits: &self.limits,
            waiter: waiter(None),
        };
        let step = engine::hand_over(&mut slot.run, &ctx);
        self.absorb(Some(run), &run.workflow, step, None, now, out);
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
        self.make_room(&base.workflow);
        let entry = self.namespaces.entry(base.workflow.namespace_id);
        let seed = self.draw();
        let ctx = Context {
            now,
            seed,
            namespace: &entry.namespace,
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
                self.received = pending.received;
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
}

/// Stands for the run that a start would make.
const NO_RUN: RunId = RunId::from_bytes([0; 16]);

fn quarantined(run: &RunKey) -> AskError {
    AskError::Broken(format!(
        "run {} of workflow {} is in quarantine: it has ended its shard several times",
        run.run_id, run.workflow.workflow_id
    ))
}

fn is_open(last: &Last) -> bool {
    use proto::temporal::enums::v1::WorkflowExecutionStatus::{Paused, Running};
    matches!(last.status(), Running | Paused)
}
