//! Run::apply: how an event changes a run. The only place where history becomes state, live and on replay.

mod builds;
mod pending;

use prost::Message;
use proto::{
    temporal::{
        enums::v1::WorkflowExecutionStatus,
        history::v1::{
            HistoryEvent, WorkflowExecutionStartedEventAttributes, WorkflowTaskScheduledEventAttributes,
            history_event::Attributes,
        },
        update::v1::Request as UpdateRequest,
    },
    time::{Timestamp, duration_from_proto},
};

use crate::{
    run::Run,
    state::{BUFFERED, Parent, Update, WorkflowTask, nanos},
};

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
                    task.build_id = builds::of_started(a);
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
        state.tells_versioning = a.versioning_override.is_some();
        state.last_completion_result.clone_from(&a.last_completion_result);
        state.reset_points.clone_from(&a.prev_auto_reset_points);
        state.user_metadata.clone_from(&event.user_metadata);
        state.task_attempt = 1;
        state.set_status(WorkflowExecutionStatus::Running);
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

/// Whether the id is one that history will give, not one that waits in the buffer.
pub(crate) fn is_real(event_id: i64) -> bool {
    event_id != 0 && event_id != BUFFERED
}
