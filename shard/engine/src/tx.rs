//! Tx: one step under way. Emits events, notes what is outside history and gathers effects.
//!
//! A step checks everything first; from the first emitted event on nothing fails.

use proto::{
    ids::{RunId, derive},
    temporal::{
        common::v1::Link,
        enums::v1::EventType,
        history::v1::{HistoryEvent, history_event::Attributes},
        sdk::v1::{EventGroupMarker, UserMetadata},
    },
};

use crate::{
    effect::{Delivery, Effect, Waiter},
    event_type::event_type,
    metrics::Counted,
    outcome::{NewRun, Rejection, Reply, Step},
    run::Run,
    state::{BUFFERED, State},
    trigger::Context,
};

/// An event before it has an id.
pub(crate) struct Draft {
    pub(crate) attributes: Attributes,
    pub(crate) user_metadata: Option<UserMetadata>,
    pub(crate) links: Vec<Link>,
    /// When it happened, if not now.
    pub(crate) time: Option<i64>,
}

impl From<Attributes> for Draft {
    fn from(attributes: Attributes) -> Self {
        Self {
            attributes,
            user_metadata: None,
            links: Vec::new(),
            time: None,
        }
    }
}

/// One step under way.
pub(crate) struct Tx<'a> {
    pub(crate) run: &'a mut Run,
    pub(crate) ctx: &'a Context<'a>,
    step: Step,
    draws: u32,
    /// Groups that the events of the command under way belong to.
    pub(crate) markers: Vec<EventGroupMarker>,
    /// First event id of the node that this step writes.
    node: i64,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(run: &'a mut Run, ctx: &'a Context<'a>) -> Self {
        let node = run.state.next_event_id;
        Self {
            run,
            ctx,
            step: Step::default(),
            draws: 0,
            markers: Vec::new(),
            node,
        }
    }

    pub(crate) fn state(&self) -> &State {
        &self.run.state
    }

    pub(crate) fn now(&self) -> i64 {
        self.ctx.now.nanos()
    }

    /// Draws a fresh id for a request.
    pub(crate) fn fresh_id(&mut self) -> String {
        let random = self.draw();
        RunId::from_random(random).to_string()
    }

    /// Draws the id of a run that begins.
    pub(crate) fn fresh_run_id(&mut self) -> String {
        let random = self.draw();
        RunId::at(self.ctx.now, random).to_string()
    }

    /// Draws a number from zero on, below one.
    pub(crate) fn draw_share(&mut self) -> f64 {
        let [a, b, ..] = self.draw();
        f64::from(u16::from_be_bytes([a, b])) / f64::from(u32::from(u16::MAX) + 1)
    }

    fn draw(&mut self) -> [u8; 16] {
        let random = derive(self.ctx.seed, self.draws);
        self.draws += 1;
        random
    }

    /// Changes state that is not in history.
    pub(crate) fn note(&mut self, change: impl FnOnce(&mut State)) {
        change(&mut self.run.state);
        self.step.durable = true;
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.step.effects.push(effect);
    }

    pub(crate) fn resolve(&mut self, waiter: Waiter, reply: Result<Reply, Rejection>) {
        self.step.effects.push(Effect::Resolve { waiter, reply });
    }

    /// Hands out something for another run, and remembers that it is on its way.
    pub(crate) fn deliver(&mut self, delivery: Delivery) {
        self.run.live.in_flight.insert(delivery.id);
        self.step.effects.push(Effect::Deliver(delivery));
    }

    pub(crate) fn count(&mut self, what: Counted) {
        self.step.counted.push(what);
    }

    /// The visibility record changed.
    pub(crate) fn index(&mut self) {
        self.step.index = true;
    }

    pub(crate) fn succeed(&mut self, run: NewRun) {
        self.step.successor = Some(Box::new(run));
    }

    /// Appends an event to history.
    pub(crate) fn emit(&mut self, draft: impl Into<Draft>) -> i64 {
        let mut event = self.draft(draft.into());
        event.event_id = self.run.state.next_event_id;
        event.task_id = task_id(event.event_id);
        self.append(event)
    }

    fn append(&mut self, event: HistoryEvent) -> i64 {
        let event_id = event.event_id;
        self.run.apply(&event, self.node);
        self.step.durable = true;
        self.step.events.push(event);
        event_id
    }

    fn draft(&self, draft: Draft) -> HistoryEvent {
        HistoryEvent {
            event_id: BUFFERED,
            event_time: Some(
                draft
                    .time
                    .map_or(self.ctx.now, proto::time::Timestamp::from_nanos)
                    .to_proto(),
            ),
            event_type: event_type(&draft.attributes).into(),
            user_metadata: draft.user_metadata,
            links: draft.links,
            event_group_markers: self.markers.clone(),
            worker_may_ignore: matches!(
                draft.attributes,
                Attributes::WorkflowExecutionOptionsUpdatedEventAttributes(_)
            ),
            attributes: Some(draft.attributes),
            ..Default::default()
        }
    }

    /// Adds an event that a worker's task did not produce: at once, or, while a workflow task is started, to the
    /// buffer that is flushed when it ends (reference 2.5). Returns its id, [`BUFFERED`] if it waits.
    pub(crate) fn emit_external(&mut self, draft: impl Into<Draft>) -> i64 {
        self.keep_speculative_task();
        let started = self
            .run
            .state
            .task
            .as_ref()
            .is_some_and(|task| task.started_event_id != 0);
        if !started {
            return self.emit(draft);
        }
        self.emit_later(draft)
    }

    /// Adds an event to the buffer: it gets its id when the buffer is flushed, after all that comes until then.
    pub(crate) fn emit_later(&mut self, draft: impl Into<Draft>) -> i64 {
        let event = self.draft(draft.into());
        self.run.apply_state(&event, self.node);
        self.note(|state| state.buffered.push(event));
        BUFFERED
    }

    /// Moves the buffered events into history: starts first, then the rest, completions of activities and
    /// children last (reference 2.5), and lets the ones that name a buffered event name its real id.
    pub(crate) fn flush_buffer(&mut self) {
        if self.run.state.buffered.is_empty() {
            return;
        }
        let mut events = std::mem::take(&mut self.run.state.buffered);
        events.sort_by_key(|event| is_completion(event.event_type()));
        let mut started = std::collections::BTreeMap::new();
        for mut event in events {
            event.event_id = self.run.state.next_event_id;
            event.task_id = task_id(event.event_id);
            rewire(&mut event, &mut started);
            self.run.advance(&event);
            self.rename_buffered(&event);
            self.step.durable = true;
            self.step.events.push(event);
        }
    }

    /// What state remembers of a buffered event by its id, it remembers by the real one from here on.
    fn rename_buffered(&mut self, event: &HistoryEvent) {
        let Some(attributes) = event.attributes.as_ref() else {
            return;
        };
        match attributes {
            Attributes::ChildWorkflowExecutionStartedEventAttributes(started) => {
                if let Some(child) = self.run.state.children.get_mut(&started.initiated_event_id) {
                    child.started_event_id = event.event_id;
                }
            }
            Attributes::WorkflowExecutionOptionsUpdatedEventAttributes(updated) => {
                if let Some(id) = self.run.state.request_ids.get_mut(&updated.attached_request_id) {
                    id.event_id = event.event_id;
                }
            }
            Attributes::WorkflowExecutionSignaledEventAttributes(signaled) => {
                if let Some(id) = self.run.state.request_ids.get_mut(&signaled.request_id) {
                    id.event_id = event.event_id;
                }
            }
            _ => {}
        }
    }

    /// The id of the first event of the node that this step writes.
    pub(crate) fn node(&self) -> i64 {
        self.node
    }

    /// Returns an event that this step has emitted.
    pub(crate) fn emitted(&self, event_id: i64) -> Option<&HistoryEvent> {
        self.step.events.iter().find(|event| event.event_id == event_id)
    }

    /// Lets the reply leave before the batch is durable: losing the step only runs the task again (P3).
    pub(crate) fn early(&mut self) {
        self.step.early = true;
    }

    /// Ends the step.
    pub(crate) fn finish(mut self, reply: Reply) -> Step {
        self.enforce_limits();
        self.deliver_owed();
        if self.step.durable {
            self.run.state.transitions += 1;
        }
        self.step.reply = reply;
        self.step
    }

    pub(crate) fn has_changed(&self) -> bool {
        self.step.durable
    }
}

/// Returns the event's place in its history's order of writing, which the API calls its task id.
const fn task_id(event_id: i64) -> i64 {
    /// Where the official server's ids begin, too.
    const FIRST: i64 = 1 << 20;
    FIRST + event_id
}

/// Whether the event ends something that another event started, and so comes last when a buffer is flushed.
fn is_completion(kind: EventType) -> bool {
    matches!(
        kind,
        EventType::ActivityTaskCompleted
            | EventType::ActivityTaskFailed
            | EventType::ActivityTaskTimedOut
            | EventType::ActivityTaskCanceled
            | EventType::ChildWorkflowExecutionCompleted
            | EventType::ChildWorkflowExecutionFailed
            | EventType::ChildWorkflowExecutionCanceled
            | EventType::ChildWorkflowExecutionTimedOut
            | EventType::ChildWorkflowExecutionTerminated
    )
}

/// Fills in the started event ids that were not known when the event was buffered. `started` maps the scheduled
/// or initiated event to the started one of this flush.
fn rewire(event: &mut HistoryEvent, started: &mut std::collections::BTreeMap<i64, i64>) {
    let event_id = event.event_id;
    let Some(attributes) = event.attributes.as_mut() else {
        return;
    };
    let fill = |of: i64, started_event_id: &mut i64, started: &std::collections::BTreeMap<i64, i64>| {
        if *started_event_id == BUFFERED
            && let Some(id) = started.get(&of)
        {
            *started_event_id = *id;
        }
    };
    match attributes {
        Attributes::ActivityTaskStartedEventAttributes(a) => {
            started.insert(a.scheduled_event_id, event_id);
        }
        Attributes::ChildWorkflowExecutionStartedEventAttributes(a) => {
            started.insert(a.initiated_event_id, event_id);
        }
        Attributes::ActivityTaskCompletedEventAttributes(a) => {
            fill(a.scheduled_event_id, &mut a.started_event_id, started);
        }
        Attributes::ActivityTaskFailedEventAttributes(a) => {
            fill(a.scheduled_event_id, &mut a.started_event_id, started);
        }
        Attributes::ActivityTaskTimedOutEventAttributes(a) => {
            fill(a.scheduled_event_id, &mut a.started_event_id, started);
        }
        Attributes::ActivityTaskCanceledEventAttributes(a) => {
            fill(a.scheduled_event_id, &mut a.started_event_id, started);
        }
        Attributes::ChildWorkflowExecutionCompletedEventAttributes(a) => {
            fill(a.initiated_event_id, &mut a.started_event_id, started);
        }
        Attributes::ChildWorkflowExecutionFailedEventAttributes(a) => {
            fill(a.initiated_event_id, &mut a.started_event_id, started);
        }
        Attributes::ChildWorkflowExecutionCanceledEventAttributes(a) => {
            fill(a.initiated_event_id, &mut a.started_event_id, started);
        }
        Attributes::ChildWorkflowExecutionTimedOutEventAttributes(a) => {
            fill(a.initiated_event_id, &mut a.started_event_id, started);
        }
        Attributes::ChildWorkflowExecutionTerminatedEventAttributes(a) => {
            fill(a.initiated_event_id, &mut a.started_event_id, started);
        }
        _ => {}
    }
}
