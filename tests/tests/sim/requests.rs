//! What simulated clients and workers ask.

use std::time::Duration;

use engine::{
    outcome::{StartedActivity, StartedWorkflowTask},
    trigger::{
        ActivityRef, BeginTask, CompleteWorkflowTask, Signal, Start, StartWith, StartWorkflow, TaskRef,
        Trigger,
    },
};
use matching::ticket::Ticket;
use proto::{
    ids::{QueueKey, TaskKind, WorkflowKey},
    temporal::{command::v1::Command, enums::v1::CommandType},
};
use shard::input::{Request, RunTarget};

use crate::world::NAMESPACE;

const QUEUE: &str = "orders";

pub(crate) fn key(id: &str) -> WorkflowKey {
    WorkflowKey {
        namespace_id: NAMESPACE,
        workflow_id: id.into(),
    }
}

/// The newest run of the workflow.
pub(crate) fn newest(id: &str) -> RunTarget {
    RunTarget {
        workflow: key(id),
        run_id: None,
    }
}

pub(crate) fn queue(kind: TaskKind) -> QueueKey {
    QueueKey {
        namespace_id: NAMESPACE,
        kind,
        sticky: false,
        name: QUEUE.into(),
    }
}

pub(crate) fn start(id: &str) -> Request {
    let workflow = StartWorkflow {
        namespace_id: NAMESPACE.to_string(),
        workflow_id: id.to_owned(),
        workflow_type: "order".to_owned(),
        task_queue: QUEUE.to_owned(),
        task_timeout: Duration::from_secs(10),
        request_id: format!("start-{id}"),
        ..Default::default()
    };
    Request::Start(Start {
        workflow: Box::new(workflow),
        with: StartWith::Nothing,
    })
}

pub(crate) fn signal(request_id: &str) -> Request {
    let signal = Signal {
        name: "go".to_owned(),
        request_id: request_id.to_owned(),
        ..Default::default()
    };
    Request::Step(Trigger::Signal(Box::new(signal)))
}

/// Takes the task of a ticket.
pub(crate) fn begin(kind: TaskKind, ticket: &Ticket, request_id: String) -> Request {
    let begin = Box::new(BeginTask {
        scheduled_event_id: ticket.scheduled_event_id,
        attempt: ticket.attempt,
        queue: QUEUE.to_owned(),
        identity: "worker".to_owned(),
        request_id,
        ..Default::default()
    });
    Request::Step(match kind {
        TaskKind::Workflow => Trigger::BeginWorkflowTask(begin),
        TaskKind::Activity => Trigger::BeginActivity(begin),
    })
}

pub(crate) fn complete(task: &StartedWorkflowTask, commands: Vec<Command>) -> Request {
    let done = CompleteWorkflowTask {
        task: TaskRef {
            scheduled_event_id: task.scheduled_event_id,
            started_event_id: task.started_event_id,
            started_time: task.started_time,
            attempt: task.attempt,
        },
        commands,
        ..Default::default()
    };
    Request::Step(Trigger::CompleteWorkflowTask(Box::new(done)))
}

pub(crate) fn activity_done(activity: &StartedActivity) -> Request {
    Request::Step(Trigger::CompleteActivity {
        activity: ActivityRef::Token {
            scheduled_event_id: activity.scheduled_event_id,
            attempt: activity.attempt,
            started_time: activity.started_time,
        },
        result: None,
        identity: "worker".to_owned(),
    })
}

/// Tells whether the commands end the workflow.
pub(crate) fn is_end(commands: &[Command]) -> bool {
    let first = commands.first().map(Command::command_type);
    first == Some(CommandType::CompleteWorkflowExecution)
}
