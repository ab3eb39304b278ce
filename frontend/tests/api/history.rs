//! Reading histories: in pages, backwards, and waiting for what is not there yet.

use proto::temporal::{
    common::v1::{WorkflowExecution, WorkflowType},
    enums::v1::{EventType, HistoryEventFilterType},
    history::v1::History,
    taskqueue::v1::TaskQueue,
    workflowservice::v1::{workflow_service_client::WorkflowServiceClient, *},
};
use tonic::{Request, transport::Channel};

use crate::server::{NAMESPACE, Server, within};

fn execution() -> Option<WorkflowExecution> {
    Some(WorkflowExecution {
        workflow_id: "w".to_owned(),
        run_id: String::new(),
    })
}

fn read(token: Vec<u8>, page: i32) -> GetWorkflowExecutionHistoryRequest {
    GetWorkflowExecutionHistoryRequest {
        namespace: NAMESPACE.to_owned(),
        execution: execution(),
        maximum_page_size: page,
        next_page_token: token,
        ..Default::default()
    }
}

fn ids(history: Option<History>) -> Vec<i64> {
    history
        .unwrap_or_default()
        .events
        .iter()
        .map(|event| event.event_id)
        .collect()
}

async fn start(client: &mut WorkflowServiceClient<Channel>) {
    let request = StartWorkflowExecutionRequest {
        namespace: NAMESPACE.to_owned(),
        workflow_id: "w".to_owned(),
        workflow_type: Some(WorkflowType { name: "T".to_owned() }),
        task_queue: Some(TaskQueue {
            name: "q".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    client.start_workflow_execution(request).await.expect("started");
}

async fn signal(client: &mut WorkflowServiceClient<Channel>) {
    let request = SignalWorkflowExecutionRequest {
        namespace: NAMESPACE.to_owned(),
        workflow_execution: execution(),
        signal_name: "s".to_owned(),
        ..Default::default()
    };
    client
        .signal_workflow_execution(request)
        .await
        .expect("signalled");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_whole_transactions() {
    let server = Server::start().await;
    let mut client = server.client().await;
    start(&mut client).await;
    for _ in 0..4 {
        signal(&mut client).await;
    }
    let (mut pages, mut token) = (Vec::new(), Vec::new());
    loop {
        let page = client
            .get_workflow_execution_history(read(token, 2))
            .await
            .expect("page")
            .into_inner();
        pages.push(ids(page.history));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(pages, [vec![1, 2, 3], vec![4, 5], vec![6]]);

    let (mut pages, mut token) = (Vec::new(), Vec::new());
    loop {
        let request = GetWorkflowExecutionHistoryReverseRequest {
            namespace: NAMESPACE.to_owned(),
            execution: execution(),
            maximum_page_size: 3,
            next_page_token: token,
        };
        let page = client
            .get_workflow_execution_history_reverse(request)
            .await
            .expect("page")
            .into_inner();
        pages.push(ids(page.history));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(pages, [vec![6, 5, 4], vec![3, 2, 1]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_waits_for_the_next_event() {
    let server = Server::start().await;
    let mut client = server.client().await;
    start(&mut client).await;
    let wait = |token| GetWorkflowExecutionHistoryRequest {
        wait_new_event: true,
        ..read(token, 0)
    };
    let page = client
        .get_workflow_execution_history(wait(Vec::new()))
        .await
        .expect("page")
        .into_inner();
    assert_eq!(ids(page.history), [1, 2]);
    let mut reader = server.client().await;
    let waiting = tokio::spawn(async move {
        reader
            .get_workflow_execution_history(within(20, wait(page.next_page_token)))
            .await
    });
    signal(&mut client).await;
    let news = waiting.await.expect("reader").expect("news").into_inner();
    assert_eq!(ids(news.history), [3]);
    assert!(!news.next_page_token.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_waits_in_vain_may_go_on() {
    let server = Server::start().await;
    let mut client = server.client().await;
    start(&mut client).await;
    let request = GetWorkflowExecutionHistoryRequest {
        wait_new_event: true,
        history_event_filter_type: HistoryEventFilterType::CloseEvent.into(),
        ..read(Vec::new(), 0)
    };
    let page = client
        .get_workflow_execution_history(within(2, request))
        .await
        .expect("page")
        .into_inner();
    assert!(ids(page.history).is_empty() && !page.next_page_token.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_close_alone_waits_for_it_unasked() {
    let server = Server::start().await;
    let mut client = server.client().await;
    start(&mut client).await;
    let request = GetWorkflowExecutionHistoryRequest {
        history_event_filter_type: HistoryEventFilterType::CloseEvent.into(),
        ..read(Vec::new(), 0)
    };
    let mut reader = server.client().await;
    let mut waiting =
        tokio::spawn(async move { reader.get_workflow_execution_history(within(20, request)).await });
    tokio::time::timeout(std::time::Duration::from_millis(300), &mut waiting)
        .await
        .expect_err("it waits");
    let terminate = TerminateWorkflowExecutionRequest {
        namespace: NAMESPACE.to_owned(),
        workflow_execution: execution(),
        ..Default::default()
    };
    client
        .terminate_workflow_execution(terminate)
        .await
        .expect("terminated");
    let page = waiting.await.expect("reader").expect("close").into_inner();
    assert_eq!(ids(page.history), [3]);
    assert!(page.next_page_token.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_replays_is_shown_a_task_that_is_not_written() {
    let server = Server::start().await;
    let mut client = server.client().await;
    start(&mut client).await;
    // The second attempt of a workflow task is not in history.
    let poll = || PollWorkflowTaskQueueRequest {
        namespace: NAMESPACE.to_owned(),
        task_queue: Some(TaskQueue {
            name: "q".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let task = client
        .poll_workflow_task_queue(within(10, poll()))
        .await
        .expect("polled")
        .into_inner();
    let failed = RespondWorkflowTaskFailedRequest {
        namespace: NAMESPACE.to_owned(),
        task_token: task.task_token,
        ..Default::default()
    };
    client.respond_workflow_task_failed(failed).await.expect("failed");
    let task = client
        .poll_workflow_task_queue(within(10, poll()))
        .await
        .expect("polled")
        .into_inner();
    assert_eq!((task.attempt, ids(task.history).len()), (2, 6));

    let worker = client
        .get_workflow_execution_history(read(Vec::new(), 0))
        .await
        .expect("history")
        .into_inner();
    let last = worker
        .history
        .and_then(|history| history.events.last().map(|event| event.event_type()));
    assert_eq!(last, Some(EventType::WorkflowTaskStarted));
    let mut request = Request::new(read(Vec::new(), 0));
    request
        .metadata_mut()
        .insert("client-name", "temporal-cli".parse().expect("name"));
    let viewer = client
        .get_workflow_execution_history(request)
        .await
        .expect("history")
        .into_inner();
    assert_eq!(ids(viewer.history), [1, 2, 3, 4]);
}
