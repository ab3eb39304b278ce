//! DeleteWorkflowExecution (reference 1.2): an open run is terminated first.

use engine::trigger::Trigger;
use proto::temporal::workflowservice::v1::{DeleteWorkflowExecutionRequest, DeleteWorkflowExecutionResponse};

use crate::{call::Call, error::Error, frontend::Frontend, validate};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: DeleteWorkflowExecutionRequest,
) -> Result<DeleteWorkflowExecutionResponse, Error> {
    let namespace = frontend.namespaces.usable(&request.namespace).await?;
    let target = validate::target(&namespace, request.workflow_execution)?;
    frontend.ask(&target, Trigger::Delete).await?;
    Ok(DeleteWorkflowExecutionResponse {})
}
