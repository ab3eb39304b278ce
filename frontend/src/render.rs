//! Rendering that several RPCs share: what the shards answer, as the API says it.

pub(crate) mod activity_task;
pub(crate) mod events;
pub(crate) mod execution;
pub(crate) mod links;
pub(crate) mod update;
pub(crate) mod workflow_task;

use proto::{
    temporal::{
        common::v1::WorkflowType,
        enums::v1::TaskQueueKind,
        taskqueue::v1::{PollerScalingDecision, TaskQueue},
    },
    time::{Timestamp, duration_to_proto},
};

/// Nanoseconds since the epoch; zero is "not set".
pub(crate) fn time(nanos: i64) -> Option<prost_types::Timestamp> {
    (nanos != 0).then(|| Timestamp::from_nanos(nanos).to_proto())
}

/// A span in nanoseconds, zero included.
pub(crate) fn span(nanos: i64) -> Option<prost_types::Duration> {
    Some(duration_to_proto(engine::state::span(nanos)))
}

pub(crate) fn workflow_type(name: String) -> Option<WorkflowType> {
    Some(WorkflowType { name })
}

pub(crate) fn normal_queue(name: String) -> Option<TaskQueue> {
    Some(TaskQueue {
        name,
        kind: TaskQueueKind::Normal.into(),
        normal_name: String::new(),
    })
}

pub(crate) fn scaling(delta: Option<i32>) -> Option<PollerScalingDecision> {
    delta.map(|poll_request_delta_suggestion| PollerScalingDecision {
        poll_request_delta_suggestion,
    })
}
