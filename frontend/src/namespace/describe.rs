//! DescribeNamespace: by name or by id, whatever its state.

use proto::temporal::workflowservice::v1::{DescribeNamespaceRequest, DescribeNamespaceResponse};

use crate::{call::Call, error::Error, frontend::Frontend, validate};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: DescribeNamespaceRequest,
) -> Result<DescribeNamespaceResponse, Error> {
    let DescribeNamespaceRequest {
        namespace: name, id, ..
    } = request;
    validate::short(frontend.sizes(), &name, "Namespace length exceeds limit.")?;
    let namespaces = &frontend.namespaces;
    // Straight from the registry: a client that has just made a namespace asks here whether it is there.
    let stored = match (name.is_empty(), id.is_empty()) {
        (true, true) => return Err(Error::invalid("Namespace not set on request.")),
        (false, false) => {
            return Err(Error::invalid(
                "GetNamespace operation failed.  Both ID and Name specified in request.",
            ));
        }
        (false, true) => namespaces.stored_by_name(&name).await?,
        (true, false) => match id.parse() {
            Ok(id) => namespaces.stored_by_id(id).await?,
            Err(_) => None,
        },
    };
    let stored = stored.ok_or_else(|| Error::NamespaceNotFound(if name.is_empty() { id } else { name }))?;
    let response = stored
        .record
        .describe(&frontend.options.cluster_name, &frontend.options.calls.sizes);
    namespaces.remember(stored)?;
    Ok(response)
}
