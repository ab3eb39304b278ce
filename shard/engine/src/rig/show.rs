//! Prints events and effects in a line each: what a test of activities, children and messages looks at.

use proto::{
    temporal::{
        common::v1::{Payloads, WorkflowExecution},
        enums::v1::{ParentClosePolicy, RetryState, TimeoutType},
        failure::v1::{Failure, failure::FailureInfo},
        history::v1::{HistoryEvent, history_event::Attributes},
    },
    time::{Timestamp, duration_from_proto},
};

use super::EPOCH;
use crate::effect::{Effect, Message};

/// Prints the event: its id, its time since the test began, its type and what else says something.
pub(super) fn event(event: &HistoryEvent) -> String {
    let at = event
        .event_time
        .as_ref()
        .map_or(EPOCH, Timestamp::from_proto)
        .since(EPOCH);
    let name = event.event_type().as_str_name().trim_start_matches("EVENT_TYPE_");
    let rest = event.attributes.as_ref().map(attributes).unwrap_or_default();
    format!("{} {at:?} {name} {rest}", event.event_id)
        .trim_end()
        .to_owned()
}

fn attributes(attributes: &Attributes) -> String {
    match attributes {
        Attributes::ActivityTaskScheduledEventAttributes(a) => format!(
            "{} {} {} {} {} {}",
            a.activity_id,
            a.task_queue.as_ref().map_or("", |queue| &queue.name),
            span(a.schedule_to_close_timeout.as_ref()),
            span(a.schedule_to_start_timeout.as_ref()),
            span(a.start_to_close_timeout.as_ref()),
            span(a.heartbeat_timeout.as_ref()),
        ),
        Attributes::ActivityTaskStartedEventAttributes(a) => {
            let last = a
                .last_failure
                .as_ref()
                .map(|it| format!(" after {}", failure(it)))
                .unwrap_or_default();
            format!(
                "{} by {} '{}' attempt {}{last}",
                a.scheduled_event_id, a.identity, a.request_id, a.attempt
            )
        }
        Attributes::ActivityTaskCompletedEventAttributes(a) => {
            format!(
                "{} {} {}",
                a.scheduled_event_id,
                a.started_event_id,
                text(a.result.as_ref())
            )
        }
        Attributes::ActivityTaskFailedEventAttributes(a) => {
            let failure = a.failure.as_ref().map(failure).unwrap_or_default();
            format!(
                "{} {} {failure} {:?}",
                a.scheduled_event_id,
                a.started_event_id,
                a.retry_state()
            )
        }
        Attributes::ActivityTaskTimedOutEventAttributes(a) => {
            let failure = a.failure.as_ref().map(failure).unwrap_or_default();
            format!(
                "{} {} {failure} {:?}",
                a.scheduled_event_id,
                a.started_event_id,
                a.retry_state()
            )
        }
        Attributes::ActivityTaskCancelRequestedEventAttributes(a) => a.scheduled_event_id.to_string(),
        Attributes::ActivityTaskCanceledEventAttributes(a) => format!(
            "{} {} {} requested {}",
            a.scheduled_event_id,
            a.started_event_id,
            text(a.details.as_ref()),
            a.latest_cancel_requested_event_id,
        ),
        Attributes::WorkflowTaskFailedEventAttributes(a) => format!("{:?}", a.cause()),
        other => messages(other).or_else(|| children(other)).unwrap_or_default(),
    }
}

fn messages(attributes: &Attributes) -> Option<String> {
    Some(match attributes {
        Attributes::SignalExternalWorkflowExecutionInitiatedEventAttributes(a) => {
            format!("{} {}", execution(a.workflow_execution.as_ref()), a.signal_name)
        }
        Attributes::SignalExternalWorkflowExecutionFailedEventAttributes(a) => {
            format!(
                "{} {} {:?}",
                a.initiated_event_id,
                execution(a.workflow_execution.as_ref()),
                a.cause()
            )
        }
        Attributes::ExternalWorkflowExecutionSignaledEventAttributes(a) => {
            format!(
                "{} {} in {}",
                a.initiated_event_id,
                execution(a.workflow_execution.as_ref()),
                a.namespace
            )
        }
        Attributes::RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(a) => {
            execution(a.workflow_execution.as_ref())
        }
        Attributes::RequestCancelExternalWorkflowExecutionFailedEventAttributes(a) => {
            format!(
                "{} {} {:?}",
                a.initiated_event_id,
                execution(a.workflow_execution.as_ref()),
                a.cause()
            )
        }
        Attributes::ExternalWorkflowExecutionCancelRequestedEventAttributes(a) => {
            format!(
                "{} {} in {}",
                a.initiated_event_id,
                execution(a.workflow_execution.as_ref()),
                a.namespace
            )
        }
        _ => return None,
    })
}

fn children(attributes: &Attributes) -> Option<String> {
    let ended = |initiated: i64, started: i64, child: Option<&WorkflowExecution>, how: String| {
        format!("{initiated} {started} {} {how}", execution(child))
            .trim_end()
            .to_owned()
    };
    Some(match attributes {
        Attributes::StartChildWorkflowExecutionInitiatedEventAttributes(a) => format!(
            "{} {} {} {} {} {:?}",
            a.workflow_id,
            a.task_queue.as_ref().map_or("", |queue| &queue.name),
            span(a.workflow_execution_timeout.as_ref()),
            span(a.workflow_run_timeout.as_ref()),
            span(a.workflow_task_timeout.as_ref()),
            ParentClosePolicy::try_from(a.parent_close_policy).unwrap_or_default(),
        ),
        Attributes::StartChildWorkflowExecutionFailedEventAttributes(a) => {
            format!("{} {} {:?}", a.initiated_event_id, a.workflow_id, a.cause())
        }
        Attributes::ChildWorkflowExecutionStartedEventAttributes(a) => {
            format!(
                "{} {}",
                a.initiated_event_id,
                execution(a.workflow_execution.as_ref())
            )
        }
        Attributes::ChildWorkflowExecutionCompletedEventAttributes(a) => {
            let result = text(a.result.as_ref());
            ended(
                a.initiated_event_id,
                a.started_event_id,
                a.workflow_execution.as_ref(),
                result,
            )
        }
        Attributes::ChildWorkflowExecutionFailedEventAttributes(a) => {
            let how = format!(
                "{} {:?}",
                a.failure.as_ref().map(failure).unwrap_or_default(),
                a.retry_state()
            );
            ended(
                a.initiated_event_id,
                a.started_event_id,
                a.workflow_execution.as_ref(),
                how,
            )
        }
        Attributes::ChildWorkflowExecutionCanceledEventAttributes(a) => {
            let details = text(a.details.as_ref());
            ended(
                a.initiated_event_id,
                a.started_event_id,
                a.workflow_execution.as_ref(),
                details,
            )
        }
        Attributes::ChildWorkflowExecutionTimedOutEventAttributes(a) => {
            let how = format!("{:?}", RetryState::try_from(a.retry_state).unwrap_or_default());
            ended(
                a.initiated_event_id,
                a.started_event_id,
                a.workflow_execution.as_ref(),
                how,
            )
        }
        Attributes::ChildWorkflowExecutionTerminatedEventAttributes(a) => ended(
            a.initiated_event_id,
            a.started_event_id,
            a.workflow_execution.as_ref(),
            String::new(),
        ),
        _ => return None,
    })
}

pub(super) fn effect(effect: &Effect) -> String {
    match effect {
        Effect::Ready(task) => format!(
            "ready {:?} {} {} attempt {} since {:?} priority {}",
            task.kind,
            task.queue,
            task.scheduled_event_id,
            task.attempt,
            Timestamp::from_nanos(task.scheduled_time).since(EPOCH),
            task.priority,
        ),
        Effect::Unready(task) => {
            format!(
                "unready {:?} {} attempt {}",
                task.kind, task.scheduled_event_id, task.attempt
            )
        }
        Effect::Deliver(delivery) => {
            let what = match &delivery.message {
                Message::StartChild(start) => format!("start as {}", start.request_id),
                Message::FirstTask => "first task".to_owned(),
                Message::Signal { signal_name, .. } => format!("signal {signal_name}"),
                Message::Cancel { .. } => "cancel".to_owned(),
                Message::TerminateChild { .. } => "terminate child".to_owned(),
                Message::CancelChild { .. } => "cancel child".to_owned(),
                Message::ChildClosed(closed) => format!("child closed {:?}", closed.status),
            };
            format!("deliver {} to {}", what, delivery.to.workflow_id)
        }
        Effect::Resolve { reply, .. } => format!("resolve {reply:?}"),
    }
}

fn execution(execution: Option<&WorkflowExecution>) -> String {
    execution.map_or(String::new(), |it| {
        format!("{} {}", it.workflow_id, it.run_id).trim_end().to_owned()
    })
}

fn span(span: Option<&prost_types::Duration>) -> String {
    span.map_or("-".to_owned(), |span| {
        format!("{:?}", duration_from_proto(Some(span)))
    })
}

fn text(payloads: Option<&Payloads>) -> String {
    let payload = payloads.and_then(|payloads| payloads.payloads.first());
    payload.map_or("-".into(), |payload| {
        String::from_utf8_lossy(&payload.data).into_owned()
    })
}

fn failure(failure: &Failure) -> String {
    let kind = match &failure.failure_info {
        Some(FailureInfo::ApplicationFailureInfo(_)) => String::new(),
        Some(FailureInfo::ServerFailureInfo(_)) => " server".to_owned(),
        Some(FailureInfo::TimeoutFailureInfo(info)) => {
            let kind = TimeoutType::try_from(info.timeout_type).unwrap_or_default();
            let details = info.last_heartbeat_details.as_ref();
            let details = details
                .map(|it| format!(" at {}", text(Some(it))))
                .unwrap_or_default();
            format!(" {kind:?}{details}")
        }
        other => format!(" {other:?}"),
    };
    let cause = failure
        .cause
        .as_deref()
        .map(|cause| format!(" < {}", self::failure(cause)))
        .unwrap_or_default();
    format!("[{}{kind}{cause}]", failure.message)
}
