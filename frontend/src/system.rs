//! What clients ask of the server as a whole: GetSystemInfo, GetClusterInfo (reference 1.1).

use proto::temporal::workflowservice::v1::{
    GetClusterInfoRequest, GetClusterInfoResponse, GetSystemInfoRequest, GetSystemInfoResponse,
    get_system_info_response::Capabilities,
};

use crate::{
    call::Call,
    error::Error,
    frontend::Frontend,
    versions::{SERVER_VERSION, SUPPORTED_CLIENTS},
};

/// Versions of clusters in the official server's replication; shown, otherwise without a meaning here.
pub(crate) const INITIAL_FAILOVER_VERSION: i64 = 1;
const FAILOVER_VERSION_INCREMENT: i64 = 10;

/// What SDKs may use: only what works here.
#[expect(clippy::unused_async, reason = "every call is answered by a future")]
pub(crate) async fn system_info(
    _: &Frontend,
    _: &Call,
    _: GetSystemInfoRequest,
) -> Result<GetSystemInfoResponse, Error> {
    let capabilities = Capabilities {
        signal_and_query_header: true,
        internal_error_differentiation: true,
        activity_failure_include_heartbeat: true,
        encoded_failure_attributes: true,
        upsert_memo: true,
        eager_workflow_start: true,
        sdk_metadata: true,
        count_group_by_execution_status: true,
        ..Default::default()
    };
    Ok(GetSystemInfoResponse {
        server_version: SERVER_VERSION.to_owned(),
        capabilities: Some(capabilities),
    })
}

#[expect(clippy::unused_async, reason = "every call is answered by a future")]
pub(crate) async fn cluster_info(
    frontend: &Frontend,
    _: &Call,
    _: GetClusterInfoRequest,
) -> Result<GetClusterInfoResponse, Error> {
    let options = &frontend.options;
    let clients = SUPPORTED_CLIENTS.into_iter();
    Ok(GetClusterInfoResponse {
        supported_clients: clients
            .map(|(name, range)| (name.to_owned(), range.to_owned()))
            .collect(),
        server_version: SERVER_VERSION.to_owned(),
        cluster_id: options.cluster_id.clone(),
        cluster_name: options.cluster_name.clone(),
        history_shard_count: i32::try_from(options.shard_count).unwrap_or(i32::MAX),
        persistence_store: options.store.clone(),
        visibility_store: options.store.clone(),
        initial_failover_version: INITIAL_FAILOVER_VERSION,
        failover_version_increment: FAILOVER_VERSION_INCREMENT,
        ..Default::default()
    })
}
