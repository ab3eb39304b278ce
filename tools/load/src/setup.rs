//! Makes a server ready to be loaded: waits until it answers and until the namespace can be used.

use std::time::{Duration, Instant};

use proto::temporal::workflowservice::v1::{
    CountWorkflowExecutionsRequest, DescribeNamespaceRequest, GetSystemInfoRequest, RegisterNamespaceRequest,
};
use tonic::Code;

use crate::{
    client::{Api, within},
    worker::command,
};

const PAUSE: Duration = Duration::from_millis(100);
const CALL: Duration = Duration::from_secs(5);
const RETENTION: Duration = Duration::from_secs(24 * 3600);

/// Waits until the server answers, registers the namespace if it is not there; gives the server's version.
pub(crate) async fn ready(api: &Api, namespace: &str, patience: Duration) -> Result<String, String> {
    let until = Instant::now() + patience;
    loop {
        match attempt(api, namespace).await {
            Ok(version) => return Ok(version),
            Err(error) if Instant::now() > until => return Err(error),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn attempt(api: &Api, namespace: &str) -> Result<String, String> {
    let mut service = api.service();
    let version = match service
        .get_system_info(within(CALL, GetSystemInfoRequest {}))
        .await
    {
        Ok(info) => info.into_inner().server_version,
        Err(status) if status.code() == Code::Unimplemented => "unknown".to_owned(),
        Err(status) => return Err(format!("reach server: {status}")),
    };
    let describe = DescribeNamespaceRequest {
        namespace: namespace.to_owned(),
        ..Default::default()
    };
    match service.describe_namespace(within(CALL, describe)).await {
        Ok(_) => {}
        Err(status) if status.code() == Code::NotFound => {
            let register = RegisterNamespaceRequest {
                namespace: namespace.to_owned(),
                workflow_execution_retention_period: Some(command::wire(RETENTION)),
                ..Default::default()
            };
            let registered = service.register_namespace(within(CALL, register)).await;
            registered.map_err(|status| format!("register namespace {namespace:?}: {status}"))?;
        }
        Err(status) => return Err(format!("describe namespace {namespace:?}: {status}")),
    }
    // A namespace that was just registered is known to the registry of names only a little later.
    let count = CountWorkflowExecutionsRequest {
        namespace: namespace.to_owned(),
        ..Default::default()
    };
    match service.count_workflow_executions(within(CALL, count)).await {
        Err(status) if status.code() == Code::NotFound => {
            Err(format!("use namespace {namespace:?}: {status}"))
        }
        _ => Ok(version),
    }
}
