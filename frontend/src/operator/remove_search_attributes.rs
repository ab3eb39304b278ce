//! RemoveSearchAttributes (reference 1.10): unknown names are ignored, as is what runs have under a removed name.

use proto::temporal::operatorservice::v1::{RemoveSearchAttributesRequest, RemoveSearchAttributesResponse};
use storage::visibility::attributes::is_built_in;

use crate::{call::Call, error::Error, frontend::Frontend};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: RemoveSearchAttributesRequest,
) -> Result<RemoveSearchAttributesResponse, Error> {
    if request.search_attributes.is_empty() {
        return Err(Error::invalid("SearchAttributes are not set on request."));
    }
    let namespace = super::namespace(frontend, &request.namespace).await?;
    if let Some(name) = request.search_attributes.iter().find(|name| is_built_in(name)) {
        return Err(Error::invalid(format!(
            "Unable to remove non-custom search attributes: {name}."
        )));
    }
    let remove = |record: &mut crate::namespace::record::Record| {
        for name in &request.search_attributes {
            record.search_attributes.remove(name);
        }
        Ok(())
    };
    frontend
        .namespaces
        .change(namespace.id, namespace.name(), remove)
        .await?;
    Ok(RemoveSearchAttributesResponse {})
}
