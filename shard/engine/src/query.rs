//! Queries: refused, sent to a worker directly, or carried by the next workflow task (reference 2.17).

use std::time::Duration;

use prost::Message;
use proto::{
    temporal::{
        enums::v1::{QueryRejectCondition, QueryResultType, WorkflowExecutionStatus},
        query::v1::{WorkflowQuery, WorkflowQueryResult},
    },
    time::Timestamp,
};

use crate::{
    outcome::{QueryAnswer, QueryDispatch, Rejection, Reply, Step},
    run::{BufferedQuery, Run},
    tx::Tx,
};

/// How far ahead the first workflow task may be for a query to wait for it: about what callers wait at most.
const FIRST_TASK_WAIT: Duration = Duration::from_secs(10);

/// Answers how to ask a worker, or keeps the query for the workflow task that is pending, so that the answer
/// reflects everything that happened before the query came.
pub(crate) fn query(
    mut tx: Tx<'_>,
    query: WorkflowQuery,
    reject: QueryRejectCondition,
) -> Result<Step, Rejection> {
    if let Some(status) = rejecting_status(tx.run, reject) {
        return Ok(tx.finish(Reply::Query(Box::new(QueryAnswer::Rejected(status)))));
    }
    check_ready(&tx)?;
    if can_dispatch(tx.run) {
        let answer = QueryAnswer::Dispatch(Box::new(dispatch(tx.run)));
        return Ok(tx.finish(Reply::Query(Box::new(answer))));
    }
    if tx.run.live.queries.len() >= tx.ctx.limits.buffered_queries {
        return Err(Rejection::Busy(
            "consistent query buffer is full, this may be caused by too many queries and workflow not able to \
             process query fast enough"
                .to_owned(),
        ));
    }
    let id = tx.fresh_id();
    let waiter = tx.ctx.waiter;
    tx.run.live.queries.push(BufferedQuery {
        id,
        query,
        waiter,
        sent: false,
    });
    Ok(tx.finish(Reply::Deferred))
}

/// Hands out the answers that came with a completed workflow task. A query without one goes with the task that
/// follows, or else to a worker directly.
pub(crate) fn answer_queries(
    tx: &mut Tx<'_>,
    results: Vec<(String, WorkflowQueryResult)>,
    another_task_follows: bool,
) {
    for (id, result) in results {
        let answered = result.result_type() != QueryResultType::Unspecified;
        let Some(at) = tx
            .run
            .live
            .queries
            .iter()
            .position(|query| query.sent && query.id == id)
        else {
            continue;
        };
        if answered {
            let query = tx.run.live.queries.remove(at);
            let reply = answer(result, tx.ctx.limits.blob_bytes);
            tx.resolve(query.waiter, reply);
        }
    }
    let first_task_is_yet_to_come = tx.run.is_open() && tx.state().last_completed_started_id == 0;
    if another_task_follows || first_task_is_yet_to_come {
        for query in &mut tx.run.live.queries {
            query.sent = false;
        }
    } else {
        tx.release_queries(|_| true);
    }
}

impl Tx<'_> {
    /// The run has closed: what it would have answered, a worker is asked directly. Queries that the task brought
    /// which closes the run keep waiting for [`answer_queries`].
    pub(crate) fn close_queries(&mut self) {
        let completing = self.emitted(self.state().last_completed_started_id + 1).is_some();
        self.release_queries(|query| !(completing && query.sent));
    }

    fn release_queries(&mut self, is_released: impl Fn(&BufferedQuery) -> bool) {
        let (released, kept) = std::mem::take(&mut self.run.live.queries)
            .into_iter()
            .partition(|query| is_released(query));
        self.run.live.queries = kept;
        let released: Vec<BufferedQuery> = released;
        for query in released {
            let reply = if can_dispatch(self.run) {
                Ok(Reply::Query(Box::new(QueryAnswer::Dispatch(Box::new(dispatch(
                    self.run,
                ))))))
            } else {
                Err(closed_too_early())
            };
            self.resolve(query.waiter, reply);
        }
    }
}

fn rejecting_status(run: &Run, reject: QueryRejectCondition) -> Option<WorkflowExecutionStatus> {
    let status = run.status();
    let rejects = match (status, reject) {
        (WorkflowExecutionStatus::Paused, _) => true,
        (WorkflowExecutionStatus::Running, _) => false,
        (_, QueryRejectCondition::NotOpen) => true,
        (_, QueryRejectCondition::NotCompletedCleanly) => status != WorkflowExecutionStatus::Completed,
        (_, QueryRejectCondition::Unspecified | QueryRejectCondition::None) => false,
    };
    rejects.then_some(status)
}

/// Refuses a query that no worker could answer soon.
fn check_ready(tx: &Tx<'_>) -> Result<(), Rejection> {
    let state = tx.state();
    let has_completed_task = state.last_completed_started_id > 0;
    if !tx.run.is_open() {
        return if has_completed_task {
            Ok(())
        } else {
            Err(closed_too_early())
        };
    }
    if state.task.is_none() && !has_completed_task {
        let at = Timestamp::from_nanos(state.backoff_until);
        if state.backoff_until == 0 || at > tx.ctx.now + FIRST_TASK_WAIT {
            return Err(Rejection::NotReady(
                "Workflow task is not scheduled yet.".to_owned(),
            ));
        }
    }
    if state.task_attempt >= tx.ctx.limits.not_ready_attempt {
        return Err(Rejection::NotReady(
            "Unable to query workflow due to Workflow Task in failed state.".to_owned(),
        ));
    }
    Ok(())
}

/// Whether a worker that is asked directly knows all that happened.
fn can_dispatch(run: &Run) -> bool {
    run.state.last_completed_started_id > 0 && (run.state.task.is_none() || !run.is_open())
}

fn dispatch(run: &Run) -> QueryDispatch {
    let state = &run.state;
    QueryDispatch {
        run_id: state.run_id.clone(),
        workflow_type: state.workflow_type.clone(),
        task_queue: state.task_queue.clone(),
        sticky: state
            .sticky
            .as_ref()
            .map(|sticky| (sticky.queue.clone(), sticky.schedule_to_start_timeout)),
        next_event_id: state.next_event_id,
        previous_started_event_id: state.last_completed_started_id,
    }
}

fn answer(result: WorkflowQueryResult, bytes_max: usize) -> Result<Reply, Rejection> {
    let bytes = result.answer.as_ref().map_or(0, Message::encoded_len)
        + result.failure.as_ref().map_or(0, Message::encoded_len);
    if bytes > bytes_max {
        return Err(Rejection::InvalidArgument(
            "Blob data size exceeds limit.".to_owned(),
        ));
    }
    Ok(Reply::Query(Box::new(QueryAnswer::Result(result))))
}

fn closed_too_early() -> Rejection {
    Rejection::NotReady("Workflow execution closed before WorkflowTaskStarted event".to_owned())
}
