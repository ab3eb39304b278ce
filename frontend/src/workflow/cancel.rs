//! RequestCancelWorkflowExecution (reference 1.2).

use engine::trigger::{RequestCancel, Trigger};
use proto::temporal::workflowservice::v1::{
    RequestCancelWorkflowExecutionRequest, RequestCancelWorkflowExecutionResponse,
};

use crate::{call::Call, error::Error, frontend::Frontend, validate};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: RequestCancelWorkflowExecutionRequest,
) -> Result<RequestCancelWorkflowExecutionResponse, Error> {
    let namespace = frontend.namespaces.usable(&request.namespace).await?;
    let mut target = validate::target(&namespace, request.workflow_execution)?;
    validate::links::check(&request.links)?;
    if !request.first_execution_run_id.is_empty() {
        // The chain is what is meant, so its current run.
        target.run_id = None;
    }
    let cancel = RequestCancel {
        reason: request.reason,
        identity: request.identity,
        request_id: request.request_id,
        links: request.links,
        first_run_id: request.first_execution_run_id,
        ..Default::default()
    };
    frontend
        .ask(&target, Trigger::RequestCancel(Box::new(cancel)))
        .await?;
    Ok(RequestCancelWorkflowExecutionResponse {})
}
