//! PollActivityTaskQueue (reference 1.4, 3.4).

use engine::outcome::Reply;
use proto::{
    ids::{QueueKey, TaskKind},
    temporal::workflowservice::v1::{PollActivityTaskQueueRequest, PollActivityTaskQueueResponse},
};

use crate::{
    call::Call,
    error::Error,
    frontend::Frontend,
    namespace::Waiting,
    render::{self, activity_task::activity_task},
    validate,
    worker::{
        poll::{Got, Poll, poller},
        poll_workflow_task::{build_id, versions},
    },
};

#[expect(deprecated, reason = "old workers tell their versions this way")]
pub(crate) async fn handle(
    frontend: &Frontend,
    call: &Call,
    request: PollActivityTaskQueueRequest,
) -> Result<PollActivityTaskQueueResponse, Error> {
    let namespace = frontend.namespaces.usable(&request.namespace).await?;
    let deadline = call.poll_deadline()?;
    validate::identity(&namespace.sizes, &request.identity)?;
    let queue = validate::polled_queue(&namespace.sizes, request.task_queue, "Activity")?;
    validate::worker_versions::capabilities(request.worker_version_capabilities.as_ref())?;
    validate::worker_versions::deployment(request.deployment_options.as_ref())?;
    let _waiting = namespace.wait(Waiting::ActivityTask)?;
    let rate = request
        .task_queue_metadata
        .and_then(|metadata| metadata.max_tasks_per_second);
    let versions = versions(request.worker_version_capabilities, request.deployment_options);
    let build_id = build_id(versions.as_ref(), String::new());
    let poll = Poll {
        frontend,
        key: QueueKey {
            namespace_id: namespace.id,
            kind: TaskKind::Activity,
            sticky: false,
            name: queue.name.into(),
        },
        poller: poller(request.identity, request.worker_instance_key, rate, versions),
        build_id,
        deadline,
    };
    match poll.next().await? {
        Some(Got::Task {
            reply: Reply::Activity(activity),
            ticket,
            give,
        }) => {
            let mut response = activity_task(frontend, &namespace, &ticket.run, *activity).await?;
            response.poller_scaling_decision = render::scaling(give.scaling);
            Ok(response)
        }
        Some(Got::Task { .. } | Got::Query(_)) => Err(Error::unexpected_reply()),
        None => Ok(PollActivityTaskQueueResponse::default()),
    }
}
