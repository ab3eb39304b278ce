//! Links: references between executions that clients attach to requests (reference 0.5).

use prost::Message;
use proto::temporal::{
    common::v1::{
        Callback, Link,
        link::{Variant, WorkflowEvent, workflow_event::Reference},
    },
    enums::v1::EventType,
};

use crate::{error::Error, limits};

/// Checks the links of a request.
pub(crate) fn check(links: &[Link]) -> Result<(), Error> {
    let (max, count) = (limits::LINKS_MAX, links.len());
    if count > max {
        return Err(Error::invalid(format!(
            "cannot attach more than {max} links per request, got {count}"
        )));
    }
    links.iter().try_for_each(check_one)
}

/// Checks the links of a request together with those of its callbacks.
pub(crate) fn check_all(links: &[Link], callbacks: &[Callback]) -> Result<(), Error> {
    let mut all = links.to_vec();
    for link in callbacks.iter().flat_map(|callback| &callback.links) {
        if !all.contains(link) {
            all.push(link.clone());
        }
    }
    check(&all)
}

fn check_one(link: &Link) -> Result<(), Error> {
    let (max, size) = (limits::LINK_BYTES_MAX, link.encoded_len());
    if size > max {
        return Err(Error::invalid(format!(
            "link exceeds allowed size of {max}, got {size}"
        )));
    }
    match &link.variant {
        Some(Variant::WorkflowEvent(event)) => check_event(event),
        Some(Variant::BatchJob(job)) if job.job_id.is_empty() => {
            Err(Error::invalid("batch job link must not have an empty job ID"))
        }
        Some(Variant::Activity(activity)) => named(
            "activity",
            [
                (&activity.namespace, "namespace"),
                (&activity.activity_id, "activity ID"),
                (&activity.run_id, "run ID"),
            ],
        ),
        Some(Variant::NexusOperation(operation)) => named(
            "nexus operation",
            [
                (&operation.namespace, "namespace"),
                (&operation.operation_id, "operation ID"),
                (&operation.run_id, "run ID"),
            ],
        ),
        Some(Variant::BatchJob(_)) => Ok(()),
        Some(Variant::Workflow(_) | Variant::Callback(_)) | None => {
            Err(Error::invalid("unsupported link variant"))
        }
    }
}

fn check_event(event: &WorkflowEvent) -> Result<(), Error> {
    let fields = [
        (&event.namespace, "namespace"),
        (&event.workflow_id, "workflow ID"),
        (&event.run_id, "run ID"),
    ];
    named("workflow event", fields)?;
    match &event.reference {
        Some(Reference::EventRef(reference))
            if reference.event_type() == EventType::Unspecified && reference.event_id != 0 =>
        {
            Err(Error::invalid(
                "workflow event link ref cannot have an unspecified event type and a non-zero event ID",
            ))
        }
        _ => Ok(()),
    }
}

/// Refuses a link of the kind that leaves one of its fields open.
fn named(kind: &str, fields: [(&String, &str); 3]) -> Result<(), Error> {
    match fields.into_iter().find(|(field, _)| field.is_empty()) {
        Some((_, name)) => Err(Error::invalid(format!(
            "{kind} link must not have an empty {name} field"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(namespace: &str, workflow_id: &str, run_id: &str) -> Link {
        let event = WorkflowEvent {
            namespace: namespace.to_owned(),
            workflow_id: workflow_id.to_owned(),
            run_id: run_id.to_owned(),
            reference: None,
        };
        Link {
            variant: Some(Variant::WorkflowEvent(event)),
        }
    }

    #[test]
    fn links_are_refused_in_official_words() {
        let job = Link {
            variant: Some(Variant::BatchJob(Default::default())),
        };
        let table = [
            (
                vec![event("n", "w", "r"); 11],
                "cannot attach more than 10 links per request, got 11",
            ),
            (vec![Link::default()], "unsupported link variant"),
            (
                vec![event("", "w", "r")],
                "workflow event link must not have an empty namespace field",
            ),
            (
                vec![event("n", "", "r")],
                "workflow event link must not have an empty workflow ID field",
            ),
            (
                vec![event("n", "w", "")],
                "workflow event link must not have an empty run ID field",
            ),
            (
                vec![Link {
                    variant: Some(Variant::Activity(Default::default())),
                }],
                "activity link must not have an empty namespace field",
            ),
            (vec![job], "batch job link must not have an empty job ID"),
            (vec![event("n", "w", "r"); 10], "ok"),
        ];
        for (links, expected) in table {
            assert_eq!(
                check(&links).map_or_else(|error| error.to_string(), |()| "ok".to_owned()),
                expected
            );
        }
    }
}
