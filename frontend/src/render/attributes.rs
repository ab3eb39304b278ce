//! Search attributes in what clients are shown: each carries its type in its metadata.

use proto::temporal::{
    common::v1::SearchAttributes,
    history::v1::{HistoryEvent, history_event::Attributes},
};
use storage::visibility::attributes::Schema;

/// Completes the search attributes of the events that carry some.
pub(crate) fn complete_events(events: &mut [HistoryEvent], schema: &Schema) {
    for event in events {
        if let Some(attributes) = event.attributes.as_mut().and_then(of_event) {
            schema.complete(attributes);
        }
    }
}

fn of_event(attributes: &mut Attributes) -> Option<&mut SearchAttributes> {
    match attributes {
        Attributes::WorkflowExecutionStartedEventAttributes(a) => a.search_attributes.as_mut(),
        Attributes::WorkflowExecutionContinuedAsNewEventAttributes(a) => a.search_attributes.as_mut(),
        Attributes::StartChildWorkflowExecutionInitiatedEventAttributes(a) => a.search_attributes.as_mut(),
        Attributes::UpsertWorkflowSearchAttributesEventAttributes(a) => a.search_attributes.as_mut(),
        _ => None,
    }
}
