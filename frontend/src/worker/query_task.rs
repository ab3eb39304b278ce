//! A query as a worker is given it: a workflow task without events of its own (reference 2.17).

use matching::{
    input::{QueryId, QueryTask},
    output::{Give, Given},
};
use proto::{
    ids::QueueKey,
    temporal::{
        common::v1::{WorkflowExecution, WorkflowType},
        history::v1::History,
        workflowservice::v1::PollWorkflowTaskQueueResponse,
    },
    token::QueryToken,
};

use crate::{
    error::Error,
    frontend::Frontend,
    history::{self, HistoryToken},
    namespace::Namespace,
    render::{events, normal_queue},
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
    let QueryTask { run, query, .. } = &**task;
    let next_event_id = task.next_event_id;
    let mut events = Vec::new();
    let mut next_page_token = Vec::new();
    if !queue.sticky {
        let page = history::page(frontend, run, 1, next_event_id, usize::MAX).await?;
        if page.next < next_event_id {
            let run_id = run.run_id.to_string();
            next_page_token = HistoryToken::new(&run_id, page.next, next_event_id, true).to_bytes();
        }
        events = page.events;
        events::complete(&mut events, &namespace.schema);
    }
    Ok(PollWorkflowTaskQueueResponse {
        task_token: token(frontend, queue, *id).to_bytes(),
        workflow_execution: Some(WorkflowExecution {
            workflow_id: run.workflow.workflow_id.to_string(),
            run_id: run.run_id.to_string(),
        }),
        workflow_type: Some(WorkflowType {
            name: task.workflow_type.clone(),
        }),
        previous_started_event_id: task.previous_started_event_id,
        attempt: 1,
        history: Some(History { events }),
        next_page_token,
        query: Some(query.clone()),
        workflow_execution_task_queue: normal_queue(task.task_queue.clone()),
        ..Default::default()
    })
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
