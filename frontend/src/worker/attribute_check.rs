//! Search attributes in a worker's commands. The engine knows no schema, so they are checked here; bad ones fail
//! the workflow task (reference 2.4).

use engine::trigger::{FailWorkflowTask, Terminate, Trigger};
use proto::temporal::{
    command::v1::{Command, command::Attributes},
    common::v1::SearchAttributes,
    enums::v1::WorkflowTaskFailedCause as Cause,
    failure::v1::{Failure, ServerFailureInfo, failure::FailureInfo},
};

use super::{complete_workflow_task::task_ref, task_token::Task};
use crate::{
    error::Error,
    frontend::Frontend,
    namespace::Namespace,
    validate::attributes::{self, Problem},
};

/// Who ends a workflow that its worker cannot go on with.
const SERVER_IDENTITY: &str = "history-service";

/// Why a completed workflow task fails.
pub(super) struct BadAttributes {
    cause: Cause,
    message: String,
    /// They are too large, which ends the workflow.
    is_size: bool,
}

pub(super) fn check(namespace: &Namespace, commands: &[Command]) -> Result<(), BadAttributes> {
    commands.iter().try_for_each(|command| {
        let Some((attributes, cause)) = command.attributes.as_ref().and_then(of_command) else {
            return Ok(());
        };
        attributes::find_problem(namespace, attributes).map_err(|problem| match problem {
            Problem::Size(message) => BadAttributes {
                cause,
                message,
                is_size: true,
            },
            Problem::Invalid(message) => BadAttributes {
                cause: Cause::BadSearchAttributes,
                message: told_of(namespace, command, message),
                is_size: false,
            },
            Problem::Unknown(message) => BadAttributes {
                cause: Cause::BadSearchAttributes,
                message,
                is_size: false,
            },
        })
    })
}

/// Says which run the attributes were meant for, where it is not the one that sends them.
fn told_of(namespace: &Namespace, command: &Command, problem: String) -> String {
    match command.attributes.as_ref() {
        Some(Attributes::StartChildWorkflowExecutionCommandAttributes(a)) => {
            let kind = a.workflow_type.as_ref().map_or("", |kind| &kind.name);
            let (id, namespace) = (&a.workflow_id, namespace.name());
            format!(
                "invalid SearchAttributes on StartChildWorkflowCommand: {problem}. WorkflowId={id} \
                 WorkflowType={kind} Namespace={namespace}"
            )
        }
        Some(Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(a)) => {
            let kind = a.workflow_type.as_ref().map_or("", |kind| &kind.name);
            let queue = a.task_queue.as_ref().map_or("", |queue| &queue.name);
            format!(
                "invalid SearchAttributes on ContinueAsNewWorkflowExecutionCommand: {problem}. WorkflowType={kind} \
                 TaskQueue=name:\"{queue}\"  kind:TASK_QUEUE_KIND_NORMAL"
            )
        }
        Some(_) | None => problem,
    }
}

/// Returns the command's search attributes, and the cause of the failure if they are too large.
fn of_command(attributes: &Attributes) -> Option<(&SearchAttributes, Cause)> {
    match attributes {
        Attributes::UpsertWorkflowSearchAttributesCommandAttributes(a) => {
            Some((a.search_attributes.as_ref()?, Cause::BadSearchAttributes))
        }
        Attributes::StartChildWorkflowExecutionCommandAttributes(a) => Some((
            a.search_attributes.as_ref()?,
            Cause::BadStartChildExecutionAttributes,
        )),
        Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(a) => {
            Some((a.search_attributes.as_ref()?, Cause::BadContinueAsNewAttributes))
        }
        _ => None,
    }
}

/// Fails the workflow task and returns what its worker is told.
pub(super) async fn refuse(frontend: &Frontend, task: &Task, identity: String, bad: BadAttributes) -> Error {
    let message = format!("{}: {}", cause_name(bad.cause), bad.message);
    let is_size = bad.is_size;
    // From the second attempt on nothing is written: the task times out, which spaces the attempts out.
    if task.token.attempt <= 1 || is_size {
        let fail = FailWorkflowTask {
            task: task_ref(&task.token),
            cause: bad.cause,
            failure: Some(Failure {
                message: message.clone(),
                failure_info: Some(FailureInfo::ServerFailureInfo(ServerFailureInfo::default())),
                ..Default::default()
            }),
            identity,
            ..Default::default()
        };
        if let Err(error) = frontend
            .ask(&task.target, Trigger::FailWorkflowTask(Box::new(fail)))
            .await
        {
            return error;
        }
    }
    if is_size {
        // Its worker would send the same again.
        let terminate = Terminate {
            reason: message.clone(),
            identity: SERVER_IDENTITY.to_owned(),
            ..Default::default()
        };
        if let Err(error) = frontend
            .ask(&task.target, Trigger::Terminate(Box::new(terminate)))
            .await
        {
            return error;
        }
    }
    Error::InvalidArgument(message)
}

/// Returns the cause as messages name it.
fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::BadStartChildExecutionAttributes => "BadStartChildExecutionAttributes",
        Cause::BadContinueAsNewAttributes => "BadContinueAsNewAttributes",
        _ => "BadSearchAttributes",
    }
}
