//! RegisterNamespace: makes a namespace, which may be used at once.

use proto::{
    ids::NamespaceId,
    temporal::{
        enums::v1::NamespaceState,
        replication::v1::ClusterReplicationConfig,
        workflowservice::v1::{RegisterNamespaceRequest, RegisterNamespaceResponse},
    },
};

use super::record::Record;
use crate::{
    call::Call,
    config::Sizes,
    error::Error,
    frontend::{Frontend, fresh_id},
    validate,
};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: RegisterNamespaceRequest,
) -> Result<RegisterNamespaceResponse, Error> {
    check_name(frontend.sizes(), &request.namespace)?;
    let retention = validate::retention(request.workflow_execution_retention_period.as_ref())?;
    if request.is_global_namespace {
        return Err(Error::invalid(
            "Cannot register global namespace when not enabled",
        ));
    }
    check_clusters(frontend, &request.clusters, &request.active_cluster_name)?;
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
pub(super) fn check_name(sizes: &Sizes, name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::invalid("Namespace not set on request."));
    }
    if name.len() > sizes.id_bytes_max {
        return Err(Error::invalid("Namespace length exceeds limit."));
    }
    Ok(())
}

/// Refuses clusters other than this one. The active one may be left open, those that are listed may not.
pub(super) fn check_clusters(
    frontend: &Frontend,
    listed: &[ClusterReplicationConfig],
    active: &str,
) -> Result<(), Error> {
    let own = frontend.options.cluster_name.as_str();
    let active = Some(active).filter(|name| !name.is_empty());
    let listed = listed.iter().map(|cluster| cluster.cluster_name.as_str());
    match active.into_iter().chain(listed).find(|name| *name != own) {
        Some(other) => Err(Error::invalid(format!("Invalid cluster name: {other}"))),
        None => Ok(()),
    }
}
