//! StartTimer and CancelTimer.

use proto::{
    temporal::{
        command::v1::{CancelTimerCommandAttributes, StartTimerCommandAttributes},
        enums::v1::{EventType, WorkflowTaskFailedCause as Cause},
        history::v1::{TimerCanceledEventAttributes, TimerStartedEventAttributes, history_event::Attributes},
    },
    time::{duration_from_proto, duration_to_proto},
};

use super::{Invalid, Origin, Seen};
use crate::{
    policy::retry::span_error,
    run::Run,
    trigger::Context,
    tx::{Draft, Tx},
};

pub(super) fn check_start(
    run: &Run,
    ctx: &Context<'_>,
    a: &StartTimerCommandAttributes,
    seen: &mut Seen,
) -> Result<(), Invalid> {
    let bad = |message: String| Invalid::new(Cause::BadStartTimerAttributes, message);
    let id = &a.timer_id;
    if id.is_empty() {
        return Err(bad("TimerId is not set on StartTimerCommand.".to_owned()));
    }
    if id.len() > ctx.limits.id_bytes {
        return Err(bad(format!(
            "TimerId on StartTimerCommand exceeds length limit. TimerId={id} Length={} Limit={}",
            id.len(),
            ctx.limits.id_bytes
        )));
    }
    if let Some(why) = span_error(a.start_to_fire_timeout.as_ref()) {
        return Err(bad(format!(
            "An invalid StartToFireTimeout is set on StartTimerCommand: {why}. TimerId={id}"
        )));
    }
    let pending = run.state.timers.contains_key(id) && !seen.timers_canceled.contains(id);
    if pending || !seen.timers_started.insert(id.clone()) {
        return Err(Invalid::new(
            Cause::StartTimerDuplicateId,
            format!("invalid history builder state for action: add-timer-started-event, TimerID: {id}"),
        ));
    }
    Ok(())
}

pub(super) fn check_cancel(
    run: &Run,
    ctx: &Context<'_>,
    a: &CancelTimerCommandAttributes,
    seen: &mut Seen,
) -> Result<(), Invalid> {
    let bad = |message: String| Invalid::new(Cause::BadCancelTimerAttributes, message);
    let id = &a.timer_id;
    if id.is_empty() {
        return Err(bad("TimerId is not set on CancelTimerCommand.".to_owned()));
    }
    let (length, most) = (id.len(), ctx.limits.id_bytes);
    if length > most {
        return Err(bad(format!(
            "TimerId on CancelTimerCommand exceeds length limit. TimerId={id} Length={length} Limit={most}"
        )));
    }
    if seen.timers_started.remove(id) {
        return Ok(());
    }
    let known = run.state.timers.contains_key(id) || buffered_fire(run, id).is_some();
    if !known || !seen.timers_canceled.insert(id.clone()) {
        return Err(bad(format!(
            "invalid history builder state for action: add-timer-canceled-event, TimerID: {id}"
        )));
    }
    Ok(())
}

pub(super) fn start(tx: &mut Tx<'_>, a: StartTimerCommandAttributes, origin: Origin) {
    let event = Attributes::TimerStartedEventAttributes(Box::new(TimerStartedEventAttributes {
        timer_id: a.timer_id,
        start_to_fire_timeout: a
            .start_to_fire_timeout
            .map(|span| duration_to_proto(duration_from_proto(Some(&span)))),
        workflow_task_completed_event_id: origin.completed_event_id,
    }));
    tx.emit(Draft {
        user_metadata: origin.metadata,
        ..Draft::from(event)
    });
}

pub(super) fn cancel(tx: &mut Tx<'_>, a: CancelTimerCommandAttributes, origin: Origin) {
    let identity = origin.identity.clone();
    let started_event_id = match tx.state().timers.get(&a.timer_id) {
        Some(timer) => timer.started_event_id,
        None => take_buffered_fire(tx, &a.timer_id),
    };
    let event = Attributes::TimerCanceledEventAttributes(Box::new(TimerCanceledEventAttributes {
        timer_id: a.timer_id,
        started_event_id,
        workflow_task_completed_event_id: origin.completed_event_id,
        identity,
    }));
    tx.emit(Draft {
        user_metadata: origin.metadata,
        ..Draft::from(event)
    });
}

/// Returns where in the buffer the timer's firing waits: a cancel undoes it (reference 2.5).
fn buffered_fire(run: &Run, id: &str) -> Option<usize> {
    run.state.buffered.iter().position(|event| {
        event.event_type() == EventType::TimerFired
            && matches!(event.attributes.as_ref(),
                Some(Attributes::TimerFiredEventAttributes(a)) if a.timer_id == id)
    })
}

fn take_buffered_fire(tx: &mut Tx<'_>, id: &str) -> i64 {
    let Some(at) = buffered_fire(tx.run, id) else {
        return 0;
    };
    let mut started_event_id = 0;
    tx.note(|state| {
        if let Some(Attributes::TimerFiredEventAttributes(a)) = state.buffered.remove(at).attributes.as_ref()
        {
            started_event_id = a.started_event_id;
        }
    });
    started_event_id
}
