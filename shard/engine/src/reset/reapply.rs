//! What happened to the base run from outside after the point of a reset, and happens to the new run again.

use std::collections::BTreeMap;

use proto::temporal::{
    enums::v1::UpdateAdmittedEventOrigin,
    history::v1::{HistoryEvent, WorkflowExecutionUpdateAdmittedEventAttributes, history_event::Attributes},
    update::v1::Request,
};

use crate::{
    apply::update_id,
    replay::remember_request,
    trigger::Reset,
    tx::{Draft, Tx},
};

/// Emits the events again. `tail` is the rest of the base run, `later` what followed it in its chain.
pub(super) fn reapply<'a>(
    tx: &mut Tx<'_>,
    request: &Reset,
    tail: impl Iterator<Item = &'a HistoryEvent>,
    later: impl Iterator<Item = &'a HistoryEvent>,
) {
    let mut started = BTreeMap::new();
    for event in tail {
        reapply_child(tx, event, &mut started);
        reapply_request(tx, request, event);
    }
    for event in later {
        reapply_request(tx, request, event);
    }
}

/// What callers asked for.
fn reapply_request(tx: &mut Tx<'_>, request: &Reset, event: &HistoryEvent) {
    let Some(attributes) = &event.attributes else {
        return;
    };
    match attributes {
        Attributes::WorkflowExecutionSignaledEventAttributes(_) if request.reapply_signals => {
            copy(tx, event, attributes.clone());
        }
        Attributes::WorkflowExecutionOptionsUpdatedEventAttributes(_) => copy(tx, event, attributes.clone()),
        Attributes::WorkflowExecutionUpdateAdmittedEventAttributes(a) if request.reapply_updates => {
            admit(tx, a.request.as_ref());
        }
        Attributes::WorkflowExecutionUpdateAcceptedEventAttributes(a) if request.reapply_updates => {
            admit(tx, a.accepted_request.as_ref());
        }
        _ => {}
    }
}

fn copy(tx: &mut Tx<'_>, event: &HistoryEvent, attributes: Attributes) {
    let event_id = tx.emit(Draft {
        user_metadata: event.user_metadata.clone(),
        links: event.links.clone(),
        ..Draft::from(attributes.clone())
    });
    tx.note(|state| remember_request(state, &attributes, event_id));
}

/// Admits an update in history, from where the worker takes it up.
fn admit(tx: &mut Tx<'_>, request: Option<&Request>) {
    let Some(request) = request.filter(|request| !tx.state().updates.contains_key(&update_id(request)))
    else {
        return;
    };
    let event = WorkflowExecutionUpdateAdmittedEventAttributes {
        request: Some(request.clone()),
        origin: UpdateAdmittedEventOrigin::Reapply.into(),
    };
    tx.emit(Attributes::WorkflowExecutionUpdateAdmittedEventAttributes(
        event.into(),
    ));
}

/// What became of a child that the new run has too: it is not started a second time, and it ends only once.
fn reapply_child(tx: &mut Tx<'_>, event: &HistoryEvent, started: &mut BTreeMap<i64, i64>) {
    let Some(mut attributes) = event.attributes.clone() else {
        return;
    };
    let Some((initiated, started_event_id)) = child_ids(&mut attributes) else {
        return;
    };
    if !tx.state().children.contains_key(&initiated) {
        return;
    }
    if let (Some(old), Some(new)) = (started_event_id, started.get(&initiated)) {
        *old = *new;
    }
    let starts = matches!(
        attributes,
        Attributes::ChildWorkflowExecutionStartedEventAttributes(_)
    );
    let event_id = tx.emit(Draft {
        links: event.links.clone(),
        ..Draft::from(attributes)
    });
    if starts {
        started.insert(initiated, event_id);
    }
}

/// Returns the initiated event of the child that the event tells of and, where the child ends, its started event.
fn child_ids(attributes: &mut Attributes) -> Option<(i64, Option<&mut i64>)> {
    match attributes {
        Attributes::StartChildWorkflowExecutionFailedEventAttributes(a) => Some((a.initiated_event_id, None)),
        Attributes::ChildWorkflowExecutionStartedEventAttributes(a) => Some((a.initiated_event_id, None)),
        Attributes::ChildWorkflowExecutionCompletedEventAttributes(a) => {
            Some((a.initiated_event_id, Some(&mut a.started_event_id)))
        }
        Attributes::ChildWorkflowExecutionFailedEventAttributes(a) => {
            Some((a.initiated_event_id, Some(&mut a.started_event_id)))
        }
        Attributes::ChildWorkflowExecutionCanceledEventAttributes(a) => {
            Some((a.initiated_event_id, Some(&mut a.started_event_id)))
        }
        Attributes::ChildWorkflowExecutionTimedOutEventAttributes(a) => {
            Some((a.initiated_event_id, Some(&mut a.started_event_id)))
        }
        Attributes::ChildWorkflowExecutionTerminatedEventAttributes(a) => {
            Some((a.initiated_event_id, Some(&mut a.started_event_id)))
        }
        _ => None,
    }
}
