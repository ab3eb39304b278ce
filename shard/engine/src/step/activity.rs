//! Activities: started, heartbeating, completed, failed, canceled, timed out, tried again (reference 2.7).
//!
//! An attempt that starts or is tried again leaves no event: the started event is written just before the one
//! that ends the activity.

mod attempt;
mod oversize;
mod timeout;

#[cfg(test)]
mod tests;

use proto::temporal::{
    common::v1::Payloads,
    failure::v1::Failure,
    history::v1::{
        ActivityTaskCanceledEventAttributes, ActivityTaskCompletedEventAttributes,
        ActivityTaskFailedEventAttributes, history_event::Attributes,
    },
};

pub(crate) use timeout::ActivityDue;
pub(super) use timeout::happen;

use super::closed;
use crate::{
    close::is_waiting,
    command::payloads_size,
    metrics::AttemptEnd,
    nesting,
    outcome::{Rejection, Reply, Step},
    policy::retry,
    run::Run,
    state::Activity,
    trigger::{ActivityRef, BeginTask, FailActivity},
    tx::Tx,
};

/// Puts a waiting activity into a poller's hands. Asking again with the same request id gives the same answer.
pub(super) fn begin(mut tx: Tx<'_>, begin: &BeginTask) -> Result<Step, Rejection> {
    let id = begin.scheduled_event_id;
    let activity = tx.state().activities.get(&id).ok_or(Rejection::Stale)?;
    let repeated = activity.started_time != 0
        && !begin.request_id.is_empty()
        && activity.started_request_id == begin.request_id;
    if !tx.run.is_open() || activity.attempt != begin.attempt || !(repeated || is_waiting(activity)) {
        return Err(Rejection::Stale);
    }
    if may_be_tried_again(activity) {
        tx.early();
    }
    if !repeated {
        tx.withdraw_activity(id);
        tx.start_activity(id, begin.identity.clone(), begin.request_id.clone());
        tx.note_activity(id, |activity| {
            activity.started_build_id.clone_from(&begin.build_id)
        });
    }
    let started = tx
        .state()
        .activities
        .get(&id)
        .map(|activity| tx.run.started_activity(activity, None));
    Ok(tx.finish(Reply::Activity(Box::new(started.unwrap_or_default()))))
}

fn may_be_tried_again(activity: &Activity) -> bool {
    activity
        .retry_policy
        .as_ref()
        .is_some_and(|policy| policy.maximum_attempts == 0 || activity.attempt < policy.maximum_attempts)
}

/// Records the result. By id this may also be done to an activity that nobody has picked up.
pub(super) fn complete(
    mut tx: Tx<'_>,
    activity: &ActivityRef,
    result: Option<Payloads>,
    identity: String,
) -> Result<Step, Rejection> {
    let found = find(tx.run, activity)?;
    let (id, is_started) = (found.scheduled_event_id, found.started_time != 0);
    if payloads_size(result.as_ref()) > tx.ctx.limits.blob_bytes {
        end_attempt(
            &mut tx,
            id,
            Some(oversize::failure("Complete result exceeds size limit.")),
            identity,
        );
        return Ok(tx.finish(Reply::Done));
    }
    if !is_started {
        tx.withdraw_activity(id);
        tx.start_activity(id, identity.clone(), String::new());
    }
    tx.end_activity(id, |started_event_id| {
        Attributes::ActivityTaskCompletedEventAttributes(Box::new(ActivityTaskCompletedEventAttributes {
            result,
            scheduled_event_id: id,
            started_event_id,
            identity,
            ..Default::default()
        }))
    });
    Ok(tx.finish(Reply::Done))
}

/// Ends the attempt with a failure: the activity is tried again, or the failure is recorded.
pub(super) fn fail(mut tx: Tx<'_>, request: FailActivity) -> Result<Step, Rejection> {
    let id = find_started(tx.run, &request.activity)?.scheduled_event_id;
    let most = tx.ctx.limits.blob_bytes;
    let mut oversized = Vec::new();
    if payloads_size(request.last_heartbeat_details.as_ref()) > most {
        oversized.push(oversize::failure("Heartbeat details exceed size limit."));
    } else if request.last_heartbeat_details.is_some() {
        note_heartbeat(&mut tx, id, request.last_heartbeat_details);
    }
    let mut failure = request.failure.map(nesting::bounded);
    if let Some(given) = failure.take_if(|failure| prost::Message::encoded_len(failure) > most) {
        let replacement = oversize::replace(given, most / oversize::REPLACEMENT_SHARE);
        oversized.push(replacement.clone());
        failure = Some(replacement);
    }
    end_attempt(&mut tx, id, failure, request.identity);
    Ok(tx.finish(Reply::ActivityFailed { oversized }))
}

/// Records that the worker gave the activity up, which must have been asked for.
pub(super) fn cancel(
    mut tx: Tx<'_>,
    activity: &ActivityRef,
    details: Option<Payloads>,
    identity: String,
) -> Result<Step, Rejection> {
    let found = find_started(tx.run, activity)?;
    let (id, requested) = (found.scheduled_event_id, found.cancel_requested_event_id);
    if payloads_size(details.as_ref()) > tx.ctx.limits.blob_bytes {
        end_attempt(
            &mut tx,
            id,
            Some(oversize::failure("Cancel details exceed size limit.")),
            identity,
        );
        return Ok(tx.finish(Reply::Done));
    }
    if !found.cancel_requested {
        return Err(Rejection::InvalidArgument(
            "unable to mark activity as canceled without activity being request canceled first".to_owned(),
        ));
    }
    tx.end_activity(id, |started_event_id| {
        Attributes::ActivityTaskCanceledEventAttributes(Box::new(ActivityTaskCanceledEventAttributes {
            details,
            latest_cancel_requested_event_id: requested,
            scheduled_event_id: id,
            started_event_id,
            identity,
            ..Default::default()
        }))
    });
    Ok(tx.finish(Reply::Done))
}

/// Takes a sign of life and the progress that comes with it; tells whether the activity should give up.
pub(super) fn heartbeat(
    mut tx: Tx<'_>,
    activity: &ActivityRef,
    details: Option<Payloads>,
    identity: String,
) -> Result<Step, Rejection> {
    let found = find_started(tx.run, activity)?;
    let (id, cancel_requested) = (found.scheduled_event_id, found.cancel_requested);
    if payloads_size(details.as_ref()) > tx.ctx.limits.blob_bytes {
        end_attempt(
            &mut tx,
            id,
            Some(oversize::failure("Heartbeat details exceed size limit.")),
            identity,
        );
        return Ok(tx.finish(Reply::Heartbeat {
            cancel_requested: true,
        }));
    }
    note_heartbeat(&mut tx, id, details);
    Ok(tx.finish(Reply::Heartbeat { cancel_requested }))
}

fn note_heartbeat(tx: &mut Tx<'_>, id: i64, details: Option<Payloads>) {
    let now = tx.now();
    tx.note_activity(id, |activity| {
        activity.heartbeat_details = details;
        activity.heartbeat_time = now;
    });
}

/// The started attempt has failed: another one follows, or the activity ends.
fn end_attempt(tx: &mut Tx<'_>, id: i64, failure: Option<Failure>, identity: String) {
    let retry_state = match tx.retry_decision(id, failure.as_ref()) {
        retry::Decision::Retry(wait) => {
            tx.count_attempt(id, AttemptEnd::Failed);
            let now = tx.now();
            tx.note_activity(id, |activity| activity.last_attempt_complete_time = now);
            tx.retry_activity(id, wait, failure);
            return;
        }
        retry::Decision::Stop(retry_state) => retry_state,
    };
    tx.end_activity(id, |started_event_id| {
        Attributes::ActivityTaskFailedEventAttributes(Box::new(ActivityTaskFailedEventAttributes {
            failure,
            scheduled_event_id: id,
            started_event_id,
            identity,
            retry_state: retry_state.into(),
            ..Default::default()
        }))
    });
}

/// Finds the activity that a worker holds, or an operator names.
fn find<'a>(run: &'a Run, named: &ActivityRef) -> Result<&'a Activity, Rejection> {
    if !run.is_open() {
        return Err(closed());
    }
    match named {
        ActivityRef::Token {
            scheduled_event_id,
            attempt,
            started_time,
        } => run
            .state
            .activities
            .get(scheduled_event_id)
            .filter(|activity| {
                activity.started_time != 0
                    && activity.attempt == *attempt
                    && activity.started_time == *started_time
            })
            .ok_or_else(gone),
        ActivityRef::ById(id) => run
            .state
            .activities
            .values()
            .find(|activity| activity.activity_id == *id)
            .ok_or_else(|| {
                Rejection::NotFound(format!(
                    "cannot find pending activity with ActivityID {id}, check workflow execution history for \
                     more details"
                ))
            }),
    }
}

fn find_started<'a>(run: &'a Run, named: &ActivityRef) -> Result<&'a Activity, Rejection> {
    let activity = find(run, named)?;
    if activity.started_time == 0 {
        Err(gone())
    } else {
        Ok(activity)
    }
}

fn gone() -> Rejection {
    Rejection::NotFound(
        "invalid activityID or activity already timed out or invoking workflow is completed".to_owned(),
    )
}
