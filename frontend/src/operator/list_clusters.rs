//! ListClusters (reference 1.10): this one.

use proto::temporal::operatorservice::v1::{ClusterMetadata, ListClustersRequest, ListClustersResponse};

use crate::{call::Call, error::Error, frontend::Frontend, system::INITIAL_FAILOVER_VERSION};

#[expect(clippy::unused_async, reason = "every call is answered by a future")]
pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: ListClustersRequest,
) -> Result<ListClustersResponse, Error> {
    if !request.next_page_token.is_empty() {
        // One page holds them all, so no token was ever given.
        return Err(Error::invalid("Invalid NextPageToken."));
    }
    let options = &frontend.options;
    let cluster = ClusterMetadata {
        cluster_name: options.cluster_name.clone(),
        cluster_id: options.cluster_id.clone(),
        address: options.address.clone(),
        initial_failover_version: INITIAL_FAILOVER_VERSION,
        history_shard_count: i32::try_from(options.shard_count).unwrap_or(i32::MAX),
        is_connection_enabled: true,
        ..Default::default()
    };
    Ok(ListClustersResponse {
        clusters: vec![cluster],
        next_page_token: Vec::new(),
    })
}
