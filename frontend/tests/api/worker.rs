//! A workflow with an activity, a signal, a query and an update, played by hand from start to end.

use proto::temporal::{
    command::v1::{
        Command, CompleteWorkflowExecutionCommandAttributes, ScheduleActivityTaskCommandAttributes,
        command::Attributes,
    },
    common::v1::{ActivityType, Payload, Payloads, WorkflowExecution, WorkflowType},
    enums::v1::{
        CommandType, EventType, HistoryEventFilterType, QueryResultType, TaskQueueKind,
        WorkflowExecutionStatus,
    },
    query::v1::WorkflowQuery,
    taskqueue::v1::{StickyExecutionAttributes, TaskQueue},
    workflowservice::v1::{workflow_service_client::WorkflowServiceClient, *},
};
use tonic::transport::Channel;

use crate::server::{NAMESPACE, Server, polled, within};

pub(crate) fn text(text: &str) -> Option<Payloads> {
    let encoding = ("encoding".to_owned(), b"json/plain".to_vec());
    let payload = Payload {
        metadata: [encoding].into(),
        data: text.to_owned().into(),
        ..Default::default()
    };
    Some(Payloads {
        payloads: vec![payload],
    })
}

pub(crate) fn queue(name: &str, kind: TaskQueueKind) -> Option<TaskQueue> {
    Some(TaskQueue {
        name: name.to_owned(),
        kind: kind.into(),
        normal_name: String::new(),
    })
}

pub(crate) fn execution(workflow_id: &str) -> Option<WorkflowExecution> {
    Some(WorkflowExecution {
        workflow_id: workflow_id.to_owned(),
        run_id: String::new(),
    })
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

pub(crate) async fn start(client: &mut WorkflowServiceClient<Channel>, workflow_id: &str) -> String {
    let request = StartWorkflowExecutionRequest {
        namespace: NAMESPACE.to_owned(),
        workflow_id: workflow_id.to_owned(),
        workflow_type: Some(WorkflowType {
            name: "Order".to_owned(),
        }),
        task_queue: queue("orders", TaskQueueKind::Normal),
        input: text("\"in\""),
        ..Default::default()
    };
    client
        .start_workflow_execution(request)
        .await
        .expect("started")
        .into_inner()
        .run_id
}

pub(crate) async fn poll(
    client: &mut WorkflowServiceClient<Channel>,
    name: &str,
    kind: TaskQueueKind,
) -> PollWorkflowTaskQueueResponse {
    let request = PollWorkflowTaskQueueRequest {
        namespace: NAMESPACE.to_owned(),
        task_queue: queue(name, kind),
        identity: "worker".to_owned(),
        ..Default::default()
    };
    let task = client
        .poll_workflow_task_queue(within(10, request))
        .await
        .expect("polled")
        .into_inner();
    assert!(!task.task_token.is_empty(), "no task on {name}");
    task
}

pub(crate) async fn complete(
    client: &mut WorkflowServiceClient<Channel>,
    task: &PollWorkflowTaskQueueResponse,
    commands: Vec<Command>,
) -> RespondWorkflowTaskCompletedResponse {
    let request = RespondWorkflowTaskCompletedRequest {
        namespace: NAMESPACE.to_owned(),
        task_token: task.task_token.clone(),
        identity: "worker".to_owned(),
        commands,
        sticky_attributes: Some(StickyExecutionAttributes {
            worker_task_queue: queue("orders-sticky", TaskQueueKind::Sticky),
            schedule_to_start_timeout: seconds(5),
        }),
        return_new_workflow_task: true,
        ..Default::default()
    };
    client
        .respond_workflow_task_completed(request)
        .await
        .expect("completed")
        .into_inner()
}

pub(crate) fn schedule_activity() -> Command {
    let attributes = ScheduleActivityTaskCommandAttributes {
        activity_id: "pay".to_owned(),
        activity_type: Some(ActivityType {
            name: "Pay".to_owned(),
        }),
        task_queue: queue("orders", TaskQueueKind::Normal),
        input: text("\"amount\""),
        start_to_close_timeout: seconds(10),
        ..Default::default()
    };
    Command {
        command_type: CommandType::ScheduleActivityTask.into(),
        attributes: Some(Attributes::ScheduleActivityTaskCommandAttributes(Box::new(
            attributes,
        ))),
        ..Default::default()
    }
}

fn complete_workflow() -> Command {
    let attributes = CompleteWorkflowExecutionCommandAttributes {
        result: text("\"done\""),
    };
    Command {
        command_type: CommandType::CompleteWorkflowExecution.into(),
        attributes: Some(Attributes::CompleteWorkflowExecutionCommandAttributes(Box::new(
            attributes,
        ))),
        ..Default::default()
    }
}

fn kinds(task: &PollWorkflowTaskQueueResponse) -> Vec<EventType> {
    let events = task.history.iter().flat_map(|history| &history.events);
    events.map(|event| event.event_type()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_from_start_to_end() {
    use EventType::*;
    let server = Server::start().await;
    let mut client = server.client().await;
    let run_id = start(&mut client, "order").await;
    let closing = tokio::spawn(closing_event(server.client().await));

    let task = poll(&mut client, "orders", TaskQueueKind::Normal).await;
    assert_eq!(
        kinds(&task),
        [
            WorkflowExecutionStarted,
            WorkflowTaskScheduled,
            WorkflowTaskStarted
        ]
    );
    assert_eq!((task.started_event_id, task.attempt), (3, 1));
    complete(&mut client, &task, vec![schedule_activity()]).await;

    let request = PollActivityTaskQueueRequest {
        namespace: NAMESPACE.to_owned(),
        task_queue: queue("orders", TaskQueueKind::Normal),
        ..Default::default()
    };
    let activity = client
        .poll_activity_task_queue(within(10, request))
        .await
        .expect("polled")
        .into_inner();
    assert_eq!(
        (activity.activity_id.as_str(), activity.input),
        ("pay", text("\"amount\""))
    );
    let beat = RecordActivityTaskHeartbeatRequest {
        namespace: NAMESPACE.to_owned(),
        task_token: activity.task_token.clone(),
        details: text("1"),
        ..Default::default()
    };
    let beat = client
        .record_activity_task_heartbeat(beat)
        .await
        .expect("heartbeat")
        .into_inner();
    assert!(!beat.cancel_requested);
    let mut worker = server.client().await;
    let cached = tokio::spawn(async move { poll(&mut worker, "orders-sticky", TaskQueueKind::Sticky).await });
    polled(&mut client, queue("orders-sticky", TaskQueueKind::Sticky)).await;
    let done = RespondActivityTaskCompletedRequest {
        // The token names the namespace, too.
        task_token: activity.task_token,
        result: text("\"paid\""),
        ..Default::default()
    };
    client
        .respond_activity_task_completed(done)
        .await
        .expect("activity completed");

    // The worker has the run in its cache: it is sent what is new.
    let task = cached.await.expect("worker");
    assert_eq!(
        kinds(&task),
        [
            WorkflowTaskCompleted,
            ActivityTaskScheduled,
            ActivityTaskStarted,
            ActivityTaskCompleted,
            WorkflowTaskScheduled,
            WorkflowTaskStarted
        ]
    );
    complete(&mut client, &task, vec![complete_workflow()]).await;

    let closing = closing.await.expect("reader");
    assert_eq!(closing, [WorkflowExecutionCompleted]);
    let describe = DescribeWorkflowExecutionRequest {
        namespace: NAMESPACE.to_owned(),
        execution: execution("order"),
    };
    let info = client
        .describe_workflow_execution(describe)
        .await
        .expect("described")
        .into_inner();
    let info = info.workflow_execution_info.expect("info");
    assert_eq!(info.status(), WorkflowExecutionStatus::Completed);
    assert_eq!(info.execution.expect("execution").run_id, run_id);
}

/// Waits for the workflow to close.
async fn closing_event(mut client: WorkflowServiceClient<Channel>) -> Vec<EventType> {
    let mut request = GetWorkflowExecutionHistoryRequest {
        namespace: NAMESPACE.to_owned(),
        execution: execution("order"),
        wait_new_event: true,
        history_event_filter_type: HistoryEventFilterType::CloseEvent.into(),
        ..Default::default()
    };
    loop {
        let page = client
            .get_workflow_execution_history(request.clone())
            .await
            .expect("history")
            .into_inner();
        let events = page.history.unwrap_or_default().events;
        if page.next_page_token.is_empty() {
            return events.iter().map(|event| event.event_type()).collect();
        }
        assert!(events.is_empty());
        request.next_page_token = page.next_page_token;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_goes_to_the_workers_cache_first() {
    let server = Server::start().await;
    let mut client = server.client().await;
    start(&mut client, "order").await;
    let task = poll(&mut client, "orders", TaskQueueKind::Normal).await;
    complete(&mut client, &task, Vec::new()).await;

    let mut worker = server.client().await;
    let answering = tokio::spawn(async move {
        let task = poll(&mut worker, "orders-sticky", TaskQueueKind::Sticky).await;
        assert!(kinds(&task).is_empty(), "a cached run needs no history");
        assert_eq!(task.previous_started_event_id, 3);
        let answer = RespondQueryTaskCompletedRequest {
            namespace: NAMESPACE.to_owned(),
            task_token: task.task_token,
            completed_type: QueryResultType::Answered.into(),
            query_result: text("42"),
            ..Default::default()
        };
        worker
            .respond_query_task_completed(answer.clone())
            .await
            .expect("answered");
        let again = worker
            .respond_query_task_completed(answer)
            .await
            .expect_err("answered before");
        assert_eq!(again.message(), "query task not found, or already expired");
    });
    // A sticky queue without a poller counts as left.
    polled(&mut client, queue("orders-sticky", TaskQueueKind::Sticky)).await;
    let query = QueryWorkflowRequest {
        namespace: NAMESPACE.to_owned(),
        execution: execution("order"),
        query: Some(WorkflowQuery {
            query_type: "total".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let answer = client
        .query_workflow(within(10, query))
        .await
        .expect("queried")
        .into_inner();
    assert_eq!(answer.query_result, text("42"));
    answering.await.expect("worker");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eager_start_brings_its_first_task() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let request = StartWorkflowExecutionRequest {
        namespace: NAMESPACE.to_owned(),
        workflow_id: "eager".to_owned(),
        workflow_type: Some(WorkflowType {
            name: "Order".to_owned(),
        }),
        task_queue: queue("orders", TaskQueueKind::Normal),
        request_eager_execution: true,
        ..Default::default()
    };
    let started = client
        .start_workflow_execution(request)
        .await
        .expect("started")
        .into_inner();
    let task = started.eager_workflow_task.expect("task");
    assert_eq!(kinds(&task).last(), Some(&EventType::WorkflowTaskStarted));
    complete(&mut client, &task, vec![complete_workflow()]).await;
}
