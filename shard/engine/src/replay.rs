//! Replay: what history alone tells of a run. A reset builds on it; tests hold the live run against it.

use proto::{
    ids::fingerprint,
    temporal::{
        enums::v1::EventType,
        history::v1::{HistoryEvent, history_event::Attributes},
    },
};

use crate::{
    run::Run,
    state::{RequestId, State},
};

/// How many events of a history that is written at once go into one node, and how many bytes about.
const NODE_EVENTS: usize = 256;
const NODE_BYTES: usize = 1 << 20;

/// The events are not the beginning of a history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Corrupt {
    #[error("history has no events")]
    Empty,
    #[error("history does not begin with WorkflowExecutionStarted")]
    NoStart,
    #[error("event {found} stands where event {expected} should")]
    Gap { expected: i64, found: i64 },
    #[error("event {0} has no attributes")]
    NoAttributes(i64),
}

/// Builds the run that the events describe. What is outside history is as it would be had the run just been
/// written: activities wait for their first attempt, nothing is sticky, no request made it.
pub fn replay(namespace_id: &str, run_id: &str, events: &[HistoryEvent]) -> Result<Run, Corrupt> {
    match events.first() {
        None => return Err(Corrupt::Empty),
        Some(first) if first.event_type() != EventType::WorkflowExecutionStarted => {
            return Err(Corrupt::NoStart);
        }
        Some(_) => {}
    }
    let mut run = Run::load(State {
        namespace_id: namespace_id.to_owned(),
        run_id: run_id.to_owned(),
        next_event_id: 1,
        ..State::default()
    });
    for node in nodes(events) {
        let first = node.first().map_or(1, |event| event.event_id);
        for event in node {
            if event.event_id != run.state.next_event_id {
                return Err(Corrupt::Gap {
                    expected: run.state.next_event_id,
                    found: event.event_id,
                });
            }
            let Some(attributes) = &event.attributes else {
                return Err(Corrupt::NoAttributes(event.event_id));
            };
            run.apply(event, first);
            remember_request(&mut run.state, attributes, event.event_id);
        }
    }
    Ok(run)
}

/// Cuts a history that is written at once into the nodes that it is stored as. The beginning of a history is cut
/// in the same places whatever follows.
#[must_use]
pub fn nodes(events: &[HistoryEvent]) -> Vec<&[HistoryEvent]> {
    let mut nodes = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, event) in events.iter().enumerate() {
        let size = prost::Message::encoded_len(event);
        if index - start == NODE_EVENTS || (index > start && bytes + size > NODE_BYTES) {
            nodes.push(&events[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += size;
    }
    if start < events.len() {
        nodes.push(&events[start..]);
    }
    nodes
}

/// Remembers the requests that history names, so that their repetitions are known.
pub(crate) fn remember_request(state: &mut State, attributes: &Attributes, event_id: i64) {
    match attributes {
        Attributes::WorkflowExecutionSignaledEventAttributes(a) if !a.request_id.is_empty() => {
            state
                .signal_requests
                .extend_from_slice(&fingerprint(&a.request_id));
        }
        Attributes::WorkflowExecutionOptionsUpdatedEventAttributes(a)
            if !a.attached_request_id.is_empty() =>
        {
            let event_type = EventType::WorkflowExecutionOptionsUpdated.into();
            state
                .request_ids
                .insert(a.attached_request_id.clone(), RequestId { event_type, event_id });
        }
        _ => {}
    }
}
