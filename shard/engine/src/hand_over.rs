//! Hand-over: what a worker has in hand and memory alone knows goes with the run to its next owner, so that the worker's
//! answer finds it there.

use prost::Message;
use proto::temporal::update::v1::Request as UpdateRequest;

use crate::{
    apply::update_id,
    outcome::{Reply, Step},
    run::{Live, LiveStage, LiveUpdate, Run},
    state::State,
    trigger::Context,
    tx::Tx,
};

/// What the updates of one run may take that are handed over: their callers ask again anyway, and a worker's answer to
/// an update that is not known is tried again.
const UPDATES_BYTES_MAX: usize = 256 * 1024;

/// Tells whether a worker has something of the run in hand that only memory knows.
#[must_use]
pub fn is_in_hand(run: &Run) -> bool {
    let started = |task: &crate::state::WorkflowTask| task.started_event_id != 0;
    let task = run.state.task.as_ref().filter(|task| started(task));
    run.is_open() && task.is_some_and(|task| task.speculative || !run.live.updates.is_empty())
}

/// Writes it down: a task that is in memory only gets its events (reference 2.6), and the updates that the task has
/// brought its worker are stored beside it. Their callers ask again.
pub fn hand_over(run: &mut Run, ctx: &Context<'_>) -> Step {
    let mut tx = Tx::new(run, ctx);
    tx.keep_speculative_task();
    tx.run.live.hands_over = true;
    // What is stored of the run has changed.
    tx.note(|_| {});
    tx.finish(Reply::Done)
}

pub(crate) fn updates_in_hand(run: &Run) -> Vec<UpdateRequest> {
    let live = run.live.updates.values();
    let mut sent: Vec<_> = live.filter(|update| update.stage == LiveStage::Sent).collect();
    sent.sort_by_key(|update| update.order);
    let mut bytes = 0;
    let fits = |update: &&LiveUpdate| {
        bytes += update.request.encoded_len();
        bytes <= UPDATES_BYTES_MAX
    };
    let handed_over = sent.into_iter().take_while(fits);
    handed_over.map(|update| update.request.clone()).collect()
}

/// Takes the updates into memory that the last owner handed over.
pub(crate) fn take_over(state: &mut State) -> Live {
    let mut live = Live::default();
    for request in std::mem::take(&mut state.updates_in_hand) {
        let update = LiveUpdate {
            order: live.admitted,
            stage: LiveStage::Sent,
            waiters: Vec::new(),
            request,
        };
        live.admitted += 1;
        live.updates.insert(update_id(&update.request), update);
    }
    live
}
