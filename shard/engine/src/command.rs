//! A worker's commands inside a completed workflow task: first all are checked, then each emits its events.

mod activity;
mod close;
mod continue_as_new;
mod external;
mod marker;
mod properties;
pub(crate) mod spans;
mod start_child;
mod timer;

use std::collections::{BTreeMap, BTreeSet};

use proto::temporal::{
    command::v1::{Command, command::Attributes},
    common::v1::Payloads,
    enums::v1::{CommandType, WorkflowTaskFailedCause},
    failure::v1::Failure,
    protocol::v1::Message as ProtocolMessage,
    sdk::v1::UserMetadata,
};

use crate::{
    outcome::{Rejection, StartedActivity},
    run::Run,
    trigger::Context,
    tx::Tx,
};

/// Why a command fails the workflow task that carries it.
#[derive(Debug)]
pub(crate) struct Invalid {
    pub(crate) cause: WorkflowTaskFailedCause,
    pub(crate) message: String,
    /// The run is terminated too: the worker would send the same again for ever.
    pub(crate) terminate: bool,
}

impl Invalid {
    pub(crate) fn new(cause: WorkflowTaskFailedCause, message: impl Into<String>) -> Self {
        Self {
            cause,
            message: message.into(),
            terminate: false,
        }
    }
}

/// What the commands checked so far will have done to the run.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) timers_started: BTreeSet<String>,
    pub(crate) timers_canceled: BTreeSet<String>,
    pub(crate) activities: BTreeSet<String>,
    /// By the id of the scheduled event.
    pub(crate) activities_canceled: BTreeSet<i64>,
    pub(crate) children: BTreeSet<String>,
    pub(crate) children_started: usize,
    pub(crate) signals: usize,
    pub(crate) cancels: usize,
}

/// What comes of a completed workflow task's commands.
#[derive(Default)]
pub(crate) struct Applied {
    /// Activities that the worker is handed at once.
    pub(crate) eager: Vec<StartedActivity>,
    /// A workflow task is needed: a command had an answer at once.
    pub(crate) needs_task: bool,
    pub(crate) messages: BTreeMap<String, ProtocolMessage>,
}

/// One command's event: what it is derived from beside its attributes.
pub(crate) struct Origin {
    pub(crate) metadata: Option<UserMetadata>,
    pub(crate) completed_event_id: i64,
    /// The worker's.
    pub(crate) identity: String,
}

/// Refuses a batch that cannot be meant: the task stays as it is and times out (reference 2.4).
pub(crate) fn check_sequence(commands: &[Command]) -> Result<(), Rejection> {
    for (index, command) in commands.iter().enumerate() {
        let kind = command.command_type();
        if kind == CommandType::Unspecified {
            let shown = match command.command_type {
                0 => "Unspecified".to_owned(),
                number => number.to_string(),
            };
            return Err(Rejection::InvalidArgument(format!(
                "unknown command type: {shown}"
            )));
        }
        if is_close(kind) && index + 1 != commands.len() {
            return Err(Rejection::InvalidArgument(format!(
                "invalid command sequence: [{}], command {} must be the last command.",
                commands
                    .iter()
                    .map(|c| name(c.command_type()))
                    .collect::<Vec<_>>()
                    .join(", "),
                name(kind),
            )));
        }
    }
    Ok(())
}

/// Returns the command type as the official server prints it.
fn name(kind: CommandType) -> String {
    kind.as_str_name()
        .trim_start_matches("COMMAND_TYPE_")
        .split('_')
        .map(|word| {
            let (head, tail) = word.split_at(1.min(word.len()));
            format!("{head}{}", tail.to_ascii_lowercase())
        })
        .collect()
}

pub(crate) fn is_close(kind: CommandType) -> bool {
    matches!(
        kind,
        CommandType::CompleteWorkflowExecution
            | CommandType::FailWorkflowExecution
            | CommandType::CancelWorkflowExecution
            | CommandType::ContinueAsNewWorkflowExecution
    )
}

/// Checks a command against the run and the commands before it.
pub(crate) fn check(run: &Run, ctx: &Context<'_>, command: &Command, seen: &mut Seen) -> Result<(), Invalid> {
    let Some(attributes) = command.attributes.as_ref() else {
        return Err(without_attributes(command.command_type()));
    };
    match attributes {
        Attributes::ScheduleActivityTaskCommandAttributes(a) => activity::check_schedule(run, ctx, a, seen),
        Attributes::RequestCancelActivityTaskCommandAttributes(a) => activity::check_cancel(run, a, seen),
        Attributes::StartTimerCommandAttributes(a) => timer::check_start(run, ctx, a, seen),
        Attributes::CancelTimerCommandAttributes(a) => timer::check_cancel(run, ctx, a, seen),
        Attributes::RecordMarkerCommandAttributes(a) => marker::check(ctx, a),
        Attributes::UpsertWorkflowSearchAttributesCommandAttributes(a) => properties::check_search(a),
        Attributes::ModifyWorkflowPropertiesCommandAttributes(a) => properties::check_memo(run, ctx, a),
        Attributes::StartChildWorkflowExecutionCommandAttributes(a) => start_child::check(run, ctx, a, seen),
        Attributes::SignalExternalWorkflowExecutionCommandAttributes(a) => {
            external::check_signal(run, ctx, a, seen)
        }
        Attributes::RequestCancelExternalWorkflowExecutionCommandAttributes(a) => {
            external::check_cancel(run, ctx, a, seen)
        }
        Attributes::CompleteWorkflowExecutionCommandAttributes(a) => close::check_complete(ctx, a),
        Attributes::FailWorkflowExecutionCommandAttributes(a) => close::check_fail(ctx, a),
        Attributes::CancelWorkflowExecutionCommandAttributes(a) => close::check_cancel(ctx, a),
        Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(a) => continue_as_new::check(run, ctx, a),
        Attributes::ProtocolMessageCommandAttributes(a) => {
            if a.message_id.is_empty() {
                return Err(Invalid::new(
                    WorkflowTaskFailedCause::BadUpdateWorkflowExecutionMessage,
                    "MessageID is not set on ProtocolMessageCommand.",
                ));
            }
            Ok(())
        }
        Attributes::ScheduleNexusOperationCommandAttributes(_)
        | Attributes::RequestCancelNexusOperationCommandAttributes(_) => Err(Invalid::new(
            WorkflowTaskFailedCause::FeatureDisabled,
            "Nexus operations are disabled on this server",
        )),
    }
}

/// What is said of a command that names its type only.
fn without_attributes(kind: CommandType) -> Invalid {
    use WorkflowTaskFailedCause as Cause;
    let cause = match kind {
        CommandType::ScheduleActivityTask => Cause::BadScheduleActivityAttributes,
        CommandType::RequestCancelActivityTask => Cause::BadRequestCancelActivityAttributes,
        CommandType::StartTimer => Cause::BadStartTimerAttributes,
        CommandType::CancelTimer => Cause::BadCancelTimerAttributes,
        CommandType::RecordMarker => Cause::BadRecordMarkerAttributes,
        CommandType::CompleteWorkflowExecution => Cause::BadCompleteWorkflowExecutionAttributes,
        CommandType::FailWorkflowExecution => Cause::BadFailWorkflowExecutionAttributes,
        CommandType::CancelWorkflowExecution => Cause::BadCancelWorkflowExecutionAttributes,
        CommandType::ContinueAsNewWorkflowExecution => Cause::BadContinueAsNewAttributes,
        CommandType::StartChildWorkflowExecution => Cause::BadStartChildExecutionAttributes,
        CommandType::SignalExternalWorkflowExecution => Cause::BadSignalWorkflowExecutionAttributes,
        CommandType::RequestCancelExternalWorkflowExecution => {
            Cause::BadRequestCancelExternalWorkflowExecutionAttributes
        }
        CommandType::UpsertWorkflowSearchAttributes => Cause::BadSearchAttributes,
        CommandType::ModifyWorkflowProperties => Cause::BadModifyWorkflowPropertiesAttributes,
        CommandType::ProtocolMessage => Cause::BadUpdateWorkflowExecutionMessage,
        CommandType::ScheduleNexusOperation
        | CommandType::RequestCancelNexusOperation
        | CommandType::Unspecified => Cause::FeatureDisabled,
    };
    let kind = name(kind);
    Invalid::new(
        cause,
        format!("{kind}CommandAttributes is not set on {kind}Command."),
    )
}

/// Lets a checked command take effect.
pub(crate) fn apply(
    tx: &mut Tx<'_>,
    command: Command,
    completed_event_id: i64,
    identity: &str,
    applied: &mut Applied,
) {
    let origin = Origin {
        metadata: command.user_metadata,
        completed_event_id,
        identity: identity.to_owned(),
    };
    let Some(attributes) = command.attributes else {
        return;
    };
    tx.markers = command.event_group_markers;
    apply_attributes(tx, attributes, origin, applied);
    tx.markers.clear();
}

fn apply_attributes(tx: &mut Tx<'_>, attributes: Attributes, origin: Origin, applied: &mut Applied) {
    let completed_event_id = origin.completed_event_id;
    match attributes {
        Attributes::ScheduleActivityTaskCommandAttributes(a) => activity::schedule(tx, *a, origin, applied),
        Attributes::RequestCancelActivityTaskCommandAttributes(a) => {
            activity::cancel(tx, &a, &origin, applied)
        }
        Attributes::StartTimerCommandAttributes(a) => timer::start(tx, *a, origin),
        Attributes::CancelTimerCommandAttributes(a) => timer::cancel(tx, *a, origin),
        Attributes::RecordMarkerCommandAttributes(a) => marker::record(tx, *a, origin),
        Attributes::UpsertWorkflowSearchAttributesCommandAttributes(a) => {
            properties::upsert_search(tx, *a, origin)
        }
        Attributes::ModifyWorkflowPropertiesCommandAttributes(a) => properties::modify_memo(tx, *a, origin),
        Attributes::StartChildWorkflowExecutionCommandAttributes(a) => start_child::start(tx, *a, origin),
        Attributes::SignalExternalWorkflowExecutionCommandAttributes(a) => external::signal(tx, *a, origin),
        Attributes::RequestCancelExternalWorkflowExecutionCommandAttributes(a) => {
            external::cancel(tx, *a, origin);
        }
        Attributes::CompleteWorkflowExecutionCommandAttributes(a) => close::complete(tx, *a, origin),
        Attributes::FailWorkflowExecutionCommandAttributes(a) => close::fail(tx, *a, origin),
        Attributes::CancelWorkflowExecutionCommandAttributes(a) => close::cancel(tx, *a, origin),
        Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(a) => {
            continue_as_new::continue_as_new(tx, *a, origin);
        }
        Attributes::ProtocolMessageCommandAttributes(a) => {
            if let Some(message) = applied.messages.remove(&a.message_id) {
                crate::update::worker_message(tx, message, completed_event_id);
            }
        }
        Attributes::ScheduleNexusOperationCommandAttributes(_)
        | Attributes::RequestCancelNexusOperationCommandAttributes(_) => {}
    }
}

/// Returns how many bytes the payloads take, as limits count them.
pub(crate) fn payloads_size(payloads: Option<&Payloads>) -> usize {
    payloads.map_or(0, prost::Message::encoded_len)
}

pub(crate) fn failure_size(failure: Option<&Failure>) -> usize {
    failure.map_or(0, prost::Message::encoded_len)
}

/// Refuses a payload beyond the limit; the run is terminated, since its worker would send the same again.
pub(crate) fn check_blob(
    ctx: &Context<'_>,
    size: usize,
    cause: WorkflowTaskFailedCause,
    message: &str,
) -> Result<(), Invalid> {
    if size <= ctx.limits.blob_bytes {
        return Ok(());
    }
    Err(Invalid {
        cause,
        message: message.to_owned(),
        terminate: true,
    })
}
