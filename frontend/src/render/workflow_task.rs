//! A started workflow task as its worker is given it, with the history that the worker lacks.

use engine::outcome::StartedWorkflowTask;
use matching::output::Give;
use proto::{
    ids::RunKey,
    temporal::{
        history::v1::{History, HistoryEvent},
        workflowservice::v1::PollWorkflowTaskQueueResponse,
    },
    token::TaskToken,
};

use super::{events, normal_queue, scaling, time, workflow_type};
use crate::{
    error::Error,
    frontend::Frontend,
    history::{self, HistoryToken},
    namespace::Namespace,
};

/// Renders the task; the history goes on under a page token where it is long.
pub(crate) async fn workflow_task(
    frontend: &Frontend,
    namespace: &Namespace,
    run: &RunKey,
    task: StartedWorkflowTask,
) -> Result<PollWorkflowTaskQueueResponse, Error> {
    let token = token(namespace, &task);
    let (mut events, next_page_token) = task_history(frontend, run, &task).await?;
    if next_page_token.is_empty() {
        events.extend(task.transient);
    }
    events::complete(&mut events, &namespace.schema);
    Ok(PollWorkflowTaskQueueResponse {
        task_token: token.to_bytes(),
        workflow_execution: Some(task.execution),
        workflow_type: workflow_type(task.workflow_type),
        previous_started_event_id: task.previous_started_event_id,
        started_event_id: task.started_event_id,
        attempt: task.attempt,
        history: Some(History { events }),
        next_page_token,
        workflow_execution_task_queue: normal_queue(task.task_queue),
        scheduled_time: time(task.scheduled_time),
        started_time: time(task.started_time),
        queries: task.queries,
        messages: task.messages,
        ..Default::default()
    })
}

/// Adds what the queue says to its pollers.
pub(crate) fn add_hints(response: &mut PollWorkflowTaskQueueResponse, give: &Give) {
    response.backlog_count_hint = give.backlog_hint;
    response.poller_scaling_decision = scaling(give.scaling);
}

fn token(namespace: &Namespace, task: &StartedWorkflowTask) -> TaskToken {
    let mut token = TaskToken::default();
    token.namespace_id = namespace.id.to_string();
    token.workflow_id.clone_from(&task.execution.workflow_id);
    token.run_id.clone_from(&task.execution.run_id);
    token.scheduled_event_id = task.scheduled_event_id;
    token.started_event_id = task.started_event_id;
    token.started_time = task.started_time;
    token.attempt = task.attempt;
    token
}

/// Returns the first page of the history that the worker lacks, without the transient events.
///
/// The newest events come with the task: they may not be in the store yet (P3).
async fn task_history(
    frontend: &Frontend,
    run: &RunKey,
    task: &StartedWorkflowTask,
) -> Result<(Vec<HistoryEvent>, Vec<u8>), Error> {
    let from = if task.sticky {
        task.previous_started_event_id + 1
    } else {
        1
    };
    let recent_from = task
        .recent
        .first()
        .map_or(task.next_event_id, |(first, _)| *first);
    let mut events = Vec::new();
    if from < recent_from {
        let page = history::page(frontend, run, from, recent_from, usize::MAX).await?;
        events = page.events;
        if page.next < recent_from {
            let token = HistoryToken::new(&run.run_id.to_string(), page.next, task.next_event_id, true);
            return Ok((events, token.to_bytes()));
        }
    }
    for (_, node) in &task.recent {
        events.extend(
            history::decode(node)?
                .into_iter()
                .filter(|event| event.event_id >= from),
        );
    }
    Ok((events, Vec::new()))
}
