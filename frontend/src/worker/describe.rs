//! DescribeWorker (reference 1.4): the last heartbeat of one worker.

use proto::temporal::workflowservice::v1::{DescribeWorkerRequest, DescribeWorkerResponse};

use super::list::info;
use crate::{call::Call, error::Error, frontend::Frontend};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: DescribeWorkerRequest,
) -> Result<DescribeWorkerResponse, Error> {
    let namespace = frontend.namespaces.usable(&request.namespace).await?;
    let key = &request.worker_instance_key;
    match frontend.router.find_worker(namespace.id, key).await? {
        Some(worker) => Ok(DescribeWorkerResponse {
            worker_info: Some(info(worker)),
        }),
        None => Err(Error::NotFound(format!("Worker {key} not found"))),
    }
}
