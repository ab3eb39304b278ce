//! Failures that nest as deep as a request can carry them: what is kept of them can be read again.

use std::sync::Arc;

use prost::{Message, Name};
use proto::temporal::{
    common::v1::WorkflowType,
    enums::v1::{EventType, TaskQueueKind},
    failure::v1::{ApplicationFailureInfo, Failure, failure::FailureInfo},
    history::v1::{HistoryEvent, history_event::Attributes},
    protocol::v1::Message as ProtocolMessage,
    update::v1::{Acceptance, Input, Meta, Outcome, Request, Response, outcome::Value},
    workflowservice::v1::{workflow_service_client::WorkflowServiceClient, *},
};
use storage::memory::MemoryStore;
use tonic::transport::Channel;

use crate::{
    server::{NAMESPACE, Server, within},
    worker::{complete, execution, poll, queue, schedule_activity, start},
};

/// The most that a request can carry: the protobuf library reads messages that nest a hundred deep.
const GIVEN: usize = 99;
const KEPT: usize = 80;

fn nested(causes: usize, non_retryable: bool) -> Failure {
    let cause = (1..causes).fold(Failure::default(), |cause, _| Failure {
        cause: Some(Box::new(cause)),
        ..Default::default()
    });
    Failure {
        cause: Some(Box::new(cause)),
        failure_info: Some(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo {
            non_retryable,
            ..Default::default()
        })),
        ..Default::default()
    }
}

fn causes(failure: Option<&Failure>) -> usize {
    std::iter::successors(failure, |failure| failure.cause.as_deref())
        .skip(1)
        .count()
}

async fn last_event(client: &mut WorkflowServiceClient<Channel>, kind: EventType) -> Attributes {
    let request = GetWorkflowExecutionHistoryRequest {
        namespace: NAMESPACE.to_owned(),
        execution: execution("order"),
        ..Default::default()
    };
    let page = client
        .get_workflow_execution_history(request)
        .await
        .expect("history");
    let events = page.into_inner().history.unwrap_or_default().events;
    let mut found = events
        .into_iter()
        .rev()
        .filter(|event| event.event_type() == kind);
    found
        .next()
        .and_then(|event: HistoryEvent| event.attributes)
        .expect("event")
}

/// Starts a workflow, and fails the first attempt of its activity.
async fn fail_activity(client: &mut WorkflowServiceClient<Channel>, non_retryable: bool) {
    start(client, "order").await;
    let task = poll(client, "orders", TaskQueueKind::Normal).await;
    complete(client, &task, vec![schedule_activity()]).await;
    let request = PollActivityTaskQueueRequest {
        namespace: NAMESPACE.to_owned(),
        task_queue: queue("orders", TaskQueueKind::Normal),
        ..Default::default()
    };
    let activity = client
        .poll_activity_task_queue(within(10, request))
        .await
        .expect("polled");
    let failed = RespondActivityTaskFailedRequest {
        task_token: activity.into_inner().task_token,
        failure: Some(nested(GIVEN, non_retryable)),
        ..Default::default()
    };
    client.respond_activity_task_failed(failed).await.expect("failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_activity_in_history() {
    let server = Server::start().await;
    let mut client = server.client().await;
    fail_activity(&mut client, true).await;
    let Attributes::ActivityTaskFailedEventAttributes(failed) =
        last_event(&mut client, EventType::ActivityTaskFailed).await
    else {
        panic!("another event");
    };
    assert_eq!(causes(failed.failure.as_ref()), KEPT);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_activity_that_is_tried_again() {
    let store = Arc::new(MemoryStore::new());
    let server = Server::start_on(Arc::clone(&store)).await;
    let mut client = server.client().await;
    fail_activity(&mut client, false).await;
    drop((client, server));

    // The run is read from the store.
    let server = Server::start_on(store).await;
    let mut client = server.client().await;
    let describe = DescribeWorkflowExecutionRequest {
        namespace: NAMESPACE.to_owned(),
        execution: execution("order"),
    };
    let view = client
        .describe_workflow_execution(describe)
        .await
        .expect("described");
    let pending = &view.into_inner().pending_activities;
    assert_eq!(causes(pending[0].last_failure.as_ref()), KEPT);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_workflow_task() {
    let server = Server::start().await;
    let mut client = server.client().await;
    start(&mut client, "order").await;
    let task = poll(&mut client, "orders", TaskQueueKind::Normal).await;
    let failed = RespondWorkflowTaskFailedRequest {
        task_token: task.task_token,
        failure: Some(nested(GIVEN, false)),
        ..Default::default()
    };
    client.respond_workflow_task_failed(failed).await.expect("failed");
    let Attributes::WorkflowTaskFailedEventAttributes(failed) =
        last_event(&mut client, EventType::WorkflowTaskFailed).await
    else {
        panic!("another event");
    };
    assert_eq!(causes(failed.failure.as_ref()), KEPT);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_workflow_that_continues() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let request = StartWorkflowExecutionRequest {
        namespace: NAMESPACE.to_owned(),
        workflow_id: "order".to_owned(),
        workflow_type: Some(WorkflowType {
            name: "Order".to_owned(),
        }),
        task_queue: queue("orders", TaskQueueKind::Normal),
        continued_failure: Some(nested(GIVEN, false)),
        ..Default::default()
    };
    client.start_workflow_execution(request).await.expect("started");
    let Attributes::WorkflowExecutionStartedEventAttributes(started) =
        last_event(&mut client, EventType::WorkflowExecutionStarted).await
    else {
        panic!("another event");
    };
    assert_eq!(causes(started.continued_failure.as_ref()), KEPT);
}

fn any<T: Message + Name>(message: &T) -> Option<prost_types::Any> {
    Some(prost_types::Any {
        type_url: T::type_url(),
        value: message.encode_to_vec(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_update() {
    let server = Server::start().await;
    let mut client = server.client().await;
    start(&mut client, "order").await;
    let meta = Some(Meta {
        update_id: "pay".to_owned(),
        identity: String::new(),
    });
    let update = UpdateWorkflowExecutionRequest {
        namespace: NAMESPACE.to_owned(),
        workflow_execution: execution("order"),
        request: Some(Request {
            meta: meta.clone(),
            input: Some(Input {
                name: "pay".to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut caller = server.client().await;
    let updated = tokio::spawn(async move { caller.update_workflow_execution(within(20, update)).await });
    // The first task may have been on its way already: the update then waits for the next one.
    let mut task = poll(&mut client, "orders", TaskQueueKind::Normal).await;
    while task.messages.is_empty() {
        let next = complete(&mut client, &task, Vec::new()).await;
        task = match next.workflow_task {
            Some(task) => task,
            None => poll(&mut client, "orders-sticky", TaskQueueKind::Sticky).await,
        };
    }
    let asked = &task.messages[0];
    let bodies = [
        any(&Acceptance {
            accepted_request_message_id: asked.id.clone(),
            accepted_request_sequencing_event_id: 1,
            accepted_request: None,
        }),
        any(&Response {
            meta,
            outcome: Some(Outcome {
                value: Some(Value::Failure(nested(GIVEN - 2, false))),
            }),
        }),
    ];
    let message = |(index, body): (usize, _)| ProtocolMessage {
        id: index.to_string(),
        protocol_instance_id: asked.protocol_instance_id.clone(),
        body,
        ..Default::default()
    };
    let completed = RespondWorkflowTaskCompletedRequest {
        namespace: NAMESPACE.to_owned(),
        task_token: task.task_token.clone(),
        messages: bodies.into_iter().enumerate().map(message).collect(),
        ..Default::default()
    };
    client
        .respond_workflow_task_completed(completed)
        .await
        .expect("completed");
    let answer = updated.await.expect("caller").expect("updated").into_inner();
    let Some(Value::Failure(failure)) = answer.outcome.and_then(|outcome| outcome.value) else {
        panic!("no failure");
    };
    assert_eq!(causes(Some(&failure)), KEPT);
    last_event(&mut client, EventType::WorkflowExecutionUpdateCompleted).await;
}
