//! Limits on calls: how many a second, and how many that wait.

use std::{num::NonZeroU32, time::Duration};

use perdure_frontend::config::Config;
use proto::temporal::{
    common::v1::WorkflowExecution,
    taskqueue::v1::TaskQueue,
    workflowservice::v1::{workflow_service_client::WorkflowServiceClient, *},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::transport::Channel;

use crate::server::{NAMESPACE, Server, outcome, polled, within};

const OF_NAMESPACE: &str = "ResourceExhausted: namespace rate limit exceeded [ResourceExhaustedFailure]";
const OF_NODE: &str = "ResourceExhausted: service rate limit exceeded [ResourceExhaustedFailure]";
/// As few a second as can be said, so that none comes back while the test runs.
const ONE: Option<NonZeroU32> = NonZeroU32::new(1);

async fn describe(client: &mut WorkflowServiceClient<Channel>) -> String {
    let request = DescribeWorkflowExecutionRequest {
        namespace: NAMESPACE.to_owned(),
        execution: Some(WorkflowExecution {
            workflow_id: "nobody".to_owned(),
            run_id: String::new(),
        }),
    };
    outcome(client.describe_workflow_execution(request).await)
}

async fn count(client: &mut WorkflowServiceClient<Channel>) -> String {
    let request = CountWorkflowExecutionsRequest {
        namespace: NAMESPACE.to_owned(),
        ..Default::default()
    };
    outcome(client.count_workflow_executions(request).await)
}

/// Calls until it is refused, and returns how.
async fn refused(mut call: impl AsyncFnMut() -> String, ok: &str) -> String {
    const ENOUGH: usize = 100;
    for _ in 0..ENOUGH {
        let shown = call().await;
        if shown != ok {
            return shown;
        }
    }
    "never".to_owned()
}

#[tokio::test]
async fn a_namespace_has_a_rate_and_another_for_visibility() {
    let server = Server::start_with(Config {
        namespace_rps: ONE,
        ..Config::default()
    })
    .await;
    let mut client = server.client().await;
    let nobody = "NotFound: workflow not found for ID: nobody [NotFoundFailure]";
    assert_eq!(
        refused(async || describe(&mut client).await, nobody).await,
        OF_NAMESPACE
    );
    assert_eq!(count(&mut client).await, "ok");
    let system = client.get_system_info(GetSystemInfoRequest {}).await;
    assert_eq!(outcome(system), "ok");

    let server = Server::start_with(Config {
        namespace_visibility_rps: ONE,
        ..Config::default()
    })
    .await;
    let mut client = server.client().await;
    assert_eq!(
        refused(async || count(&mut client).await, "ok").await,
        OF_NAMESPACE
    );
    assert_eq!(describe(&mut client).await, nobody);
}

#[tokio::test]
async fn a_node_has_a_rate_for_all() {
    let server = Server::start_with(Config {
        rps: ONE,
        ..Config::default()
    })
    .await;
    let mut client = server.client().await;
    let system = async || outcome(client.get_system_info(GetSystemInfoRequest {}).await);
    assert_eq!(refused(system, "ok").await, OF_NODE);
}

#[tokio::test]
async fn an_old_connection_ends_after_its_calls() {
    let server = Server::start_with(Config {
        connection_age_max: Duration::from_millis(200),
        ..Config::default()
    })
    .await;
    let client = server.client().await;
    // Each poll outlives its connection; none of them fails, nor does a call that comes meanwhile.
    let queue = TaskQueue {
        name: "idle".to_owned(),
        ..Default::default()
    };
    for _ in 0..2 {
        let mut client = client.clone();
        let poll = PollWorkflowTaskQueueRequest {
            namespace: NAMESPACE.to_owned(),
            task_queue: Some(queue.clone()),
            ..Default::default()
        };
        assert_eq!(
            outcome(client.poll_workflow_task_queue(within(2, poll)).await),
            "ok"
        );
        assert_eq!(count(&mut client).await, "ok");
    }
}

/// Returns the kinds of the HTTP/2 frames in the bytes.
fn frames(mut bytes: &[u8]) -> Vec<u8> {
    const HEADER: usize = 9;
    let mut kinds = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() {
        kinds.push(header[3]);
        let length = usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
        bytes = rest.get(length..).unwrap_or_default();
    }
    kinds
}

#[tokio::test]
async fn an_old_connection_is_told_to_go_away() {
    const GOAWAY: u8 = 7;
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let server = Server::start_with(Config {
        connection_age_max: Duration::from_millis(100),
        ..Config::default()
    })
    .await;
    let address = server.address.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("connection");
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .expect("preface");
    stream.write_all(&SETTINGS).await.expect("settings");
    let mut bytes = Vec::new();
    while !frames(&bytes).contains(&GOAWAY) {
        let read = stream.read_buf(&mut bytes).await.expect("the server says it");
        assert_ne!(read, 0, "ended without a word: {bytes:?}");
    }
}

#[tokio::test]
async fn only_so_many_polls_wait() {
    let server = Server::start_with(Config {
        namespace_waiting_calls_max: ONE.expect("one"),
        ..Config::default()
    })
    .await;
    let mut client = server.client().await;
    let queue = Some(TaskQueue {
        name: "idle".to_owned(),
        ..Default::default()
    });
    let poll = PollWorkflowTaskQueueRequest {
        namespace: NAMESPACE.to_owned(),
        task_queue: queue.clone(),
        ..Default::default()
    };
    let mut waiting = client.clone();
    let first = poll.clone();
    let first = tokio::spawn(async move { waiting.poll_workflow_task_queue(within(30, first)).await });
    polled(&mut client, queue).await;
    let second = outcome(client.poll_workflow_task_queue(within(30, poll)).await);
    let expected = "ResourceExhausted: namespace concurrent poller limit exceeded [ResourceExhaustedFailure]";
    assert_eq!(second, expected);
    server.frontend.drain();
    assert_eq!(outcome(first.await.expect("joined")), "ok");
}
