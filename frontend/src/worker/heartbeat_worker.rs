//! RecordWorkerHeartbeat (reference 1.4): taken and dropped. Namespaces do not advertise worker heartbeats, since no
//! node knows all workers; a worker that sends them all the same must not fail.

use proto::temporal::workflowservice::v1::{RecordWorkerHeartbeatRequest, RecordWorkerHeartbeatResponse};

use crate::{call::Call, error::Error, frontend::Frontend};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: RecordWorkerHeartbeatRequest,
) -> Result<RecordWorkerHeartbeatResponse, Error> {
    frontend.namespaces.usable(&request.namespace).await?;
    Ok(RecordWorkerHeartbeatResponse {})
}
