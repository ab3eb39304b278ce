//! What a run waits for, as events make and end it: activities, timers, children, messages to other workflows.

use proto::temporal::{
    common::v1::Payload,
    history::v1::{
        ActivityTaskScheduledEventAttributes, HistoryEvent,
        StartChildWorkflowExecutionInitiatedEventAttributes, history_event::Attributes,
    },
};

use super::span_of;
use crate::{
    run::Run,
    state::{Activity, Child, ExternalCancel, ExternalSignal, State, Timer},
};

impl Run {
    pub(super) fn apply_pending(
        &mut self,
        attributes: &Attributes,
        event: &HistoryEvent,
        node: i64,
        at: i64,
    ) {
        let id = event.event_id;
        let state = &mut self.state;
        match attributes {
            Attributes::ActivityTaskScheduledEventAttributes(a) => {
                state.activities.insert(id, scheduled_activity(a, id, node, at));
            }
            Attributes::ActivityTaskStartedEventAttributes(_) => {}
            Attributes::ActivityTaskCancelRequestedEventAttributes(a) => {
                if let Some(activity) = state.activities.get_mut(&a.scheduled_event_id) {
                    activity.cancel_requested = true;
                    activity.cancel_requested_event_id = id;
                }
            }
            Attributes::ActivityTaskCompletedEventAttributes(a) => {
                state.activities.remove(&a.scheduled_event_id);
            }
            Attributes::ActivityTaskFailedEventAttributes(a) => {
                state.activities.remove(&a.scheduled_event_id);
            }
            Attributes::ActivityTaskTimedOutEventAttributes(a) => {
                state.activities.remove(&a.scheduled_event_id);
            }
            Attributes::ActivityTaskCanceledEventAttributes(a) => {
                state.activities.remove(&a.scheduled_event_id);
            }
            Attributes::TimerStartedEventAttributes(a) => {
                let fire_time = at.saturating_add(span_of(a.start_to_fire_timeout.as_ref()));
                state.timers.insert(
                    a.timer_id.clone(),
                    Timer {
                        started_event_id: id,
                        fire_time,
                    },
                );
            }
            Attributes::TimerFiredEventAttributes(a) => end_timer(state, &a.timer_id, a.started_event_id),
            Attributes::TimerCanceledEventAttributes(a) => end_timer(state, &a.timer_id, a.started_event_id),
            Attributes::UpsertWorkflowSearchAttributesEventAttributes(a) => {
                let upserts = a.search_attributes.clone().unwrap_or_default();
                let attributes = state.search_attributes.get_or_insert_default();
                merge_payloads(&mut attributes.indexed_fields, upserts.indexed_fields);
            }
            Attributes::WorkflowPropertiesModifiedEventAttributes(a) => {
                let upserts = a.upserted_memo.clone().unwrap_or_default();
                merge_payloads(&mut state.memo.get_or_insert_default().fields, upserts.fields);
            }
            Attributes::WorkflowExecutionOptionsUpdatedEventAttributes(a) => {
                if let Some(over) = &a.versioning_override {
                    state.versioning_override = Some(over.clone());
                    state.tells_versioning = true;
                }
                if a.unset_versioning_override {
                    state.versioning_override = None;
                }
                if a.priority.is_some() {
                    state.priority.clone_from(&a.priority);
                }
            }
            _ => {
                self.apply_children(attributes, id, node);
                self.apply_external(attributes, id);
                self.apply_update(attributes, id);
            }
        }
    }

    fn apply_children(&mut self, attributes: &Attributes, id: i64, node: i64) {
        let children = &mut self.state.children;
        match attributes {
            Attributes::StartChildWorkflowExecutionInitiatedEventAttributes(a) => {
                // A name that every repetition of the start bears, as the official server forms it.
                let request_id = format!("{}:{id}:0", self.state.run_id);
                let child = Child {
                    request_id,
                    ..initiated_child(a, id, node)
                };
                self.state.children.insert(id, child);
            }
            Attributes::ChildWorkflowExecutionStartedEventAttributes(a) => {
                if let Some(child) = children.get_mut(&a.initiated_event_id) {
                    child.header = None;
                    child.control.clear();
                    child.started_event_id = id;
                    child.started_run_id = a
                        .workflow_execution
                        .as_ref()
                        .map(|e| e.run_id.clone())
                        .unwrap_or_default();
                }
            }
            Attributes::StartChildWorkflowExecutionFailedEventAttributes(a) => {
                children.remove(&a.initiated_event_id);
            }
            Attributes::ChildWorkflowExecutionCompletedEventAttributes(a) => {
                children.remove(&a.initiated_event_id);
            }
            Attributes::ChildWorkflowExecutionFailedEventAttributes(a) => {
                children.remove(&a.initiated_event_id);
            }
            Attributes::ChildWorkflowExecutionCanceledEventAttributes(a) => {
                children.remove(&a.initiated_event_id);
            }
            Attributes::ChildWorkflowExecutionTimedOutEventAttributes(a) => {
                children.remove(&a.initiated_event_id);
            }
            Attributes::ChildWorkflowExecutionTerminatedEventAttributes(a) => {
                children.remove(&a.initiated_event_id);
            }
            _ => {}
        }
    }

    fn apply_external(&mut self, attributes: &Attributes, id: i64) {
        let state = &mut self.state;
        match attributes {
            Attributes::SignalExternalWorkflowExecutionInitiatedEventAttributes(a) => {
                let target = a.workflow_execution.clone().unwrap_or_default();
                let signal = ExternalSignal {
                    initiated_event_id: id,
                    request_id: String::new(),
                    namespace: a.namespace.clone(),
                    namespace_id: a.namespace_id.clone(),
                    workflow_id: target.workflow_id,
                    run_id: target.run_id,
                    child_workflow_only: a.child_workflow_only,
                    signal_name: a.signal_name.clone(),
                    input: a.input.clone(),
                    header: a.header.clone(),
                    control: control_of_signal(a),
                };
                state.signals_out.insert(id, signal);
            }
            Attributes::SignalExternalWorkflowExecutionFailedEventAttributes(a) => {
                state.signals_out.remove(&a.initiated_event_id);
            }
            Attributes::ExternalWorkflowExecutionSignaledEventAttributes(a) => {
                state.signals_out.remove(&a.initiated_event_id);
            }
            Attributes::RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(a) => {
                let target = a.workflow_execution.clone().unwrap_or_default();
                let cancel = ExternalCancel {
                    initiated_event_id: id,
                    request_id: String::new(),
                    namespace: a.namespace.clone(),
                    namespace_id: a.namespace_id.clone(),
                    workflow_id: target.workflow_id,
                    run_id: target.run_id,
                    child_workflow_only: a.child_workflow_only,
                    reason: a.reason.clone(),
                    control: control_of_cancel(a),
                };
                state.cancels_out.insert(id, cancel);
            }
            Attributes::RequestCancelExternalWorkflowExecutionFailedEventAttributes(a) => {
                state.cancels_out.remove(&a.initiated_event_id);
            }
            Attributes::ExternalWorkflowExecutionCancelRequestedEventAttributes(a) => {
                state.cancels_out.remove(&a.initiated_event_id);
            }
            _ => {}
        }
    }
}

#[expect(deprecated, reason = "old SDKs still set it and read it back")]
fn control_of_signal(
    a: &proto::temporal::history::v1::SignalExternalWorkflowExecutionInitiatedEventAttributes,
) -> String {
    a.control.clone()
}

#[expect(deprecated, reason = "old SDKs still set it and read it back")]
fn control_of_cancel(
    a: &proto::temporal::history::v1::RequestCancelExternalWorkflowExecutionInitiatedEventAttributes,
) -> String {
    a.control.clone()
}

/// Sets each upserted field; a field whose payload has no data, or is null, is removed.
fn merge_payloads(
    fields: &mut std::collections::BTreeMap<String, Payload>,
    upserts: std::collections::BTreeMap<String, Payload>,
) {
    for (name, payload) in upserts {
        let encoding = payload.metadata.get("encoding").map(Vec::as_slice);
        let empty = payload.data.is_empty()
            || encoding == Some(b"binary/null")
            || payload.data == "null"
            || payload.data == "[]";
        if empty {
            fields.remove(&name);
        } else {
            fields.insert(name, payload);
        }
    }
}

fn scheduled_activity(a: &ActivityTaskScheduledEventAttributes, id: i64, node: i64, at: i64) -> Activity {
    let schedule_to_close = span_of(a.schedule_to_close_timeout.as_ref());
    Activity {
        scheduled_event_id: id,
        scheduled_node: node,
        activity_id: a.activity_id.clone(),
        activity_type: a
            .activity_type
            .as_ref()
            .map(|kind| kind.name.clone())
            .unwrap_or_default(),
        task_queue: a
            .task_queue
            .as_ref()
            .map(|queue| queue.name.clone())
            .unwrap_or_default(),
        schedule_to_close_timeout: schedule_to_close,
        schedule_to_start_timeout: span_of(a.schedule_to_start_timeout.as_ref()),
        start_to_close_timeout: span_of(a.start_to_close_timeout.as_ref()),
        heartbeat_timeout: span_of(a.heartbeat_timeout.as_ref()),
        retry_policy: a.retry_policy.clone(),
        first_scheduled_time: at,
        scheduled_time: at,
        expiration: if schedule_to_close > 0 {
            at.saturating_add(schedule_to_close)
        } else {
            0
        },
        attempt: 1,
        priority: a.priority.clone(),
        ..Default::default()
    }
}

/// Another timer may bear the same id by the time that the event of a buffered firing has its place in history.
fn end_timer(state: &mut State, timer_id: &str, started_event_id: i64) {
    if state
        .timers
        .get(timer_id)
        .is_some_and(|timer| timer.started_event_id == started_event_id)
    {
        state.timers.remove(timer_id);
    }
}

#[expect(deprecated, reason = "old SDKs still set it and read it back")]
fn initiated_child(a: &StartChildWorkflowExecutionInitiatedEventAttributes, id: i64, node: i64) -> Child {
    Child {
        initiated_event_id: id,
        initiated_node: node,
        workflow_id: a.workflow_id.clone(),
        workflow_type: a
            .workflow_type
            .as_ref()
            .map(|kind| kind.name.clone())
            .unwrap_or_default(),
        parent_close_policy: a.parent_close_policy,
        namespace: a.namespace.clone(),
        namespace_id: a.namespace_id.clone(),
        header: a.header.clone(),
        control: a.control.clone(),
        ..Default::default()
    }
}
