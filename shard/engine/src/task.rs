//! The workflow task's life: scheduled, started, ended (reference 2.4, 2.6).

use std::{collections::HashMap, time::Duration};

use prost::{Message, Name};
use proto::{
    temporal::{
        common::v1::{WorkerVersionStamp, WorkflowExecution},
        enums::v1::{
            EventType, SuggestContinueAsNewReason, TaskQueueKind, TimeoutType, WorkflowTaskFailedCause,
        },
        failure::v1::Failure,
        history::v1::{
            HistoryEvent, WorkflowTaskFailedEventAttributes, WorkflowTaskScheduledEventAttributes,
            WorkflowTaskStartedEventAttributes, WorkflowTaskTimedOutEventAttributes,
            history_event::Attributes,
        },
        protocol::v1::{Message as ProtocolMessage, message::SequencingId},
        taskqueue::v1::TaskQueue,
        update::v1::Request as UpdateRequest,
    },
    time::{Timestamp, duration_to_proto},
};

use crate::{
    effect::{Effect, ReadyKind, ReadyTask},
    metrics::Counted,
    outcome::StartedWorkflowTask,
    run::{LiveStage, LiveUpdate, Run},
    state::{WorkflowTask, span},
    trigger::BeginTask,
    tx::{Draft, Tx},
};

/// How long a speculative task may wait in a queue.
const SPECULATIVE_WAIT: Duration = Duration::from_secs(5);
/// From the attempt after this one on, attempts are spaced out by a longer time-out.
const EAGER_ATTEMPTS: i32 = 3;
const BACKOFF_FIRST: Duration = Duration::from_secs(5);
/// How much of that longer time is random, as one part of so many, so that runs that fail together part.
const JITTER_PART: u32 = 5;
/// Updates at which a run is told to continue as new, of the total that it may have, in percent.
const SUGGEST_UPDATES_PERCENT: usize = 90;

/// How a workflow task ended without completing.
pub(crate) enum TaskEnd {
    Failed {
        cause: WorkflowTaskFailedCause,
        failure: Option<Failure>,
        identity: String,
    },
    TimedOut(TimeoutType),
}

impl Tx<'_> {
    /// Schedules a workflow task if the run has none and may have one.
    pub(crate) fn ensure_task(&mut self) {
        if self.run.is_open() && self.state().task.is_none() && self.state().backoff_until == 0 {
            self.schedule_task(None);
        }
    }

    /// Schedules a workflow task; `chain` is when the first task of a chain of heartbeats was scheduled.
    pub(crate) fn schedule_task(&mut self, chain: Option<i64>) {
        let transient = self.state().task_attempt > 1;
        let mut task = self.next_task(transient);
        task.original_scheduled_time = chain.unwrap_or(task.scheduled_time);
        if transient {
            self.note(|state| state.backoff_until = 0);
        } else {
            self.emit(scheduled_attributes(&task, &self.run.state.task_queue));
        }
        self.place_task(task);
    }

    /// Schedules a task that exists in memory only, to carry updates (reference 2.6).
    pub(crate) fn schedule_speculative_task(&mut self) {
        if self.state().task_attempt > 1 {
            self.schedule_task(None);
            return;
        }
        let mut task = self.next_task(true);
        task.speculative = true;
        if task.schedule_to_start_deadline == 0 {
            task.schedule_to_start_deadline = (self.ctx.now + SPECULATIVE_WAIT).nanos();
        }
        let ready = ready_task(self.run, &task);
        self.run.state.task = Some(task);
        self.effect(Effect::Ready(ready));
    }

    fn next_task(&mut self, transient: bool) -> WorkflowTask {
        let attempt = self.state().task_attempt.max(1);
        let timeout = self.attempt_timeout(attempt);
        let state = self.state();
        let sticky = state.sticky.as_ref();
        WorkflowTask {
            scheduled_event_id: state.next_event_id,
            attempt,
            scheduled_time: self.now(),
            original_scheduled_time: self.now(),
            timeout,
            queue: sticky.map_or_else(|| state.task_queue.clone(), |sticky| sticky.queue.clone()),
            sticky: sticky.is_some(),
            schedule_to_start_deadline: sticky.map_or(0, |sticky| {
                (self.ctx.now + span(sticky.schedule_to_start_timeout)).nanos()
            }),
            transient,
            ..Default::default()
        }
    }

    /// Returns the start-to-close time-out of an attempt: late attempts are spaced out by a longer one, since a
    /// failed attempt is tried again only when it times out (reference 2.4).
    fn attempt_timeout(&mut self, attempt: i32) -> i64 {
        let timeout = self.state().task_timeout;
        if attempt <= EAGER_ATTEMPTS {
            return timeout;
        }
        let backoff = attempt_backoff(attempt, self.ctx.limits.task_retry_max);
        let random = backoff / JITTER_PART;
        let drawn = random.mul_f64(1.0 - self.draw_share());
        timeout.saturating_add(crate::state::nanos(backoff - drawn))
    }

    fn place_task(&mut self, task: WorkflowTask) {
        let ready = ready_task(self.run, &task);
        self.note(|state| state.task = Some(task));
        self.effect(Effect::Ready(ready));
    }

    /// Writes a speculative task's events into history: something else happened to the run, so it stays.
    pub(crate) fn keep_speculative_task(&mut self) {
        let Some(mut task) = self.state().task.clone().filter(|task| task.speculative) else {
            return;
        };
        self.run.state.task = None;
        self.materialise(&WorkflowTask {
            identity: String::new(),
            ..task.clone()
        });
        task.speculative = false;
        task.transient = false;
        if !task.sticky {
            task.schedule_to_start_deadline = 0;
        }
        let ready = (task.started_event_id == 0).then(|| ready_task(self.run, &task));
        self.note(|state| state.task = Some(task));
        if let Some(ready) = ready {
            self.effect(Effect::Ready(ready));
        }
    }

    /// Writes the scheduled event, and the started one if it is started, of a task that was not in history.
    pub(crate) fn materialise(&mut self, task: &WorkflowTask) {
        let scheduled = scheduled_attributes(task, &self.run.state.task_queue);
        self.emit(Draft {
            time: Some(task.scheduled_time),
            ..Draft::from(scheduled)
        });
        if task.started_event_id != 0 {
            let started = started_attributes(task);
            self.emit(Draft {
                time: Some(task.started_time),
                ..Draft::from(started)
            });
        }
    }

    /// Puts the pending task into the poller's hands.
    pub(crate) fn start_task(&mut self, begin: &BeginTask) -> StartedWorkflowTask {
        self.withdraw_task();
        if !begin.sticky && self.state().sticky.is_some() {
            self.note(|state| state.sticky = None);
        }
        let stale_ids = self
            .state()
            .task
            .as_ref()
            .is_some_and(|t| t.transient && t.scheduled_event_id != t.next_free(self.run));
        if stale_ids {
            // Events came since: it becomes an ordinary task with events of its own (reference 2.4).
            self.note(|state| {
                state.task = None;
                state.task_attempt = 1;
            });
            let task = self.next_task(false);
            self.emit(scheduled_attributes(&task, &self.run.state.task_queue));
            self.note(|state| state.task = Some(task));
        }
        let (suggest, reasons) = self.suggest_continue_as_new();
        // A task that is handed out with the start itself has no history to measure.
        let history_bytes = if self.node() == 1 {
            0
        } else {
            self.state().history_bytes
        };
        let now = self.now();
        let Some(mut task) = self.state().task.clone() else {
            return StartedWorkflowTask::default();
        };
        task.started_event_id = task.scheduled_event_id + 1;
        task.started_time = now;
        task.request_id.clone_from(&begin.request_id);
        task.identity.clone_from(&begin.identity);
        task.build_id.clone_from(&begin.build_id);
        task.suggest_continue_as_new = suggest;
        task.suggest_reasons = reasons;
        task.history_bytes = history_bytes;
        if task.speculative {
            self.run.state.task = Some(task.clone());
        } else {
            if !task.transient {
                task.started_event_id = self.emit(started_attributes(&task));
            }
            let kept = task.clone();
            self.note(|state| state.task = Some(kept));
        }
        let mut started = self.run.started_task(&task, begin.sticky);
        started.messages = self.send_updates(task.started_event_id);
        started.queries = self.send_queries();
        started
    }

    fn suggest_continue_as_new(&self) -> (bool, Vec<i32>) {
        let (state, limits) = (self.state(), self.ctx.limits);
        let mut reasons = Vec::new();
        if state.history_bytes >= limits.suggest_bytes {
            reasons.push(SuggestContinueAsNewReason::HistorySizeTooLarge.into());
        }
        if state.next_event_id > limits.suggest_events {
            reasons.push(SuggestContinueAsNewReason::TooManyHistoryEvents.into());
        }
        if (state.updates.len() + self.run.live.updates.len()) * 100
            >= limits.updates_total * SUGGEST_UPDATES_PERCENT
        {
            reasons.push(SuggestContinueAsNewReason::TooManyUpdates.into());
        }
        (!reasons.is_empty(), reasons)
    }

    /// Hands the admitted updates to the task that starts. What a reset admitted again, workers find in history.
    pub(crate) fn send_updates(&mut self, started_event_id: i64) -> Vec<ProtocolMessage> {
        let accepted = &self.run.state.updates;
        let live = self.run.live.updates.iter_mut();
        let mut updates: Vec<_> = live
            .filter(|(id, update)| update.stage < LiveStage::Accepted && !accepted.contains_key(*id))
            .collect();
        updates.sort_by_key(|(_, update)| update.order);
        let send = |(id, update): (&String, &mut LiveUpdate)| {
            update.stage = LiveStage::Sent;
            update_message(id, &update.request, started_event_id)
        };
        updates.into_iter().map(send).collect()
    }

    pub(crate) fn send_queries(&mut self) -> HashMap<String, proto::temporal::query::v1::WorkflowQuery> {
        let queries = &mut self.run.live.queries;
        queries
            .iter_mut()
            .map(|query| {
                query.sent = true;
                (query.id.clone(), query.query.clone())
            })
            .collect()
    }

    /// Takes the scheduled task's row back.
    pub(crate) fn withdraw_task(&mut self) {
        if let Some(task) = self
            .state()
            .task
            .as_ref()
            .filter(|task| task.started_event_id == 0)
        {
            let ready = ready_task(self.run, task);
            self.effect(Effect::Unready(ready));
        }
    }

    /// Ends the pending task without completing it, and schedules the next attempt if the run is open.
    pub(crate) fn end_task(&mut self, end: TaskEnd) {
        self.drop_task(end);
        self.ensure_task();
    }

    /// Ends the pending task without completing it. Only the first of a streak is written (reference 2.4).
    pub(crate) fn drop_task(&mut self, end: TaskEnd) {
        let Some(task) = self.state().task.clone() else {
            return;
        };
        self.withdraw_task();
        self.count(match &end {
            TaskEnd::Failed { cause, .. } => Counted::WorkflowTaskFailed(*cause),
            TaskEnd::TimedOut(kind) => Counted::WorkflowTaskTimedOut(*kind),
        });
        let counts = !matches!(end, TaskEnd::TimedOut(TimeoutType::ScheduleToStart));
        self.run.state.task = None;
        if task.speculative {
            // The official server says who had it only where that worker itself failed it.
            let told = matches!(end, TaskEnd::Failed { .. });
            let identity = if told {
                task.identity.clone()
            } else {
                String::new()
            };
            self.materialise(&WorkflowTask {
                identity,
                ..task.clone()
            });
        }
        if task.attempt <= 1 {
            self.emit(end_attributes(&task, end));
        }
        let was_sticky = self.state().sticky.is_some();
        self.note(|state| {
            state.task = None;
            state.sticky = None;
            if counts && !was_sticky {
                state.task_attempt = task.attempt.max(1) + 1;
            }
        });
        if !self.state().buffered.is_empty() {
            self.note(|state| state.task_attempt = 1);
            self.flush_buffer();
        }
        self.resend_updates();
        for query in &mut self.run.live.queries {
            query.sent = false;
        }
    }
}

impl WorkflowTask {
    /// Returns the id that the task's scheduled event would get in the run's history as it is.
    fn next_free(&self, run: &Run) -> i64 {
        run.state.next_event_id
    }
}

impl Run {
    /// Returns the started task as a worker sees it.
    pub(crate) fn started_task(&self, task: &WorkflowTask, sticky: bool) -> StartedWorkflowTask {
        let state = &self.state;
        StartedWorkflowTask {
            execution: WorkflowExecution {
                workflow_id: state.workflow_id.clone(),
                run_id: state.run_id.clone(),
            },
            workflow_type: state.workflow_type.clone(),
            task_queue: state.task_queue.clone(),
            scheduled_event_id: task.scheduled_event_id,
            started_event_id: task.started_event_id,
            scheduled_time: task.scheduled_time,
            started_time: task.started_time,
            attempt: task.attempt,
            previous_started_event_id: state.last_completed_started_id,
            next_event_id: state.next_event_id,
            transient: self.transient_events(),
            sticky: sticky && state.last_completed_started_id > 0,
            ..Default::default()
        }
    }

    /// Returns the events of a task that are not in history, as a worker is shown them. Where other events have taken
    /// their ids the task gets events of its own when it starts.
    pub(crate) fn transient_events(&self) -> Vec<HistoryEvent> {
        let next = self.state.next_event_id;
        let task = self.state.task.as_ref();
        let Some(task) = task.filter(|task| task.transient && task.scheduled_event_id == next) else {
            return Vec::new();
        };
        let event = |event_id, at: i64, kind: EventType, attributes| HistoryEvent {
            event_id,
            event_time: Some(Timestamp::from_nanos(at).to_proto()),
            event_type: kind.into(),
            attributes: Some(attributes),
            ..Default::default()
        };
        let scheduled = scheduled_attributes(task, &self.state.task_queue);
        let mut events = vec![event(
            task.scheduled_event_id,
            task.scheduled_time,
            EventType::WorkflowTaskScheduled,
            scheduled,
        )];
        if task.started_event_id != 0 {
            let started = started_attributes(task);
            events.push(event(
                task.started_event_id,
                task.started_time,
                EventType::WorkflowTaskStarted,
                started,
            ));
        }
        events
    }
}

/// Returns the record of the run's scheduled workflow task.
pub(crate) fn ready_task(run: &Run, task: &WorkflowTask) -> ReadyTask {
    ReadyTask {
        kind: ReadyKind::Workflow,
        queue: task.queue.clone(),
        sticky: task.sticky,
        scheduled_event_id: task.scheduled_event_id,
        attempt: task.attempt,
        scheduled_time: task.scheduled_time,
        priority: priority_key(run.state.priority.as_ref()),
        speculative: task.speculative,
    }
}

/// Returns the effective priority, 1 to 5 (reference 2.25).
pub(crate) fn priority_key(priority: Option<&proto::temporal::common::v1::Priority>) -> u8 {
    const DEFAULT: u8 = 3;
    const LOWEST: u8 = 5;
    match priority.map_or(0, |priority| priority.priority_key) {
        key if key <= 0 => DEFAULT,
        key => u8::try_from(key).map_or(LOWEST, |key| key.min(LOWEST)),
    }
}

fn scheduled_attributes(task: &WorkflowTask, normal_queue: &str) -> Attributes {
    let (kind, normal_name) = if task.sticky {
        (TaskQueueKind::Sticky, normal_queue.to_owned())
    } else {
        (TaskQueueKind::Normal, String::new())
    };
    Attributes::WorkflowTaskScheduledEventAttributes(Box::new(WorkflowTaskScheduledEventAttributes {
        task_queue: Some(TaskQueue {
            name: task.queue.clone(),
            kind: kind.into(),
            normal_name,
        }),
        start_to_close_timeout: Some(duration_to_proto(span(task.timeout))),
        attempt: task.attempt,
    }))
}

#[expect(deprecated, reason = "the field that tools show a worker's build by")]
fn started_attributes(task: &WorkflowTask) -> Attributes {
    Attributes::WorkflowTaskStartedEventAttributes(Box::new(WorkflowTaskStartedEventAttributes {
        scheduled_event_id: task.scheduled_event_id,
        identity: task.identity.clone(),
        request_id: task.request_id.clone(),
        suggest_continue_as_new: task.suggest_continue_as_new,
        suggest_continue_as_new_reasons: task.suggest_reasons.clone(),
        history_size_bytes: task.history_bytes,
        worker_version: (!task.build_id.is_empty()).then(|| WorkerVersionStamp {
            build_id: task.build_id.clone(),
            use_versioning: false,
        }),
        ..Default::default()
    }))
}

fn end_attributes(task: &WorkflowTask, end: TaskEnd) -> Attributes {
    match end {
        TaskEnd::Failed {
            cause,
            failure,
            identity,
        } => Attributes::WorkflowTaskFailedEventAttributes(Box::new(WorkflowTaskFailedEventAttributes {
            scheduled_event_id: task.scheduled_event_id,
            started_event_id: task.started_event_id,
            cause: cause.into(),
            failure,
            identity,
            ..Default::default()
        })),
        TaskEnd::TimedOut(kind) => {
            Attributes::WorkflowTaskTimedOutEventAttributes(Box::new(WorkflowTaskTimedOutEventAttributes {
                scheduled_event_id: task.scheduled_event_id,
                started_event_id: task.started_event_id,
                timeout_type: kind.into(),
            }))
        }
    }
}

/// Returns by how much a late attempt's time-out is longer than usual, at most.
fn attempt_backoff(attempt: i32, max: Duration) -> Duration {
    let doublings = u32::try_from(attempt - EAGER_ATTEMPTS - 1).unwrap_or(0).min(16);
    BACKOFF_FIRST.saturating_mul(1 << doublings).min(max)
}

fn update_message(id: &str, request: &UpdateRequest, started_event_id: i64) -> ProtocolMessage {
    ProtocolMessage {
        id: format!("{id}/request"),
        protocol_instance_id: id.to_owned(),
        sequencing_id: Some(SequencingId::EventId(started_event_id - 1)),
        body: Some(prost_types::Any {
            type_url: UpdateRequest::type_url(),
            value: request.encode_to_vec(),
        }),
    }
}
