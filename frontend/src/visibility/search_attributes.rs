//! GetSearchAttributes (reference 1.1): the attributes that every namespace has.

use std::collections::HashMap;

use proto::temporal::{
    enums::v1::IndexedValueType,
    workflowservice::v1::{GetSearchAttributesRequest, GetSearchAttributesResponse},
};
use storage::visibility::attributes::{PredefinedAttribute, SystemAttribute};

use crate::{call::Call, error::Error, frontend::Frontend};

#[expect(clippy::unused_async, reason = "every call is answered by a future")]
pub(crate) async fn handle(
    _: &Frontend,
    _: &Call,
    _: GetSearchAttributesRequest,
) -> Result<GetSearchAttributesResponse, Error> {
    Ok(GetSearchAttributesResponse { keys: built_in() })
}

/// Returns the attributes that every namespace has.
pub(crate) fn built_in() -> HashMap<String, i32> {
    let kind = |value_type: IndexedValueType| i32::from(value_type);
    let system = SystemAttribute::ALL.into_iter();
    let system = system.map(|attribute| (attribute.name().to_owned(), kind(attribute.value_type().to_api())));
    let others = PredefinedAttribute::ALL.into_iter();
    let others = others.map(|attribute| (attribute.name.to_owned(), kind(attribute.value_type.to_api())));
    system.chain(others).collect()
}
