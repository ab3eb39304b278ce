//! RecordWorkerHeartbeat (reference 1.4): workers say that they are there, and how they are.

use proto::temporal::workflowservice::v1::{RecordWorkerHeartbeatRequest, RecordWorkerHeartbeatResponse};

use crate::{call::Call, error::Error, frontend::Frontend};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: RecordWorkerHeartbeatRequest,
) -> Result<RecordWorkerHeartbeatResponse, Error> {
    let namespace = frontend.namespaces.usable(&request.namespace).await?;
    frontend
        .router
        .hear_workers(namespace.id, request.worker_heartbeat)
        .await;
    Ok(RecordWorkerHeartbeatResponse {})
}
