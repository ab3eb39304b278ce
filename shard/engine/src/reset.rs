//! Reset: a new run repeats the base run's history up to a workflow task, which fails there (reference 2.20).
//!
//! History is copied, not shared: the new run stands alone whatever becomes of the base run. What callers sent
//! after that point is applied again; what the workflow did after it is not.

mod reapply;

use proto::{
    ids::{RunId, derive},
    temporal::{
        enums::v1::WorkflowTaskFailedCause,
        failure::v1::{Failure, ResetWorkflowFailureInfo, failure::FailureInfo},
        history::v1::{
            HistoryEvent, WorkflowTaskFailedEventAttributes, WorkflowTaskStartedEventAttributes,
            history_event::Attributes,
        },
    },
};

use crate::{
    close::{SERVER_IDENTITY, is_waiting, ready_activity},
    effect::Effect,
    options,
    outcome::{NewRun, Rejection, Reply, Step},
    replay::replay,
    run::Run,
    state::State,
    step::apply_signal,
    trigger::{Context, Reset, Terminate},
    tx::Tx,
};

/// Who the server acts as when it ends a run in favour of its reset.
const RESETTER: &str = "history-resetter";
/// The request id of a started event that no poll asked for, as the official server writes it.
const NO_REQUEST: &str = "emptyUuid";

/// What a reset does to the runs that there are. All of it belongs into one batch.
#[derive(Debug)]
pub struct ResetSteps {
    /// The base run's step: it bears the reply and, as its successor, the new run. The new run's history may be
    /// long: it is stored in the nodes that [`crate::replay::nodes`] cuts it into.
    pub base: Step,
    /// The step of the newest run, if that is another one than the base run.
    pub current: Option<Step>,
}

/// Resets the base run. `current` is the newest run of the workflow id, if that is another one; it is terminated if
/// it is open. UNAVAILABLE if a run has gone on since its events were read for the request: read them again.
pub fn reset(
    base: &mut Run,
    current: Option<&mut Run>,
    request: Reset,
    ctx: &Context<'_>,
) -> Result<ResetSteps, Rejection> {
    let newest = current.as_deref().unwrap_or(&*base);
    if is_made_by(newest, &request.request_id) {
        let reply = Reply::Reset {
            run_id: newest.state.run_id.clone(),
        };
        return Ok(ResetSteps {
            base: Step {
                reply,
                ..Step::default()
            },
            current: None,
        });
    }
    check_up_to_date(base, &request.base)?;
    let follows_current = current.as_deref().is_some_and(|run| ends_in(&request.later, run));
    if let Some(run) = current.as_deref().filter(|_| follows_current) {
        check_up_to_date(run, &request.later)?;
    }
    let run_id = RunId::at(ctx.now, ctx.seed).to_string();
    let rebuilt = rebuild(base, &request, &run_id)?;

    let is_current = current.is_none();
    let mut base_step = supersede(base, is_current, &request, Some(&run_id), ctx);
    let current_step = current.map(|run| supersede(run, true, &request, None, ctx));
    let flushed: &[HistoryEvent] = current_step.as_ref().map_or(&[], |step| &step.events);
    let later = request
        .later
        .iter()
        .chain(flushed.iter().filter(|_| follows_current));
    let tail = base_tail(&request).iter().chain(&base_step.events);
    let new_run = begin(rebuilt, base, &request, tail, later, ctx);
    base_step.successor = Some(Box::new(new_run));
    base_step.reply = Reply::Reset { run_id };
    Ok(ResetSteps {
        base: base_step,
        current: current_step,
    })
}

fn is_made_by(run: &Run, request_id: &str) -> bool {
    !request_id.is_empty()
        && (run.state.create_request_id == request_id || run.state.reset_request_id == request_id)
}

fn check_up_to_date(run: &Run, events: &[HistoryEvent]) -> Result<(), Rejection> {
    if events
        .last()
        .is_some_and(|event| event.event_id + 1 == run.state.next_event_id)
    {
        return Ok(());
    }
    Err(Rejection::Unavailable(
        "workflow has gone on while it was being reset".to_owned(),
    ))
}

/// Whether the last of the runs whose events these are is this one.
fn ends_in(events: &[HistoryEvent], run: &Run) -> bool {
    events.iter().rev().find_map(|event| match &event.attributes {
        Some(Attributes::WorkflowExecutionStartedEventAttributes(a)) => Some(&a.original_execution_run_id),
        _ => None,
    }) == Some(&run.state.original_run_id)
}

/// Builds the run as it was when the workflow task was pending that the reset goes back to.
fn rebuild(base: &Run, request: &Reset, run_id: &str) -> Result<Run, Rejection> {
    let point = request.workflow_task_finish_event_id;
    if point <= 1 || point >= base.state.next_event_id {
        return Err(Rejection::InvalidArgument(
            "Workflow task finish ID must be > 1 && <= workflow last event ID.".to_owned(),
        ));
    }
    let run = replay(&base.state.namespace_id, run_id, prefix(request)).map_err(|corrupt| {
        Rejection::FailedPrecondition(format!("the workflow's history cannot be replayed: {corrupt}"))
    })?;
    if run.state.task.is_none() || !run.is_open() {
        return Err(Rejection::InvalidArgument(format!(
            "Can only reset workflow to event ID in range [WorkflowTaskScheduled +1, WorkflowTaskStarted + 1]: {point}"
        )));
    }
    Ok(run)
}

fn prefix(request: &Reset) -> &[HistoryEvent] {
    let end = request
        .base
        .partition_point(|event| event.event_id < request.workflow_task_finish_event_id);
    &request.base[..end]
}

fn base_tail(request: &Reset) -> &[HistoryEvent] {
    &request.base[prefix(request).len()..]
}

/// Ends a run that the new one replaces, and notes in the base run which one that is.
fn supersede(
    run: &mut Run,
    is_current: bool,
    request: &Reset,
    reset_run_id: Option<&str>,
    ctx: &Context<'_>,
) -> Step {
    let mut tx = Tx::new(run, ctx);
    if is_current && tx.run.is_open() {
        tx.terminate(Terminate {
            reason: request.reason.clone(),
            identity: RESETTER.to_owned(),
            ..Default::default()
        });
        tx.note(|state| {
            // The parent hears of the new run's end, and the children go on under the new run.
            state.report = None;
            state.children.retain(|_, child| child.first_task_owed);
            for child in state.children.values_mut() {
                child.policy_owed = false;
            }
        });
    }
    if let Some(run_id) = reset_run_id {
        tx.note(|state| run_id.clone_into(&mut state.reset_run_id));
    }
    tx.finish(Reply::Done)
}

/// Sets the rebuilt run going.
fn begin<'a>(
    mut run: Run,
    base: &Run,
    request: &Reset,
    tail: impl Iterator<Item = &'a HistoryEvent>,
    later: impl Iterator<Item = &'a HistoryEvent>,
    ctx: &Context<'_>,
) -> NewRun {
    // Ids of the new run come from a sequence of their own.
    let ctx = &Context {
        seed: derive(ctx.seed, u32::MAX),
        ..*ctx
    };
    let mut tx = Tx::new(&mut run, ctx);
    let now = tx.now();
    tx.note(|state| renew(state, &base.state, request, now));
    renew_requests(&mut tx);
    fail_pending_task(&mut tx, request, &base.state.run_id);
    reapply::reapply(&mut tx, request, tail, later);
    for signal in &request.post_signals {
        apply_signal(&mut tx, signal.clone());
    }
    for change in &request.post_options {
        options::apply(&mut tx, change.clone());
    }
    tx.note(|state| state.task_attempt = 1);
    tx.ensure_task();
    let waiting = tx
        .state()
        .activities
        .values()
        .filter(|activity| is_waiting(activity));
    for activity in waiting
        .map(|activity| ready_activity(tx.run, activity))
        .collect::<Vec<_>>()
    {
        tx.effect(Effect::Ready(activity));
    }
    tx.index();
    let step = tx.finish(Reply::Done);
    let events = prefix(request).iter().cloned().chain(step.events).collect();
    NewRun {
        run,
        events,
        effects: step.effects,
    }
}

/// Time-outs begin anew; a user's timers keep the time at which they fire.
fn renew(state: &mut State, base: &State, request: &Reset, now: i64) {
    let backoff = state.execution_time - state.start_time;
    state.start_time = now;
    state.execution_time = now.saturating_add(backoff);
    let expiration = |timeout: i64| {
        if timeout > 0 {
            state.execution_time.saturating_add(timeout)
        } else {
            0
        }
    };
    (state.run_expiration, state.execution_expiration) =
        (expiration(state.run_timeout), expiration(state.execution_timeout));
    state.original_start_time = if base.original_start_time != 0 {
        base.original_start_time
    } else {
        base.start_time
    };
    state.last_reset_time = now;
    state.create_request_id.clone_from(&base.create_request_id);
    state.reset_request_id.clone_from(&request.request_id);
    state.root_workflow_id.clone_from(&base.root_workflow_id);
    let is_root = base.root_run_id == base.run_id;
    state
        .root_run_id
        .clone_from(if is_root { &state.run_id } else { &base.root_run_id });
    for activity in state.activities.values_mut() {
        activity.first_scheduled_time = now;
        activity.scheduled_time = now;
        if activity.schedule_to_close_timeout > 0 {
            activity.expiration = now.saturating_add(activity.schedule_to_close_timeout);
        }
    }
}

/// Signals and cancel requests that were on their way are sent anew, under ids of their own.
fn renew_requests(tx: &mut Tx<'_>) {
    for id in tx.state().signals_out.keys().copied().collect::<Vec<_>>() {
        let request_id = tx.fresh_id();
        tx.note(|state| {
            if let Some(signal) = state.signals_out.get_mut(&id) {
                signal.request_id = request_id;
            }
        });
    }
    for id in tx.state().cancels_out.keys().copied().collect::<Vec<_>>() {
        let request_id = tx.fresh_id();
        tx.note(|state| {
            if let Some(cancel) = state.cancels_out.get_mut(&id) {
                cancel.request_id = request_id;
            }
        });
    }
}

/// Fails the workflow task that the base run completed here; it counts as started, by the server if by nobody else.
fn fail_pending_task(tx: &mut Tx<'_>, request: &Reset, base_run_id: &str) {
    let Some(task) = tx.state().task.clone() else {
        return;
    };
    let mut started_event_id = task.started_event_id;
    if started_event_id == 0 {
        let started = WorkflowTaskStartedEventAttributes {
            scheduled_event_id: task.scheduled_event_id,
            identity: SERVER_IDENTITY.to_owned(),
            request_id: NO_REQUEST.to_owned(),
            history_size_bytes: tx.state().history_bytes,
            ..Default::default()
        };
        started_event_id = tx.emit(Attributes::WorkflowTaskStartedEventAttributes(started.into()));
    }
    let failure = Failure {
        message: request.reason.clone(),
        failure_info: Some(FailureInfo::ResetWorkflowFailureInfo(
            ResetWorkflowFailureInfo::default(),
        )),
        ..Default::default()
    };
    let failed = WorkflowTaskFailedEventAttributes {
        scheduled_event_id: task.scheduled_event_id,
        started_event_id,
        cause: WorkflowTaskFailedCause::ResetWorkflow.into(),
        failure: Some(failure),
        identity: SERVER_IDENTITY.to_owned(),
        base_run_id: base_run_id.to_owned(),
        new_run_id: tx.state().run_id.clone(),
        ..Default::default()
    };
    tx.emit(Attributes::WorkflowTaskFailedEventAttributes(failed.into()));
}
