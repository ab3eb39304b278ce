//! Polls that end, that are taken back, and that meet what is not theirs any more.

use proto::temporal::{
    common::v1::WorkflowType,
    taskqueue::v1::TaskQueue,
    workflowservice::v1::{workflow_service_client::WorkflowServiceClient, *},
};
use tonic::transport::Channel;

use crate::server::{NAMESPACE, Server, polled, within};

fn queue() -> Option<TaskQueue> {
    Some(TaskQueue {
        name: "q".to_owned(),
        ..Default::default()
    })
}

fn request() -> PollWorkflowTaskQueueRequest {
    PollWorkflowTaskQueueRequest {
        namespace: NAMESPACE.to_owned(),
        task_queue: queue(),
        identity: "worker".to_owned(),
        ..Default::default()
    }
}

async fn start(client: &mut WorkflowServiceClient<Channel>, workflow_id: &str) {
    let request = StartWorkflowExecutionRequest {
        namespace: NAMESPACE.to_owned(),
        workflow_id: workflow_id.to_owned(),
        workflow_type: Some(WorkflowType { name: "T".to_owned() }),
        task_queue: queue(),
        ..Default::default()
    };
    client.start_workflow_execution(request).await.expect("started");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_poll_gets_the_task_of_a_workflow_that_starts() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut worker = server.client().await;
    let poll = tokio::spawn(async move { worker.poll_workflow_task_queue(within(10, request())).await });
    polled(&mut client, queue()).await;
    start(&mut client, "w").await;
    let task = poll.await.expect("poll").expect("polled").into_inner();
    assert_eq!(task.workflow_execution.expect("execution").workflow_id, "w");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_its_client_gave_up_takes_no_task() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut gone = server.client().await;
    let poll = tokio::spawn(async move { gone.poll_workflow_task_queue(within(60, request())).await });
    polled(&mut client, queue()).await;
    poll.abort();
    assert!(poll.await.is_err());
    // What comes by another connection may be quicker than the word that the poll is given up.
    server.wait_poll_cancelled().await;
    start(&mut client, "w").await;
    // Were the task in the first poll's hands, it would come back only after its time-out of ten seconds.
    let task = client
        .poll_workflow_task_queue(within(5, request()))
        .await
        .expect("polled")
        .into_inner();
    assert_eq!((task.attempt, task.task_token.is_empty()), (1, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_passes_over_tasks_that_are_void() {
    let server = Server::start().await;
    let mut client = server.client().await;
    start(&mut client, "void").await;
    let terminate = TerminateWorkflowExecutionRequest {
        namespace: NAMESPACE.to_owned(),
        workflow_execution: Some(proto::temporal::common::v1::WorkflowExecution {
            workflow_id: "void".to_owned(),
            run_id: String::new(),
        }),
        ..Default::default()
    };
    client
        .terminate_workflow_execution(terminate)
        .await
        .expect("terminated");
    start(&mut client, "w").await;
    let task = client
        .poll_workflow_task_queue(within(10, request()))
        .await
        .expect("polled")
        .into_inner();
    assert_eq!(task.workflow_execution.expect("execution").workflow_id, "w");
}
