//! Signals and cancel requests to other workflows: their answers (reference 2.10).

use proto::temporal::{
    common::v1::WorkflowExecution,
    enums::v1::{
        CancelExternalWorkflowExecutionFailedCause as CancelCause,
        SignalExternalWorkflowExecutionFailedCause as SignalCause,
    },
    history::v1::{
        ExternalWorkflowExecutionCancelRequestedEventAttributes,
        ExternalWorkflowExecutionSignaledEventAttributes,
        RequestCancelExternalWorkflowExecutionFailedEventAttributes,
        SignalExternalWorkflowExecutionFailedEventAttributes, history_event::Attributes,
    },
};

use crate::{
    effect::DeliveryId,
    outcome::{Rejection, Reply, Step},
    state::{ExternalCancel, ExternalSignal},
    trigger::ExternalFailure,
    tx::Tx,
};

/// The signal was delivered, or never will be. An answer that comes again changes nothing.
pub(super) fn signal_done(
    mut tx: Tx<'_>,
    initiated_event_id: i64,
    result: Result<(), ExternalFailure>,
) -> Result<Step, Rejection> {
    tx.run
        .live
        .in_flight
        .remove(&DeliveryId::Signal(initiated_event_id));
    let Some(signal) = tx.state().signals_out.get(&initiated_event_id).cloned() else {
        return Ok(tx.finish(Reply::Done));
    };
    if tx.run.is_open() {
        let namespace = namespace(&tx, &signal.namespace);
        tx.emit_external(signal_answer(signal, namespace, result));
        tx.ensure_task();
    } else {
        tx.note(|state| {
            state.signals_out.remove(&initiated_event_id);
        });
    }
    Ok(tx.finish(Reply::Done))
}

/// The cancel request was delivered, or never will be. An answer that comes again changes nothing.
pub(super) fn cancel_done(
    mut tx: Tx<'_>,
    initiated_event_id: i64,
    result: Result<(), ExternalFailure>,
) -> Result<Step, Rejection> {
    tx.run
        .live
        .in_flight
        .remove(&DeliveryId::Cancel(initiated_event_id));
    let Some(cancel) = tx.state().cancels_out.get(&initiated_event_id).cloned() else {
        return Ok(tx.finish(Reply::Done));
    };
    if tx.run.is_open() {
        let namespace = namespace(&tx, &cancel.namespace);
        tx.emit_external(cancel_answer(cancel, namespace, result));
        tx.ensure_task();
    } else {
        tx.note(|state| {
            state.cancels_out.remove(&initiated_event_id);
        });
    }
    Ok(tx.finish(Reply::Done))
}

/// The answer names the namespace also where the command left it open.
fn namespace(tx: &Tx<'_>, named: &str) -> String {
    if named.is_empty() {
        tx.ctx.namespace.name.clone()
    } else {
        named.to_owned()
    }
}

#[expect(deprecated, reason = "old SDKs set the control and read it back")]
fn signal_answer(
    signal: ExternalSignal,
    namespace: String,
    result: Result<(), ExternalFailure>,
) -> Attributes {
    let target = WorkflowExecution {
        workflow_id: signal.workflow_id,
        run_id: signal.run_id,
    };
    let Err(failure) = result else {
        return Attributes::ExternalWorkflowExecutionSignaledEventAttributes(Box::new(
            ExternalWorkflowExecutionSignaledEventAttributes {
                initiated_event_id: signal.initiated_event_id,
                namespace,
                namespace_id: signal.namespace_id,
                workflow_execution: Some(target),
                control: signal.control,
            },
        ));
    };
    let cause = match failure {
        ExternalFailure::WorkflowNotFound => SignalCause::ExternalWorkflowExecutionNotFound,
        ExternalFailure::NamespaceNotFound => SignalCause::NamespaceNotFound,
        ExternalFailure::SignalLimit => SignalCause::SignalCountLimitExceeded,
    };
    Attributes::SignalExternalWorkflowExecutionFailedEventAttributes(Box::new(
        SignalExternalWorkflowExecutionFailedEventAttributes {
            cause: cause.into(),
            namespace,
            namespace_id: signal.namespace_id,
            workflow_execution: Some(target),
            initiated_event_id: signal.initiated_event_id,
            control: signal.control,
            ..Default::default()
        },
    ))
}

/// Unlike the answer to a signal this one does not repeat the control.
fn cancel_answer(
    cancel: ExternalCancel,
    namespace: String,
    result: Result<(), ExternalFailure>,
) -> Attributes {
    let target = WorkflowExecution {
        workflow_id: cancel.workflow_id,
        run_id: cancel.run_id,
    };
    let Err(failure) = result else {
        return Attributes::ExternalWorkflowExecutionCancelRequestedEventAttributes(Box::new(
            ExternalWorkflowExecutionCancelRequestedEventAttributes {
                initiated_event_id: cancel.initiated_event_id,
                namespace,
                namespace_id: cancel.namespace_id,
                workflow_execution: Some(target),
            },
        ));
    };
    let cause = match failure {
        ExternalFailure::NamespaceNotFound => CancelCause::NamespaceNotFound,
        ExternalFailure::WorkflowNotFound | ExternalFailure::SignalLimit => {
            CancelCause::ExternalWorkflowExecutionNotFound
        }
    };
    Attributes::RequestCancelExternalWorkflowExecutionFailedEventAttributes(Box::new(
        RequestCancelExternalWorkflowExecutionFailedEventAttributes {
            cause: cause.into(),
            namespace,
            namespace_id: cancel.namespace_id,
            workflow_execution: Some(target),
            initiated_event_id: cancel.initiated_event_id,
            ..Default::default()
        },
    ))
}

#[cfg(test)]
mod tests;
