//! Run::apply: how an event changes a run. The only place where history becomes state, live and on replay.

use prost::Message;
use proto::{
    temporal::{
        common::v1::Payload,
        enums::v1::WorkflowExecutionStatus,
        history::v1::{
            ActivityTaskScheduledEventAttributes, HistoryEvent,
            StartChildWorkflowExecutionInitiatedEventAttributes, WorkflowExecutionStartedEventAttributes,
            WorkflowTaskCompletedEventAttributes, WorkflowTaskScheduledEventAttributes,
            history_event::Attributes,
        },
        update::v1::Request as UpdateRequest,
        workflow::v1::ResetPointInfo,
    },
    time::{Timestamp, duration_from_proto},
};

use crate::{
    run::Run,
    state::{
        Activity, BUFFERED, Child, ExternalCancel, ExternalSignal, Parent, State, Timer, Update,
        WorkflowTask, nanos,
    },
};

/// The search attribute that names the builds of the workers that have run a workflow.
const BUILD_IDS: &str = "BuildIds";
/// Reset points that a run remembers (reference 7).
const RESET_POINTS_MAX: usize = 20;

impl Run {
    /// Appends the event to the run's history. `node` is the first event id of the node that it is stored in.
    pub(crate) fn apply(&mut self, event: &HistoryEvent, node: i64) {
        self.advance(event);
        self.apply_state(event, node);
    }

    /// Counts the event as appended, without its meaning: for an event that took effect when it was buffered.
    pub(crate) fn advance(&mut self, event: &HistoryEvent) {
        debug_assert_eq!(event.event_id, self.state.next_event_id, "event ids are dense");
        self.state.next_event_id = event.event_id + 1;
        self.state.history_bytes += i64::try_from(event.encoded_len()).unwrap_or(i64::MAX);
    }

    /// Lets the event take effect.
    pub(crate) fn apply_state(&mut self, event: &HistoryEvent, node: i64) {
        let Some(attributes) = event.attributes.as_ref() else {
            return;
        };
        let at = event
            .event_time
            .as_ref()
            .map_or(0, |time| Timestamp::from_proto(time).nanos());
        let id = event.event_id;
        match attributes {
            Attributes::WorkflowExecutionStartedEventAttributes(a) => self.apply_started(a, event, at),
            Attributes::WorkflowTaskScheduledEventAttributes(a) => self.apply_task_scheduled(a, id, at),
            Attributes::WorkflowTaskStartedEventAttributes(a) => {
                if let Some(task) = &mut self.state.task {
                    task.started_event_id = id;
                    task.started_time = at;
                    task.request_id.clone_from(&a.request_id);
                    task.identity.clone_from(&a.identity);
                    task.build_id = build_of_started(a);
                    task.suggest_continue_as_new = a.suggest_continue_as_new;
                    task.suggest_reasons
                        .clone_from(&a.suggest_continue_as_new_reasons);
                    task.history_bytes = a.history_size_bytes;
                }
            }
            Attributes::WorkflowTaskCompletedEventAttributes(a) => {
                self.state.task = None;
                self.state.task_attempt = 1;
                self.state.last_completed_started_id = a.started_event_id;
                self.note_build(a, event);
            }
            Attributes::WorkflowTaskTimedOutEventAttributes(_)
            | Attributes::WorkflowTaskFailedEventAttributes(_) => self.state.task = None,
            Attributes::WorkflowExecutionSignaledEventAttributes(_) => self.state.signal_count += 1,
            Attributes::WorkflowExecutionCancelRequestedEventAttributes(_) => {
                self.state.cancel_requested = true
            }
            _ => {
                self.apply_pending(attributes, event, node, at);
                self.apply_close(attributes, at, node);
            }
        }
    }

    fn apply_started(&mut self, a: &WorkflowExecutionStartedEventAttributes, event: &HistoryEvent, at: i64) {
        let state = &mut self.state;
        state.workflow_type = a
            .workflow_type
            .as_ref()
            .map(|kind| kind.name.clone())
            .unwrap_or_default();
        state.task_queue = a
            .task_queue
            .as_ref()
            .map(|queue| queue.name.clone())
            .unwrap_or_default();
        state.first_run_id.clone_from(&a.first_execution_run_id);
        state.original_run_id.clone_from(&a.original_execution_run_id);
        if state.workflow_id.is_empty() {
            state.workflow_id.clone_from(&a.workflow_id);
        }
        state.parent = a.parent_workflow_execution.as_ref().map(|parent| Parent {
            namespace_id: a.parent_workflow_namespace_id.clone(),
            namespace: a.parent_workflow_namespace.clone(),
            workflow_id: parent.workflow_id.clone(),
            run_id: parent.run_id.clone(),
            initiated_event_id: a.parent_initiated_event_id,
        });
        // Only a child's history names a root other than itself.
        let root = a.root_workflow_execution.as_ref();
        state.root_workflow_id = root.map_or(&state.workflow_id, |root| &root.workflow_id).clone();
        state.root_run_id = root.map_or(&state.run_id, |root| &root.run_id).clone();
        state.execution_timeout = span_of(a.workflow_execution_timeout.as_ref());
        state.run_timeout = span_of(a.workflow_run_timeout.as_ref());
        state.tells_run_timeout = a.workflow_run_timeout.is_some();
        state.task_timeout = span_of(a.workflow_task_timeout.as_ref());
        let backoff = span_of(a.first_workflow_task_backoff.as_ref());
        state.start_time = at;
        state.execution_time = at.saturating_add(backoff);
        state.backoff_until = if backoff > 0 { state.execution_time } else { 0 };
        state.execution_expiration = a
            .workflow_execution_expiration_time
            .as_ref()
            .map_or(0, |time| Timestamp::from_proto(time).nanos());
        state.run_expiration = if state.run_timeout > 0 {
            state.execution_time.saturating_add(state.run_timeout)
        } else {
            0
        };
        state.attempt = a.attempt;
        state.retry_policy.clone_from(&a.retry_policy);
        state.cron_schedule.clone_from(&a.cron_schedule);
        if a.retry_policy.is_some() || !a.cron_schedule.is_empty() {
            state.started = Some(Box::new(a.clone()));
        }
        state.memo.clone_from(&a.memo);
        state.search_attributes.clone_from(&a.search_attributes);
        state.priority.clone_from(&a.priority);
        state.versioning_override.clone_from(&a.versioning_override);
        state.last_completion_result.clone_from(&a.last_completion_result);
        state.reset_points.clone_from(&a.prev_auto_reset_points);
        state.user_metadata.clone_from(&event.user_metadata);
        state.task_attempt = 1;
        state.set_status(WorkflowExecutionStatus::Running);
    }

    /// Remembers which build of the worker completed its first task here: a reset may go back to it, and lists
    /// find runs by it.
    #[expect(deprecated, reason = "old SDKs send binary checksums and build ids this way")]
    fn note_build(&mut self, a: &WorkflowTaskCompletedEventAttributes, event: &HistoryEvent) {
        let build_id = a
            .worker_version
            .as_ref()
            .map_or("", |version| version.build_id.as_str());
        self.add_build_ids(build_id);
        if a.worker_version.is_some() {
            build_id.clone_into(&mut self.state.last_build_id);
        }
        let points = &mut self.state.reset_points.get_or_insert_default().points;
        let known = points
            .iter()
            .any(|p| p.build_id == build_id && p.binary_checksum == a.binary_checksum);
        if known {
            return;
        }
        points.push(ResetPointInfo {
            build_id: build_id.to_owned(),
            binary_checksum: a.binary_checksum.clone(),
            run_id: self.state.run_id.clone(),
            first_workflow_task_completed_id: event.event_id,
            create_time: event.event_time,
            resettable: self.state.children.is_empty(),
            ..Default::default()
        });
        let surplus = points.len().saturating_sub(RESET_POINTS_MAX);
        points.drain(..surplus);
    }

    fn add_build_ids(&mut self, build_id: &str) {
        let attributes = self.state.search_attributes.get_or_insert_default();
        let known = attributes
            .indexed_fields
            .get(BUILD_IDS)
            .map(|payload| payload.data.clone())
            .unwrap_or_default();
        let known = std::str::from_utf8(&known).unwrap_or_default();
        let mut ids: Vec<String> = known
            .trim_matches(['[', ']'])
            .split(',')
            .filter(|id| !id.is_empty())
            .map(str::to_owned)
            .collect();
        let mut add = |id: String| {
            if !ids.contains(&id) {
                ids.push(id);
            }
        };
        add("\"unversioned\"".to_owned());
        if !build_id.is_empty() && !build_id.contains(['"', '\\', ',']) {
            add(format!("\"unversioned:{build_id}\""));
        }
        let payload = Payload {
            metadata: [
                ("encoding".to_owned(), b"json/plain".to_vec()),
                ("type".to_owned(), b"KeywordList".to_vec()),
            ]
            .into(),
            data: format!("[{}]", ids.join(",")).into(),
            ..Default::default()
        };
        attributes.indexed_fields.insert(BUILD_IDS.to_owned(), payload);
    }

    fn apply_task_scheduled(&mut self, a: &WorkflowTaskScheduledEventAttributes, id: i64, at: i64) {
        let queue = a.task_queue.clone().unwrap_or_default();
        self.state.backoff_until = 0;
        self.state.task = Some(WorkflowTask {
            scheduled_event_id: id,
            attempt: a.attempt,
            scheduled_time: at,
            original_scheduled_time: at,
            timeout: span_of(a.start_to_close_timeout.as_ref()),
            sticky: queue.kind() == proto::temporal::enums::v1::TaskQueueKind::Sticky,
            queue: queue.name,
            ..Default::default()
        });
    }

    fn apply_pending(&mut self, attributes: &Attributes, event: &HistoryEvent, node: i64, at: i64) {
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

    fn apply_update(&mut self, attributes: &Attributes, id: i64) {
        let updates = &mut self.state.updates;
        match attributes {
            Attributes::WorkflowExecutionUpdateAdmittedEventAttributes(a) => {
                let request = a.request.clone().unwrap_or_default();
                let update = Update {
                    admitted: Some(request.clone()),
                    ..Default::default()
                };
                updates.insert(update_id(&request), update);
            }
            Attributes::WorkflowExecutionUpdateAcceptedEventAttributes(a) => {
                let update = updates.entry(a.protocol_instance_id.clone()).or_default();
                update.accepted_event_id = id;
                update.admitted = None;
            }
            Attributes::WorkflowExecutionUpdateCompletedEventAttributes(a) => {
                let meta = a.meta.clone().unwrap_or_default();
                let update = updates.entry(meta.update_id).or_default();
                update.accepted_event_id = a.accepted_event_id;
                update.completed_event_id = id;
                update.outcome.clone_from(&a.outcome);
            }
            _ => {}
        }
    }

    fn apply_close(&mut self, attributes: &Attributes, at: i64, node: i64) {
        let (status, successor) = match attributes {
            Attributes::WorkflowExecutionCompletedEventAttributes(a) => (
                WorkflowExecutionStatus::Completed,
                a.new_execution_run_id.as_str(),
            ),
            Attributes::WorkflowExecutionFailedEventAttributes(a) => {
                (WorkflowExecutionStatus::Failed, a.new_execution_run_id.as_str())
            }
            Attributes::WorkflowExecutionTimedOutEventAttributes(a) => {
                (WorkflowExecutionStatus::TimedOut, a.new_execution_run_id.as_str())
            }
            Attributes::WorkflowExecutionCanceledEventAttributes(_) => {
                (WorkflowExecutionStatus::Canceled, "")
            }
            Attributes::WorkflowExecutionTerminatedEventAttributes(_) => {
                (WorkflowExecutionStatus::Terminated, "")
            }
            Attributes::WorkflowExecutionContinuedAsNewEventAttributes(a) => (
                WorkflowExecutionStatus::ContinuedAsNew,
                a.new_execution_run_id.as_str(),
            ),
            _ => return,
        };
        self.state.set_status(status);
        self.state.successor_run_id = successor.to_owned();
        self.state.close_time = at;
        self.state.close_node = node;
        self.state.task = None;
        self.state.backoff_until = 0;
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

fn span_of(span: Option<&prost_types::Duration>) -> i64 {
    nanos(duration_from_proto(span))
}

pub(crate) fn update_id(request: &UpdateRequest) -> String {
    request
        .meta
        .as_ref()
        .map(|meta| meta.update_id.clone())
        .unwrap_or_default()
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

/// Whether the id is one that history will give, not one that waits in the buffer.
pub(crate) fn is_real(event_id: i64) -> bool {
    event_id != 0 && event_id != BUFFERED
}

#[expect(deprecated, reason = "the field that tools show a worker's build by")]
fn build_of_started(a: &proto::temporal::history::v1::WorkflowTaskStartedEventAttributes) -> String {
    a.worker_version
        .as_ref()
        .map(|version| version.build_id.clone())
        .unwrap_or_default()
}
