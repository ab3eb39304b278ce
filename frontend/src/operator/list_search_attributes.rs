//! ListSearchAttributes (reference 1.10).

use proto::temporal::operatorservice::v1::{ListSearchAttributesRequest, ListSearchAttributesResponse};

use crate::{call::Call, error::Error, frontend::Frontend, visibility::search_attributes::built_in};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: ListSearchAttributesRequest,
) -> Result<ListSearchAttributesResponse, Error> {
    let namespace = super::namespace(frontend, &request.namespace).await?;
    let custom = namespace.schema.custom().iter();
    Ok(ListSearchAttributesResponse {
        custom_attributes: custom
            .map(|(name, value_type)| (name.clone(), value_type.to_api().into()))
            .collect(),
        system_attributes: built_in(),
        ..Default::default()
    })
}
