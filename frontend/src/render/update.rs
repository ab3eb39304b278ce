//! An update's state as its caller is told it.

use engine::outcome::{UpdateStage, UpdateStatus};
use proto::temporal::{
    common::v1::{Link, WorkflowExecution},
    enums::v1::{EventType, UpdateWorkflowExecutionLifecycleStage as ApiStage},
    update::v1::{UpdateRef, outcome::Value},
    workflowservice::v1::UpdateWorkflowExecutionResponse,
};

use super::links;

/// Reads a stage that a caller waits for; what this release does not know counts as not set.
pub(crate) fn read_stage(stage: i32) -> UpdateStage {
    match ApiStage::try_from(stage).unwrap_or_default() {
        ApiStage::Unspecified => UpdateStage::Unspecified,
        ApiStage::Admitted => UpdateStage::Admitted,
        ApiStage::Accepted => UpdateStage::Accepted,
        ApiStage::Completed => UpdateStage::Completed,
    }
}

pub(crate) fn stage(stage: UpdateStage) -> i32 {
    let stage = match stage {
        UpdateStage::Unspecified => ApiStage::Unspecified,
        UpdateStage::Admitted => ApiStage::Admitted,
        UpdateStage::Accepted => ApiStage::Accepted,
        UpdateStage::Completed => ApiStage::Completed,
    };
    stage.into()
}

pub(crate) fn reference(workflow_id: &str, status: &UpdateStatus) -> UpdateRef {
    UpdateRef {
        workflow_execution: Some(WorkflowExecution {
            workflow_id: workflow_id.to_owned(),
            run_id: status.run_id.clone(),
        }),
        update_id: status.update_id.clone(),
    }
}

pub(crate) fn response(
    namespace: &str,
    workflow_id: &str,
    request_id: String,
    status: UpdateStatus,
) -> UpdateWorkflowExecutionResponse {
    UpdateWorkflowExecutionResponse {
        update_ref: Some(reference(workflow_id, &status)),
        link: link(namespace, workflow_id, request_id, &status),
        outcome: status.outcome,
        stage: stage(status.stage),
    }
}

/// Links to where the update was accepted; of one that failed, which may have left no event, to the workflow.
fn link(namespace: &str, workflow_id: &str, request_id: String, status: &UpdateStatus) -> Option<Link> {
    let run_id = &status.run_id;
    match status.outcome.as_ref().and_then(|outcome| outcome.value.as_ref()) {
        Some(Value::Failure(_)) => Some(links::to_workflow(
            namespace,
            workflow_id,
            run_id,
            "Update rejected",
        )),
        None if status.stage < UpdateStage::Accepted => None,
        Some(Value::Success(_)) | None => {
            let kind = EventType::WorkflowExecutionUpdateAccepted;
            Some(links::to_request(
                namespace,
                workflow_id,
                run_id,
                request_id,
                kind,
            ))
        }
    }
}
