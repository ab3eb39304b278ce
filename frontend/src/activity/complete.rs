//! RespondActivityTaskCompleted, and by ids (reference 1.4). A result that is too large fails the activity instead.

use engine::trigger::Trigger;
use proto::temporal::{
    common::v1::Payloads,
    workflowservice::v1::{
        RespondActivityTaskCompletedByIdRequest, RespondActivityTaskCompletedByIdResponse,
        RespondActivityTaskCompletedRequest, RespondActivityTaskCompletedResponse,
    },
};

use super::Subject;
use crate::{call::Call, error::Error, frontend::Frontend, validate};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: RespondActivityTaskCompletedRequest,
) -> Result<RespondActivityTaskCompletedResponse, Error> {
    let subject = super::by_token(frontend, &request.namespace, &request.task_token).await?;
    complete(frontend, subject, request.result, request.identity).await?;
    Ok(RespondActivityTaskCompletedResponse {})
}

pub(crate) async fn handle_by_id(
    frontend: &Frontend,
    _: &Call,
    request: RespondActivityTaskCompletedByIdRequest,
) -> Result<RespondActivityTaskCompletedByIdResponse, Error> {
    let (namespace, run_id) = (&request.namespace, &request.run_id);
    let subject = super::by_id(
        frontend,
        namespace,
        request.workflow_id,
        run_id,
        request.activity_id,
    )
    .await?;
    complete(frontend, subject, request.result, request.identity).await?;
    Ok(RespondActivityTaskCompletedByIdResponse {})
}

async fn complete(
    frontend: &Frontend,
    subject: Subject,
    result: Option<Payloads>,
    identity: String,
) -> Result<(), Error> {
    validate::identity(frontend.sizes(), &identity)?;
    let trigger = Trigger::CompleteActivity {
        activity: subject.activity,
        result,
        identity,
    };
    frontend.ask(&subject.target, trigger).await?;
    Ok(())
}
