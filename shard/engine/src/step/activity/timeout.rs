//! What time does to a pending activity: it times out, or its next attempt is due (reference 2.7).

use proto::{
    temporal::{
        enums::v1::{RetryState, TimeoutType},
        failure::v1::{Failure, TimeoutFailureInfo, failure::FailureInfo},
        history::v1::{ActivityTaskTimedOutEventAttributes, history_event::Attributes},
    },
    time::Timestamp,
};

use crate::{
    metrics::{AttemptEnd, Due},
    policy::retry::{self, timeout_name},
    state::{Activity, span, time},
    tx::Tx,
};

/// Who timeouts are by.
const SOURCE: &str = "Server";

/// What becomes due. Of what is due at the same time the first variant comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ActivityDue {
    Retry,
    StartToClose,
    ScheduleToStart,
    ScheduleToClose,
    Heartbeat,
}

impl Activity {
    /// Returns what becomes due first of all that runs at the moment.
    pub(crate) fn next_due(&self) -> Option<(Timestamp, ActivityDue)> {
        let after =
            |from: i64, timeout: i64| (timeout > 0).then(|| Timestamp::from_nanos(from) + span(timeout));
        let (first, second) = if self.backing_off {
            (
                Some((
                    Some(Timestamp::from_nanos(self.scheduled_time)),
                    ActivityDue::Retry,
                )),
                None,
            )
        } else if self.started_time == 0 {
            let at = after(self.scheduled_time, self.schedule_to_start_timeout);
            (Some((at, ActivityDue::ScheduleToStart)), None)
        } else {
            let close = after(self.started_time, self.start_to_close_timeout);
            let beat = after(self.heartbeat_time.max(self.started_time), self.heartbeat_timeout);
            (
                Some((close, ActivityDue::StartToClose)),
                Some((beat, ActivityDue::Heartbeat)),
            )
        };
        let expiration = Some((time(self.expiration), ActivityDue::ScheduleToClose));
        [first, second, expiration]
            .into_iter()
            .flatten()
            .filter_map(|(at, due)| Some((at?, due)))
            .min()
    }
}

/// Lets what was due at the time happen to the activity.
pub(in crate::step) fn happen(tx: &mut Tx<'_>, at: Timestamp, id: i64, due: ActivityDue) {
    let what = if due == ActivityDue::Retry {
        Due::ActivityRetry
    } else {
        Due::ActivityTimeout
    };
    tx.count_due(what, at);
    match due {
        ActivityDue::Retry => {
            tx.note_activity(id, |activity| activity.backing_off = false);
            tx.offer_activity(id);
        }
        ActivityDue::StartToClose => time_out(tx, id, TimeoutType::StartToClose),
        ActivityDue::ScheduleToStart => time_out(tx, id, TimeoutType::ScheduleToStart),
        ActivityDue::ScheduleToClose => time_out(tx, id, TimeoutType::ScheduleToClose),
        ActivityDue::Heartbeat => time_out(tx, id, TimeoutType::Heartbeat),
    }
}

fn time_out(tx: &mut Tx<'_>, id: i64, kind: TimeoutType) {
    let failure = timeout_failure(kind, format!("activity {} timeout", timeout_name(kind)));
    let retry_state = match tx.retry_decision(id, Some(&failure)) {
        retry::Decision::Retry(wait) => {
            tx.count_attempt(id, AttemptEnd::TimedOut(kind));
            return tx.retry_activity(id, wait, Some(failure));
        }
        retry::Decision::Stop(retry_state) => retry_state,
    };
    let failure = final_failure(tx, id, kind, failure, retry_state);
    tx.end_activity(id, |started_event_id| {
        Attributes::ActivityTaskTimedOutEventAttributes(Box::new(ActivityTaskTimedOutEventAttributes {
            failure: Some(failure),
            scheduled_event_id: id,
            started_event_id,
            retry_state: retry_state.into(),
        }))
    });
}

/// Completes the failure that the workflow is told: caused by the attempt before, with the last progress. What
/// had no time left for another attempt has run out of its time in all, whichever timeout came first.
fn final_failure(
    tx: &Tx<'_>,
    id: i64,
    kind: TimeoutType,
    failure: Failure,
    retry_state: RetryState,
) -> Failure {
    let mut failure = if retry_state == RetryState::Timeout && kind != TimeoutType::ScheduleToStart {
        let message = "Not enough time to schedule next retry before activity ScheduleToClose timeout, giving up \
                       retrying";
        timeout_failure(TimeoutType::ScheduleToClose, message.to_owned())
    } else {
        failure
    };
    if let Some(activity) = tx.state().activities.get(&id) {
        failure.cause = activity.last_failure.clone().map(Box::new);
        if let Some(FailureInfo::TimeoutFailureInfo(info)) = &mut failure.failure_info {
            info.last_heartbeat_details
                .clone_from(&activity.heartbeat_details);
        }
    }
    failure
}

fn timeout_failure(kind: TimeoutType, message: String) -> Failure {
    let info = TimeoutFailureInfo {
        timeout_type: kind.into(),
        ..Default::default()
    };
    Failure {
        message,
        source: SOURCE.to_owned(),
        failure_info: Some(FailureInfo::TimeoutFailureInfo(info)),
        ..Default::default()
    }
}
