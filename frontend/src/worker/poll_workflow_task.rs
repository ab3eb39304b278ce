//! PollWorkflowTaskQueue (reference 1.4, 3.4): a workflow task, or a query for a worker.

use engine::outcome::Reply;
use matching::input::WorkerVersions;
use proto::{
    ids::{QueueKey, TaskKind},
    temporal::{
        enums::v1::TaskQueueKind,
        workflowservice::v1::{PollWorkflowTaskQueueRequest, PollWorkflowTaskQueueResponse},
    },
};

use super::{
    poll::{Got, Poll, poller},
    query_task,
};
use crate::{
    call::Call,
    error::Error,
    frontend::Frontend,
    namespace::Waiting,
    render::workflow_task::{add_hints, workflow_task},
    validate,
};

#[expect(deprecated, reason = "old workers tell their versions this way")]
pub(crate) async fn handle(
    frontend: &Frontend,
    call: &Call,
    request: PollWorkflowTaskQueueRequest,
) -> Result<PollWorkflowTaskQueueResponse, Error> {
    let namespace = frontend.namespaces.usable(&request.namespace).await?;
    let deadline = call.poll_deadline()?;
    validate::identity(&namespace.sizes, &request.identity)?;
    let queue = validate::polled_queue(&namespace.sizes, request.task_queue, "Workflow")?;
    validate::worker_versions::capabilities(request.worker_version_capabilities.as_ref())?;
    validate::worker_versions::deployment(request.deployment_options.as_ref())?;
    let _waiting = namespace.wait(Waiting::WorkflowTask)?;
    let versions = versions(request.worker_version_capabilities, request.deployment_options);
    let build_id = build_id(versions.as_ref(), request.binary_checksum);
    let poll = Poll {
        frontend,
        key: QueueKey {
            namespace_id: namespace.id,
            kind: TaskKind::Workflow,
            sticky: queue.kind() == TaskQueueKind::Sticky,
            name: queue.name.into(),
        },
        poller: poller(request.identity, request.worker_instance_key, None, versions),
        build_id,
        deadline,
    };
    match poll.next().await? {
        Some(Got::Task {
            reply: Reply::WorkflowTask(task),
            ticket,
            give,
        }) => {
            let mut response = workflow_task(frontend, &namespace, &ticket.run, *task).await?;
            add_hints(&mut response, &give);
            Ok(response)
        }
        Some(Got::Task { .. }) => Err(Error::unexpected_reply()),
        Some(Got::Query(give)) => {
            let mut response = query_task::query_task(frontend, &namespace, &poll.key, &give).await?;
            add_hints(&mut response, &give);
            Ok(response)
        }
        None => Ok(PollWorkflowTaskQueueResponse::default()),
    }
}

/// Returns what the worker says of its version, if it says anything.
pub(crate) fn versions(
    capabilities: Option<proto::temporal::common::v1::WorkerVersionCapabilities>,
    deployment: Option<proto::temporal::deployment::v1::WorkerDeploymentOptions>,
) -> Option<WorkerVersions> {
    (capabilities.is_some() || deployment.is_some()).then_some(WorkerVersions {
        capabilities,
        deployment,
    })
}

/// Returns the build that the worker says it is; an old SDK says it by a checksum.
pub(crate) fn build_id(versions: Option<&WorkerVersions>, checksum: String) -> String {
    let capability = versions
        .and_then(|versions| versions.capabilities.as_ref())
        .map(|capabilities| &capabilities.build_id);
    let deployment = versions
        .and_then(|versions| versions.deployment.as_ref())
        .map(|deployment| &deployment.build_id);
    capability
        .or(deployment)
        .filter(|id| !id.is_empty())
        .cloned()
        .unwrap_or(checksum)
}
