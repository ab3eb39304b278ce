//! QueryWorkflow (reference 2.17): answered by the run's next workflow task, or by a worker that is asked directly.

use engine::{
    outcome::{QueryAnswer, QueryDispatch, Reply},
    trigger::Trigger,
};
use matching::{error::QueryError, handle::QueryAnswer as WorkerAnswer, input::QueryTask};
use proto::{
    ids::{QueueKey, TaskKind},
    temporal::{
        enums::v1::{QueryRejectCondition, QueryResultType},
        query::v1::{QueryRejected, WorkflowQuery, WorkflowQueryResult},
        workflowservice::v1::{QueryWorkflowRequest, QueryWorkflowResponse},
    },
};
use tokio::time::Instant;

use crate::{
    call::Call,
    error::Error,
    frontend::Frontend,
    limits,
    namespace::Waiting,
    validate::{self, RunTarget},
};

pub(crate) async fn handle(
    frontend: &Frontend,
    call: &Call,
    request: QueryWorkflowRequest,
) -> Result<QueryWorkflowResponse, Error> {
    let namespace = frontend.namespaces.usable(&request.namespace).await?;
    let reject = QueryRejectCondition::try_from(request.query_reject_condition).unwrap_or_default();
    let target = validate::target(&namespace, request.execution)?;
    let query = request
        .query
        .ok_or_else(|| Error::invalid("WorkflowQuery is not set on request."))?;
    validate::required(&query.query_type, "QueryType is not set on request.")?;
    validate::blob(&namespace, query.query_args.as_ref())?;
    let _waiting = namespace.wait(Waiting::Query)?;
    let deadline = call.deadline.unwrap_or(call.started + limits::QUERY_WAIT_DEFAULT);
    let asked = frontend.ask(
        &target,
        Trigger::Query {
            query: Box::new(query.clone()),
            reject,
        },
    );
    let answer = tokio::time::timeout_at(deadline, asked)
        .await
        .map_err(|_| expired())??;
    let Reply::Query(answer) = answer else {
        return Err(Error::unexpected_reply());
    };
    match *answer {
        QueryAnswer::Result(result) => read_result(result),
        QueryAnswer::Rejected(status) => Ok(QueryWorkflowResponse {
            query_rejected: Some(QueryRejected {
                status: status.into(),
            }),
            ..Default::default()
        }),
        QueryAnswer::Dispatch(dispatch) => dispatch_query(frontend, target, *dispatch, query, deadline).await,
    }
}

/// Asks a worker: first the one that has the run in its cache, if one has.
async fn dispatch_query(
    frontend: &Frontend,
    mut target: RunTarget,
    dispatch: QueryDispatch,
    query: WorkflowQuery,
    deadline: Instant,
) -> Result<QueryWorkflowResponse, Error> {
    let run_id = dispatch
        .run_id
        .parse()
        .map_err(|_| Error::Internal("run id is malformed".to_owned()))?;
    target.run_id = Some(run_id);
    let task = Box::new(QueryTask {
        run: target.workflow.run(run_id),
        workflow_type: dispatch.workflow_type,
        task_queue: dispatch.task_queue,
        next_event_id: dispatch.next_event_id,
        previous_started_event_id: dispatch.previous_started_event_id,
        query,
    });
    let mut sticky = dispatch.sticky;
    for _ in 0..limits::QUERY_ATTEMPTS_MAX {
        let (name, ends) = match &sticky {
            Some((name, wait)) => (name, deadline.min(Instant::now() + engine::state::span(*wait))),
            None => (&task.task_queue, deadline),
        };
        let key = QueueKey {
            namespace_id: target.workflow.namespace_id,
            kind: TaskKind::Workflow,
            sticky: sticky.is_some(),
            name: name.as_str().into(),
        };
        let queue = frontend.router.queue(&key);
        match queue.query(task.clone(), frontend.at(ends)).await {
            Ok(answer) => return read_answer(answer),
            Err(QueryError::Moved) => tokio::time::sleep(limits::QUERY_PAUSE).await,
            Err(_) if sticky.is_some() && Instant::now() < deadline => {
                // The worker that had the run in its cache is gone: the next workflow task need not wait for it.
                frontend.ask(&target, Trigger::ResetSticky).await.ok();
                sticky = None;
            }
            Err(error) => return Err(refused(error)),
        }
    }
    Err(Error::Unavailable("query's task queue keeps moving".to_owned()))
}

fn read_answer(answer: WorkerAnswer) -> Result<QueryWorkflowResponse, Error> {
    match answer {
        WorkerAnswer::Completed(query_result) => Ok(QueryWorkflowResponse {
            query_result,
            ..Default::default()
        }),
        WorkerAnswer::Failed { message, failure } => Err(Error::QueryFailed { message, failure }),
    }
}

fn read_result(result: WorkflowQueryResult) -> Result<QueryWorkflowResponse, Error> {
    match result.result_type() {
        QueryResultType::Answered => Ok(QueryWorkflowResponse {
            query_result: result.answer,
            ..Default::default()
        }),
        QueryResultType::Failed => Err(Error::QueryFailed {
            message: result.error_message,
            failure: result.failure.map(Box::new),
        }),
        QueryResultType::Unspecified => Err(Error::unexpected_reply()),
    }
}

fn refused(error: QueryError) -> Error {
    match error {
        QueryError::NoPoller | QueryError::StickyWorkerUnavailable => {
            Error::FailedPrecondition(error.to_string())
        }
        QueryError::Deadline => expired(),
        QueryError::TooMany => Error::concurrent_limit(error.to_string()),
        QueryError::Moved => Error::Unavailable(error.to_string()),
        QueryError::Busy => Error::overloaded(error.to_string()),
    }
}

fn expired() -> Error {
    Error::DeadlineExceeded("query timed out".to_owned())
}
