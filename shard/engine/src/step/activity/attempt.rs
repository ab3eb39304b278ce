//! An activity's attempts: how one starts, how the next one follows, how the last one ends.

use std::time::Duration;

use proto::temporal::{
    common::v1::{Priority, WorkerVersionStamp, WorkflowExecution},
    enums::v1::RetryState,
    failure::v1::Failure,
    history::v1::{ActivityTaskStartedEventAttributes, history_event::Attributes},
};

use super::oversize;
use crate::{
    close::{is_waiting, ready_activity},
    effect::Effect,
    outcome::{ActivityInput, StartedActivity},
    policy::{priority, retry},
    run::Run,
    state::{Activity, nanos, time},
    tx::{Draft, Tx},
};

impl Run {
    /// Returns the activity as the worker that runs it is told.
    pub(crate) fn started_activity(
        &self,
        activity: &Activity,
        input: Option<Box<ActivityInput>>,
    ) -> StartedActivity {
        StartedActivity {
            execution: WorkflowExecution {
                workflow_id: self.state.workflow_id.clone(),
                run_id: self.state.run_id.clone(),
            },
            workflow_type: self.state.workflow_type.clone(),
            activity_id: activity.activity_id.clone(),
            activity_type: activity.activity_type.clone(),
            scheduled_event_id: activity.scheduled_event_id,
            scheduled_node: activity.scheduled_node,
            input,
            first_scheduled_time: activity.first_scheduled_time,
            scheduled_time: activity.scheduled_time,
            started_time: activity.started_time,
            attempt: activity.attempt,
            schedule_to_close_timeout: activity.schedule_to_close_timeout,
            start_to_close_timeout: activity.start_to_close_timeout,
            heartbeat_timeout: activity.heartbeat_timeout,
            heartbeat_details: activity.heartbeat_details.clone(),
            retry_policy: activity.retry_policy.clone(),
            priority: self.activity_priority(activity),
        }
    }

    /// Returns the activity's priority with what it takes over from the workflow (reference 2.25).
    pub(crate) fn activity_priority(&self, activity: &Activity) -> Option<Priority> {
        priority::inherit(activity.priority.as_ref(), self.state.priority.as_ref())
    }
}

impl Tx<'_> {
    /// Changes what state holds of the pending activity outside history.
    pub(super) fn note_activity(&mut self, id: i64, change: impl FnOnce(&mut Activity)) {
        self.note(|state| {
            if let Some(activity) = state.activities.get_mut(&id) {
                change(activity);
            }
        });
    }

    /// Marks the attempt as started, which leaves no event yet.
    pub(crate) fn start_activity(&mut self, id: i64, identity: String, request_id: String) {
        let now = self.now();
        self.note_activity(id, |activity| {
            activity.backing_off = false;
            activity.started_time = now;
            activity.started_request_id = request_id;
            activity.last_worker_identity.clone_from(&identity);
            activity.started_identity = identity;
        });
    }

    /// Lets pollers have the activity.
    pub(crate) fn offer_activity(&mut self, id: i64) {
        if let Some(activity) = self.state().activities.get(&id) {
            let ready = ready_activity(self.run, activity);
            self.effect(Effect::Ready(ready));
        }
    }

    /// Takes the row of an activity that waits in a queue back.
    pub(crate) fn withdraw_activity(&mut self, id: i64) {
        if let Some(activity) = self
            .state()
            .activities
            .get(&id)
            .filter(|activity| is_waiting(activity))
        {
            let ready = ready_activity(self.run, activity);
            self.effect(Effect::Unready(ready));
        }
    }

    /// Decides whether the activity is tried again after the failure. Once it is to be canceled it is not.
    pub(super) fn retry_decision(&self, id: i64, failure: Option<&Failure>) -> retry::Decision {
        let activity = self.state().activities.get(&id);
        let Some((activity, policy)) = activity.and_then(|it| Some((it, it.retry_policy.as_ref()?))) else {
            return retry::Decision::Stop(RetryState::RetryPolicyNotSet);
        };
        if activity.cancel_requested {
            return retry::Decision::Stop(RetryState::CancelRequested);
        }
        retry::decide(
            policy,
            activity.attempt,
            failure,
            self.ctx.now,
            time(activity.expiration),
        )
    }

    /// Lets the next attempt follow after the wait.
    pub(super) fn retry_activity(&mut self, id: i64, wait: Duration, failure: Option<Failure>) {
        let at = (self.ctx.now + wait).nanos();
        let most = self.ctx.limits.last_failure_bytes;
        let last_failure = failure.map(|failure| oversize::shorten(failure, most));
        self.note_activity(id, |activity| {
            activity.attempt += 1;
            activity.scheduled_time = at;
            activity.retry_interval = nanos(wait);
            activity.backing_off = !wait.is_zero();
            activity.started_time = 0;
            activity.started_identity.clear();
            activity.started_build_id.clear();
            activity.started_request_id.clear();
            activity.last_failure = last_failure;
        });
        if wait.is_zero() {
            self.offer_activity(id);
        }
    }

    /// Ends the activity with the event, which is given the id of the started event, zero if it never started.
    pub(super) fn end_activity(&mut self, id: i64, event: impl FnOnce(i64) -> Attributes) {
        self.withdraw_activity(id);
        let started_event_id = self.write_started(id);
        let event = event(started_event_id);
        self.count_last_attempt(id, &event);
        self.emit_external(event);
        self.ensure_task();
    }

    #[expect(deprecated, reason = "the stamp that tools show a worker's build by")]
    fn write_started(&mut self, id: i64) -> i64 {
        let started = self
            .state()
            .activities
            .get(&id)
            .filter(|activity| activity.started_time != 0);
        let Some(activity) = started else { return 0 };
        let time = Some(activity.started_time);
        let event =
            Attributes::ActivityTaskStartedEventAttributes(Box::new(ActivityTaskStartedEventAttributes {
                scheduled_event_id: id,
                identity: activity.started_identity.clone(),
                request_id: activity.started_request_id.clone(),
                attempt: activity.attempt,
                last_failure: activity.last_failure.clone(),
                worker_version: worker_version(&activity.started_build_id),
                ..Default::default()
            }));
        self.emit_external(Draft {
            time,
            ..Draft::from(event)
        })
    }
}

/// Returns the build as started events name it.
fn worker_version(build_id: &str) -> Option<WorkerVersionStamp> {
    (!build_id.is_empty()).then(|| WorkerVersionStamp {
        build_id: build_id.to_owned(),
        use_versioning: false,
    })
}
