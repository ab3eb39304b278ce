//! step: hands a trigger to the file that knows it.

mod activity;
mod begin_workflow_task;
mod cancel;
mod child;
mod complete_workflow_task;
mod external;
mod fail_workflow_task;
pub(crate) mod outgrown;
mod signal;
mod terminate;
mod wake;

pub(crate) use activity::ActivityDue;
pub(crate) use signal::{apply_signal, check_signal};

use crate::{
    describe, options,
    outcome::{Rejection, Reply, Step},
    query,
    run::Run,
    trigger::{Context, Trigger},
    tx::Tx,
    update,
};

/// Moves the run by the trigger. An error means that nothing was changed.
pub fn step(run: &mut Run, trigger: Trigger, ctx: &Context<'_>) -> Result<Step, Rejection> {
    if let Some(refused) = outgrown::refuse(run, &trigger, ctx) {
        return Ok(refused);
    }
    match trigger {
        Trigger::Signal(signal) => signal::signal(Tx::new(run, ctx), *signal),
        Trigger::RequestCancel(request) => cancel::request_cancel(Tx::new(run, ctx), *request),
        Trigger::Terminate(request) => terminate::terminate(Tx::new(run, ctx), *request),
        Trigger::Delete => terminate::delete(Tx::new(run, ctx)),
        Trigger::Query { query, reject } => query::query(Tx::new(run, ctx), *query, reject),
        Trigger::Update(request) => update::admit(Tx::new(run, ctx), *request),
        Trigger::PollUpdate { update_id, wait } => update::poll(Tx::new(run, ctx), &update_id, wait),
        Trigger::Describe => Ok(read(Reply::Description(Box::new(describe::describe(run, ctx))))),
        Trigger::ChangeOptions(change) => options::change(Tx::new(run, ctx), *change),
        Trigger::Position { .. } => Ok(read(Reply::Position(Box::new(describe::position(run))))),
        Trigger::ResetSticky => Ok(reset_sticky(Tx::new(run, ctx))),
        Trigger::StickyUnavailable {
            scheduled_event_id,
            attempt,
        } => Ok(leave_sticky_queue(Tx::new(run, ctx), scheduled_event_id, attempt)),
        Trigger::BeginWorkflowTask(begin) => begin_workflow_task::begin(Tx::new(run, ctx), &begin),
        Trigger::CompleteWorkflowTask(done) => complete_workflow_task::complete(Tx::new(run, ctx), *done),
        Trigger::FailWorkflowTask(failed) => fail_workflow_task::fail(Tx::new(run, ctx), *failed),
        Trigger::BeginActivity(begin) => activity::begin(Tx::new(run, ctx), &begin),
        Trigger::CompleteActivity {
            activity,
            result,
            identity,
        } => activity::complete(Tx::new(run, ctx), &activity, result, identity),
        Trigger::FailActivity(failed) => activity::fail(Tx::new(run, ctx), *failed),
        Trigger::CancelActivity {
            activity,
            details,
            identity,
        } => activity::cancel(Tx::new(run, ctx), &activity, details, identity),
        Trigger::Heartbeat {
            activity,
            details,
            identity,
        } => activity::heartbeat(Tx::new(run, ctx), &activity, details, identity),
        Trigger::Wake => Ok(wake::wake(Tx::new(run, ctx))),
        Trigger::ChildStarted {
            initiated_event_id,
            run_id,
        } => child::started(Tx::new(run, ctx), initiated_event_id, run_id),
        Trigger::ChildStartFailed {
            initiated_event_id,
            cause,
        } => child::start_failed(Tx::new(run, ctx), initiated_event_id, cause),
        Trigger::FirstTaskScheduled { initiated_event_id } => {
            child::first_task_scheduled(Tx::new(run, ctx), initiated_event_id)
        }
        Trigger::ScheduleFirstTask { parent } => child::schedule_first_task(Tx::new(run, ctx), &parent),
        Trigger::EndOrphan { parent } => child::end_orphan(Tx::new(run, ctx), &parent),
        Trigger::ChildClosed(closed) => child::closed(Tx::new(run, ctx), *closed),
        Trigger::ClosePolicyApplied { initiated_event_id } => {
            child::close_policy_applied(Tx::new(run, ctx), initiated_event_id)
        }
        Trigger::ReportDelivered => child::report_delivered(Tx::new(run, ctx)),
        Trigger::ExternalSignalDone {
            initiated_event_id,
            result,
        } => external::signal_done(Tx::new(run, ctx), initiated_event_id, result),
        Trigger::ExternalCancelDone {
            initiated_event_id,
            result,
        } => external::cancel_done(Tx::new(run, ctx), initiated_event_id, result),
        Trigger::DeliveryFailed { id } => {
            run.live.in_flight.remove(&id);
            Ok(Tx::new(run, ctx).finish(Reply::Done))
        }
    }
}

/// A step that changes nothing.
fn read(reply: Reply) -> Step {
    Step {
        reply,
        ..Step::default()
    }
}

fn reset_sticky(mut tx: Tx<'_>) -> Step {
    if tx.run.is_open() && tx.state().sticky.is_some() {
        tx.note(|state| state.sticky = None);
    }
    tx.finish(Reply::Done)
}

/// Moves a task that waits in a sticky queue to the workflow's own queue; history keeps what it says.
fn leave_sticky_queue(mut tx: Tx<'_>, scheduled_event_id: i64, attempt: i32) -> Step {
    let waits = tx.state().task.clone().filter(|task| {
        task.sticky
            && task.started_event_id == 0
            && task.scheduled_event_id == scheduled_event_id
            && task.attempt == attempt
    });
    let Some(mut task) = waits.filter(|_| tx.run.is_open()) else {
        return tx.finish(Reply::Done);
    };
    tx.withdraw_task();
    task.sticky = false;
    task.queue.clone_from(&tx.run.state.task_queue);
    if !task.speculative {
        task.schedule_to_start_deadline = 0;
    }
    let ready = crate::task::ready_task(tx.run, &task);
    if task.speculative {
        tx.run.state.task = Some(task);
        tx.run.state.sticky = None;
    } else {
        tx.note(|state| {
            state.task = Some(task);
            state.sticky = None;
        });
    }
    tx.effect(crate::effect::Effect::Ready(ready));
    tx.finish(Reply::Done)
}

/// What is said of a run that is not open.
pub(crate) fn closed() -> Rejection {
    Rejection::NotFound("workflow execution already completed".to_owned())
}
