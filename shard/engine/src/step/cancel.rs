//! RequestCancel: the workflow is asked to cancel itself.

use proto::temporal::history::v1::{
    WorkflowExecutionCancelRequestedEventAttributes, history_event::Attributes,
};

use super::signal::{is_from_parent, is_itself};
use crate::{
    outcome::{Rejection, Reply, Step},
    run::Run,
    trigger::RequestCancel,
    tx::{Draft, Tx},
};

pub(super) fn request_cancel(mut tx: Tx<'_>, request: RequestCancel) -> Result<Step, Rejection> {
    check_chain(tx.run, &request.first_run_id)?;
    if is_itself(tx.run, request.from.as_ref()) {
        return Err(Rejection::NotFound(
            "workflow execution cannot cancel itself".to_owned(),
        ));
    }
    if request.child_only && !is_from_parent(tx.run, request.from.as_ref()) {
        return Err(Rejection::NotFound(
            "workflow execution is not a child of the sender".to_owned(),
        ));
    }
    // Cancelling twice, or what has closed, is no error (reference 1.2).
    if !tx.run.is_open() || tx.state().cancel_requested {
        return Ok(tx.finish(Reply::Done));
    }
    let event = Attributes::WorkflowExecutionCancelRequestedEventAttributes(Box::new(
        WorkflowExecutionCancelRequestedEventAttributes {
            cause: request.reason,
            external_initiated_event_id: request.from_initiated_event_id,
            external_workflow_execution: request.from,
            identity: request.identity,
        },
    ));
    tx.emit_external(Draft {
        links: request.links,
        ..Draft::from(event)
    });
    tx.note(|state| state.cancel_request_id = request.request_id);
    if tx.state().task.is_none() {
        // A cancel request ends a start delay, which a plain signal does not (reference 2.15).
        tx.schedule_task(None);
    }
    Ok(tx.finish(Reply::Done))
}

/// Refuses a request that is meant for another chain of runs.
pub(super) fn check_chain(run: &Run, first_run_id: &str) -> Result<(), Rejection> {
    if first_run_id.is_empty() || run.state.first_run_id == first_run_id {
        return Ok(());
    }
    Err(Rejection::NotFound("workflow execution not found".to_owned()))
}
