//! Events as clients are shown them: with what the store does not keep.

use proto::temporal::{
    common::v1::SearchAttributes,
    history::v1::{HistoryEvent, history_event::Attributes},
};
use storage::visibility::attributes::Schema;

const TYPE: &str = "type";

/// Adds the types of search attributes.
pub(crate) fn complete(events: &mut [HistoryEvent], schema: &Schema) {
    for event in events {
        if let Some(attributes) = event.attributes.as_mut().and_then(search_attributes) {
            add_types(attributes, schema);
        }
    }
}

fn add_types(attributes: &mut SearchAttributes, schema: &Schema) {
    for (name, payload) in &mut attributes.indexed_fields {
        if !payload.metadata.contains_key(TYPE)
            && let Some(value_type) = schema.stored_type(name)
        {
            payload
                .metadata
                .insert(TYPE.to_owned(), value_type.name().as_bytes().to_vec());
        }
    }
}

fn search_attributes(attributes: &mut Attributes) -> Option<&mut SearchAttributes> {
    match attributes {
        Attributes::WorkflowExecutionStartedEventAttributes(a) => a.search_attributes.as_mut(),
        Attributes::WorkflowExecutionContinuedAsNewEventAttributes(a) => a.search_attributes.as_mut(),
        Attributes::StartChildWorkflowExecutionInitiatedEventAttributes(a) => a.search_attributes.as_mut(),
        Attributes::UpsertWorkflowSearchAttributesEventAttributes(a) => a.search_attributes.as_mut(),
        _ => None,
    }
}
