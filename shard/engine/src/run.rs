//! Run: one workflow execution, its stored state and what it keeps in memory only.

use std::collections::BTreeMap;

use proto::{
    ids::{NamespaceId, RunId, RunKey, WorkflowKey},
    temporal::{
        enums::v1::WorkflowExecutionStatus, query::v1::WorkflowQuery, update::v1::Request as UpdateRequest,
    },
    time::Timestamp,
};

use crate::{
    effect::Waiter,
    outcome::UpdateStage,
    state::{Activity, State, WorkflowTask, span, time},
    step::ActivityDue,
};

/// One workflow execution.
#[derive(Clone, Debug)]
pub struct Run {
    pub(crate) state: State,
    pub(crate) live: Live,
}

/// What a run keeps in memory only: lost when the run leaves memory, and its callers ask again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live {
    /// Updates that the worker has not accepted yet, and callers that wait for one, by update id.
    pub(crate) updates: BTreeMap<String, LiveUpdate>,
    /// Grows with each admitted update; orders their delivery.
    pub(crate) admitted: u64,
    /// Queries that wait for the next workflow task to complete.
    pub(crate) queries: Vec<BufferedQuery>,
    /// Deliveries that have been handed out since the run was loaded.
    pub(crate) in_flight: std::collections::BTreeSet<crate::effect::DeliveryId>,
    /// The run goes to another owner: nothing happens to it here any more.
    pub(crate) hands_over: bool,
    /// The state's bytes when it was stored last; zero if that was not since it was loaded.
    pub(crate) stored_bytes: usize,
}

/// An update between admission and completion.
#[derive(Clone, Debug)]
pub(crate) struct LiveUpdate {
    pub(crate) request: UpdateRequest,
    pub(crate) order: u64,
    pub(crate) stage: LiveStage,
    pub(crate) waiters: Vec<(Waiter, UpdateStage)>,
}

/// How far a live update is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LiveStage {
    Admitted,
    /// Delivered with the started workflow task.
    Sent,
    Accepted,
}

/// A query that waits for a workflow task.
#[derive(Clone, Debug)]
pub(crate) struct BufferedQuery {
    pub(crate) id: String,
    pub(crate) query: WorkflowQuery,
    pub(crate) waiter: Waiter,
    /// Went out with the started workflow task.
    pub(crate) sent: bool,
}

/// Why a run wants to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    Delivery,
    FirstTaskBackoff,
    WorkflowTaskStart,
    WorkflowTaskClose,
    ActivityRetry,
    ActivityTimeout,
    Timer,
    RunTimeout,
    ExecutionTimeout,
    Retention,
}

/// A stored id is not a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stored run id is malformed")]
pub struct InvalidKey;

impl Run {
    /// Takes up a stored run. Updates that were only admitted, queries and waiting callers are gone.
    #[must_use]
    pub fn load(mut state: State) -> Self {
        let live = crate::hand_over::take_over(&mut state);
        Self { state, live }
    }

    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Notes which wake-up row the shard has stored for the run.
    pub fn set_wakeup(&mut self, at: Option<Timestamp>) {
        self.state.wakeup = at.map_or(0, Timestamp::nanos);
    }

    /// Notes how large the state was when it was stored.
    pub fn set_stored_bytes(&mut self, bytes: usize) {
        self.live.stored_bytes = bytes;
    }

    pub fn key(&self) -> Result<RunKey, InvalidKey> {
        let namespace_id: NamespaceId = self.state.namespace_id.parse().map_err(|_| InvalidKey)?;
        let run_id: RunId = self.state.run_id.parse().map_err(|_| InvalidKey)?;
        let workflow = WorkflowKey {
            namespace_id,
            workflow_id: self.state.workflow_id.as_str().into(),
        };
        Ok(RunKey { workflow, run_id })
    }

    #[must_use]
    pub fn status(&self) -> WorkflowExecutionStatus {
        self.state.status()
    }

    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(
            self.status(),
            WorkflowExecutionStatus::Running | WorkflowExecutionStatus::Paused
        )
    }

    /// Tells whether the run keeps something that is lost when it leaves memory while somebody waits for it.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        !self.live.queries.is_empty()
            || !self.live.updates.is_empty()
            || !self.live.in_flight.is_empty()
            || self.state.task.as_ref().is_some_and(|task| task.speculative)
    }

    /// Tells whether the run has closed and owes nothing, so that it may leave the shard's hot rows.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        !self.is_open() && !self.owes_delivery()
    }

    /// Returns the state to store: without what exists in memory only.
    #[must_use]
    pub fn to_store(&self) -> std::borrow::Cow<'_, State> {
        if self.live.hands_over {
            let mut state = self.state.clone();
            state.updates_in_hand = crate::hand_over::updates_in_hand(self);
            return std::borrow::Cow::Owned(state);
        }
        if self.state.task.as_ref().is_some_and(|task| task.speculative) {
            let mut state = self.state.clone();
            state.task = None;
            return std::borrow::Cow::Owned(state);
        }
        std::borrow::Cow::Borrowed(&self.state)
    }

    /// Returns when the run must be looked at again, counting what is owed but already on its way if `durable`:
    /// that is the time which the stored wake-up must not be later than (P4).
    #[must_use]
    pub fn next_deadline(&self, durable: bool) -> Option<(Timestamp, Why)> {
        let mut next = Earliest::default();
        let owes = if durable {
            self.owes_delivery()
        } else {
            self.next_delivery().is_some()
        };
        if owes {
            // Due at once; a fixed early time keeps the stored row the same while the debt stands.
            next.offer(Some(Timestamp::from_nanos(self.state.start_time)), Why::Delivery);
        }
        if !self.is_open() {
            next.offer(time(self.state.retention_until), Why::Retention);
            return next.0;
        }
        next.offer(time(self.state.backoff_until), Why::FirstTaskBackoff);
        next.offer(time(self.state.run_expiration), Why::RunTimeout);
        next.offer(time(self.state.execution_expiration), Why::ExecutionTimeout);
        if let Some(task) = self
            .state
            .task
            .as_ref()
            .filter(|task| !(durable && task.speculative))
        {
            let (at, why) = task_deadline(task);
            next.offer(at, why);
        }
        for activity in self.state.activities.values() {
            let (at, why) = activity_deadline(activity);
            next.offer(at, why);
        }
        for timer in self.state.timers.values() {
            next.offer(Some(Timestamp::from_nanos(timer.fire_time)), Why::Timer);
        }
        next.0
    }

    /// Estimates the memory that the run takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        prost::Message::encoded_len(&self.state) * 2 + 512
    }
}

#[derive(Default)]
struct Earliest(Option<(Timestamp, Why)>);

impl Earliest {
    fn offer(&mut self, at: Option<Timestamp>, why: Why) {
        if let Some(at) = at
            && self.0.is_none_or(|(best, _)| at < best)
        {
            self.0 = Some((at, why));
        }
    }
}

/// Returns when the workflow task gives up what it waits for at the moment.
pub(crate) fn task_deadline(task: &WorkflowTask) -> (Option<Timestamp>, Why) {
    if task.started_event_id == 0 {
        return (time(task.schedule_to_start_deadline), Why::WorkflowTaskStart);
    }
    (
        Some(Timestamp::from_nanos(task.started_time) + span(task.timeout)),
        Why::WorkflowTaskClose,
    )
}

/// Returns the activity's earliest deadline of those that run at the moment (reference 2.7).
pub(crate) fn activity_deadline(activity: &Activity) -> (Option<Timestamp>, Why) {
    match activity.next_due() {
        Some((at, ActivityDue::Retry)) => (Some(at), Why::ActivityRetry),
        due => (due.map(|(at, _)| at), Why::ActivityTimeout),
    }
}
