//! UpdateWorkflowExecutionOptions (reference 1.2).

use cluster::router::RunTarget;
use engine::{outcome::Reply, trigger::Trigger};
use proto::temporal::{
    workflow::v1::VersioningOverride,
    workflowservice::v1::{UpdateWorkflowExecutionOptionsRequest, UpdateWorkflowExecutionOptionsResponse},
};

use crate::{
    call::Call,
    error::Error,
    frontend::Frontend,
    validate::{self, options, versioning},
};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: UpdateWorkflowExecutionOptionsRequest,
) -> Result<UpdateWorkflowExecutionOptionsResponse, Error> {
    let namespace = frontend.namespaces.usable(&request.namespace).await?;
    let execution = request.workflow_execution.unwrap_or_default();
    validate::required(&execution.workflow_id, "WorkflowId is not set on request.")?;
    let run_id =
        validate::run_id(&execution.run_id).map_err(|_| Error::invalid("RunId is not valid UUID."))?;
    let target = RunTarget {
        workflow: validate::workflow(&namespace, execution.workflow_id),
        run_id,
    };
    let Some(given) = request.workflow_execution_options else {
        return Err(Error::invalid("WorkflowExecutionOptions is required"));
    };
    let mask = options::required(request.update_mask)?;
    validate::start::time_skipping(given.time_skipping_config.is_some())?;
    validate::priority::check(given.priority.as_ref())?;
    check_override(frontend, &target, given.versioning_override.as_ref()).await?;
    options::check_paths(&mask, "error parsing UpdateMask")?;
    let change = options::change(given, &mask, request.identity)?;
    match frontend
        .ask(&target, Trigger::ChangeOptions(Box::new(change)))
        .await?
    {
        Reply::Options(options) => Ok(UpdateWorkflowExecutionOptionsResponse {
            workflow_execution_options: Some(*options),
            ..Default::default()
        }),
        _ => Err(Error::unexpected_reply()),
    }
}

/// Checks an override for a workflow that is there: one that pins must name a version that is in its queue.
pub(super) async fn check_override(
    frontend: &Frontend,
    target: &RunTarget,
    given: Option<&VersioningOverride>,
) -> Result<(), Error> {
    if versioning::check(given, "").is_ok() {
        return Ok(());
    }
    let Reply::Description(description) = frontend.ask(target, Trigger::Describe).await? else {
        return Err(Error::unexpected_reply());
    };
    let info = description.workflow_execution_info.unwrap_or_default();
    versioning::check(given, &info.task_queue)
}
