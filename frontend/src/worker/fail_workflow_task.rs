//! RespondWorkflowTaskFailed (reference 1.4, 2.4).

use engine::trigger::{FailWorkflowTask, Trigger};
use prost::Message;
use proto::temporal::{
    enums::v1::WorkflowTaskFailedCause,
    failure::v1::{Failure, ServerFailureInfo, failure::FailureInfo},
    workflowservice::v1::{RespondWorkflowTaskFailedRequest, RespondWorkflowTaskFailedResponse},
};

use super::{complete_workflow_task::task_ref, task_token};
use crate::{call::Call, error::Error, frontend::Frontend, limits, validate};

#[expect(deprecated, reason = "old workers name their binary this way")]
pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: RespondWorkflowTaskFailedRequest,
) -> Result<RespondWorkflowTaskFailedResponse, Error> {
    let task = task_token::read(frontend, &request.namespace, &request.task_token).await?;
    validate::identity(frontend.sizes(), &request.identity)?;
    let fail = FailWorkflowTask {
        task: task_ref(&task.token),
        cause: WorkflowTaskFailedCause::try_from(request.cause).unwrap_or_default(),
        failure: request.failure.map(bounded),
        identity: request.identity,
        binary_checksum: request.binary_checksum,
    };
    frontend
        .ask(&task.target, Trigger::FailWorkflowTask(Box::new(fail)))
        .await?;
    Ok(RespondWorkflowTaskFailedResponse {})
}

/// Replaces a failure that is too large to keep.
fn bounded(failure: Failure) -> Failure {
    if failure.encoded_len() <= limits::BLOB_BYTES_MAX {
        return failure;
    }
    Failure {
        message: "Failure exceeds size limit.".to_owned(),
        failure_info: Some(FailureInfo::ServerFailureInfo(ServerFailureInfo {
            non_retryable: true,
        })),
        ..Default::default()
    }
}
