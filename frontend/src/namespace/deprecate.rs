//! DeprecateNamespace: nothing new starts there, what runs goes on.

use proto::temporal::{
    enums::v1::NamespaceState,
    workflowservice::v1::{DeprecateNamespaceRequest, DeprecateNamespaceResponse},
};

use super::register::check_name;
use crate::{call::Call, error::Error, frontend::Frontend};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: DeprecateNamespaceRequest,
) -> Result<DeprecateNamespaceResponse, Error> {
    let name = request.namespace;
    check_name(frontend.sizes(), &name)?;
    let stored = frontend.namespaces.stored_by_name(&name).await?;
    let stored = stored.ok_or_else(|| Error::NamespaceNotFound(name.clone()))?;
    let id = stored
        .record
        .namespace_id()
        .map_err(|error| Error::Internal(error.to_string()))?;
    let deprecate = |record: &mut super::record::Record| {
        if record.state() == NamespaceState::Registered {
            record.set_state(NamespaceState::Deprecated);
        }
        Ok(())
    };
    frontend.namespaces.change(id, &name, deprecate).await?;
    Ok(DeprecateNamespaceResponse {})
}
