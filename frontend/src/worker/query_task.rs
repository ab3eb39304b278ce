//! A query as a worker is given it: a workflow task without events of its own (reference 2.17).

use engine::{outcome::Reply, trigger::Trigger};
use matching::{
    input::{QueryId, QueryTask},
    output::{Give, Given},
};
use proto::{
    ids::QueueKey,
    temporal::{
        history::v1::{History, HistoryEvent, history_event::Attributes},
        workflow::v1::WorkflowExecutionInfo,
        workflowservice::v1::PollWorkflowTaskQueueResponse,
    },
    token::QueryToken,
};
use storage::batch::HistoryKey;

use crate::{
    error::Error,
    frontend::Frontend,
    history::{self, HistoryToken},
    namespace::Namespace,
    render::{events, normal_queue},
    validate::RunTarget,
};

/// Marks the queue in a query's token as one that a worker chose.
const STICKY: &str = "sticky:";
const NORMAL: &str = "normal:";

/// Renders the query that the give holds. A worker that has the run in its cache is sent no history.
pub(super) async fn query_task(
    frontend: &Frontend,
    namespace: &Namespace,
    queue: &QueueKey,
    give: &Give,
) -> Result<PollWorkflowTaskQueueResponse, Error> {
    let Given::Query { id, task } = &give.task else {
        return Err(Error::unexpected_reply());
    };
    let QueryTask { run, query } = task;
    let info = describe(frontend, task).await?;
    let next_event_id = info.history_length + 1;
    let key = HistoryKey {
        namespace_id: namespace.id,
        run_id: run.run_id,
    };
    let previous_started_event_id = last_completed(frontend, key, next_event_id).await?;
    let mut events = Vec::new();
    let mut next_page_token = Vec::new();
    if !queue.sticky {
        let page = history::page(frontend, key, 1, next_event_id, usize::MAX).await?;
        if page.next < next_event_id {
            let run_id = run.run_id.to_string();
            next_page_token = HistoryToken::new(&run_id, page.next, next_event_id, true).to_bytes();
        }
        events = page.events;
        events::complete(&mut events, &namespace.schema);
    }
    Ok(PollWorkflowTaskQueueResponse {
        task_token: token(frontend, queue, *id).to_bytes(),
        workflow_execution: info.execution,
        workflow_type: info.r#type,
        previous_started_event_id,
        attempt: 1,
        history: Some(History { events }),
        next_page_token,
        query: Some((**query).clone()),
        workflow_execution_task_queue: normal_queue(info.task_queue),
        ..Default::default()
    })
}

async fn describe(frontend: &Frontend, task: &QueryTask) -> Result<WorkflowExecutionInfo, Error> {
    let target = RunTarget {
        workflow: task.run.workflow.clone(),
        run_id: Some(task.run.run_id),
    };
    match frontend.ask(&target, Trigger::Describe).await? {
        Reply::Description(description) => Ok(description.workflow_execution_info.unwrap_or_default()),
        _ => Err(Error::unexpected_reply()),
    }
}

/// Finds the started event of the last workflow task that was completed, from the end of history on.
async fn last_completed(frontend: &Frontend, key: HistoryKey, end: i64) -> Result<i64, Error> {
    const NODES: usize = 16;
    let mut to = end;
    while to > 1 {
        let page = history::reverse_page(frontend, key, to, NODES).await?;
        if let Some(started) = page.events.iter().find_map(completed_started) {
            return Ok(started);
        }
        to = page.next + 1;
    }
    Ok(0)
}

fn completed_started(event: &HistoryEvent) -> Option<i64> {
    match &event.attributes {
        Some(Attributes::WorkflowTaskCompletedEventAttributes(completed)) => Some(completed.started_event_id),
        _ => None,
    }
}

fn token(frontend: &Frontend, queue: &QueueKey, id: QueryId) -> QueryToken {
    let kind = if queue.sticky { STICKY } else { NORMAL };
    let mut token = QueryToken::default();
    token.namespace_id = queue.namespace_id.to_string();
    token.task_queue = format!("{kind}{}", queue.name);
    token.query = id.0;
    frontend.router.node_name().clone_into(&mut token.node);
    token
}

/// Reads the queue that a query's token names: whether a worker chose it, and its name.
pub(super) fn read_queue(token: &QueryToken) -> Option<(bool, &str)> {
    let text = token.task_queue.as_str();
    let sticky = text.strip_prefix(STICKY).map(|name| (true, name));
    sticky.or_else(|| text.strip_prefix(NORMAL).map(|name| (false, name)))
}
