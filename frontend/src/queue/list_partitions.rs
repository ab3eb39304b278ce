//! ListTaskQueuePartitions (reference 1.6): a queue is one partition, on the node that it belongs to.

use proto::{
    ids::{QueueKey, TaskKind},
    temporal::{
        taskqueue::v1::TaskQueuePartitionMetadata,
        workflowservice::v1::{ListTaskQueuePartitionsRequest, ListTaskQueuePartitionsResponse},
    },
};

use crate::{call::Call, error::Error, frontend::Frontend, validate};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: ListTaskQueuePartitionsRequest,
) -> Result<ListTaskQueuePartitionsResponse, Error> {
    let namespace = frontend.namespaces.usable(&request.namespace).await?;
    let queue = validate::polled_queue(&namespace.sizes, request.task_queue, "Workflow")?;
    let partition = |kind| {
        let key = QueueKey {
            namespace_id: namespace.id,
            kind,
            sticky: false,
            name: queue.name.as_str().into(),
        };
        TaskQueuePartitionMetadata {
            key: queue.name.clone(),
            owner_host_name: frontend.router.queue_owner(&key).to_string(),
        }
    };
    Ok(ListTaskQueuePartitionsResponse {
        activity_task_queue_partitions: vec![partition(TaskKind::Activity)],
        workflow_task_queue_partitions: vec![partition(TaskKind::Workflow)],
    })
}
