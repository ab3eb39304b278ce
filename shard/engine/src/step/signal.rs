//! Signal.

use proto::{
    ids::fingerprint,
    temporal::history::v1::{WorkflowExecutionSignaledEventAttributes, history_event::Attributes},
};

use super::closed;
use crate::{
    outcome::{Rejection, Reply, Step},
    run::Run,
    trigger::{Context, Signal},
    tx::{Draft, Tx},
};

/// How many bytes the run remembers of a request id.
const FINGERPRINT: usize = 16;

pub(super) fn signal(mut tx: Tx<'_>, signal: Signal) -> Result<Step, Rejection> {
    check_signal(tx.run, &signal, tx.ctx)?;
    let request_id = signal.request_id.clone();
    let run_id = tx.state().run_id.clone();
    let event_id = apply_signal(&mut tx, signal);
    if event_id != 0 {
        tx.ensure_task();
    }
    Ok(tx.finish(Reply::Signaled {
        event_id,
        request_id,
        run_id,
        started: None,
    }))
}

/// Refuses a signal that the run cannot take.
pub(crate) fn check_signal(run: &Run, signal: &Signal, ctx: &Context<'_>) -> Result<(), Rejection> {
    if !run.is_open() {
        return Err(closed());
    }
    if is_itself(run, signal.from.as_ref()) {
        return Err(Rejection::NotFound(
            "workflow execution cannot signal itself".to_owned(),
        ));
    }
    if signal.child_only && !is_from_parent(run, signal.from.as_ref()) {
        return Err(Rejection::NotFound(
            "workflow execution is not a child of the sender".to_owned(),
        ));
    }
    if seen(run, &signal.request_id) {
        return Ok(());
    }
    if run.state.close_attempted
        && run
            .state
            .task
            .as_ref()
            .is_some_and(|task| task.started_event_id != 0)
    {
        return Err(Rejection::Busy(
            "workflow operation can not be applied because workflow is closing".to_owned(),
        ));
    }
    if run.state.signal_count >= ctx.limits.signals {
        return Err(Rejection::InvalidArgument(
            "exceeded workflow execution limit for signal events".to_owned(),
        ));
    }
    Ok(())
}

/// Adds the signal's event, unless its request id was seen before. Returns the event's id, zero if repeated.
pub(crate) fn apply_signal(tx: &mut Tx<'_>, signal: Signal) -> i64 {
    if seen(tx.run, &signal.request_id) {
        return 0;
    }
    let request_id = signal.request_id;
    let event = Attributes::WorkflowExecutionSignaledEventAttributes(Box::new(
        WorkflowExecutionSignaledEventAttributes {
            signal_name: signal.name,
            input: signal.input,
            identity: signal.identity,
            header: signal.header,
            external_workflow_execution: signal.from,
            request_id: request_id.clone(),
            ..Default::default()
        },
    ));
    let event_id = tx.emit_external(Draft {
        links: signal.links,
        ..Draft::from(event)
    });
    if !request_id.is_empty() {
        tx.note(|state| state.signal_requests.extend_from_slice(&fingerprint(&request_id)));
    }
    event_id
}

fn seen(run: &Run, request_id: &str) -> bool {
    if request_id.is_empty() {
        return false;
    }
    let wanted = fingerprint(request_id);
    run.state
        .signal_requests
        .chunks_exact(FINGERPRINT)
        .any(|known| known == wanted)
}

/// Whether a workflow speaks to itself, which the official server answers as if nobody were there.
pub(super) fn is_itself(run: &Run, from: Option<&proto::temporal::common::v1::WorkflowExecution>) -> bool {
    from.is_some_and(|from| from.workflow_id == run.state.workflow_id)
}

pub(super) fn is_from_parent(
    run: &Run,
    from: Option<&proto::temporal::common::v1::WorkflowExecution>,
) -> bool {
    match (&run.state.parent, from) {
        (Some(parent), Some(from)) => parent.workflow_id == from.workflow_id && parent.run_id == from.run_id,
        _ => false,
    }
}
