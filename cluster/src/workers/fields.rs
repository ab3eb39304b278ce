//! What a condition on workers may ask for (reference 1.4).

use proto::{
    temporal::{enums::v1::WorkerStatus, worker::v1::WorkerHeartbeat},
    time::Timestamp,
};
use storage::visibility::{
    error::QueryError,
    query::condition::{Cell, Condition},
};

/// A condition on workers, as it was written and as it was read: other nodes read it again.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub(super) text: String,
    condition: Condition,
}

impl Query {
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        Ok(Self {
            text: text.to_owned(),
            condition: Condition::parse(text)?,
        })
    }

    pub(super) fn holds(&self, worker: &WorkerHeartbeat) -> bool {
        self.condition.holds(&|name: &str| field(worker, name))
    }
}

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
