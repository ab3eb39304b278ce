//! RespondActivityTaskFailed, and by ids (reference 1.4). The answer names what was too large to keep.

use engine::{
    outcome::Reply,
    trigger::{FailActivity, Trigger},
};
use proto::temporal::{
    failure::v1::{Failure, failure::FailureInfo},
    workflowservice::v1::{
        RespondActivityTaskFailedByIdRequest, RespondActivityTaskFailedByIdResponse,
        RespondActivityTaskFailedRequest, RespondActivityTaskFailedResponse,
    },
};

use super::Subject;
use crate::{call::Call, error::Error, frontend::Frontend, validate};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: RespondActivityTaskFailedRequest,
) -> Result<RespondActivityTaskFailedResponse, Error> {
    let subject = super::by_token(frontend, &request.namespace, &request.task_token).await?;
    check_kind(request.failure.as_ref())?;
    let failed = FailActivity {
        activity: subject.activity.clone(),
        failure: request.failure,
        identity: request.identity,
        last_heartbeat_details: request.last_heartbeat_details,
    };
    let failures = fail(frontend, subject, failed).await?;
    Ok(RespondActivityTaskFailedResponse { failures })
}

pub(crate) async fn handle_by_id(
    frontend: &Frontend,
    _: &Call,
    request: RespondActivityTaskFailedByIdRequest,
) -> Result<RespondActivityTaskFailedByIdResponse, Error> {
    let (namespace, run_id) = (&request.namespace, &request.run_id);
    let subject = super::by_id(
        frontend,
        namespace,
        request.workflow_id,
        run_id,
        request.activity_id,
    )
    .await?;
    let failed = FailActivity {
        activity: subject.activity.clone(),
        failure: request.failure,
        identity: request.identity,
        last_heartbeat_details: request.last_heartbeat_details,
    };
    let failures = fail(frontend, subject, failed).await?;
    Ok(RespondActivityTaskFailedByIdResponse { failures })
}

/// A worker's own failure is an application's.
fn check_kind(failure: Option<&Failure>) -> Result<(), Error> {
    match failure {
        Some(failure) if !matches!(failure.failure_info, Some(FailureInfo::ApplicationFailureInfo(_))) => {
            Err(Error::invalid("Failure must have ApplicationFailureInfo."))
        }
        _ => Ok(()),
    }
}

async fn fail(frontend: &Frontend, subject: Subject, failed: FailActivity) -> Result<Vec<Failure>, Error> {
    validate::identity(frontend.sizes(), &failed.identity)?;
    match frontend
        .ask(&subject.target, Trigger::FailActivity(Box::new(failed)))
        .await?
    {
        Reply::ActivityFailed { oversized } => Ok(oversized),
        Reply::Done => Ok(Vec::new()),
        _ => Err(Error::unexpected_reply()),
    }
}
