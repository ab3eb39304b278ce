//! Runs that have outgrown their limits (reference 2.26): what would make one larger is refused, and the run is
//! terminated by the server.

use prost::Message;

use crate::{
    close::server_terminate,
    limits::Limits,
    outcome::{Rejection, Reply, Step},
    run::Run,
    trigger::{Context, Trigger},
    tx::Tx,
};

pub(crate) const TOO_MANY_EVENTS: &str = "Workflow history count exceeds limit.";
const TOO_MUCH_HISTORY: &str = "Workflow history size exceeds limit.";
const TOO_MUCH_STATE: &str = "Workflow mutable state size exceeds limit.";

/// Ends the run, and refuses the trigger, if there is no room for what the trigger brings.
pub(super) fn refuse(run: &mut Run, trigger: &Trigger, ctx: &Context<'_>) -> Option<Step> {
    let reason = no_room(run, trigger, ctx.limits)?;
    let mut tx = Tx::new(run, ctx);
    tx.terminate(server_terminate(reason));
    let refusal = Rejection::InvalidArgument(reason.to_owned());
    Some(tx.finish(Reply::Refused(refusal)))
}

fn no_room(run: &Run, trigger: &Trigger, limits: &Limits) -> Option<&'static str> {
    let (events, state_bytes) = brings(trigger)?;
    if !run.is_open() {
        return None;
    }
    if run.state.history_bytes > limits.history_bytes {
        Some(TOO_MUCH_HISTORY)
    } else if has_too_many_events(run, limits, events) {
        Some(TOO_MANY_EVENTS)
    } else if run.live.stored_bytes.saturating_add(state_bytes) > limits.state_bytes {
        Some(TOO_MUCH_STATE)
    } else {
        None
    }
}

pub(crate) fn has_too_many_events(run: &Run, limits: &Limits, more: usize) -> bool {
    let more = i64::try_from(more).unwrap_or(i64::MAX);
    (run.state.next_event_id - 1).saturating_add(more) > limits.history_events
}

/// Returns how many events and how many bytes of state the request brings at least; none for what does not make a
/// run larger, and for what was decided elsewhere.
fn brings(trigger: &Trigger) -> Option<(usize, usize)> {
    match trigger {
        Trigger::CompleteWorkflowTask(done) => Some((1 + done.commands.len(), 0)),
        Trigger::Signal(_)
        | Trigger::RequestCancel(_)
        | Trigger::CompleteActivity { .. }
        | Trigger::FailActivity(_)
        | Trigger::CancelActivity { .. } => Some((1, 0)),
        Trigger::Heartbeat { details, .. } => Some((0, details.as_ref().map_or(0, Message::encoded_len))),
        _ => None,
    }
}
