//! ListWorkers and CountWorkers (reference 1.4): the workers that a condition holds of.

use cluster::workers::Query;
use proto::temporal::{
    worker::v1::{WorkerHeartbeat, WorkerInfo, WorkerListInfo},
    workflowservice::v1::{
        CountWorkersRequest, CountWorkersResponse, ListWorkersRequest, ListWorkersResponse,
    },
};

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
    let query = parse(&request.query)?;
    let size = match usize::try_from(request.page_size) {
        Ok(0) | Err(_) => limits::WORKER_PAGE_DEFAULT,
        Ok(size) => size.min(limits::WORKER_PAGE_MAX),
    };
    let listed = frontend.router.list_workers(namespace.id, &query, after, size);
    let (page, more) = listed.await?;
    let next_page_token = match page.last() {
        Some(last) if more => token(&last.worker_instance_key),
        _ => Vec::new(),
    };
    #[expect(deprecated, reason = "older clients read the whole heartbeats")]
    Ok(ListWorkersResponse {
        workers: page.iter().map(list_info).collect(),
        workers_info: page.into_iter().map(info).collect(),
        next_page_token,
    })
}

pub(crate) async fn count(
    frontend: &Frontend,
    _: &Call,
    request: CountWorkersRequest,
) -> Result<CountWorkersResponse, Error> {
    let namespace = frontend.namespaces.usable(&request.namespace).await?;
    let query = parse(&request.query)?;
    let count = frontend.router.count_workers(namespace.id, &query).await?;
    Ok(CountWorkersResponse {
        count: i64::try_from(count).unwrap_or(i64::MAX),
    })
}

pub(super) fn info(worker: WorkerHeartbeat) -> WorkerInfo {
    WorkerInfo {
        worker_heartbeat: Some(worker),
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

fn parse(query: &str) -> Result<Query, Error> {
    Query::parse(query).map_err(|error| {
        let message = error
            .message()
            .replacen("malformed SQL query", "malformed query", 1);
        Error::InvalidArgument(message)
    })
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
