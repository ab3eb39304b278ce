//! RecordWorkerHeartbeat (reference 1.4): workers say that they are there, and how they are.

use proto::temporal::workflowservice::v1::{RecordWorkerHeartbeatRequest, RecordWorkerHeartbeatResponse};
use tokio::time::Instant;

use crate::{call::Call, error::Error, frontend::Frontend};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: RecordWorkerHeartbeatRequest,
) -> Result<RecordWorkerHeartbeatResponse, Error> {
    let namespace = frontend.namespaces.usable(&request.namespace).await?;
    frontend
        .roster
        .hear(namespace.id, request.worker_heartbeat, Instant::now());
    Ok(RecordWorkerHeartbeatResponse {})
}
