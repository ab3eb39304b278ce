//! FailWorkflowTask: a worker could not do its workflow task.

use proto::temporal::enums::v1::WorkflowTaskFailedCause as Cause;

use super::complete_workflow_task::check_task;
use crate::{
    close::server_terminate,
    nesting,
    outcome::{Rejection, Reply, Step},
    task::TaskEnd,
    trigger::FailWorkflowTask,
    tx::Tx,
};

pub(super) fn fail(mut tx: Tx<'_>, request: FailWorkflowTask) -> Result<Step, Rejection> {
    check_task(tx.run, &request.task)?;
    let request_cause = request.cause;
    let end = TaskEnd::Failed {
        cause: request.cause,
        failure: request.failure.map(nesting::bounded),
        identity: request.identity,
    };
    tx.drop_task(end);
    if request_cause == Cause::GrpcMessageTooLarge {
        // The worker would send the same again for ever.
        tx.terminate(server_terminate(
            "Worker attempted to send a message larger than the gRPC limit.",
        ));
    } else {
        tx.ensure_task();
    }
    Ok(tx.finish(Reply::Done))
}
