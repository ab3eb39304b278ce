//! TerminateWorkflowExecution (reference 1.2).

use engine::trigger::{Terminate, Trigger};
use proto::temporal::workflowservice::v1::{
    TerminateWorkflowExecutionRequest, TerminateWorkflowExecutionResponse,
};

use crate::{call::Call, error::Error, frontend::Frontend, validate};

/// What history says where the client says nothing.
const REASON: &str = "terminated by user via frontend";
const IDENTITY: &str = "frontend-service";

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: TerminateWorkflowExecutionRequest,
) -> Result<TerminateWorkflowExecutionResponse, Error> {
    let namespace = frontend.namespaces.usable(&request.namespace).await?;
    let mut target = validate::target(&namespace, request.workflow_execution)?;
    validate::links::check(&request.links)?;
    if !request.first_execution_run_id.is_empty() {
        // The chain is what is meant, so its current run.
        target.run_id = None;
    }
    let or_default = |text: String, default: &str| if text.is_empty() { default.to_owned() } else { text };
    let terminate = Terminate {
        reason: or_default(request.reason, REASON),
        details: request.details,
        identity: or_default(request.identity, IDENTITY),
        links: request.links,
        first_run_id: request.first_execution_run_id,
        ..Default::default()
    };
    frontend
        .ask(&target, Trigger::Terminate(Box::new(terminate)))
        .await?;
    Ok(TerminateWorkflowExecutionResponse {})
}
