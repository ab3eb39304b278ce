//! UpdateWorkflowExecution (reference 2.16): waits for the stage that the caller wants, but not for ever.

use engine::{
    outcome::{Reply, UpdateStage, UpdateStatus},
    trigger::{AdmitUpdate, Trigger},
};
use proto::temporal::{
    update::v1::{Request as UpdateRequest, WaitPolicy},
    workflowservice::v1::{UpdateWorkflowExecutionRequest, UpdateWorkflowExecutionResponse},
};

use crate::{
    call::Call,
    config::Sizes,
    error::Error,
    frontend::{Frontend, fresh_id},
    namespace::Waiting,
    render::update as render,
    validate::{self, RunTarget},
};

pub(crate) async fn handle(
    frontend: &Frontend,
    call: &Call,
    request: UpdateWorkflowExecutionRequest,
) -> Result<UpdateWorkflowExecutionResponse, Error> {
    let namespace = frontend.namespaces.usable(&request.namespace).await?;
    let mut target = validate::target(&namespace, request.workflow_execution)?;
    let admit = parse(
        frontend.sizes(),
        request.request,
        request.wait_policy,
        request.first_execution_run_id,
    )?;
    if !admit.first_run_id.is_empty() {
        // The chain is what is meant, so its current run.
        target.run_id = None;
    }
    let _waiting = namespace.wait(Waiting::Update)?;
    let update_id = admit
        .request
        .meta
        .as_ref()
        .map(|meta| meta.update_id.clone())
        .unwrap_or_default();
    let request_id = admit.request.request_id.clone();
    let asked = frontend.ask(&target, Trigger::Update(Box::new(admit)));
    let soft_deadline = call.news_limit();
    let status = match tokio::time::timeout_at(soft_deadline, asked).await {
        Ok(reply) => read(reply?)?,
        // Waited for long enough: the caller is told how far it got, and asks again.
        Err(_) => ask(frontend, &target, &update_id, UpdateStage::Unspecified).await?,
    };
    Ok(render::response(
        namespace.name(),
        target.workflow.workflow_id.as_str(),
        request_id,
        status,
    ))
}

/// Reads the update itself: what comes out of here can be admitted.
pub(super) fn parse(
    sizes: &Sizes,
    request: Option<UpdateRequest>,
    wait_policy: Option<WaitPolicy>,
    first_run_id: String,
) -> Result<AdmitUpdate, Error> {
    let mut request = request.unwrap_or_default();
    let Some(meta) = &mut request.meta else {
        return Err(Error::invalid("Update meta is not set on request."));
    };
    validate::short(sizes, &meta.update_id, "UpdateId length exceeds limit.")?;
    if meta.update_id.is_empty() {
        meta.update_id = fresh_id()?;
    }
    let Some(input) = &request.input else {
        return Err(Error::invalid("Update input is not set on request."));
    };
    validate::required(&input.name, "Update name is not set on request.")?;
    if !request.completion_callbacks.is_empty() && request.request_id.is_empty() {
        return Err(Error::invalid(
            "invalid *update.Request: request_id is required when completion_callbacks are set",
        ));
    }
    let wait = match wait_policy.map_or(0, |policy| policy.lifecycle_stage) {
        0 => UpdateStage::Completed,
        stage => render::read_stage(stage),
    };
    if wait == UpdateStage::Admitted {
        return Err(Error::PermissionDenied(
            "UpdateWorkflowExecution issued asynchronously and waiting on update admitted is not supported."
                .to_owned(),
        ));
    }
    Ok(AdmitUpdate {
        request,
        wait,
        first_run_id,
    })
}

/// Asks how far the update is, or waits for it to get to the stage.
pub(super) async fn ask(
    frontend: &Frontend,
    target: &RunTarget,
    update_id: &str,
    wait: UpdateStage,
) -> Result<UpdateStatus, Error> {
    let poll = Trigger::PollUpdate {
        update_id: update_id.to_owned(),
        wait,
    };
    read(frontend.ask(target, poll).await?)
}

pub(super) fn read(reply: Reply) -> Result<UpdateStatus, Error> {
    match reply {
        Reply::Update(status) => Ok(*status),
        _ => Err(Error::unexpected_reply()),
    }
}
