//! Makes commands and protocol messages. Pure.

use std::time::Duration;

use prost::Message as _;
use proto::temporal::{
    command::v1::{
        Command, CompleteWorkflowExecutionCommandAttributes, ContinueAsNewWorkflowExecutionCommandAttributes,
        FailWorkflowExecutionCommandAttributes, ProtocolMessageCommandAttributes,
        ScheduleActivityTaskCommandAttributes, StartChildWorkflowExecutionCommandAttributes,
        StartTimerCommandAttributes, command::Attributes,
    },
    common::v1::{ActivityType, RetryPolicy, WorkflowType},
    enums::v1::CommandType,
    failure::v1::{ApplicationFailureInfo, Failure, failure::FailureInfo},
    protocol::v1::{Message, message::SequencingId},
    taskqueue::v1::TaskQueue,
    update::v1::{Acceptance, Meta, Outcome, Request, Response, outcome::Value},
};

use crate::{
    client::{QUEUE, payloads},
    kind::Kind,
};

/// Short: tasks that were on their way to a worker when the server died come again after it.
pub(crate) const WORKFLOW_TASK_TIMEOUT: Duration = Duration::from_secs(2);
const ACTIVITY_TIMEOUT: Duration = Duration::from_secs(2);
const ACTIVITY_RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// The activity type that always fails, and how often it is tried.
pub(crate) const DOOMED: &str = "doomed";
const DOOMED_ATTEMPTS: i32 = 2;
/// The activity type that fails first, for some activities.
const FLAKY: &str = "flaky";

pub(crate) fn activity(activity_id: &str, doomed: bool) -> Command {
    let attributes = ScheduleActivityTaskCommandAttributes {
        activity_id: activity_id.to_owned(),
        activity_type: Some(ActivityType {
            name: if doomed { DOOMED } else { FLAKY }.to_owned(),
        }),
        task_queue: Some(queue()),
        start_to_close_timeout: Some(wire(ACTIVITY_TIMEOUT)),
        retry_policy: Some(RetryPolicy {
            initial_interval: Some(wire(ACTIVITY_RETRY_INTERVAL)),
            backoff_coefficient: 1.0,
            maximum_attempts: if doomed { DOOMED_ATTEMPTS } else { 0 },
            ..Default::default()
        }),
        ..Default::default()
    };
    command(
        CommandType::ScheduleActivityTask,
        Attributes::ScheduleActivityTaskCommandAttributes(Box::new(attributes)),
    )
}

pub(crate) fn timer(timer_id: &str, after: Duration) -> Command {
    let attributes = StartTimerCommandAttributes {
        timer_id: timer_id.to_owned(),
        start_to_fire_timeout: Some(wire(after)),
    };
    command(
        CommandType::StartTimer,
        Attributes::StartTimerCommandAttributes(Box::new(attributes)),
    )
}

pub(crate) fn child(workflow_id: &str) -> Command {
    let attributes = StartChildWorkflowExecutionCommandAttributes {
        workflow_id: workflow_id.to_owned(),
        workflow_type: Some(workflow_type(Kind::Leaf)),
        task_queue: Some(queue()),
        workflow_task_timeout: Some(wire(WORKFLOW_TASK_TIMEOUT)),
        ..Default::default()
    };
    command(
        CommandType::StartChildWorkflowExecution,
        Attributes::StartChildWorkflowExecutionCommandAttributes(Box::new(attributes)),
    )
}

pub(crate) fn continue_as_new(kind: Kind, input: &str) -> Command {
    let attributes = ContinueAsNewWorkflowExecutionCommandAttributes {
        workflow_type: Some(workflow_type(kind)),
        task_queue: Some(queue()),
        input: Some(payloads(input)),
        workflow_task_timeout: Some(wire(WORKFLOW_TASK_TIMEOUT)),
        ..Default::default()
    };
    command(
        CommandType::ContinueAsNewWorkflowExecution,
        Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(Box::new(attributes)),
    )
}

pub(crate) fn complete(result: &str) -> Command {
    let attributes = CompleteWorkflowExecutionCommandAttributes {
        result: Some(payloads(result)),
    };
    command(
        CommandType::CompleteWorkflowExecution,
        Attributes::CompleteWorkflowExecutionCommandAttributes(Box::new(attributes)),
    )
}

pub(crate) fn fail() -> Command {
    let attributes = FailWorkflowExecutionCommandAttributes {
        failure: Some(failure("activity lost")),
    };
    command(
        CommandType::FailWorkflowExecution,
        Attributes::FailWorkflowExecutionCommandAttributes(Box::new(attributes)),
    )
}

pub(crate) fn cancel() -> Command {
    command(
        CommandType::CancelWorkflowExecution,
        Attributes::CancelWorkflowExecutionCommandAttributes(Box::default()),
    )
}

/// Accepts the update that the message asks for.
pub(crate) fn accept(message: &Message, request: Request) -> (Command, Message) {
    let sequencing_event_id = match message.sequencing_id {
        Some(SequencingId::EventId(event_id)) => event_id,
        _ => 0,
    };
    let acceptance = Acceptance {
        accepted_request_message_id: message.id.clone(),
        accepted_request_sequencing_event_id: sequencing_event_id,
        accepted_request: Some(request),
    };
    protocol("Acceptance", &message.protocol_instance_id, &acceptance)
}

/// Gives an accepted update its outcome.
pub(crate) fn respond(update_id: &str, outcome: &str) -> (Command, Message) {
    let response = Response {
        meta: Some(Meta {
            update_id: update_id.to_owned(),
            ..Default::default()
        }),
        outcome: Some(Outcome {
            value: Some(Value::Success(payloads(outcome))),
        }),
    };
    protocol("Response", update_id, &response)
}

/// A message of an update, and the command that gives it its place.
fn protocol(name: &str, update_id: &str, body: &impl prost::Message) -> (Command, Message) {
    let id = format!("{update_id}/{name}");
    let attributes = ProtocolMessageCommandAttributes {
        message_id: id.clone(),
    };
    let message = Message {
        id,
        protocol_instance_id: update_id.to_owned(),
        body: Some(prost_types::Any {
            type_url: format!("type.googleapis.com/temporal.api.update.v1.{name}"),
            value: body.encode_to_vec(),
        }),
        sequencing_id: None,
    };
    let command = command(
        CommandType::ProtocolMessage,
        Attributes::ProtocolMessageCommandAttributes(Box::new(attributes)),
    );
    (command, message)
}

/// The update request in a message, if it is one.
pub(crate) fn update_request(message: &Message) -> Option<Request> {
    let body = message.body.as_ref()?;
    body.type_url
        .ends_with("update.v1.Request")
        .then(|| Request::decode(&body.value[..]).ok())
        .flatten()
}

pub(crate) fn failure(text: &str) -> Failure {
    Failure {
        message: text.to_owned(),
        failure_info: Some(FailureInfo::ApplicationFailureInfo(
            ApplicationFailureInfo::default(),
        )),
        ..Default::default()
    }
}

pub(crate) fn queue() -> TaskQueue {
    TaskQueue {
        name: QUEUE.to_owned(),
        ..Default::default()
    }
}

pub(crate) fn workflow_type(kind: Kind) -> WorkflowType {
    WorkflowType {
        name: kind.name().to_owned(),
    }
}

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
