//! Makes the commands that the load's workflows send. Pure.

use std::time::Duration;

use proto::temporal::{
    command::v1::{
        Command, CompleteWorkflowExecutionCommandAttributes, ContinueAsNewWorkflowExecutionCommandAttributes,
        ProtocolMessageCommandAttributes, RecordMarkerCommandAttributes,
        ScheduleActivityTaskCommandAttributes, StartChildWorkflowExecutionCommandAttributes,
        StartTimerCommandAttributes, command::Attributes,
    },
    common::v1::{ActivityType, Payloads, WorkflowType},
    enums::v1::{CommandType, TaskQueueKind},
    taskqueue::v1::TaskQueue,
};

/// Long enough that only a lost activity runs into it.
const ACTIVITY_START_TO_CLOSE_S: u64 = 60;

pub(crate) fn complete(result: Payloads) -> Command {
    let attributes = CompleteWorkflowExecutionCommandAttributes { result: Some(result) };
    command(
        CommandType::CompleteWorkflowExecution,
        Attributes::CompleteWorkflowExecutionCommandAttributes(Box::new(attributes)),
    )
}

pub(crate) fn schedule_activity(activity_id: String, queue: &str, input: Payloads, eager: bool) -> Command {
    let attributes = ScheduleActivityTaskCommandAttributes {
        activity_id,
        activity_type: Some(ActivityType {
            name: "echo".to_owned(),
        }),
        task_queue: Some(task_queue(queue)),
        input: Some(input),
        start_to_close_timeout: Some(wire(Duration::from_secs(ACTIVITY_START_TO_CLOSE_S))),
        request_eager_execution: eager,
        ..Default::default()
    };
    command(
        CommandType::ScheduleActivityTask,
        Attributes::ScheduleActivityTaskCommandAttributes(Box::new(attributes)),
    )
}

pub(crate) fn start_timer(timer_id: String, after: Duration) -> Command {
    let attributes = StartTimerCommandAttributes {
        timer_id,
        start_to_fire_timeout: Some(wire(after)),
    };
    command(
        CommandType::StartTimer,
        Attributes::StartTimerCommandAttributes(Box::new(attributes)),
    )
}

pub(crate) fn start_child(workflow_id: String, queue: &str, input: Payloads) -> Command {
    let attributes = StartChildWorkflowExecutionCommandAttributes {
        workflow_id,
        workflow_type: Some(WorkflowType {
            name: "noop".to_owned(),
        }),
        task_queue: Some(task_queue(queue)),
        input: Some(input),
        ..Default::default()
    };
    command(
        CommandType::StartChildWorkflowExecution,
        Attributes::StartChildWorkflowExecutionCommandAttributes(Box::new(attributes)),
    )
}

pub(crate) fn continue_as_new(type_name: String, queue: &str, input: Payloads) -> Command {
    let attributes = ContinueAsNewWorkflowExecutionCommandAttributes {
        workflow_type: Some(WorkflowType { name: type_name }),
        task_queue: Some(task_queue(queue)),
        input: Some(input),
        ..Default::default()
    };
    command(
        CommandType::ContinueAsNewWorkflowExecution,
        Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(Box::new(attributes)),
    )
}

pub(crate) fn record_marker(details: Payloads) -> Command {
    let attributes = RecordMarkerCommandAttributes {
        marker_name: "load".to_owned(),
        details: [("data".to_owned(), details)].into(),
        ..Default::default()
    };
    command(
        CommandType::RecordMarker,
        Attributes::RecordMarkerCommandAttributes(Box::new(attributes)),
    )
}

/// Gives a protocol message its place among the commands.
pub(crate) fn protocol_message(message_id: String) -> Command {
    let attributes = ProtocolMessageCommandAttributes { message_id };
    command(
        CommandType::ProtocolMessage,
        Attributes::ProtocolMessageCommandAttributes(Box::new(attributes)),
    )
}

/// A queue that is not sticky.
pub(crate) fn task_queue(name: &str) -> TaskQueue {
    TaskQueue {
        name: name.to_owned(),
        kind: TaskQueueKind::Normal.into(),
        normal_name: String::new(),
    }
}

/// The wire form; the load's durations all fit.
pub(crate) fn wire(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: duration.subsec_nanos().cast_signed(),
    }
}

fn command(command_type: CommandType, attributes: Attributes) -> Command {
    Command {
        command_type: command_type.into(),
        attributes: Some(attributes),
        ..Default::default()
    }
}
