//! Health: what nodes tell balancers of themselves, asked by gRPC as a balancer does.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinHandle;
use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::client::Api;

const SERVICE: &str = "temporal.api.workflowservice.v1.WorkflowService";
const EVERY: Duration = Duration::from_millis(250);
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Whether the node says that it serves; none without an answer.
pub(crate) async fn serves(address: &str) -> Option<bool> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).ok()?;
    let asked = async {
        let mut client = HealthClient::new(endpoint.connect().await.ok()?);
        let request = HealthCheckRequest {
            service: SERVICE.to_owned(),
        };
        Some(client.check(request).await.ok()?.into_inner().status())
    };
    let status = tokio::time::timeout(ANSWER_MAX, asked).await.ok()??;
    Some(status == ServingStatus::Serving)
}

/// Calls go only where a node says that it serves, as with a balancer that asks for it.
pub(crate) fn heed(api: Arc<Api>) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            for address in api.addresses() {
                if let Some(serves) = serves(&address).await {
                    api.set_serving(&address, serves);
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    })
}
