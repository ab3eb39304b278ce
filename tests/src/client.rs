//! Connections and requests.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use proto::temporal::{
    command::v1::{Command, CompleteWorkflowExecutionCommandAttributes, command::Attributes},
    common::v1::{Payload, Payloads, WorkflowExecution, WorkflowType},
    enums::v1::CommandType,
    taskqueue::v1::TaskQueue,
    workflowservice::v1::{
        PollActivityTaskQueueRequest, PollWorkflowTaskQueueRequest, PollWorkflowTaskQueueResponse,
        RespondWorkflowTaskCompletedRequest, StartWorkflowExecutionRequest,
        workflow_service_client::WorkflowServiceClient,
    },
};
use tonic::{
    Request, Status,
    transport::{Channel, Endpoint},
};

pub type Service = WorkflowServiceClient<Channel>;

pub const NAMESPACE: &str = "default";
const IDENTITY: &str = "test";
/// As SDKs poll: longer than the server lets a poll wait.
const POLL_TIMEOUT: Duration = Duration::from_secs(70);
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Opens a connection.
pub async fn connect(address: &str) -> Result<Service, String> {
    let channel = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| format!("read address {address}: {error}"))?
        .connect()
        .await
        .map_err(|error| format!("connect to {address}: {error}"))?;
    Ok(WorkflowServiceClient::new(channel))
}

pub async fn connect_all(address: &str, count: usize) -> Result<Vec<Service>, String> {
    let mut services = Vec::with_capacity(count);
    for _ in 0..count {
        services.push(connect(address).await?);
    }
    Ok(services)
}

/// A request that is given up after a while.
pub fn timed<Q>(message: Q) -> Request<Q> {
    let mut request = Request::new(message);
    request.set_timeout(CALL_TIMEOUT);
    request
}

/// A request that waits as long as SDKs let one wait.
pub fn long<Q>(message: Q) -> Request<Q> {
    let mut request = Request::new(message);
    request.set_timeout(POLL_TIMEOUT);
    request
}

pub fn queue(name: &str) -> Option<TaskQueue> {
    Some(TaskQueue {
        name: name.to_owned(),
        ..Default::default()
    })
}

pub fn poll_workflow(name: &str) -> PollWorkflowTaskQueueRequest {
    PollWorkflowTaskQueueRequest {
        namespace: NAMESPACE.to_owned(),
        task_queue: queue(name),
        identity: IDENTITY.to_owned(),
        ..Default::default()
    }
}

pub fn poll_activity(name: &str) -> PollActivityTaskQueueRequest {
    PollActivityTaskQueueRequest {
        namespace: NAMESPACE.to_owned(),
        task_queue: queue(name),
        identity: IDENTITY.to_owned(),
        ..Default::default()
    }
}

pub fn start(workflow_id: &str, queue_name: &str, task_timeout: Duration) -> StartWorkflowExecutionRequest {
    StartWorkflowExecutionRequest {
        namespace: NAMESPACE.to_owned(),
        workflow_id: workflow_id.to_owned(),
        workflow_type: Some(WorkflowType {
            name: "test".to_owned(),
        }),
        task_queue: queue(queue_name),
        identity: IDENTITY.to_owned(),
        request_id: workflow_id.to_owned(),
        workflow_task_timeout: wire(task_timeout),
        ..Default::default()
    }
}

pub fn wire(span: Duration) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(span).ok()
}

pub fn execution(workflow_id: &str) -> Option<WorkflowExecution> {
    Some(WorkflowExecution {
        workflow_id: workflow_id.to_owned(),
        run_id: String::new(),
    })
}

pub fn payloads(data: bytes::Bytes) -> Option<Payloads> {
    let metadata = BTreeMap::from([("encoding".to_owned(), b"binary/plain".to_vec())]);
    Some(Payloads {
        payloads: vec![Payload {
            metadata,
            data,
            ..Default::default()
        }],
    })
}

/// The command that ends a workflow.
pub fn complete(result: Option<Payloads>) -> Command {
    Command {
        command_type: CommandType::CompleteWorkflowExecution.into(),
        attributes: Some(Attributes::CompleteWorkflowExecutionCommandAttributes(Box::new(
            CompleteWorkflowExecutionCommandAttributes { result },
        ))),
        ..Default::default()
    }
}

pub fn answer(task_token: Vec<u8>, commands: Vec<Command>) -> RespondWorkflowTaskCompletedRequest {
    RespondWorkflowTaskCompletedRequest {
        task_token,
        commands,
        identity: IDENTITY.to_owned(),
        namespace: NAMESPACE.to_owned(),
        ..Default::default()
    }
}

/// Polls once and gives the task, or none when the poll came back empty, with the time that the poll took.
pub async fn poll(
    service: &mut Service,
    queue_name: &str,
) -> Result<(Option<PollWorkflowTaskQueueResponse>, Duration), Status> {
    let began = Instant::now();
    let task = service
        .poll_workflow_task_queue(long(poll_workflow(queue_name)))
        .await?
        .into_inner();
    let task = (!task.task_token.is_empty()).then_some(task);
    Ok((task, began.elapsed()))
}

/// The words of an error that say which call it was.
pub fn of(what: &str) -> impl Fn(Status) -> String {
    move |status| format!("{what}: {status:?}")
}
