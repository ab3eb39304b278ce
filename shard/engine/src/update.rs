//! Updates: admitted in memory, carried by a workflow task, accepted and completed in history (reference 2.16).
//!
//! An update that a worker has not accepted lives in [`crate::run::Live`] only: if the run leaves memory its callers
//! ask again. From acceptance on it is in the run's state, as is one that a reset admitted again: workers find that
//! one in history. A live entry of an update in state holds nothing but the callers that wait for it.

mod messages;

use prost::Message;
use proto::temporal::{
    failure::v1::{ApplicationFailureInfo, Failure, failure::FailureInfo},
    update::v1::{Outcome, outcome::Value},
};

pub(crate) use messages::{check_messages, is_rejection, worker_message};

use crate::{
    apply::update_id,
    effect::Waiter,
    outcome::{Rejection, Reply, Step, UpdateStage, UpdateStatus},
    run::{LiveStage, LiveUpdate, Run},
    step::closed,
    trigger::{AdmitUpdate, CompleteWorkflowTask},
    tx::Tx,
};

/// How many callers may wait for one update.
const WAITERS_MAX: usize = 1_000;
/// A speculative task that showed the worker at most so many events may vanish, if the worker can roll them back.
const VANISHING_EVENTS_MAX: i64 = 10;

/// Admits an update, or joins the one of the same id.
pub(crate) fn admit(mut tx: Tx<'_>, request: AdmitUpdate) -> Result<Step, Rejection> {
    if !request.first_run_id.is_empty() && request.first_run_id != tx.state().first_run_id {
        return Err(Rejection::NotFound("workflow execution not found".to_owned()));
    }
    let (id, wait) = (update_id(&request.request), wanted(request.wait));
    if let Some(status) = status(tx.run, &id) {
        return await_stage(tx, &id, status, wait);
    }
    check_new(&tx, &request)?;
    admit_into(&mut tx, request);
    if tx.state().task.is_none() {
        tx.schedule_speculative_task();
    }
    Ok(tx.finish(Reply::Deferred))
}

/// Admits a new update without asking whether the run may take it; the caller schedules the workflow task.
/// The asker waits under the context's waiter.
pub(crate) fn admit_into(tx: &mut Tx<'_>, request: AdmitUpdate) {
    let (id, wait) = (update_id(&request.request), wanted(request.wait));
    let order = tx.run.live.admitted;
    tx.run.live.admitted += 1;
    let waiters = vec![(tx.ctx.waiter, wait)];
    let update = LiveUpdate {
        request: request.request,
        order,
        stage: LiveStage::Admitted,
        waiters,
    };
    tx.run.live.updates.insert(id, update);
}

/// Tells whether the run has seen the update, so that asking for it again joins or repeats it.
pub(crate) fn is_known(run: &Run, request: &AdmitUpdate) -> bool {
    status(run, &update_id(&request.request)).is_some()
}

/// Tells whether the update was completed by the workflow itself: only then does a closed run answer for it in place
/// of a new one.
pub(crate) fn is_completed(run: &Run, request: &AdmitUpdate) -> bool {
    let update = run.state.updates.get(&update_id(&request.request));
    update.is_some_and(|update| update.completed_event_id != 0)
}

/// Tells whether an update waits for a workflow task to carry it.
pub(crate) fn has_admitted(run: &Run) -> bool {
    run.live
        .updates
        .iter()
        .any(|(id, update)| is_unaccepted(run, id, update))
}

/// Returns the update's state once it has reached the stage; at once if no stage is asked for.
pub(crate) fn poll(tx: Tx<'_>, id: &str, wait: UpdateStage) -> Result<Step, Rejection> {
    let Some(status) = status(tx.run, id) else {
        return Err(Rejection::NotFound(format!("update {id:?} not found")));
    };
    await_stage(tx, id, status, wait)
}

/// Rejects what the completed task carried and its worker said nothing of: it knows no updates (reference 2.16).
pub(crate) fn reject_unprocessed(tx: &mut Tx<'_>) {
    let sent = tx
        .run
        .live
        .updates
        .iter()
        .filter(|(_, update)| update.stage == LiveStage::Sent);
    for id in sent.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
        let failure = server_failure(
            "UnprocessedUpdate",
            "Workflow Update is rejected because it wasn't processed by worker. Probably, Workflow Update is not \
             supported by the worker.",
        );
        reject(tx, &id, failure);
    }
}

/// Tells whether a completed task leaves no trace: a speculative one whose worker did nothing but reject updates,
/// and was shown no event that history could lose (reference 2.6).
pub(crate) fn can_vanish(run: &Run, request: &CompleteWorkflowTask) -> bool {
    let Some(task) = run.state.task.as_ref().filter(|task| task.speculative) else {
        return false;
    };
    // After the last task's started event comes its completed one, and then this task's.
    let shown = task.scheduled_event_id - (run.state.last_completed_started_id + 2);
    let shown_max = if request.discard_speculative_with_events {
        VANISHING_EVENTS_MAX
    } else {
        0
    };
    request.commands.is_empty()
        && !request.force_new_task
        && shown <= shown_max
        && request.messages.iter().all(is_rejection)
}

impl Tx<'_> {
    /// The task that carried updates ended without completing: they travel with the next one, however often that
    /// happens, so that they complete once the worker is mended.
    pub(crate) fn resend_updates(&mut self) {
        let updates = self.run.live.updates.values_mut();
        for update in updates.filter(|update| update.stage == LiveStage::Sent) {
            update.stage = LiveStage::Admitted;
        }
    }

    /// The run has closed: nobody waits for an update any longer. `continues`: another run goes on with the work,
    /// and takes an update that was not accepted here when its caller asks again.
    pub(crate) fn close_updates(&mut self, continues: bool) {
        let aborted = if continues {
            closing()
        } else {
            Rejection::NotFound("workflow update was aborted by closing workflow".to_owned())
        };
        for id in self.run.live.updates.keys().cloned().collect::<Vec<_>>() {
            if status(self.run, &id).is_some() {
                self.notify_update(&id);
            } else {
                self.abort(&id, &aborted);
            }
        }
    }

    /// Answers the callers whose stage the update has reached.
    fn notify_update(&mut self, id: &str) {
        let Some(status) = status(self.run, id) else {
            return;
        };
        let Some(update) = self.run.live.updates.get_mut(id) else {
            return;
        };
        let (reached, waiting) = std::mem::take(&mut update.waiters)
            .into_iter()
            .partition(|(_, wait)| *wait <= status.stage);
        update.waiters = waiting;
        if update.waiters.is_empty() && status.stage >= UpdateStage::Accepted {
            self.run.live.updates.remove(id);
        }
        self.answer(reached, &Ok(Reply::Update(Box::new(status))));
    }

    /// Forgets an update that was not accepted.
    fn abort(&mut self, id: &str, why: &Rejection) {
        if let Some(update) = self.run.live.updates.remove(id) {
            self.answer(update.waiters, &Err(why.clone()));
        }
    }

    fn answer(&mut self, waiters: Vec<(Waiter, UpdateStage)>, reply: &Result<Reply, Rejection>) {
        for (waiter, _) in waiters {
            self.resolve(waiter, reply.clone());
        }
    }
}

impl Run {
    /// Forgets a caller that waits no longer. What it asked for goes on, but for a query, which was only for it.
    pub fn forget(&mut self, waiter: Waiter) {
        self.live.queries.retain(|query| query.waiter != waiter);
        let accepted = &self.state.updates;
        self.live.updates.retain(|id, update| {
            update.waiters.retain(|(waiting, _)| *waiting != waiter);
            !update.waiters.is_empty() || !accepted.contains_key(id)
        });
    }
}

/// Where the update stands; `None` if the run knows nothing of it.
fn status(run: &Run, id: &str) -> Option<UpdateStatus> {
    let (stage, outcome, accepted_event_id) = match run.state.updates.get(id) {
        Some(update) if update.completed_event_id != 0 => (
            UpdateStage::Completed,
            update.outcome.clone(),
            update.accepted_event_id,
        ),
        Some(update) if update.accepted_event_id != 0 && run.is_open() => {
            (UpdateStage::Accepted, None, update.accepted_event_id)
        }
        Some(update) if update.accepted_event_id != 0 => (
            UpdateStage::Completed,
            Some(failed(outlived())),
            update.accepted_event_id,
        ),
        Some(_) if run.is_open() => (UpdateStage::Admitted, None, 0),
        None if run.is_open() && run.live.updates.contains_key(id) => (UpdateStage::Admitted, None, 0),
        Some(_) | None => return None,
    };
    let (run_id, update_id) = (run.state.run_id.clone(), id.to_owned());
    Some(UpdateStatus {
        run_id,
        update_id,
        stage,
        outcome,
        accepted_event_id,
    })
}

/// Whether the update is live and not in state: neither accepted nor admitted by a reset.
fn is_unaccepted(run: &Run, id: &str, update: &LiveUpdate) -> bool {
    update.stage < LiveStage::Accepted && !run.state.updates.contains_key(id)
}

fn await_stage(tx: Tx<'_>, id: &str, status: UpdateStatus, wait: UpdateStage) -> Result<Step, Rejection> {
    if status.stage >= wait {
        return Ok(tx.finish(Reply::Update(Box::new(status))));
    }
    let waiter = (tx.ctx.waiter, wait);
    let stage = if status.stage == UpdateStage::Accepted {
        LiveStage::Accepted
    } else {
        LiveStage::Admitted
    };
    let update = tx
        .run
        .live
        .updates
        .entry(id.to_owned())
        .or_insert_with(|| LiveUpdate {
            request: Default::default(),
            order: 0,
            stage,
            waiters: Vec::new(),
        });
    if update.waiters.len() >= WAITERS_MAX {
        return Err(Rejection::Busy("too many callers wait for the update".to_owned()));
    }
    update.waiters.push(waiter);
    Ok(tx.finish(Reply::Deferred))
}

fn check_new(tx: &Tx<'_>, request: &AdmitUpdate) -> Result<(), Rejection> {
    let (run, limits) = (&*tx.run, tx.ctx.limits);
    if !run.is_open() {
        return Err(closed());
    }
    let started = run
        .state
        .task
        .as_ref()
        .is_some_and(|task| task.started_event_id != 0);
    if run.state.close_attempted && started {
        return Err(closing());
    }
    if run.state.task_attempt >= limits.not_ready_attempt {
        return Err(not_ready());
    }
    let live = run
        .live
        .updates
        .iter()
        .filter(|(id, update)| is_unaccepted(run, id, update));
    let (mut count, mut bytes) = (0, request.request.encoded_len());
    for (_, update) in live {
        count += 1;
        bytes += update.request.encoded_len();
    }
    let running = run
        .state
        .updates
        .values()
        .filter(|update| update.completed_event_id == 0)
        .count();
    if count + running >= limits.updates_in_flight {
        return Err(Rejection::ConcurrentLimit(format!(
            "limit on number of concurrent in-flight updates has been reached ({})",
            limits.updates_in_flight
        )));
    }
    if bytes > limits.updates_in_flight_bytes {
        return Err(Rejection::ConcurrentLimit(format!(
            "limit on total payload size of in-flight updates has been reached ({} bytes)",
            limits.updates_in_flight_bytes
        )));
    }
    if count + run.state.updates.len() >= limits.updates_total {
        return Err(Rejection::FailedPrecondition(format!(
            "limit on number of total updates has been reached ({})",
            limits.updates_total
        )));
    }
    Ok(())
}

/// Lets a rejection take effect: the caller has its answer and nothing is left of the update.
fn reject(tx: &mut Tx<'_>, id: &str, failure: Failure) {
    if tx.state().updates.contains_key(id) {
        tx.note(|state| {
            state.updates.remove(id);
        });
    }
    let Some(update) = tx.run.live.updates.remove(id) else {
        return;
    };
    let status = UpdateStatus {
        run_id: tx.state().run_id.clone(),
        update_id: id.to_owned(),
        stage: UpdateStage::Completed,
        outcome: Some(failed(failure)),
        accepted_event_id: 0,
    };
    tx.answer(update.waiters, &Ok(Reply::Update(Box::new(status))));
}

/// Callers that say nothing wait for the outcome.
fn wanted(wait: UpdateStage) -> UpdateStage {
    if wait == UpdateStage::Unspecified {
        UpdateStage::Completed
    } else {
        wait
    }
}

fn failed(failure: Failure) -> Outcome {
    Outcome {
        value: Some(Value::Failure(failure)),
    }
}

/// The outcome of an accepted update whose workflow closed first.
fn outlived() -> Failure {
    server_failure(
        "AcceptedUpdateCompletedWorkflow",
        "Workflow Update failed because the Workflow completed before the Update completed.",
    )
}

fn server_failure(kind: &str, message: &str) -> Failure {
    Failure {
        message: message.to_owned(),
        source: "Server".to_owned(),
        failure_info: Some(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo {
            r#type: kind.to_owned(),
            non_retryable: true,
            ..Default::default()
        })),
        ..Default::default()
    }
}

fn closing() -> Rejection {
    Rejection::Busy("workflow operation can not be applied because workflow is closing".to_owned())
}

fn not_ready() -> Rejection {
    Rejection::NotReady(
        "Unable to perform workflow execution update due to Workflow Task in failed state.".to_owned(),
    )
}
