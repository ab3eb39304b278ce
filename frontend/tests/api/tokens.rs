//! Tokens that are handed back: of tasks, queries and pages.

use proto::temporal::{
    common::v1::{WorkflowExecution, WorkflowType},
    taskqueue::v1::TaskQueue,
    workflowservice::v1::*,
};

use crate::server::{NAMESPACE, Server, check, outcome};

const UNKNOWN_RUN: &str = "00000000-0000-0000-0000-000000000001";

fn start() -> StartWorkflowExecutionRequest {
    StartWorkflowExecutionRequest {
        namespace: NAMESPACE.to_owned(),
        workflow_id: "w".to_owned(),
        workflow_type: Some(WorkflowType { name: "T".to_owned() }),
        task_queue: Some(TaskQueue {
            name: "q".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn execution(run_id: &str) -> Option<WorkflowExecution> {
    Some(WorkflowExecution {
        workflow_id: "w".to_owned(),
        run_id: run_id.to_owned(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.start_workflow_execution(start()).await.expect("started");
    let malformed = "InvalidArgument: Error deserializing task token.";
    let missing = "InvalidArgument: Task token not set on request.";
    let mut rows = Vec::new();
    for (token, expected) in [(b"x".to_vec(), malformed), (Vec::new(), missing)] {
        let (namespace, task_token) = (|| NAMESPACE.to_owned(), || token.clone());
        let completed = RespondWorkflowTaskCompletedRequest {
            namespace: namespace(),
            task_token: task_token(),
            ..Default::default()
        };
        rows.push((
            outcome(client.respond_workflow_task_completed(completed).await),
            expected,
        ));
        let done = RespondActivityTaskCompletedRequest {
            namespace: namespace(),
            task_token: task_token(),
            ..Default::default()
        };
        rows.push((
            outcome(client.respond_activity_task_completed(done).await),
            expected,
        ));
        let beat = RecordActivityTaskHeartbeatRequest {
            namespace: namespace(),
            task_token: task_token(),
            ..Default::default()
        };
        rows.push((
            outcome(client.record_activity_task_heartbeat(beat).await),
            expected,
        ));
        let query = RespondQueryTaskCompletedRequest {
            namespace: namespace(),
            task_token: task_token(),
            ..Default::default()
        };
        rows.push((
            outcome(client.respond_query_task_completed(query).await),
            expected,
        ));
    }
    let history = |bytes: &[u8], run_id: &str| GetWorkflowExecutionHistoryRequest {
        namespace: NAMESPACE.to_owned(),
        execution: execution(run_id),
        maximum_page_size: 1,
        next_page_token: bytes.to_vec(),
        ..Default::default()
    };
    rows.push((
        outcome(client.get_workflow_execution_history(history(b"foo", "")).await),
        "InvalidArgument: Invalid NextPageToken.",
    ));
    let signal = SignalWorkflowExecutionRequest {
        namespace: NAMESPACE.to_owned(),
        workflow_execution: execution(""),
        signal_name: "s".to_owned(),
        ..Default::default()
    };
    client.signal_workflow_execution(signal).await.expect("signalled");
    let page = client
        .get_workflow_execution_history(history(b"", ""))
        .await
        .expect("page")
        .into_inner();
    assert!(!page.next_page_token.is_empty());
    rows.push((
        outcome(
            client
                .get_workflow_execution_history(history(&page.next_page_token, UNKNOWN_RUN))
                .await,
        ),
        "InvalidArgument: RunId in the request does not match the NextPageToken.",
    ));
    rows.push((
        outcome(
            client
                .get_workflow_execution_history(history(&page.next_page_token, ""))
                .await,
        ),
        "ok",
    ));
    check(&rows);
}
