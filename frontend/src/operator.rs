//! OperatorService: one file for each RPC.

pub(crate) mod add_search_attributes;
pub(crate) mod delete_namespace;
pub(crate) mod list_clusters;
pub(crate) mod list_search_attributes;
pub(crate) mod remove_search_attributes;

use std::sync::Arc;

use crate::{error::Error, frontend::Frontend, namespace::Namespace};

/// Returns the namespace that a call on search attributes names.
async fn namespace(frontend: &Frontend, name: &str) -> Result<Arc<Namespace>, Error> {
    if name.is_empty() {
        return Err(Error::invalid("Namespace is not set on request."));
    }
    frontend.namespaces.usable(name).await
}
