//! RegisterNamespace: makes a namespace, which may be used at once.

use proto::{
    ids::NamespaceId,
    temporal::{
        enums::v1::NamespaceState,
        workflowservice::v1::{RegisterNamespaceRequest, RegisterNamespaceResponse},
    },
};

use super::record::Record;
use crate::{
    call::Call,
    error::Error,
    frontend::{Frontend, fresh_id},
    limits, validate,
};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: RegisterNamespaceRequest,
) -> Result<RegisterNamespaceResponse, Error> {
    check_name(&request.namespace)?;
    let retention = validate::retention(request.workflow_execution_retention_period.as_ref())?;
    if request.is_global_namespace {
        return Err(Error::invalid(
            "Cannot register global namespace when not enabled",
        ));
    }
    let clusters = request
        .clusters
        .iter()
        .map(|cluster| cluster.cluster_name.as_str());
    check_clusters(frontend, clusters.chain([request.active_cluster_name.as_str()]))?;
    let id: NamespaceId = fresh_id()?
        .parse()
        .map_err(|_| Error::Internal("fresh id is malformed".to_owned()))?;
    let mut record = Record {
        id: id.to_string(),
        name: request.namespace,
        state: NamespaceState::Registered.into(),
        description: request.description,
        owner_email: request.owner_email,
        data: request.data.into_iter().collect(),
        registered: true,
        ..Default::default()
    };
    record.set_retention(retention);
    let stored = frontend.namespaces.create(record).await?;
    frontend.namespaces.remember(stored)?;
    frontend.namespaces.publish();
    Ok(RegisterNamespaceResponse {})
}

/// Refuses a name that no namespace may have.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::invalid("Namespace not set on request."));
    }
    if name.len() > limits::ID_BYTES_MAX {
        return Err(Error::invalid("Namespace length exceeds limit."));
    }
    Ok(())
}

/// Refuses clusters other than this one.
pub(super) fn check_clusters<'a>(
    frontend: &Frontend,
    mut names: impl Iterator<Item = &'a str>,
) -> Result<(), Error> {
    let own = frontend.options.cluster_name.as_str();
    match names.find(|name| !name.is_empty() && *name != own) {
        Some(other) => Err(Error::invalid(format!("Invalid cluster name: {other}"))),
        None => Ok(()),
    }
}
