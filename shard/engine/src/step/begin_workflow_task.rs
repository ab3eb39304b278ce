//! BeginWorkflowTask: a poller redeems a ticket.

use crate::{
    outcome::{Rejection, Reply, Step},
    trigger::BeginTask,
    tx::Tx,
};

pub(super) fn begin(mut tx: Tx<'_>, begin: &BeginTask) -> Result<Step, Rejection> {
    let Some(task) = tx.state().task.clone().filter(|_| tx.run.is_open()) else {
        return Err(Rejection::Stale);
    };
    if task.scheduled_event_id != begin.scheduled_event_id || task.attempt != begin.attempt {
        return Err(Rejection::Stale);
    }
    if task.started_event_id != 0 {
        // The same poll again: its first answer was lost.
        if task.request_id != begin.request_id {
            return Err(Rejection::Stale);
        }
        let mut started = tx.run.started_task(&task, begin.sticky);
        started.messages = tx.send_updates(task.started_event_id);
        started.queries = tx.send_queries();
        return Ok(tx.finish(Reply::WorkflowTask(Box::new(started))));
    }
    if task.sticky != begin.sticky || task.queue != begin.queue {
        return Err(Rejection::Stale);
    }
    let started = tx.start_task(begin);
    tx.early();
    Ok(tx.finish(Reply::WorkflowTask(Box::new(started))))
}
