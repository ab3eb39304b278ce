//! Describe: what is told of a run, to callers, to readers of its history and to the visibility index.

use std::time::Duration;

use proto::{
    temporal::{
        activity::v1::ActivityOptions,
        common::v1::{
            ActivityType, Memo, RetryPolicy, SearchAttributes, WorkerVersionStamp, WorkflowExecution,
            WorkflowType,
        },
        enums::v1::{
            EventType, PendingActivityState, PendingWorkflowTaskState, TaskQueueKind, VersioningBehavior,
            WorkflowExecutionStatus,
        },
        history::v1::{HistoryEvent, history_event::Attributes},
        taskqueue::v1::TaskQueue,
        workflow::v1::{
            PendingActivityInfo, PendingChildExecutionInfo, PendingWorkflowTaskInfo, RequestIdInfo,
            WorkflowExecutionConfig, WorkflowExecutionExtendedInfo, WorkflowExecutionInfo,
            WorkflowExecutionVersioningInfo, versioning_override::Override,
        },
        workflowservice::v1::DescribeWorkflowExecutionResponse,
    },
    time::{Timestamp, duration_to_proto},
};

use crate::{
    apply::is_real,
    outcome::Position,
    run::Run,
    state::{Activity, BUFFERED, Child, State, WorkflowTask, span, time},
    trigger::Context,
};

/// What a visibility record of the run holds beside its version.
#[derive(Clone, Debug, PartialEq)]
pub struct VisibilityFields {
    pub namespace_id: String,
    pub workflow_id: String,
    pub run_id: String,
    pub workflow_type: String,
    pub task_queue: String,
    pub status: WorkflowExecutionStatus,
    pub start_time: Timestamp,
    pub execution_time: Timestamp,
    /// `None` while the run is open.
    pub close: Option<VisibilityClose>,
    /// Workflow id and run id.
    pub parent: Option<(String, String)>,
    pub root: (String, String),
    pub memo: Option<Memo>,
    pub search_attributes: Option<SearchAttributes>,
    /// The record goes away.
    pub deleted: bool,
}

/// What a visibility record tells of a closed run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VisibilityClose {
    pub time: Timestamp,
    pub history_length: i64,
    pub history_size_bytes: i64,
    pub state_transition_count: i64,
    pub execution_duration: Duration,
}

/// Tells everything that callers may know of the run.
#[must_use]
pub fn describe(run: &Run, ctx: &Context<'_>) -> DescribeWorkflowExecutionResponse {
    let state = &run.state;
    DescribeWorkflowExecutionResponse {
        execution_config: Some(config(state)),
        workflow_execution_info: Some(info(run)),
        pending_activities: state
            .activities
            .values()
            .map(|activity| pending_activity(activity, ctx))
            .collect(),
        pending_children: state.children.values().map(pending_child).collect(),
        pending_workflow_task: state.task.as_ref().map(pending_task),
        workflow_extended_info: Some(extended_info(state)),
        ..Default::default()
    }
}

/// Tells how far the run's history goes.
#[must_use]
pub fn position(run: &Run) -> Position {
    let state = &run.state;
    Position {
        run_id: state.run_id.clone(),
        first_run_id: state.first_run_id.clone(),
        open: run.is_open(),
        next_event_id: state.next_event_id,
        close_node: state.close_node,
        transient: anonymous(run.transient_events()),
        successor_run_id: state.successor_run_id.clone(),
    }
}

/// Tells what the visibility index keeps of the run.
#[must_use]
pub fn visibility(run: &Run) -> VisibilityFields {
    let state = &run.state;
    let close = time(state.close_time).map(|at| VisibilityClose {
        time: at,
        history_length: state.next_event_id - 1,
        history_size_bytes: state.history_bytes,
        state_transition_count: state.transitions,
        execution_duration: at.since(Timestamp::from_nanos(state.execution_time)),
    });
    VisibilityFields {
        namespace_id: state.namespace_id.clone(),
        workflow_id: state.workflow_id.clone(),
        run_id: state.run_id.clone(),
        workflow_type: state.workflow_type.clone(),
        task_queue: state.task_queue.clone(),
        status: run.status(),
        start_time: Timestamp::from_nanos(state.start_time),
        execution_time: Timestamp::from_nanos(state.execution_time),
        close,
        parent: state
            .parent
            .as_ref()
            .map(|parent| (parent.workflow_id.clone(), parent.run_id.clone())),
        root: (state.root_workflow_id.clone(), state.root_run_id.clone()),
        memo: state.memo.clone(),
        search_attributes: state.search_attributes.clone(),
        deleted: state.deleting,
    }
}

fn config(state: &State) -> WorkflowExecutionConfig {
    WorkflowExecutionConfig {
        task_queue: Some(TaskQueue {
            name: state.task_queue.clone(),
            kind: TaskQueueKind::Normal.into(),
            ..Default::default()
        }),
        workflow_execution_timeout: span_to_proto(state.execution_timeout),
        workflow_run_timeout: state
            .tells_run_timeout
            .then(|| duration_to_proto(span(state.run_timeout))),
        default_workflow_task_timeout: span_to_proto(state.task_timeout),
        user_metadata: state.user_metadata.clone(),
    }
}

#[expect(deprecated, reason = "the stamp that tools show a worker's build by")]
fn info(run: &Run) -> WorkflowExecutionInfo {
    let state = &run.state;
    let closed = time(state.close_time);
    WorkflowExecutionInfo {
        execution: Some(execution(&state.workflow_id, &state.run_id)),
        r#type: Some(WorkflowType {
            name: state.workflow_type.clone(),
        }),
        start_time: time_to_proto(state.start_time),
        close_time: closed.map(Timestamp::to_proto),
        status: state.status,
        history_length: state.next_event_id - 1,
        parent_namespace_id: state
            .parent
            .as_ref()
            .map(|p| p.namespace_id.clone())
            .unwrap_or_default(),
        parent_execution: state
            .parent
            .as_ref()
            .map(|parent| execution(&parent.workflow_id, &parent.run_id)),
        execution_time: time_to_proto(state.execution_time),
        memo: Some(state.memo.clone().unwrap_or_default()),
        search_attributes: Some(state.search_attributes.clone().unwrap_or_default()),
        auto_reset_points: Some(state.reset_points.clone().unwrap_or_default()),
        task_queue: state.task_queue.clone(),
        state_transition_count: state.transitions,
        history_size_bytes: state.history_bytes,
        execution_duration: closed
            .map(|at| duration_to_proto(at.since(Timestamp::from_nanos(state.execution_time)))),
        root_execution: Some(execution(&state.root_workflow_id, &state.root_run_id)),
        first_run_id: state.first_run_id.clone(),
        priority: state.priority.clone(),
        versioning_info: state.tells_versioning.then(|| versioning_info(state)),
        most_recent_worker_version_stamp: (!state.last_build_id.is_empty()).then(|| WorkerVersionStamp {
            build_id: state.last_build_id.clone(),
            use_versioning: false,
        }),
        ..Default::default()
    }
}

/// Tells the override in its old form, too.
fn versioning_info(state: &State) -> WorkflowExecutionVersioningInfo {
    let versioning_override = state.versioning_override.clone().map(|mut given| {
        if matches!(given.r#override, Some(Override::AutoUpgrade(true))) {
            given.set_behavior(VersioningBehavior::AutoUpgrade);
        }
        given
    });
    WorkflowExecutionVersioningInfo {
        versioning_override,
        ..Default::default()
    }
}

fn extended_info(state: &State) -> WorkflowExecutionExtendedInfo {
    let started = RequestIdInfo {
        event_type: EventType::WorkflowExecutionStarted.into(),
        event_id: 1,
        buffered: false,
    };
    let attached = state.request_ids.iter().map(|(id, at)| {
        let info = RequestIdInfo {
            event_type: at.event_type,
            event_id: if is_real(at.event_id) { at.event_id } else { 0 },
            buffered: at.event_id == BUFFERED,
        };
        (id.clone(), info)
    });
    let created = (!state.create_request_id.is_empty()).then(|| (state.create_request_id.clone(), started));
    let original_start = if state.original_start_time != 0 {
        state.original_start_time
    } else {
        state.start_time
    };
    WorkflowExecutionExtendedInfo {
        execution_expiration_time: time_to_proto(state.execution_expiration),
        run_expiration_time: Some(time_to_proto(state.run_expiration).unwrap_or(NO_TIME)),
        cancel_requested: state.cancel_requested,
        last_reset_time: time_to_proto(state.last_reset_time),
        original_start_time: time_to_proto(original_start),
        reset_run_id: state.reset_run_id.clone(),
        request_id_infos: attached.chain(created).collect(),
        ..Default::default()
    }
}

fn pending_task(task: &WorkflowTask) -> PendingWorkflowTaskInfo {
    let state = if task.started_event_id == 0 {
        PendingWorkflowTaskState::Scheduled
    } else {
        PendingWorkflowTaskState::Started
    };
    PendingWorkflowTaskInfo {
        state: state.into(),
        scheduled_time: time_to_proto(task.scheduled_time),
        original_scheduled_time: time_to_proto(task.original_scheduled_time),
        started_time: time_to_proto(task.started_time),
        attempt: task.attempt,
    }
}

fn pending_child(child: &Child) -> PendingChildExecutionInfo {
    PendingChildExecutionInfo {
        workflow_id: child.workflow_id.clone(),
        run_id: child.started_run_id.clone(),
        workflow_type_name: child.workflow_type.clone(),
        initiated_id: child.initiated_event_id,
        parent_close_policy: child.parent_close_policy,
    }
}

fn pending_activity(activity: &Activity, ctx: &Context<'_>) -> PendingActivityInfo {
    let started = activity.started_time != 0;
    let state = if activity.cancel_requested {
        PendingActivityState::CancelRequested
    } else if started {
        PendingActivityState::Started
    } else {
        PendingActivityState::Scheduled
    };
    let identity = if started {
        &activity.started_identity
    } else {
        &activity.last_worker_identity
    };
    let waits = activity.backing_off && activity.scheduled_time > ctx.now.nanos();
    PendingActivityInfo {
        activity_id: activity.activity_id.clone(),
        activity_type: Some(ActivityType {
            name: activity.activity_type.clone(),
        }),
        state: state.into(),
        heartbeat_details: activity.heartbeat_details.clone(),
        last_heartbeat_time: time_to_proto(activity.heartbeat_time),
        last_started_time: time_to_proto(activity.started_time),
        attempt: activity.attempt,
        maximum_attempts: activity
            .retry_policy
            .as_ref()
            .map_or(0, |policy| policy.maximum_attempts),
        scheduled_time: time_to_proto(activity.scheduled_time),
        expiration_time: time_to_proto(activity.expiration),
        last_failure: activity.last_failure.clone(),
        last_worker_identity: identity.clone(),
        current_retry_interval: if waits {
            span_to_proto(activity.retry_interval)
        } else {
            None
        },
        last_attempt_complete_time: time_to_proto(activity.last_attempt_complete_time),
        next_attempt_schedule_time: if waits {
            time_to_proto(activity.scheduled_time)
        } else {
            None
        },
        priority: activity.priority.clone(),
        activity_options: Some(activity_options(activity)),
        ..Default::default()
    }
}

fn activity_options(activity: &Activity) -> ActivityOptions {
    let spans = |nanos| Some(duration_to_proto(span(nanos)));
    ActivityOptions {
        task_queue: Some(TaskQueue {
            name: activity.task_queue.clone(),
            normal_name: activity.task_queue.clone(),
            ..Default::default()
        }),
        schedule_to_close_timeout: spans(activity.schedule_to_close_timeout),
        schedule_to_start_timeout: spans(activity.schedule_to_start_timeout),
        start_to_close_timeout: spans(activity.start_to_close_timeout),
        heartbeat_timeout: spans(activity.heartbeat_timeout),
        // Which errors are not retried is no option that could be changed.
        retry_policy: activity.retry_policy.clone().map(|policy| RetryPolicy {
            non_retryable_error_types: Vec::new(),
            ..policy
        }),
        priority: activity.priority.clone(),
        ..Default::default()
    }
}

fn execution(workflow_id: &str, run_id: &str) -> WorkflowExecution {
    WorkflowExecution {
        workflow_id: workflow_id.to_owned(),
        run_id: run_id.to_owned(),
    }
}

fn time_to_proto(nanos: i64) -> Option<prost_types::Timestamp> {
    time(nanos).map(Timestamp::to_proto)
}

fn span_to_proto(nanos: i64) -> Option<prost_types::Duration> {
    (nanos > 0).then(|| duration_to_proto(span(nanos)))
}

/// How the official server writes a run's expiration where it has none: the first moment of the first year.
const NO_TIME: prost_types::Timestamp = prost_types::Timestamp {
    seconds: -62_135_596_800,
    nanos: 0,
};

/// A reader of the history is not told who has a task that is not in it yet.
fn anonymous(mut events: Vec<HistoryEvent>) -> Vec<HistoryEvent> {
    for event in &mut events {
        if let Some(Attributes::WorkflowTaskStartedEventAttributes(a)) = &mut event.attributes {
            a.identity.clear();
        }
    }
    events
}
