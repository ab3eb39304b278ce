//! PollWorkflowExecutionUpdate (reference 2.16).

use proto::temporal::workflowservice::v1::{
    PollWorkflowExecutionUpdateRequest, PollWorkflowExecutionUpdateResponse,
};

use engine::outcome::UpdateStage;

use super::update;
use crate::{
    call::Call,
    error::Error,
    frontend::Frontend,
    namespace::Waiting,
    render::update as render,
    validate::{self, RunTarget},
};

pub(crate) async fn handle(
    frontend: &Frontend,
    call: &Call,
    request: PollWorkflowExecutionUpdateRequest,
) -> Result<PollWorkflowExecutionUpdateResponse, Error> {
    let namespace = frontend.namespaces.usable(&request.namespace).await?;
    let reference = request
        .update_ref
        .ok_or_else(|| Error::invalid("UpdateRef is not set on request."))?;
    let execution = reference.workflow_execution.unwrap_or_default();
    validate::required(
        &execution.workflow_id,
        "Can't load workflow execution.  WorkflowId not set.",
    )?;
    let run_id =
        validate::run_id(&execution.run_id).map_err(|_| Error::invalid("RunId is not valid UUID."))?;
    let target = RunTarget {
        workflow: validate::workflow(&namespace, execution.workflow_id),
        run_id,
    };
    let wait = render::read_stage(request.wait_policy.map_or(0, |policy| policy.lifecycle_stage));
    let _waiting = namespace.wait(Waiting::Update)?;
    let asked = update::ask(frontend, &target, &reference.update_id, wait);
    let status = match tokio::time::timeout_at(call.news_limit(), asked).await {
        Ok(status) => status?,
        Err(_) => update::ask(frontend, &target, &reference.update_id, UpdateStage::Unspecified).await?,
    };
    Ok(PollWorkflowExecutionUpdateResponse {
        update_ref: Some(render::reference(target.workflow.workflow_id.as_str(), &status)),
        stage: render::stage(status.stage),
        outcome: status.outcome,
    })
}
