//! A started activity as its worker is given it.

use engine::outcome::{ActivityInput, StartedActivity};
use proto::{
    ids::RunKey,
    temporal::{
        common::v1::ActivityType, history::v1::history_event::Attributes,
        workflowservice::v1::PollActivityTaskQueueResponse,
    },
    token::TaskToken,
};

use super::{span, time, workflow_type};
use crate::{error::Error, frontend::Frontend, history, namespace::Namespace};

/// Renders the activity; its input is read from history where the step did not have it at hand.
pub(crate) async fn activity_task(
    frontend: &Frontend,
    namespace: &Namespace,
    run: &RunKey,
    activity: StartedActivity,
) -> Result<PollActivityTaskQueueResponse, Error> {
    let token = token(namespace, &activity);
    let input = match activity.input {
        Some(input) => *input,
        None => read_input(frontend, run, &activity).await?,
    };
    Ok(PollActivityTaskQueueResponse {
        task_token: token.to_bytes(),
        workflow_namespace: namespace.name().to_owned(),
        workflow_type: workflow_type(activity.workflow_type),
        workflow_execution: Some(activity.execution),
        activity_type: Some(ActivityType {
            name: activity.activity_type,
        }),
        activity_id: activity.activity_id,
        header: input.header,
        input: input.input,
        heartbeat_details: activity.heartbeat_details,
        scheduled_time: time(activity.first_scheduled_time),
        current_attempt_scheduled_time: time(activity.scheduled_time),
        started_time: time(activity.started_time),
        attempt: activity.attempt,
        schedule_to_close_timeout: span(activity.schedule_to_close_timeout),
        start_to_close_timeout: span(activity.start_to_close_timeout),
        heartbeat_timeout: span(activity.heartbeat_timeout),
        retry_policy: activity.retry_policy,
        priority: activity.priority,
        ..Default::default()
    })
}

fn token(namespace: &Namespace, activity: &StartedActivity) -> TaskToken {
    let mut token = TaskToken::default();
    token.namespace_id = namespace.id.to_string();
    token.workflow_id.clone_from(&activity.execution.workflow_id);
    token.run_id.clone_from(&activity.execution.run_id);
    token.scheduled_event_id = activity.scheduled_event_id;
    token.started_time = activity.started_time;
    token.attempt = activity.attempt;
    token.activity_id.clone_from(&activity.activity_id);
    token.activity_type.clone_from(&activity.activity_type);
    token
}

async fn read_input(
    frontend: &Frontend,
    run: &RunKey,
    activity: &StartedActivity,
) -> Result<ActivityInput, Error> {
    let (first, wanted) = (activity.scheduled_node, activity.scheduled_event_id);
    let page = history::page(frontend, run, first, wanted + 1, 1).await?;
    let event = page.events.into_iter().find(|event| event.event_id == wanted);
    match event.and_then(|event| event.attributes) {
        Some(Attributes::ActivityTaskScheduledEventAttributes(scheduled)) => Ok(ActivityInput {
            input: scheduled.input,
            header: scheduled.header,
        }),
        _ => Err(Error::Internal(format!(
            "event {wanted} of run {} is not an activity's",
            run.run_id
        ))),
    }
}
