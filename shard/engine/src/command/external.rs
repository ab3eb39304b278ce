//! SignalExternalWorkflowExecution and RequestCancelExternalWorkflowExecution (reference 2.10).

use proto::{
    ids::RunId,
    temporal::{
        command::v1::{
            RequestCancelExternalWorkflowExecutionCommandAttributes,
            SignalExternalWorkflowExecutionCommandAttributes,
        },
        common::v1::WorkflowExecution,
        enums::v1::WorkflowTaskFailedCause as Cause,
        history::v1::{
            RequestCancelExternalWorkflowExecutionInitiatedEventAttributes,
            SignalExternalWorkflowExecutionInitiatedEventAttributes, history_event::Attributes,
        },
    },
};

use super::{Invalid, Origin, Seen, check_blob, payloads_size};
use crate::{
    run::Run,
    trigger::Context,
    tx::{Draft, Tx},
};

/// Refuses a command that reaches into another namespace, which the official server allows only if configured.
pub(super) fn check_namespace(ctx: &Context<'_>, namespace: &str) -> Result<(), String> {
    if namespace.is_empty() || namespace == ctx.namespace.name {
        return Ok(());
    }
    Err("cross namespace commands are not allowed".to_owned())
}

#[expect(deprecated, reason = "SDKs still name the namespace")]
pub(super) fn check_signal(
    run: &Run,
    ctx: &Context<'_>,
    a: &SignalExternalWorkflowExecutionCommandAttributes,
    seen: &mut Seen,
) -> Result<(), Invalid> {
    const COMMAND: &str = "SignalExternalWorkflowExecutionCommand";
    let bad = |message: String| Invalid::new(Cause::BadSignalWorkflowExecutionAttributes, message);
    check_namespace(ctx, &a.namespace).map_err(bad)?;
    let target = a
        .execution
        .as_ref()
        .ok_or_else(|| bad(format!("Execution is not set on {COMMAND}.")))?;
    let (id, run_id, namespace) = (&target.workflow_id, &target.run_id, &a.namespace);
    let name = &a.signal_name;
    let at = format!("Namespace={namespace} RunId={run_id}");
    if id.is_empty() {
        return Err(bad(format!(
            "WorkflowId is not set on {COMMAND}. {at} SignalName={name}"
        )));
    }
    let (length, most) = (id.len(), ctx.limits.id_bytes);
    if length > most {
        return Err(bad(format!(
            "WorkflowId on {COMMAND} exceeds length limit. WorkflowId={id} Length={length} Limit={most} {at} \
             SignalName={name}"
        )));
    }
    if !is_run_id(run_id) {
        return Err(bad(format!(
            "Invalid RunId set on {COMMAND}. WorkflowId={id} {at} SignalName={name}"
        )));
    }
    if name.is_empty() {
        return Err(bad(format!(
            "SignalName is not set on {COMMAND}. WorkflowId={id} {at}"
        )));
    }
    check_blob(
        ctx,
        payloads_size(a.input.as_ref()),
        Cause::BadSignalWorkflowExecutionAttributes,
        "SignalExternalWorkflowExecutionCommandAttributes.Input exceeds size limit.",
    )?;
    let (pending, most) = (
        run.state.signals_out.len() + seen.signals,
        ctx.limits.pending_signals,
    );
    if pending >= most {
        let message = format!(
            "the number of pending signals to external workflows, {pending}, has reached the per-workflow limit \
             of {most}"
        );
        return Err(Invalid::new(Cause::PendingSignalsLimitExceeded, message));
    }
    seen.signals += 1;
    Ok(())
}

#[expect(deprecated, reason = "SDKs still name the namespace and the run")]
pub(super) fn check_cancel(
    run: &Run,
    ctx: &Context<'_>,
    a: &RequestCancelExternalWorkflowExecutionCommandAttributes,
    seen: &mut Seen,
) -> Result<(), Invalid> {
    const COMMAND: &str = "RequestCancelExternalWorkflowExecutionCommand";
    let bad = |message: String| {
        Invalid::new(
            Cause::BadRequestCancelExternalWorkflowExecutionAttributes,
            message,
        )
    };
    check_namespace(ctx, &a.namespace).map_err(bad)?;
    let (id, run_id, namespace) = (&a.workflow_id, &a.run_id, &a.namespace);
    if id.is_empty() {
        return Err(bad(format!(
            "WorkflowId is not set on {COMMAND}. Namespace={namespace} RunId={run_id}"
        )));
    }
    let at = format!("RunId={run_id} Namespace={namespace}");
    let (length, most) = (id.len(), ctx.limits.id_bytes);
    if length > most {
        return Err(bad(format!(
            "WorkflowId on {COMMAND} exceeds length limit. WorkflowId={id} Length={length} Limit={most} {at}"
        )));
    }
    if !is_run_id(run_id) {
        return Err(bad(format!(
            "Invalid RunId set on {COMMAND}. WorkflowId={id} {at}"
        )));
    }
    if seen.children.contains(id) {
        return Err(bad(format!(
            "Start and RequestCancel for child workflow is not allowed in same workflow task. WorkflowId={id} {at}"
        )));
    }
    let (pending, most) = (
        run.state.cancels_out.len() + seen.cancels,
        ctx.limits.pending_cancels,
    );
    if pending >= most {
        let message = format!(
            "the number of pending requests to cancel external workflows, {pending}, has reached the \
             per-workflow limit of {most}"
        );
        return Err(Invalid::new(Cause::PendingRequestCancelLimitExceeded, message));
    }
    seen.cancels += 1;
    Ok(())
}

fn is_run_id(text: &str) -> bool {
    text.is_empty() || text.parse::<RunId>().is_ok()
}

#[expect(
    deprecated,
    reason = "SDKs still set the namespace and the control, and read them back"
)]
pub(super) fn signal(tx: &mut Tx<'_>, a: SignalExternalWorkflowExecutionCommandAttributes, origin: Origin) {
    let event = Attributes::SignalExternalWorkflowExecutionInitiatedEventAttributes(Box::new(
        SignalExternalWorkflowExecutionInitiatedEventAttributes {
            workflow_task_completed_event_id: origin.completed_event_id,
            namespace: a.namespace,
            namespace_id: tx.state().namespace_id.clone(),
            workflow_execution: a.execution,
            signal_name: a.signal_name,
            input: a.input,
            control: a.control,
            child_workflow_only: a.child_workflow_only,
            header: a.header,
        },
    ));
    let id = tx.emit(Draft {
        user_metadata: origin.metadata,
        ..Draft::from(event)
    });
    let request_id = tx.fresh_id();
    tx.note(|state| {
        if let Some(signal) = state.signals_out.get_mut(&id) {
            signal.request_id = request_id;
        }
    });
}

#[expect(
    deprecated,
    reason = "SDKs still set the namespace, the run and the control, and read them back"
)]
pub(super) fn cancel(
    tx: &mut Tx<'_>,
    a: RequestCancelExternalWorkflowExecutionCommandAttributes,
    origin: Origin,
) {
    let event = Attributes::RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(Box::new(
        RequestCancelExternalWorkflowExecutionInitiatedEventAttributes {
            workflow_task_completed_event_id: origin.completed_event_id,
            namespace: a.namespace,
            namespace_id: tx.state().namespace_id.clone(),
            workflow_execution: Some(WorkflowExecution {
                workflow_id: a.workflow_id,
                run_id: a.run_id,
            }),
            control: a.control,
            child_workflow_only: a.child_workflow_only,
            reason: a.reason,
        },
    ));
    let id = tx.emit(Draft {
        user_metadata: origin.metadata,
        ..Draft::from(event)
    });
    let request_id = tx.fresh_id();
    tx.note(|state| {
        if let Some(cancel) = state.cancels_out.get_mut(&id) {
            cancel.request_id = request_id;
        }
    });
}

#[cfg(test)]
mod tests;
