//! RespondActivityTaskCanceled, and by ids (reference 1.4).

use engine::trigger::Trigger;
use proto::temporal::{
    common::v1::Payloads,
    workflowservice::v1::{
        RespondActivityTaskCanceledByIdRequest, RespondActivityTaskCanceledByIdResponse,
        RespondActivityTaskCanceledRequest, RespondActivityTaskCanceledResponse,
    },
};

use super::Subject;
use crate::{call::Call, error::Error, frontend::Frontend, validate};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: RespondActivityTaskCanceledRequest,
) -> Result<RespondActivityTaskCanceledResponse, Error> {
    let subject = super::by_token(frontend, &request.namespace, &request.task_token).await?;
    cancel(frontend, subject, request.details, request.identity).await?;
    Ok(RespondActivityTaskCanceledResponse {})
}

pub(crate) async fn handle_by_id(
    frontend: &Frontend,
    _: &Call,
    request: RespondActivityTaskCanceledByIdRequest,
) -> Result<RespondActivityTaskCanceledByIdResponse, Error> {
    let (namespace, run_id) = (&request.namespace, &request.run_id);
    let subject = super::by_id(
        frontend,
        namespace,
        request.workflow_id,
        run_id,
        request.activity_id,
    )
    .await?;
    cancel(frontend, subject, request.details, request.identity).await?;
    Ok(RespondActivityTaskCanceledByIdResponse {})
}

async fn cancel(
    frontend: &Frontend,
    subject: Subject,
    details: Option<Payloads>,
    identity: String,
) -> Result<(), Error> {
    validate::identity(frontend.sizes(), &identity)?;
    let trigger = Trigger::CancelActivity {
        activity: subject.activity,
        details,
        identity,
    };
    frontend.ask(&subject.target, trigger).await?;
    Ok(())
}
