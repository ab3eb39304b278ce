//! Wake: everything that is due happens, in the order in which it was due.

use proto::{
    temporal::{
        enums::v1::{RetryState, TimeoutType, WorkflowTaskFailedCause},
        history::v1::{
            TimerFiredEventAttributes, WorkflowExecutionTimedOutEventAttributes, history_event::Attributes,
        },
    },
    time::Timestamp,
};

use super::activity;
use crate::{
    close::{Closing, SERVER_IDENTITY},
    outcome::{Reply, Step},
    policy::chain::{self, Outcome},
    state::{span, time},
    task::TaskEnd,
    tx::Tx,
};

pub(super) fn wake(mut tx: Tx<'_>) -> Step {
    if tx.run.is_open() {
        if is_due(&tx, tx.state().execution_expiration) || is_due(&tx, tx.state().run_expiration) {
            time_out(&mut tx);
        } else {
            end_backoff(&mut tx);
            time_out_task(&mut tx);
            activity::wake(&mut tx);
            fire_timers(&mut tx);
        }
    }
    tx.finish(Reply::Done)
}

fn is_due(tx: &Tx<'_>, at: i64) -> bool {
    time(at).is_some_and(|at| at <= tx.ctx.now)
}

/// The run has used up its time (reference 2.12).
fn time_out(tx: &mut Tx<'_>) {
    let expired = is_due(tx, tx.state().execution_expiration);
    let next = if expired {
        chain::Next::ends(RetryState::Timeout)
    } else {
        chain::next(tx, &Outcome::TimedOut)
    };
    if tx
        .state()
        .task
        .as_ref()
        .is_some_and(|task| task.started_event_id != 0)
    {
        tx.drop_task(TaskEnd::Failed {
            cause: WorkflowTaskFailedCause::ForceCloseCommand,
            failure: None,
            identity: SERVER_IDENTITY.to_owned(),
        });
    } else {
        tx.keep_speculative_task();
    }
    let event = Attributes::WorkflowExecutionTimedOutEventAttributes(Box::new(
        WorkflowExecutionTimedOutEventAttributes {
            retry_state: next.retry_state.into(),
            new_execution_run_id: next.run_id.clone(),
        },
    ));
    let closing = Closing {
        retry_state: next.retry_state.into(),
        chain_goes_on: next.run.is_some(),
        successor: next.run,
        ..Default::default()
    };
    tx.close(event, closing);
}

fn end_backoff(tx: &mut Tx<'_>) {
    if !is_due(tx, tx.state().backoff_until) || tx.state().task.is_some() {
        return;
    }
    let state = tx.state();
    if state.parent.is_some() && state.first_run_id == state.run_id && !state.may_run {
        // Its parent has not recorded it yet: the first task waits for that alone from here on.
        tx.note(|state| state.backoff_until = 0);
    } else {
        tx.schedule_task(None);
    }
}

fn time_out_task(tx: &mut Tx<'_>) {
    let Some(task) = tx.state().task.clone() else {
        return;
    };
    if task.started_event_id == 0 {
        if is_due(tx, task.schedule_to_start_deadline) {
            tx.end_task(TaskEnd::TimedOut(TimeoutType::ScheduleToStart));
        }
    } else if Timestamp::from_nanos(task.started_time) + span(task.timeout) <= tx.ctx.now {
        tx.end_task(TaskEnd::TimedOut(TimeoutType::StartToClose));
    }
}

fn fire_timers(tx: &mut Tx<'_>) {
    let now = tx.now();
    let mut due: Vec<_> = tx
        .state()
        .timers
        .iter()
        .filter(|(_, timer)| timer.fire_time <= now)
        .map(|(id, timer)| (timer.fire_time, timer.started_event_id, id.clone()))
        .collect();
    if due.is_empty() {
        return;
    }
    due.sort_unstable();
    for (_, started_event_id, timer_id) in due {
        let event = Attributes::TimerFiredEventAttributes(Box::new(TimerFiredEventAttributes {
            timer_id,
            started_event_id,
        }));
        tx.emit_external(event);
    }
    tx.ensure_task();
}
