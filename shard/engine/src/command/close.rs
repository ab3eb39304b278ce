//! CompleteWorkflowExecution, FailWorkflowExecution and CancelWorkflowExecution.

use proto::temporal::{
    command::v1::{
        CancelWorkflowExecutionCommandAttributes, CompleteWorkflowExecutionCommandAttributes,
        FailWorkflowExecutionCommandAttributes,
    },
    enums::v1::WorkflowTaskFailedCause as Cause,
    history::v1::{
        WorkflowExecutionCanceledEventAttributes, WorkflowExecutionCompletedEventAttributes,
        WorkflowExecutionFailedEventAttributes, history_event::Attributes,
    },
};

use super::{Invalid, Origin, check_blob, failure_size, payloads_size};
use crate::{
    close::Closing,
    nesting,
    policy::chain::{self, Outcome},
    trigger::Context,
    tx::{Draft, Tx},
};

pub(super) fn check_complete(
    ctx: &Context<'_>,
    a: &CompleteWorkflowExecutionCommandAttributes,
) -> Result<(), Invalid> {
    let message = "CompleteWorkflowExecutionCommandAttributes.Result exceeds size limit.";
    check_blob(
        ctx,
        payloads_size(a.result.as_ref()),
        Cause::BadCompleteWorkflowExecutionAttributes,
        message,
    )
}

pub(super) fn check_fail(
    ctx: &Context<'_>,
    a: &FailWorkflowExecutionCommandAttributes,
) -> Result<(), Invalid> {
    let cause = Cause::BadFailWorkflowExecutionAttributes;
    if a.failure.is_none() {
        return Err(Invalid::new(
            cause,
            "Failure is not set on FailWorkflowExecutionCommand.",
        ));
    }
    let message = "FailWorkflowExecutionCommandAttributes.Failure exceeds size limit.";
    check_blob(ctx, failure_size(a.failure.as_ref()), cause, message)
}

pub(super) fn check_cancel(
    ctx: &Context<'_>,
    a: &CancelWorkflowExecutionCommandAttributes,
) -> Result<(), Invalid> {
    let message = "CancelWorkflowExecutionCommandAttributes.Details exceeds size limit.";
    check_blob(
        ctx,
        payloads_size(a.details.as_ref()),
        Cause::BadCancelWorkflowExecutionAttributes,
        message,
    )
}

pub(super) fn complete(tx: &mut Tx<'_>, a: CompleteWorkflowExecutionCommandAttributes, origin: Origin) {
    let next = chain::next(tx, &Outcome::Completed(a.result.clone()));
    let event = Attributes::WorkflowExecutionCompletedEventAttributes(Box::new(
        WorkflowExecutionCompletedEventAttributes {
            result: a.result.clone(),
            workflow_task_completed_event_id: origin.completed_event_id,
            new_execution_run_id: next.run_id.clone(),
        },
    ));
    let closing = Closing {
        result: a.result,
        chain_goes_on: next.run.is_some(),
        successor: next.run,
        ..Default::default()
    };
    tx.close(
        Draft {
            user_metadata: origin.metadata,
            ..Draft::from(event)
        },
        closing,
    );
}

pub(super) fn fail(tx: &mut Tx<'_>, a: FailWorkflowExecutionCommandAttributes, origin: Origin) {
    let failure = nesting::bounded(a.failure.unwrap_or_default());
    let next = chain::next(tx, &Outcome::Failed(failure.clone()));
    let event = Attributes::WorkflowExecutionFailedEventAttributes(Box::new(
        WorkflowExecutionFailedEventAttributes {
            failure: Some(failure.clone()),
            retry_state: next.retry_state.into(),
            workflow_task_completed_event_id: origin.completed_event_id,
            new_execution_run_id: next.run_id.clone(),
        },
    ));
    let closing = Closing {
        failure: Some(failure),
        retry_state: next.retry_state.into(),
        chain_goes_on: next.run.is_some(),
        successor: next.run,
        ..Default::default()
    };
    tx.close(
        Draft {
            user_metadata: origin.metadata,
            ..Draft::from(event)
        },
        closing,
    );
}

pub(super) fn cancel(tx: &mut Tx<'_>, a: CancelWorkflowExecutionCommandAttributes, origin: Origin) {
    let event = Attributes::WorkflowExecutionCanceledEventAttributes(Box::new(
        WorkflowExecutionCanceledEventAttributes {
            workflow_task_completed_event_id: origin.completed_event_id,
            details: a.details.clone(),
        },
    ));
    let closing = Closing {
        result: a.details,
        ..Default::default()
    };
    tx.close(
        Draft {
            user_metadata: origin.metadata,
            ..Draft::from(event)
        },
        closing,
    );
}
