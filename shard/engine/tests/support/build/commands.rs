//! A worker's commands.

use std::time::Duration;

use proto::{
    temporal::{
        command::v1::{
            CancelTimerCommandAttributes, CancelWorkflowExecutionCommandAttributes, Command,
            CompleteWorkflowExecutionCommandAttributes, ContinueAsNewWorkflowExecutionCommandAttributes,
            FailWorkflowExecutionCommandAttributes, ModifyWorkflowPropertiesCommandAttributes,
            ProtocolMessageCommandAttributes, RecordMarkerCommandAttributes,
            RequestCancelActivityTaskCommandAttributes,
            RequestCancelExternalWorkflowExecutionCommandAttributes, ScheduleActivityTaskCommandAttributes,
            SignalExternalWorkflowExecutionCommandAttributes, StartChildWorkflowExecutionCommandAttributes,
            StartTimerCommandAttributes, UpsertWorkflowSearchAttributesCommandAttributes,
            command::Attributes,
        },
        common::v1::{ActivityType, Memo, SearchAttributes, WorkflowExecution, WorkflowType},
        enums::v1::{CommandType, ParentClosePolicy},
    },
    time::duration_to_proto,
};

use super::{Words, failure, fields, payloads, queue, retry, span};

/// Makes a worker's command. Messages have commands of their own, but for rejections.
pub fn command(words: &Words) -> Option<Command> {
    if words.word(0) == "reject" {
        return None;
    }
    let made = activity(words)
        .or_else(|| timer_or_note(words))
        .or_else(|| other_workflow(words))
        .or_else(|| closing(words))
        .or_else(|| message(words));
    let Some((kind, attributes)) = made else {
        panic!("no command is called {:?}", words.word(0))
    };
    Some(Command {
        command_type: kind.into(),
        attributes: Some(attributes),
        ..Command::default()
    })
}

/// Activities.
fn activity(words: &Words) -> Option<(CommandType, Attributes)> {
    let timeout = |key: &str| words.get(key).map(|text| duration_to_proto(span(text)));
    Some(match words.word(0) {
        "activity" => (
            CommandType::ScheduleActivityTask,
            Attributes::ScheduleActivityTaskCommandAttributes(Box::new(
                ScheduleActivityTaskCommandAttributes {
                    activity_id: words.word(1).to_owned(),
                    activity_type: Some(ActivityType {
                        name: "Work".to_owned(),
                    }),
                    task_queue: queue(words.get("queue").unwrap_or("main")),
                    input: payloads(&words.text("input")),
                    schedule_to_close_timeout: timeout("schedule-to-close"),
                    schedule_to_start_timeout: timeout("schedule-to-start"),
                    start_to_close_timeout: timeout("start-to-close").or_else(|| {
                        let given = words.get("schedule-to-close").is_some() || words.has("no-timeout");
                        (!given).then(|| duration_to_proto(Duration::from_secs(10)))
                    }),
                    heartbeat_timeout: timeout("heartbeat"),
                    retry_policy: retry(words),
                    request_eager_execution: words.has("eager"),
                    ..Default::default()
                },
            )),
        ),
        "cancel-activity" => (
            CommandType::RequestCancelActivityTask,
            Attributes::RequestCancelActivityTaskCommandAttributes(Box::new(
                RequestCancelActivityTaskCommandAttributes {
                    scheduled_event_id: words.number(1),
                },
            )),
        ),
        _ => return None,
    })
}

/// Timers, markers and what lists show.
fn timer_or_note(words: &Words) -> Option<(CommandType, Attributes)> {
    Some(match words.word(0) {
        "timer" => (
            CommandType::StartTimer,
            Attributes::StartTimerCommandAttributes(Box::new(StartTimerCommandAttributes {
                timer_id: words.word(1).to_owned(),
                start_to_fire_timeout: Some(duration_to_proto(span(words.word(2)))),
            })),
        ),
        "cancel-timer" => (
            CommandType::CancelTimer,
            Attributes::CancelTimerCommandAttributes(Box::new(CancelTimerCommandAttributes {
                timer_id: words.word(1).to_owned(),
            })),
        ),
        "marker" => (
            CommandType::RecordMarker,
            Attributes::RecordMarkerCommandAttributes(Box::new(RecordMarkerCommandAttributes {
                marker_name: words.word(1).to_owned(),
                ..Default::default()
            })),
        ),
        "upsert" => (
            CommandType::UpsertWorkflowSearchAttributes,
            Attributes::UpsertWorkflowSearchAttributesCommandAttributes(Box::new(
                UpsertWorkflowSearchAttributesCommandAttributes {
                    search_attributes: Some(SearchAttributes {
                        indexed_fields: fields(words, 1),
                    }),
                },
            )),
        ),
        "memo" => (
            CommandType::ModifyWorkflowProperties,
            Attributes::ModifyWorkflowPropertiesCommandAttributes(Box::new(
                ModifyWorkflowPropertiesCommandAttributes {
                    upserted_memo: Some(Memo {
                        fields: fields(words, 1),
                    }),
                },
            )),
        ),
        _ => return None,
    })
}

/// What goes to other workflows.
fn other_workflow(words: &Words) -> Option<(CommandType, Attributes)> {
    Some(match words.word(0) {
        "child" => (
            CommandType::StartChildWorkflowExecution,
            Attributes::StartChildWorkflowExecutionCommandAttributes(Box::new(
                StartChildWorkflowExecutionCommandAttributes {
                    workflow_id: words.word(1).to_owned(),
                    workflow_type: Some(WorkflowType {
                        name: "Child".to_owned(),
                    }),
                    task_queue: queue("main"),
                    parent_close_policy: match words.get("close") {
                        Some("abandon") => ParentClosePolicy::Abandon,
                        Some("cancel") => ParentClosePolicy::RequestCancel,
                        _ => ParentClosePolicy::Terminate,
                    }
                    .into(),
                    ..Default::default()
                },
            )),
        ),
        "signal-external" => (
            CommandType::SignalExternalWorkflowExecution,
            Attributes::SignalExternalWorkflowExecutionCommandAttributes(Box::new(
                SignalExternalWorkflowExecutionCommandAttributes {
                    execution: Some(WorkflowExecution {
                        workflow_id: words.word(1).to_owned(),
                        run_id: String::new(),
                    }),
                    signal_name: words.word(2).to_owned(),
                    ..Default::default()
                },
            )),
        ),
        "cancel-external" => (
            CommandType::RequestCancelExternalWorkflowExecution,
            Attributes::RequestCancelExternalWorkflowExecutionCommandAttributes(Box::new(
                RequestCancelExternalWorkflowExecutionCommandAttributes {
                    workflow_id: words.word(1).to_owned(),
                    ..Default::default()
                },
            )),
        ),
        _ => return None,
    })
}

/// The workflow's end.
fn closing(words: &Words) -> Option<(CommandType, Attributes)> {
    Some(match words.word(0) {
        "complete" => (
            CommandType::CompleteWorkflowExecution,
            Attributes::CompleteWorkflowExecutionCommandAttributes(Box::new(
                CompleteWorkflowExecutionCommandAttributes {
                    result: payloads(words.word(1)),
                },
            )),
        ),
        "fail" => (
            CommandType::FailWorkflowExecution,
            Attributes::FailWorkflowExecutionCommandAttributes(Box::new(
                FailWorkflowExecutionCommandAttributes {
                    failure: Some(failure(words, words.word(1))),
                },
            )),
        ),
        "cancel" => (
            CommandType::CancelWorkflowExecution,
            Attributes::CancelWorkflowExecutionCommandAttributes(Box::new(
                CancelWorkflowExecutionCommandAttributes {
                    details: payloads(words.word(1)),
                },
            )),
        ),
        "continue-as-new" => (
            CommandType::ContinueAsNewWorkflowExecution,
            Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(Box::new(
                ContinueAsNewWorkflowExecutionCommandAttributes {
                    workflow_type: Some(WorkflowType {
                        name: words.get("type").unwrap_or("Order").to_owned(),
                    }),
                    input: payloads(&words.text("input")),
                    cron_schedule: words.text("cron"),
                    ..Default::default()
                },
            )),
        ),
        _ => return None,
    })
}

/// What puts a message of an update in order.
fn message(words: &Words) -> Option<(CommandType, Attributes)> {
    let message_id = match words.word(0) {
        "message" => words.word(1).to_owned(),
        verb @ ("accept" | "respond") => format!("{}/{verb}", words.word(1)),
        _ => return None,
    };
    let attributes = ProtocolMessageCommandAttributes { message_id };
    Some((
        CommandType::ProtocolMessage,
        Attributes::ProtocolMessageCommandAttributes(Box::new(attributes)),
    ))
}
