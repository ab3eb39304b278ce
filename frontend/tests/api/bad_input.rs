//! What is refused, in the words of the official server.

use proto::temporal::{
    common::v1::{Payload, Payloads, RetryPolicy, SearchAttributes, WorkflowExecution, WorkflowType},
    enums::v1::{WorkflowIdConflictPolicy, WorkflowIdReusePolicy},
    query::v1::WorkflowQuery,
    taskqueue::v1::TaskQueue,
    update::v1::{Input, Meta, Request as UpdateRequest, WaitPolicy},
    workflowservice::v1::*,
};

use crate::server::{NAMESPACE, Server, check, outcome, within};

fn start(workflow_id: &str) -> StartWorkflowExecutionRequest {
    StartWorkflowExecutionRequest {
        namespace: NAMESPACE.to_owned(),
        workflow_id: workflow_id.to_owned(),
        workflow_type: Some(WorkflowType { name: "T".to_owned() }),
        task_queue: queue("q"),
        ..Default::default()
    }
}

fn queue(name: &str) -> Option<TaskQueue> {
    Some(TaskQueue {
        name: name.to_owned(),
        ..Default::default()
    })
}

fn execution(workflow_id: &str, run_id: &str) -> Option<WorkflowExecution> {
    Some(WorkflowExecution {
        workflow_id: workflow_id.to_owned(),
        run_id: run_id.to_owned(),
    })
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

fn json(text: &str) -> Payload {
    let encoding = ("encoding".to_owned(), b"json/plain".to_vec());
    Payload {
        metadata: [encoding].into(),
        data: text.to_owned().into(),
        ..Default::default()
    }
}

fn attribute(name: &str, text: &str) -> Option<SearchAttributes> {
    Some(SearchAttributes {
        indexed_fields: [(name.to_owned(), json(text))].into(),
    })
}

fn huge() -> Option<Payloads> {
    Some(Payloads {
        payloads: vec![json(&"x".repeat(2 << 20))],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn starts() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let long = "x".repeat(1_001);
    let s = || start("w");
    let retry = RetryPolicy {
        backoff_coefficient: 0.5,
        ..Default::default()
    };
    let (terminate, reject) = (4, WorkflowIdReusePolicy::RejectDuplicate.into());
    let requests = [
        (start(""), "InvalidArgument: WorkflowId is not set on request."),
        (
            start(&long),
            "InvalidArgument: WorkflowId exceeds maximum allowed length (1001/1000)",
        ),
        (
            StartWorkflowExecutionRequest {
                workflow_type: None,
                ..s()
            },
            "InvalidArgument: WorkflowType is not set on request.",
        ),
        (
            StartWorkflowExecutionRequest {
                task_queue: None,
                ..s()
            },
            "InvalidArgument: taskQueue is not set",
        ),
        (
            StartWorkflowExecutionRequest {
                task_queue: queue(&long),
                ..s()
            },
            "InvalidArgument: taskQueue length exceeds limit",
        ),
        (
            StartWorkflowExecutionRequest {
                request_id: long.clone(),
                ..s()
            },
            "InvalidArgument: RequestId length exceeds limit.",
        ),
        (
            StartWorkflowExecutionRequest {
                workflow_run_timeout: seconds(-1),
                ..s()
            },
            "InvalidArgument: An invalid WorkflowRunTimeoutSeconds is set on request. cause: negative duration",
        ),
        (
            StartWorkflowExecutionRequest {
                cron_schedule: "foo".to_owned(),
                ..s()
            },
            "InvalidArgument: invalid CronSchedule.",
        ),
        (
            StartWorkflowExecutionRequest {
                cron_schedule: "* * * * *".to_owned(),
                workflow_start_delay: seconds(1),
                ..s()
            },
            "InvalidArgument: CronSchedule and WorkflowStartDelay may not be used together.",
        ),
        (
            StartWorkflowExecutionRequest {
                retry_policy: Some(retry),
                ..s()
            },
            "InvalidArgument: BackoffCoefficient cannot be less than 1 on retry policy.",
        ),
        (
            StartWorkflowExecutionRequest {
                workflow_id_reuse_policy: terminate,
                workflow_id_conflict_policy: WorkflowIdConflictPolicy::Fail.into(),
                ..s()
            },
            "InvalidArgument: Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING cannot be \
             used together with a WorkflowIDConflictPolicy",
        ),
        (
            StartWorkflowExecutionRequest {
                workflow_id_reuse_policy: reject,
                workflow_id_conflict_policy: WorkflowIdConflictPolicy::TerminateExisting.into(),
                ..s()
            },
            "InvalidArgument: Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE cannot be used \
             together with WorkflowIdConflictPolicy WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING",
        ),
        (
            StartWorkflowExecutionRequest { input: huge(), ..s() },
            "InvalidArgument: Blob data size exceeds limit.",
        ),
        (
            StartWorkflowExecutionRequest {
                search_attributes: attribute("Nope", "\"x\""),
                ..s()
            },
            "InvalidArgument: Namespace default has no mapping defined for search attribute Nope",
        ),
        (
            StartWorkflowExecutionRequest {
                search_attributes: attribute("WorkflowId", "\"x\""),
                ..s()
            },
            "InvalidArgument: WorkflowId attribute can't be set in SearchAttributes",
        ),
        (
            StartWorkflowExecutionRequest {
                namespace: String::new(),
                ..s()
            },
            "InvalidArgument: Namespace is empty.",
        ),
        (
            StartWorkflowExecutionRequest {
                namespace: long.clone(),
                ..s()
            },
            "InvalidArgument: Namespace length exceeds limit.",
        ),
        (
            StartWorkflowExecutionRequest {
                namespace: "nope".to_owned(),
                ..s()
            },
            "NotFound: Namespace nope is not found. [NamespaceNotFoundFailure]",
        ),
        (start(&"x".repeat(1_000)), "ok"),
        (start("a/b\nü\0z%"), "ok"),
    ];
    let mut rows = Vec::new();
    for (request, expected) in requests {
        rows.push((outcome(client.start_workflow_execution(request).await), expected));
    }
    check(&rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_that_runs_already() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client
        .start_workflow_execution(start("w"))
        .await
        .expect("started");
    let again = client
        .start_workflow_execution(start("w"))
        .await
        .expect_err("runs already");
    assert_eq!(again.code(), tonic::Code::AlreadyExists);
    assert!(
        again
            .message()
            .starts_with("Workflow execution is already running. WorkflowId: w, RunId: ")
    );
    let existing = StartWorkflowExecutionRequest {
        workflow_id_conflict_policy: WorkflowIdConflictPolicy::UseExisting.into(),
        ..start("w")
    };
    let used = client
        .start_workflow_execution(existing)
        .await
        .expect("used")
        .into_inner();
    assert!(!used.started && used.link.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn workflows_that_are_not_there() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client
        .start_workflow_execution(start("w"))
        .await
        .expect("started");
    let targets = [
        (None, "InvalidArgument: Execution is not set on request."),
        (
            execution("", ""),
            "InvalidArgument: WorkflowId is not set on request.",
        ),
        (execution("w", "x"), "InvalidArgument: Invalid RunId."),
        (
            execution("unknown", ""),
            "NotFound: workflow not found for ID: unknown [NotFoundFailure]",
        ),
        (
            execution("w", "11111111-2222-4333-8444-555555555555"),
            "NotFound: workflow execution not found for workflow ID \"w\" and run ID \
             \"11111111-2222-4333-8444-555555555555\" [NotFoundFailure]",
        ),
    ];
    let namespace = NAMESPACE.to_owned();
    let query = Some(WorkflowQuery {
        query_type: "q".to_owned(),
        ..Default::default()
    });
    let mut rows = Vec::new();
    for (target, expected) in targets {
        let (namespace, target) = (|| namespace.clone(), || target.clone());
        let signal = SignalWorkflowExecutionRequest {
            namespace: namespace(),
            workflow_execution: target(),
            signal_name: "s".to_owned(),
            ..Default::default()
        };
        rows.push((outcome(client.signal_workflow_execution(signal).await), expected));
        let describe = DescribeWorkflowExecutionRequest {
            namespace: namespace(),
            execution: target(),
        };
        rows.push((
            outcome(client.describe_workflow_execution(describe).await),
            expected,
        ));
        let terminate = TerminateWorkflowExecutionRequest {
            namespace: namespace(),
            workflow_execution: target(),
            ..Default::default()
        };
        rows.push((
            outcome(client.terminate_workflow_execution(terminate).await),
            expected,
        ));
        let history = GetWorkflowExecutionHistoryRequest {
            namespace: namespace(),
            execution: target(),
            ..Default::default()
        };
        rows.push((
            outcome(client.get_workflow_execution_history(history).await),
            expected,
        ));
        let asked = QueryWorkflowRequest {
            namespace: namespace(),
            execution: target(),
            query: query.clone(),
            ..Default::default()
        };
        rows.push((outcome(client.query_workflow(asked).await), expected));
        let delete = DeleteWorkflowExecutionRequest {
            namespace: namespace(),
            workflow_execution: target(),
        };
        rows.push((outcome(client.delete_workflow_execution(delete).await), expected));
    }
    check(&rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn updates() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client
        .start_workflow_execution(start("w"))
        .await
        .expect("started");
    let request = |meta: Option<Meta>, input: Option<Input>, stage| UpdateWorkflowExecutionRequest {
        namespace: NAMESPACE.to_owned(),
        workflow_execution: execution("w", ""),
        wait_policy: Some(WaitPolicy {
            lifecycle_stage: stage,
        }),
        request: Some(UpdateRequest {
            meta,
            input,
            ..Default::default()
        }),
        ..Default::default()
    };
    let named = |name: &str| {
        Some(Input {
            name: name.to_owned(),
            ..Default::default()
        })
    };
    let long = Some(Meta {
        update_id: "x".repeat(1_001),
        ..Default::default()
    });
    let meta = Some(Meta {
        update_id: "u".to_owned(),
        ..Default::default()
    });
    let requests = [
        (
            request(None, named("n"), 3),
            "InvalidArgument: Update meta is not set on request.",
        ),
        (
            request(meta.clone(), None, 3),
            "InvalidArgument: Update input is not set on request.",
        ),
        (
            request(meta.clone(), named(""), 3),
            "InvalidArgument: Update name is not set on request.",
        ),
        (
            request(long, named("n"), 3),
            "InvalidArgument: UpdateId length exceeds limit.",
        ),
        (
            request(meta, named("n"), 1),
            "PermissionDenied: UpdateWorkflowExecution issued asynchronously and waiting on update admitted is not \
             supported. [PermissionDeniedFailure]",
        ),
    ];
    let mut rows = Vec::new();
    for (request, expected) in requests {
        rows.push((outcome(client.update_workflow_execution(request).await), expected));
    }
    check(&rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_without_time() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let poll = || PollWorkflowTaskQueueRequest {
        namespace: NAMESPACE.to_owned(),
        task_queue: queue("q"),
        ..Default::default()
    };
    let rows = [
        (
            outcome(client.poll_workflow_task_queue(poll()).await),
            "InvalidArgument: Context timeout is not set.",
        ),
        (
            outcome(client.poll_workflow_task_queue(within(1, poll())).await),
            "FailedPrecondition: Context timeout is too short.",
        ),
        (
            outcome(client.poll_workflow_task_queue(within(2, poll())).await),
            "ok",
        ),
    ];
    check(&rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn visibility_queries() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let list = |query: &str, token: &[u8]| ListWorkflowExecutionsRequest {
        namespace: NAMESPACE.to_owned(),
        query: query.to_owned(),
        next_page_token: token.to_vec(),
        ..Default::default()
    };
    let rows = [
        (
            outcome(client.list_workflow_executions(list("Nope = 'x'", b"")).await),
            "InvalidArgument: invalid query: invalid search attribute: Nope",
        ),
        (
            outcome(
                client
                    .list_workflow_executions(list("ORDER BY StartTime", b""))
                    .await,
            ),
            "InvalidArgument: invalid query: operation is not supported: 'ORDER BY' clause",
        ),
        (
            outcome(client.list_workflow_executions(list("", b"foo")).await),
            "InvalidArgument: Invalid NextPageToken.",
        ),
        (
            outcome(
                client
                    .list_workflow_executions(list("WorkflowType = 'T'", b""))
                    .await,
            ),
            "ok",
        ),
    ];
    check(&rows);
}
