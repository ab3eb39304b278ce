//! ListTaskQueuePartitions (reference 1.6): a queue is one partition, on the node that answers.

use proto::temporal::{
    taskqueue::v1::TaskQueuePartitionMetadata,
    workflowservice::v1::{ListTaskQueuePartitionsRequest, ListTaskQueuePartitionsResponse},
};

use crate::{call::Call, error::Error, frontend::Frontend, validate};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: ListTaskQueuePartitionsRequest,
) -> Result<ListTaskQueuePartitionsResponse, Error> {
    frontend.namespaces.usable(&request.namespace).await?;
    let queue = validate::polled_queue(request.task_queue, "Workflow")?;
    let partition = TaskQueuePartitionMetadata {
        key: queue.name,
        owner_host_name: frontend.router.node_name().to_owned(),
    };
    Ok(ListTaskQueuePartitionsResponse {
        activity_task_queue_partitions: vec![partition.clone()],
        workflow_task_queue_partitions: vec![partition],
    })
}
