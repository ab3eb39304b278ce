//! RespondWorkflowTaskCompleted (reference 1.4, 2.4): a worker's decisions, and the tasks that follow at once.

use engine::{
    outcome::{Reply, WorkflowTaskCompleted},
    trigger::{CompleteWorkflowTask, TaskRef, Trigger},
};
use proto::{
    ids::RunKey,
    temporal::{
        command::v1::{Command, command::Attributes},
        taskqueue::v1::StickyExecutionAttributes,
        workflowservice::v1::{RespondWorkflowTaskCompletedRequest, RespondWorkflowTaskCompletedResponse},
    },
    time::duration_from_proto,
    token::TaskToken,
};

use super::{
    attribute_check,
    task_token::{self, Task},
};
use crate::{
    call::Call,
    error::Error,
    frontend::Frontend,
    render::{activity_task::activity_task, workflow_task::workflow_task},
    validate,
};

/// What history names as the poll of a task that is returned at once, as the official server does.
const INLINE_REQUEST_ID: &str = "request-from-RespondWorkflowTaskCompleted";

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: RespondWorkflowTaskCompletedRequest,
) -> Result<RespondWorkflowTaskCompletedResponse, Error> {
    let task = task_token::read(frontend, &request.namespace, &request.task_token).await?;
    validate::identity(frontend.sizes(), &request.identity)?;
    check(&task, &request)?;
    check_namespaces(frontend, task.namespace.name(), &request.commands).await?;
    if let Err(problem) = attribute_check::check(&task.namespace, &request.commands) {
        return Err(attribute_check::refuse(frontend, &task, request.identity, problem).await);
    }
    let complete = parse(&task.token, request);
    let trigger = Trigger::CompleteWorkflowTask(Box::new(complete));
    match frontend.ask(&task.target, trigger).await? {
        Reply::WorkflowTaskCompleted(done) => render(frontend, &task, *done).await,
        _ => Err(Error::unexpected_reply()),
    }
}

/// Refuses what is no completion at all; what is wrong with the commands of one fails the task instead.
#[expect(deprecated, reason = "workers tell their build this way")]
fn check(task: &Task, request: &RespondWorkflowTaskCompletedRequest) -> Result<(), Error> {
    if request.intermediate_page || request.page_number > 0 {
        let namespace = task.namespace.name();
        return Err(Error::FailedPrecondition(format!(
            "workflow task completion pagination is disabled for this namespace {namespace}"
        )));
    }
    validate::worker_versions::stamp(request.worker_version_stamp.as_ref())?;
    let deployment = request.deployment_options.as_ref();
    validate::worker_versions::deployment(deployment)?;
    validate::worker_versions::behavior(request.versioning_behavior, deployment)?;
    request
        .messages
        .iter()
        .try_for_each(|message| match &message.body {
            None => Err(Error::invalid("nil message body")),
            Some(body) if body.type_url.is_empty() => Err(Error::invalid("no message name specified")),
            Some(_) => Ok(()),
        })
}

/// Refuses commands for a namespace that does not exist: nothing is written, and the worker may answer again.
#[expect(deprecated, reason = "SDKs still name the namespace")]
async fn check_namespaces(frontend: &Frontend, own: &str, commands: &[Command]) -> Result<(), Error> {
    for command in commands {
        let namespace = match &command.attributes {
            Some(Attributes::StartChildWorkflowExecutionCommandAttributes(a)) => &a.namespace,
            Some(Attributes::SignalExternalWorkflowExecutionCommandAttributes(a)) => &a.namespace,
            Some(Attributes::RequestCancelExternalWorkflowExecutionCommandAttributes(a)) => &a.namespace,
            _ => continue,
        };
        if !namespace.is_empty() && namespace != own {
            frontend.namespaces.usable(namespace).await?;
        }
    }
    Ok(())
}

/// Returns which started task the token names.
pub(super) fn task_ref(token: &TaskToken) -> TaskRef {
    TaskRef {
        scheduled_event_id: token.scheduled_event_id,
        started_event_id: token.started_event_id,
        started_time: token.started_time,
        attempt: token.attempt,
    }
}

#[expect(deprecated, reason = "workers tell their build this way")]
fn parse(token: &TaskToken, request: RespondWorkflowTaskCompletedRequest) -> CompleteWorkflowTask {
    CompleteWorkflowTask {
        task: task_ref(token),
        identity: request.identity,
        commands: request.commands,
        messages: request.messages,
        query_results: request.query_results.into_iter().collect(),
        sticky: request.sticky_attributes.and_then(sticky),
        return_new_task: request.return_new_workflow_task,
        force_new_task: request.force_create_new_workflow_task,
        sdk_metadata: request.sdk_metadata,
        metering: request.metering_metadata,
        binary_checksum: request.binary_checksum,
        build_id: request.worker_version_stamp.unwrap_or_default().build_id,
        discard_speculative_with_events: request
            .capabilities
            .is_some_and(|capabilities| capabilities.discard_speculative_workflow_task_with_events),
        request_id: INLINE_REQUEST_ID.to_owned(),
    }
}

fn sticky(attributes: StickyExecutionAttributes) -> Option<(String, std::time::Duration)> {
    let queue = attributes.worker_task_queue?.name;
    let timeout = duration_from_proto(attributes.schedule_to_start_timeout.as_ref());
    (!queue.is_empty()).then_some((queue, timeout))
}

async fn render(
    frontend: &Frontend,
    task: &Task,
    done: WorkflowTaskCompleted,
) -> Result<RespondWorkflowTaskCompletedResponse, Error> {
    let run_id = task.target.run_id.ok_or_else(Error::unexpected_reply)?;
    let run: RunKey = task.target.workflow.run(run_id);
    let mut response = RespondWorkflowTaskCompletedResponse {
        reset_history_event_id: done.reset_history_event_id,
        ..Default::default()
    };
    if let Some(next) = done.next {
        response.workflow_task = Some(workflow_task(frontend, &task.namespace, &run, *next).await?);
    }
    for activity in done.activities {
        response
            .activity_tasks
            .push(activity_task(frontend, &task.namespace, &run, activity).await?);
    }
    Ok(response)
}
