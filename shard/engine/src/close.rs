//! How a run closes: the closing event, and what becomes of everything that it was waiting for.

use prost::Message;
use proto::temporal::{
    common::v1::Payloads,
    enums::v1::{ParentClosePolicy, WorkflowExecutionStatus, WorkflowTaskFailedCause},
    failure::v1::Failure,
    history::v1::{WorkflowExecutionTerminatedEventAttributes, history_event::Attributes},
};

use crate::{
    effect::{Effect, ReadyKind, ReadyTask},
    outcome::NewRun,
    run::Run,
    state::{Activity, Report},
    step::outgrown,
    task::{TaskEnd, priority_key},
    trigger::Terminate,
    tx::{Draft, Tx},
};

/// What a closing run tells its parent and leaves behind.
#[derive(Default)]
pub(crate) struct Closing {
    pub(crate) result: Option<Payloads>,
    pub(crate) failure: Option<Failure>,
    pub(crate) retry_state: i32,
    /// The run that continues this one, if one does.
    pub(crate) successor: Option<NewRun>,
    /// The chain goes on: the parent hears of its last run only.
    pub(crate) chain_goes_on: bool,
}

/// Who the server acts as when it ends a run by itself.
pub(crate) const SERVER_IDENTITY: &str = "history-service";

impl Tx<'_> {
    /// Closes the run with the event.
    pub(crate) fn close(&mut self, event: impl Into<Draft>, closing: Closing) {
        self.withdraw_task();
        self.withdraw_activities();
        self.emit(event);
        let status = self.state().status;
        let report = Report {
            status,
            result: closing.result,
            failure: closing.failure,
            retry_state: closing.retry_state,
        };
        let retention = crate::state::nanos(self.ctx.namespace.retention);
        let now = self.now();
        self.note(|state| {
            state.retention_until = now.saturating_add(retention).max(1);
            state.close_attempted = false;
            state.activities.clear();
            state.timers.clear();
            // What the run learns or sends too late is dropped, as the official server does.
            state.buffered.clear();
            state.signals_out.clear();
            state.cancels_out.clear();
            // A child whose start is not recorded yet never runs (reference 2.9).
            state.children.retain(|_, child| child.started_event_id != 0);
            for child in state.children.values_mut() {
                child.policy_owed = matches!(
                    child.parent_close_policy(),
                    ParentClosePolicy::Terminate | ParentClosePolicy::RequestCancel
                );
            }
            state
                .children
                .retain(|_, child| child.policy_owed || child.first_task_owed);
            if state.parent.is_some() && !closing.chain_goes_on {
                state.report = Some(report);
            }
        });
        let debts: std::collections::BTreeSet<_> = self.run.debts().collect();
        self.run.live.in_flight.retain(|id| debts.contains(id));
        self.close_updates(closing.successor.is_some() || closing.chain_goes_on);
        self.close_queries();
        self.index();
        if let Some(run) = closing.successor {
            self.succeed(run);
        }
    }

    /// Ends the run by force: a started workflow task fails, buffered events go into history first.
    pub(crate) fn terminate(&mut self, terminate: Terminate) {
        self.terminate_with(terminate, Closing::default());
    }

    pub(crate) fn terminate_with(&mut self, terminate: Terminate, closing: Closing) {
        let started = self
            .state()
            .task
            .as_ref()
            .is_some_and(|task| task.started_event_id != 0);
        if started {
            let end = TaskEnd::Failed {
                cause: WorkflowTaskFailedCause::ForceCloseCommand,
                failure: None,
                identity: SERVER_IDENTITY.to_owned(),
            };
            self.drop_task(end);
        } else if self.state().task.as_ref().is_some_and(|task| task.speculative) {
            self.withdraw_task();
            self.run.state.task = None;
        }
        let event = Attributes::WorkflowExecutionTerminatedEventAttributes(Box::new(
            WorkflowExecutionTerminatedEventAttributes {
                reason: terminate.reason,
                details: terminate.details,
                identity: terminate.identity,
            },
        ));
        self.close(
            Draft {
                links: terminate.links,
                ..Draft::from(event)
            },
            closing,
        );
    }

    /// Takes back the rows of activities that wait in a queue.
    fn withdraw_activities(&mut self) {
        let waiting = self
            .state()
            .activities
            .values()
            .filter(|activity| is_waiting(activity));
        let ready: Vec<_> = waiting
            .map(|activity| ready_activity(self.run, activity))
            .collect();
        for task in ready {
            self.effect(Effect::Unready(task));
        }
    }

    /// Ends a workflow task that holds back too many events (reference 2.5) and terminates a run that has outgrown
    /// its limits (reference 2.26).
    pub(crate) fn enforce_limits(&mut self) {
        if !self.has_changed() || !self.run.is_open() {
            return;
        }
        if self.buffers_too_much() {
            self.end_full_task();
        }
        // What is asked for is looked at before; an answer from elsewhere is not refused.
        if outgrown::has_too_many_events(self.run, self.ctx.limits, 0) {
            self.terminate(server_terminate(outgrown::TOO_MANY_EVENTS));
        }
    }

    /// Fails the task that holds back too much. What it held back comes between it and the next attempt, which counts
    /// on all the same.
    fn end_full_task(&mut self) {
        let attempt = self.state().task.as_ref().map_or(1, |task| task.attempt.max(1));
        let was_sticky = self.state().sticky.is_some();
        self.drop_task(TaskEnd::Failed {
            cause: WorkflowTaskFailedCause::ForceCloseCommand,
            failure: None,
            identity: SERVER_IDENTITY.to_owned(),
        });
        if !was_sticky {
            self.note(|state| state.task_attempt = attempt + 1);
        }
        self.ensure_task();
    }

    fn buffers_too_much(&self) -> bool {
        let (buffered, limits) = (&self.state().buffered, self.ctx.limits);
        buffered.len() > limits.buffered_events
            || buffered.iter().map(Message::encoded_len).sum::<usize>() > limits.buffered_bytes
    }

    pub(crate) fn is_status(&self, status: WorkflowExecutionStatus) -> bool {
        self.run.status() == status
    }
}

/// Returns a termination by the server itself.
pub(crate) fn server_terminate(reason: &str) -> Terminate {
    Terminate {
        reason: reason.to_owned(),
        identity: SERVER_IDENTITY.to_owned(),
        ..Default::default()
    }
}

/// Whether the activity waits in a queue.
pub(crate) fn is_waiting(activity: &Activity) -> bool {
    activity.started_time == 0 && !activity.backing_off
}

/// Returns the record of an activity that waits in a queue.
pub(crate) fn ready_activity(run: &Run, activity: &Activity) -> ReadyTask {
    ReadyTask {
        kind: ReadyKind::Activity,
        queue: activity.task_queue.clone(),
        sticky: false,
        scheduled_event_id: activity.scheduled_event_id,
        attempt: activity.attempt,
        scheduled_time: activity.scheduled_time,
        priority: priority_key(run.activity_priority(activity).as_ref()),
        speculative: false,
    }
}
