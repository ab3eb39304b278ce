//! The part of a run's state that history alone tells.

use perdure_engine::state::{Activity, Child, State, WorkflowTask};
use proto::temporal::enums::v1::WorkflowExecutionStatus;

/// Clears everything that history does not tell: attempts, heartbeats, requests, debts, clocks of a reset run.
pub fn project(state: &State, is_reset: bool) -> State {
    let mut state = state.clone();
    state.create_request_id.clear();
    state.reset_request_id.clear();
    state.cancel_request_id.clear();
    state.may_run = false;
    state.transitions = 0;
    state.close_node = 0;
    state.sticky = None;
    state.task_attempt = 0;
    state.close_attempted = false;
    state.reset_points = None;
    state.report = None;
    state.deleting = false;
    state.retention_until = 0;
    state.wakeup = 0;
    state.reset_run_id.clear();
    state.last_reset_time = 0;
    state.original_start_time = 0;
    // A worker's rejection of an update that a reset admitted again is not in history.
    state.updates.retain(|_, update| update.admitted.is_none());
    state.task = state.task.filter(|task| !task.transient).map(task);
    for activity in state.activities.values_mut() {
        *activity = self::activity(activity, is_reset);
    }
    for child in state.children.values_mut() {
        *child = self::child(child);
    }
    for signal in state.signals_out.values_mut() {
        signal.request_id.clear();
    }
    for cancel in state.cancels_out.values_mut() {
        cancel.request_id.clear();
    }
    if is_reset {
        state.start_time = 0;
        state.execution_time = 0;
        state.run_expiration = 0;
        state.execution_expiration = 0;
        state.root_run_id.clear();
    }
    let status = state.status();
    if !matches!(
        status,
        WorkflowExecutionStatus::Running | WorkflowExecutionStatus::Paused
    ) {
        // A closed run forgets what it waited for; history does not say so.
        state.activities.clear();
        state.timers.clear();
        state.children.clear();
        state.signals_out.clear();
        state.cancels_out.clear();
    }
    state
}

fn task(task: WorkflowTask) -> WorkflowTask {
    WorkflowTask {
        scheduled_event_id: task.scheduled_event_id,
        started_event_id: task.started_event_id,
        attempt: task.attempt,
        scheduled_time: task.scheduled_time,
        started_time: task.started_time,
        timeout: task.timeout,
        ..WorkflowTask::default()
    }
}

fn activity(activity: &Activity, is_reset: bool) -> Activity {
    let first = if is_reset {
        0
    } else {
        activity.first_scheduled_time
    };
    Activity {
        scheduled_node: 0,
        first_scheduled_time: first,
        scheduled_time: 0,
        expiration: if is_reset { 0 } else { activity.expiration },
        attempt: 0,
        started_time: 0,
        started_identity: String::new(),
        started_request_id: String::new(),
        heartbeat_details: None,
        heartbeat_time: 0,
        last_failure: None,
        last_worker_identity: String::new(),
        last_attempt_complete_time: 0,
        backing_off: false,
        retry_interval: 0,
        ..activity.clone()
    }
}

fn child(child: &Child) -> Child {
    Child {
        initiated_node: 0,
        request_id: String::new(),
        first_task_owed: false,
        policy_owed: false,
        ..child.clone()
    }
}
