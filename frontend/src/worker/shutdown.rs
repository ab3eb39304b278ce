//! ShutdownWorker (reference 1.4): what waits for the worker goes elsewhere at once.

use proto::{
    ids::{NamespaceId, QueueKey, TaskKind},
    temporal::{
        enums::v1::TaskQueueType,
        workflowservice::v1::{ShutdownWorkerRequest, ShutdownWorkerResponse},
    },
};

use crate::{call::Call, error::Error, frontend::Frontend};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: ShutdownWorkerRequest,
) -> Result<ShutdownWorkerResponse, Error> {
    let namespace = frontend.namespaces.usable(&request.namespace).await?;
    if let Some(heartbeat) = request.worker_heartbeat.clone() {
        frontend.router.hear_workers(namespace.id, vec![heartbeat]).await;
    }
    let worker = request.worker_instance_key.as_str();
    if !request.sticky_task_queue.is_empty() {
        let name = &request.sticky_task_queue;
        tell(frontend, namespace.id, TaskKind::Workflow, true, name, worker).await?;
    }
    if !request.task_queue.is_empty() && !worker.is_empty() {
        for kind in request.task_queue_types() {
            let kind = match kind {
                TaskQueueType::Workflow => TaskKind::Workflow,
                TaskQueueType::Activity => TaskKind::Activity,
                TaskQueueType::Nexus | TaskQueueType::Unspecified => continue,
            };
            tell(frontend, namespace.id, kind, false, &request.task_queue, worker).await?;
        }
    }
    Ok(ShutdownWorkerResponse {})
}

async fn tell(
    frontend: &Frontend,
    namespace_id: NamespaceId,
    kind: TaskKind,
    sticky: bool,
    name: &str,
    worker: &str,
) -> Result<(), Error> {
    let key = QueueKey {
        namespace_id,
        kind,
        sticky,
        name: name.into(),
    };
    frontend.router.queue(&key).worker_shutdown(worker.into()).await?;
    Ok(())
}
