//! ListWorkers and CountWorkers (reference 1.4): the workers that a condition holds of.

use std::sync::Arc;

use proto::{
    temporal::{
        enums::v1::WorkerStatus,
        worker::v1::{WorkerHeartbeat, WorkerInfo, WorkerListInfo},
        workflowservice::v1::{
            CountWorkersRequest, CountWorkersResponse, ListWorkersRequest, ListWorkersResponse,
        },
    },
    time::Timestamp,
};
use storage::visibility::query::condition::{Cell, Condition};
use tokio::time::Instant;

use crate::{call::Call, error::Error, frontend::Frontend, limits};

/// What a page token begins with: the form of the token, then the last worker's key.
const TOKEN: u8 = 1;

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: ListWorkersRequest,
) -> Result<ListWorkersResponse, Error> {
    let namespace = frontend.namespaces.usable(&request.namespace).await?;
    let after = read_token(&request.next_page_token)?;
    let condition = parse(&request.query)?;
    let size = match usize::try_from(request.page_size) {
        Ok(0) | Err(_) => limits::WORKER_PAGE_DEFAULT,
        Ok(size) => size.min(limits::WORKER_PAGE_MAX),
    };
    let all = frontend.roster.after(namespace.id, after, Instant::now());
    let mut fitting = all.into_iter().filter(|worker| holds(&condition, worker));
    let page: Vec<Arc<WorkerHeartbeat>> = fitting.by_ref().take(size).collect();
    let next_page_token = match (fitting.next(), page.last()) {
        (Some(_), Some(last)) => token(&last.worker_instance_key),
        _ => Vec::new(),
    };
    #[expect(deprecated, reason = "older clients read the whole heartbeats")]
    Ok(ListWorkersResponse {
        workers_info: page.iter().map(|worker| info(worker)).collect(),
        workers: page.iter().map(|worker| list_info(worker)).collect(),
        next_page_token,
    })
}

pub(crate) async fn count(
    frontend: &Frontend,
    _: &Call,
    request: CountWorkersRequest,
) -> Result<CountWorkersResponse, Error> {
    let namespace = frontend.namespaces.usable(&request.namespace).await?;
    let condition = parse(&request.query)?;
    let all = frontend.roster.after(namespace.id, None, Instant::now());
    let count = all.iter().filter(|worker| holds(&condition, worker)).count();
    Ok(CountWorkersResponse {
        count: i64::try_from(count).unwrap_or(i64::MAX),
    })
}

pub(super) fn info(worker: &WorkerHeartbeat) -> WorkerInfo {
    WorkerInfo {
        worker_heartbeat: Some(worker.clone()),
    }
}

fn list_info(worker: &WorkerHeartbeat) -> WorkerListInfo {
    let host = worker.host_info.clone().unwrap_or_default();
    WorkerListInfo {
        worker_instance_key: worker.worker_instance_key.clone(),
        worker_identity: worker.worker_identity.clone(),
        task_queue: worker.task_queue.clone(),
        deployment_version: worker.deployment_version.clone(),
        sdk_name: worker.sdk_name.clone(),
        sdk_version: worker.sdk_version.clone(),
        status: worker.status,
        start_time: worker.start_time,
        host_name: host.host_name,
        worker_grouping_key: host.worker_grouping_key,
        process_id: host.process_id,
        plugins: worker.plugins.clone(),
        drivers: worker.drivers.clone(),
    }
}

fn parse(query: &str) -> Result<Condition, Error> {
    Condition::parse(query).map_err(|error| {
        let message = error
            .message()
            .replacen("malformed SQL query", "malformed query", 1);
        Error::InvalidArgument(message)
    })
}

fn holds(condition: &Condition, worker: &WorkerHeartbeat) -> bool {
    condition.holds(&|name: &str| field(worker, name))
}

/// Returns what a condition may ask for.
fn field<'a>(worker: &'a WorkerHeartbeat, name: &str) -> Option<Cell<'a>> {
    let version = worker.deployment_version.as_ref();
    let host = worker.host_info.as_ref();
    Some(match name {
        "WorkerInstanceKey" => Cell::Text(&worker.worker_instance_key),
        "WorkerIdentity" => Cell::Text(&worker.worker_identity),
        "HostName" => Cell::Text(host.map_or("", |host| &host.host_name)),
        "TaskQueue" => Cell::Text(&worker.task_queue),
        "DeploymentName" => Cell::Text(version.map_or("", |version| &version.deployment_name)),
        "BuildId" => Cell::Text(version.map_or("", |version| &version.build_id)),
        "SdkName" => Cell::Text(&worker.sdk_name),
        "SdkVersion" => Cell::Text(&worker.sdk_version),
        "Status" | "WorkerStatus" => Cell::Text(status(worker.status())),
        "StartTime" => Cell::Time(worker.start_time.as_ref().map(Timestamp::from_proto)),
        "HeartbeatTime" => Cell::Time(worker.heartbeat_time.as_ref().map(Timestamp::from_proto)),
        _ => return None,
    })
}

fn status(status: WorkerStatus) -> &'static str {
    match status {
        WorkerStatus::Unspecified => "Unspecified",
        WorkerStatus::Running => "Running",
        WorkerStatus::ShuttingDown => "ShuttingDown",
        WorkerStatus::Shutdown => "Shutdown",
    }
}

fn token(key: &str) -> Vec<u8> {
    let mut token = vec![TOKEN];
    token.extend_from_slice(key.as_bytes());
    token
}

fn read_token(token: &[u8]) -> Result<Option<&str>, Error> {
    match token.split_first() {
        None => Ok(None),
        Some((&TOKEN, key)) => std::str::from_utf8(key).map(Some).map_err(|_| invalid_token()),
        Some(_) => Err(invalid_token()),
    }
}

fn invalid_token() -> Error {
    Error::invalid("invalid next_page_token")
}
