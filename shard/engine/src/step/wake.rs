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

use super::activity::{self, ActivityDue};
use crate::{
    close::{Closing, SERVER_IDENTITY},
    metrics,
    outcome::{Reply, Step},
    policy::chain::{self, Outcome},
    run::{Why, task_deadline},
    state::{Activity, time},
    task::TaskEnd,
    tx::Tx,
};

/// What becomes due. Of what is due at the same time the first variant comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    RunTimeout,
    FirstTaskBackoff,
    WorkflowTask,
    Activity(i64, ActivityDue),
    /// By the id of the started event.
    Timer(i64, String),
}

pub(super) fn wake(mut tx: Tx<'_>) -> Step {
    loop {
        let due = all_due(&tx);
        if due.is_empty() {
            break;
        }
        // Timers that fire one after another share the task that they bring about.
        let mut fired = false;
        for (at, due) in due {
            let is_timer = matches!(due, Due::Timer(..));
            if fired && !is_timer {
                tx.ensure_task();
            }
            fired = is_timer;
            // One thing may have done away with the next.
            if tx.run.is_open() {
                happen(&mut tx, at, due);
            }
        }
        if fired {
            tx.ensure_task();
        }
    }
    tx.finish(Reply::Done)
}

/// Returns all that is due, in the order in which it was due.
fn all_due(tx: &Tx<'_>) -> Vec<(Timestamp, Due)> {
    let (run, now) = (&*tx.run, tx.ctx.now);
    if !run.is_open() {
        return Vec::new();
    }
    let state = &run.state;
    let activities = state.activities.values().filter_map(|activity| {
        let (at, due) = activity.next_due()?;
        Some((at, Due::Activity(activity.scheduled_event_id, due)))
    });
    let timers = state.timers.iter().map(|(id, timer)| {
        let at = Timestamp::from_nanos(timer.fire_time);
        (at, Due::Timer(timer.started_event_id, id.clone()))
    });
    let single = [
        (time(state.execution_expiration), Due::RunTimeout),
        (time(state.run_expiration), Due::RunTimeout),
        (time(state.backoff_until), Due::FirstTaskBackoff),
        (
            state.task.as_ref().and_then(|task| task_deadline(task).0),
            Due::WorkflowTask,
        ),
    ];
    let single = single.into_iter().filter_map(|(at, due)| Some((at?, due)));
    let mut due: Vec<_> = single
        .chain(activities)
        .chain(timers)
        .filter(|(at, _)| *at <= now)
        .collect();
    due.sort_unstable();
    due
}

/// Lets one thing happen if it is still to happen. What lasts past its time must not stay due: [`wake`] would
/// never end.
fn happen(tx: &mut Tx<'_>, at: Timestamp, due: Due) {
    match due {
        Due::RunTimeout => time_out(tx, at),
        Due::FirstTaskBackoff => end_backoff(tx),
        Due::WorkflowTask => time_out_task(tx),
        Due::Activity(id, what) => {
            let next = tx.state().activities.get(&id).and_then(Activity::next_due);
            if next == Some((at, what)) {
                activity::happen(tx, at, id, what);
            }
        }
        Due::Timer(started_event_id, timer_id) => fire(tx, at, started_event_id, timer_id),
    }
}

fn is_due(tx: &Tx<'_>, at: i64) -> bool {
    time(at).is_some_and(|at| at <= tx.ctx.now)
}

/// The run has used up its time (reference 2.12).
fn time_out(tx: &mut Tx<'_>, at: Timestamp) {
    let expired = is_due(tx, tx.state().execution_expiration);
    tx.count_due(
        if expired {
            metrics::Due::WorkflowExecutionTimeout
        } else {
            metrics::Due::WorkflowRunTimeout
        },
        at,
    );
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
    // A task that an update has brought about stays: it is the first task.
    tx.keep_speculative_task();
    let state = tx.state();
    if state.backoff_until == 0 {
        return;
    }
    tx.count_due(
        metrics::Due::WorkflowBackoff,
        Timestamp::from_nanos(state.backoff_until),
    );
    let state = tx.state();
    let is_unrecorded = state.parent.is_some() && state.first_run_id == state.run_id && !state.may_run;
    if is_unrecorded || state.task.is_some() {
        // Its parent has not recorded it yet: the first task waits for that alone from here on.
        tx.note(|state| state.backoff_until = 0);
    } else {
        tx.schedule_task(None);
    }
}

fn time_out_task(tx: &mut Tx<'_>) {
    let Some((Some(at), why)) = tx.state().task.as_ref().map(task_deadline) else {
        return;
    };
    if at > tx.ctx.now {
        return;
    }
    let kind = if why == Why::WorkflowTaskStart {
        TimeoutType::ScheduleToStart
    } else {
        TimeoutType::StartToClose
    };
    tx.count_due(metrics::Due::WorkflowTaskTimeout, at);
    tx.end_task(TaskEnd::TimedOut(kind));
}

fn fire(tx: &mut Tx<'_>, at: Timestamp, started_event_id: i64, timer_id: String) {
    let timer = tx.state().timers.get(&timer_id);
    if timer.is_some_and(|timer| timer.started_event_id == started_event_id) {
        tx.count_due(metrics::Due::UserTimer, at);
        tx.emit_external(Attributes::TimerFiredEventAttributes(Box::new(
            TimerFiredEventAttributes {
                timer_id,
                started_event_id,
            },
        )));
    }
}
