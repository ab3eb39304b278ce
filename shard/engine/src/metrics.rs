//! What a step did that is worth counting and that neither its events nor its reply tell.

use std::time::Duration;

use proto::{
    temporal::{
        enums::v1::{TimeoutType, WorkflowTaskFailedCause},
        history::v1::history_event::Attributes,
    },
    time::Timestamp,
};

use crate::{
    state::{Activity, span},
    tx::Tx,
};

/// Something that a step did.
#[derive(Clone, Debug, PartialEq)]
pub enum Counted {
    /// An attempt of an activity ended.
    Attempt(Box<Attempt>),
    /// A worker failed a workflow task, or the server did for it.
    WorkflowTaskFailed(WorkflowTaskFailedCause),
    WorkflowTaskTimedOut(TimeoutType),
    /// Something was due, and happened this much later.
    Due {
        what: Due,
        late: Duration,
    },
}

/// An attempt of an activity that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    pub how: AttemptEnd,
    pub attempt: i32,
    /// No other attempt follows.
    pub last: bool,
    pub queue: String,
    /// Since it was started; `None` if it never was.
    pub ran: Option<Duration>,
    /// Since the first attempt was scheduled.
    pub in_all: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    Completed,
    Failed,
    Canceled,
    TimedOut(TimeoutType),
}

/// What time brings about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    UserTimer,
    ActivityTimeout,
    ActivityRetry,
    WorkflowTaskTimeout,
    WorkflowRunTimeout,
    WorkflowExecutionTimeout,
    WorkflowBackoff,
}

impl Tx<'_> {
    /// Notes that something was due at the time.
    pub(crate) fn count_due(&mut self, what: Due, at: Timestamp) {
        let late = self.ctx.now.since(at);
        self.count(Counted::Due { what, late });
    }

    /// Notes that the activity's attempt ends, and that another one follows.
    pub(crate) fn count_attempt(&mut self, id: i64, how: AttemptEnd) {
        self.count_end(id, how, false);
    }

    /// Notes that the activity ends as the event will say.
    pub(crate) fn count_last_attempt(&mut self, id: i64, event: &Attributes) {
        let how = match event {
            Attributes::ActivityTaskCompletedEventAttributes(_) => AttemptEnd::Completed,
            Attributes::ActivityTaskFailedEventAttributes(_) => AttemptEnd::Failed,
            Attributes::ActivityTaskCanceledEventAttributes(_) => AttemptEnd::Canceled,
            Attributes::ActivityTaskTimedOutEventAttributes(timed_out) => {
                AttemptEnd::TimedOut(timeout_type(timed_out.failure.as_ref()))
            }
            _ => return,
        };
        self.count_end(id, how, true);
    }

    fn count_end(&mut self, id: i64, how: AttemptEnd, last: bool) {
        let now = self.ctx.now;
        let ended = |activity: &Activity| Attempt {
            how,
            attempt: activity.attempt,
            last,
            queue: activity.task_queue.clone(),
            ran: (activity.started_time != 0)
                .then(|| now.since(Timestamp::from_nanos(activity.started_time))),
            in_all: span(now.nanos().saturating_sub(activity.first_scheduled_time)),
        };
        if let Some(attempt) = self.state().activities.get(&id).map(ended) {
            self.count(Counted::Attempt(Box::new(attempt)));
        }
    }
}

fn timeout_type(failure: Option<&proto::temporal::failure::v1::Failure>) -> TimeoutType {
    use proto::temporal::failure::v1::failure::FailureInfo;
    match failure.and_then(|failure| failure.failure_info.as_ref()) {
        Some(FailureInfo::TimeoutFailureInfo(info)) => info.timeout_type(),
        _ => TimeoutType::Unspecified,
    }
}
