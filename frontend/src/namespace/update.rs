//! UpdateNamespace: what the request sets is merged into the record.

use proto::{
    temporal::{
        enums::v1::{NamespaceState, ReplicationState},
        namespace::v1::{BadBinaries, NamespaceConfig, UpdateNamespaceInfo},
        workflowservice::v1::{UpdateNamespaceRequest, UpdateNamespaceResponse},
    },
    time::Timestamp,
};

use super::{
    record::Record,
    register::{check_clusters, check_name},
};
use crate::{call::Call, error::Error, frontend::Frontend, limits, validate};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: UpdateNamespaceRequest,
) -> Result<UpdateNamespaceResponse, Error> {
    let name = request.namespace.clone();
    check_name(frontend.sizes(), &name)?;
    let stored = frontend.namespaces.stored_by_name(&name).await?;
    let stored = stored.ok_or_else(|| Error::NamespaceNotFound(name.clone()))?;
    if let Some(replication) = &request.replication_config {
        check_clusters(frontend, &replication.clusters, &replication.active_cluster_name)?;
        if replication.state() == ReplicationState::Handover {
            return Err(Error::invalid("Handover can only be set for global namespace"));
        }
    }
    if request.promote_namespace {
        return Err(Error::invalid(format!(
            "global namespace is not enabled on this cluster, cannot update global namespace or promote local \
             namespace: {name}"
        )));
    }
    let id = stored
        .record
        .namespace_id()
        .map_err(|error| Error::Internal(error.to_string()))?;
    let now = frontend.now();
    let stored = frontend
        .namespaces
        .change(id, &name, |record| merge(record, &request, now))
        .await?;
    let record = stored.record;
    Ok(UpdateNamespaceResponse {
        namespace_info: Some(record.info(&frontend.options.calls.sizes)),
        config: Some(record.config()),
        replication_config: Some(record.replication(&frontend.options.cluster_name)),
        ..Default::default()
    })
}

fn merge(record: &mut Record, request: &UpdateNamespaceRequest, now: Timestamp) -> Result<(), Error> {
    if let Some(info) = &request.update_info {
        merge_info(record, info)?;
    }
    if let Some(config) = &request.config {
        merge_config(record, config, now)?;
    }
    let checksum = &request.delete_bad_binary;
    if !checksum.is_empty() {
        let known = record
            .bad_binaries
            .as_mut()
            .and_then(|bad| bad.binaries.remove(checksum));
        known.ok_or_else(|| Error::invalid(format!("Bad binary checksum {checksum} doesn't exists.")))?;
    }
    Ok(())
}

fn merge_info(record: &mut Record, info: &UpdateNamespaceInfo) -> Result<(), Error> {
    if !info.description.is_empty() {
        record.description.clone_from(&info.description);
    }
    if !info.owner_email.is_empty() {
        record.owner_email.clone_from(&info.owner_email);
    }
    record
        .data
        .extend(info.data.iter().map(|(key, value)| (key.clone(), value.clone())));
    let state = NamespaceState::try_from(info.state)
        .map_err(|_| Error::invalid("Invalid namespace state update."))?;
    if state == NamespaceState::Unspecified || state == record.state() {
        return Ok(());
    }
    use NamespaceState::{Deleted, Deprecated, Registered};
    match (record.state(), state) {
        (Registered, Deprecated | Deleted) | (Deprecated, Deleted) => record.set_state(state),
        _ => return Err(Error::invalid("Invalid namespace state update.")),
    }
    Ok(())
}

fn merge_config(record: &mut Record, config: &NamespaceConfig, now: Timestamp) -> Result<(), Error> {
    if let Some(retention) = &config.workflow_execution_retention_ttl {
        record.set_retention(validate::retention(Some(retention))?);
    }
    if let Some(bad) = &config.bad_binaries {
        merge_bad_binaries(record.bad_binaries.get_or_insert_default(), bad, now)?;
    }
    Ok(())
}

fn merge_bad_binaries(known: &mut BadBinaries, more: &BadBinaries, now: Timestamp) -> Result<(), Error> {
    for (checksum, info) in &more.binaries {
        let mut info = info.clone();
        info.create_time = Some(now.to_proto());
        known.binaries.insert(checksum.clone(), info);
    }
    if known.binaries.len() > limits::BAD_BINARIES_MAX {
        let max = limits::BAD_BINARIES_MAX;
        return Err(Error::invalid(format!(
            "Total resetBinaries cannot exceed the max limit: {max}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_go_one_way() {
        use NamespaceState::{Deleted, Deprecated, Registered};
        let table = [
            (Registered, Deprecated, true),
            (Registered, Deleted, true),
            (Deprecated, Deleted, true),
            (Deprecated, Deprecated, true),
            (Deprecated, Registered, false),
            (Deleted, Registered, false),
            (Deleted, Deprecated, false),
        ];
        for (from, to, goes) in table {
            let mut record = Record {
                state: from.into(),
                ..Default::default()
            };
            let info = UpdateNamespaceInfo {
                state: to.into(),
                ..Default::default()
            };
            assert_eq!(merge_info(&mut record, &info).is_ok(), goes, "{from:?} to {to:?}");
            assert_eq!(record.state(), if goes { to } else { from });
        }
    }
}
