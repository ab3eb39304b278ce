//! Links to what a call wrote.

use proto::temporal::{
    common::v1::{
        Link,
        link::{
            Variant, Workflow, WorkflowEvent,
            workflow_event::{EventReference, Reference, RequestIdReference},
        },
    },
    enums::v1::EventType,
};

/// Links to an event by its id.
pub(crate) fn to_event(
    namespace: &str,
    workflow_id: &str,
    run_id: &str,
    event_id: i64,
    kind: EventType,
) -> Link {
    let reference = EventReference {
        event_id,
        event_type: kind.into(),
    };
    link(namespace, workflow_id, run_id, Reference::EventRef(reference))
}

/// Links to an event by the request that it came of: its id may not be known yet.
pub(crate) fn to_request(
    namespace: &str,
    workflow_id: &str,
    run_id: &str,
    request_id: String,
    kind: EventType,
) -> Link {
    let reference = RequestIdReference {
        request_id,
        event_type: kind.into(),
    };
    link(namespace, workflow_id, run_id, Reference::RequestIdRef(reference))
}

/// Links to a run as a whole, for a reason.
pub(crate) fn to_workflow(namespace: &str, workflow_id: &str, run_id: &str, reason: &str) -> Link {
    let workflow = Workflow {
        namespace: namespace.to_owned(),
        workflow_id: workflow_id.to_owned(),
        run_id: run_id.to_owned(),
        reason: reason.to_owned(),
    };
    Link {
        variant: Some(Variant::Workflow(workflow)),
    }
}

fn link(namespace: &str, workflow_id: &str, run_id: &str, reference: Reference) -> Link {
    let event = WorkflowEvent {
        namespace: namespace.to_owned(),
        workflow_id: workflow_id.to_owned(),
        run_id: run_id.to_owned(),
        reference: Some(reference),
    };
    Link {
        variant: Some(Variant::WorkflowEvent(event)),
    }
}
