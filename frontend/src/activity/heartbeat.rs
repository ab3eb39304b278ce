//! RecordActivityTaskHeartbeat, and by ids (reference 1.4): the answer tells whether to give up.

use engine::{outcome::Reply, trigger::Trigger};
use proto::temporal::{
    common::v1::Payloads,
    workflowservice::v1::{
        RecordActivityTaskHeartbeatByIdRequest, RecordActivityTaskHeartbeatByIdResponse,
        RecordActivityTaskHeartbeatRequest, RecordActivityTaskHeartbeatResponse,
    },
};

use super::Subject;
use crate::{call::Call, error::Error, frontend::Frontend};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: RecordActivityTaskHeartbeatRequest,
) -> Result<RecordActivityTaskHeartbeatResponse, Error> {
    let subject = super::by_token(frontend, &request.namespace, &request.task_token).await?;
    let cancel_requested = heartbeat(frontend, subject, request.details, request.identity).await?;
    Ok(RecordActivityTaskHeartbeatResponse {
        cancel_requested,
        ..Default::default()
    })
}

pub(crate) async fn handle_by_id(
    frontend: &Frontend,
    _: &Call,
    request: RecordActivityTaskHeartbeatByIdRequest,
) -> Result<RecordActivityTaskHeartbeatByIdResponse, Error> {
    let (namespace, run_id) = (&request.namespace, &request.run_id);
    let subject = super::by_id(
        frontend,
        namespace,
        request.workflow_id,
        run_id,
        request.activity_id,
    )
    .await?;
    let cancel_requested = heartbeat(frontend, subject, request.details, request.identity).await?;
    Ok(RecordActivityTaskHeartbeatByIdResponse {
        cancel_requested,
        ..Default::default()
    })
}

async fn heartbeat(
    frontend: &Frontend,
    subject: Subject,
    details: Option<Payloads>,
    identity: String,
) -> Result<bool, Error> {
    let trigger = Trigger::Heartbeat {
        activity: subject.activity,
        details,
        identity,
    };
    match frontend.ask(&subject.target, trigger).await? {
        Reply::Heartbeat { cancel_requested } => Ok(cancel_requested),
        _ => Err(Error::unexpected_reply()),
    }
}
