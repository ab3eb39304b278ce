//! AddSearchAttributes (reference 1.10): a name that is there already stays as it is.

use std::collections::HashMap;

use proto::temporal::{
    enums::v1::IndexedValueType,
    operatorservice::v1::{AddSearchAttributesRequest, AddSearchAttributesResponse},
};
use storage::visibility::attributes::{ValueType, is_reserved};

use crate::{
    call::Call,
    error::Error,
    frontend::Frontend,
    limits,
    namespace::{Namespace, record::Record},
};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: AddSearchAttributesRequest,
) -> Result<AddSearchAttributesResponse, Error> {
    if request.search_attributes.is_empty() {
        return Err(Error::invalid("SearchAttributes are not set on request."));
    }
    let namespace = super::namespace(frontend, &request.namespace).await?;
    add(frontend, &namespace, &request.search_attributes).await?;
    Ok(AddSearchAttributesResponse {})
}

/// Adds the attributes, by name and API type.
pub(crate) async fn add(
    frontend: &Frontend,
    namespace: &Namespace,
    attributes: &HashMap<String, i32>,
) -> Result<(), Error> {
    for (name, value_type) in attributes {
        check(name, *value_type)?;
    }
    let merge = |record: &mut Record| {
        for (name, value_type) in attributes {
            record
                .search_attributes
                .entry(name.clone())
                .or_insert(*value_type);
        }
        let max = limits::CUSTOM_ATTRIBUTES_MAX;
        if record.search_attributes.len() > max {
            return Err(Error::invalid(format!(
                "Unable to create search attributes: cannot have more than {max} search attributes."
            )));
        }
        Ok(())
    };
    frontend
        .namespaces
        .change(namespace.id, namespace.name(), merge)
        .await?;
    Ok(())
}

fn check(name: &str, value_type: i32) -> Result<(), Error> {
    if is_reserved(name) {
        return Err(Error::invalid(format!(
            "Search attribute {name} is reserved by system."
        )));
    }
    let known = IndexedValueType::try_from(value_type);
    let known = known.map_err(|_| Error::invalid(format!("Unknown search attribute type: {value_type}.")))?;
    ValueType::from_api(known).map(|_| ()).ok_or_else(|| {
        Error::invalid(
            "Unable to create search attributes: cannot have more than 0 search attribute of type Unspecified.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_types_are_refused_in_official_words() {
        let table = [
            ("Customer", 2, "ok"),
            ("odd `name", 7, "ok"),
            (
                "WorkflowId",
                2,
                "Search attribute WorkflowId is reserved by system.",
            ),
            (
                "TemporalFoo",
                2,
                "Search attribute TemporalFoo is reserved by system.",
            ),
            (
                "NamespaceId",
                2,
                "Search attribute NamespaceId is reserved by system.",
            ),
            ("BuildIds", 2, "Search attribute BuildIds is reserved by system."),
            ("Customer", 17, "Unknown search attribute type: 17."),
        ];
        for (name, value_type, expected) in table {
            let shown = check(name, value_type).map_or_else(|error| error.to_string(), |()| "ok".to_owned());
            assert_eq!(shown, expected);
        }
    }
}
