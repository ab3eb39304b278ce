//! What becomes of workflows and of their tasks.

use std::time::Duration;

use perdure_tests::client::{NAMESPACE, complete, execution, of, start, timed, wire};
use proto::temporal::{
    command::v1::{
        Command, ContinueAsNewWorkflowExecutionCommandAttributes, FailWorkflowExecutionCommandAttributes,
        StartTimerCommandAttributes, command::Attributes,
    },
    common::v1::WorkflowType,
    enums::v1::{CommandType, WorkflowTaskFailedCause},
    failure::v1::Failure,
    workflowservice::v1::{
        DescribeWorkflowExecutionRequest, ListWorkflowExecutionsRequest,
        RequestCancelWorkflowExecutionRequest, RespondWorkflowTaskFailedRequest,
        TerminateWorkflowExecutionRequest,
    },
};
use tonic::Code;

use crate::{
    check::Check,
    stage::{Stage, TASK_TIMEOUT},
};

const SECOND: Duration = Duration::from_secs(1);

/// What every workflow that takes its course moves.
const COMPLETED: &[&str] = &[
    "service_requests{service_name=\"frontend\",namespace=\"default\",operation=\"StartWorkflowExecution\"}",
    "service_requests{namespace=\"default\",operation=\"AddWorkflowTask\"}",
    "service_requests{namespace=\"default\",operation=\"RecordWorkflowTaskStarted\"}",
    "service_latency{namespace=\"default\",operation=\"RespondWorkflowTaskCompleted\"}",
    "workflow_success{namespace=\"default\",taskqueue=\"done\"}",
    "workflow_schedule_to_close_latency{taskqueue=\"done\"}",
    "workflow_tasks_completed{namespace=\"default\"}",
    "history_size{namespace=\"default\"}",
    "history_count{namespace=\"default\"}",
    "state_transition_count{namespace=\"default\"}",
    "task_schedule_to_start_latency{namespace=\"default\",task_type=\"Workflow\"}",
    "task_requests{operation=\"TransferActiveTaskWorkflowTask\"}",
    "task_latency_queue{operation=\"TransferActiveTaskWorkflowTask\"}",
    "task_requests{operation=\"VisibilityTaskCloseExecution\"}",
    "task_latency_queue{operation=\"VisibilityTaskCloseExecution\"}",
    "tasks_added{taskqueue=\"done\",task_type=\"Workflow\"}",
    "task_queue_started{namespace=\"default\",task_type=\"Workflow\"}",
    "poll_success{taskqueue=\"done\"}",
    "poll_latency{taskqueue=\"done\"}",
    "asyncmatch_latency{taskqueue=\"done\"}",
    "task_dispatch_latency{taskqueue=\"done\"}",
    "persistence_requests{operation=\"UpdateWorkflowExecution\"}",
    "persistence_latency{operation=\"UpdateWorkflowExecution\"}",
    "visibility_persistence_requests{operation=\"UpsertWorkflowExecution\"}",
    "visibility_persistence_latency{operation=\"UpsertWorkflowExecution\"}",
    "cache_requests{operation=\"HistoryCacheGetOrCreate\"}",
    "cache_miss{operation=\"HistoryCacheGetOrCreateCurrent\"}",
    "perdure_workflows_closed_total{namespace=\"default\",workflow_type=\"test\",status=\"completed\"}",
    "perdure_receipt_to_durable_seconds",
    "perdure_durable_to_delivered_seconds",
    "perdure_commit_latency_seconds",
    "perdure_batch_transitions",
    "perdure_batch_bytes",
    "perdure_shard_requests_total",
    "perdure_store_merged_writes_total",
    "perdure_store_fsyncs_total",
    "perdure_store_batch_bytes_total",
];

/// What no workflow that takes its course moves.
const FAULTS: &[&str] = &[
    "service_errors",
    "service_error_with_type",
    "service_errors_resource_exhausted",
    "failed_workflow_tasks",
    "workflow_failed",
    "workflow_cancel",
    "workflow_terminate",
    "workflow_timeout",
    "workflow_continued_as_new",
    "persistence_errors",
    "visibility_persistence_errors",
    "shard_closed_count",
    "perdure_stale_tickets_total",
    "perdure_polls_cancelled_total",
];

pub(crate) async fn play(stage: &Stage, check: &mut Check<'_>) -> Result<(), String> {
    for here in [
        "perdure_shards",
        "perdure_lease_changes_total",
        "acquire_shards_count",
    ] {
        // Two servers of two shards and of eight.
        check.level(here, 10.0).await?;
    }
    check.level("acquire_shards_latency", 10.0).await?;
    check.level("sharditem_created_count", 10.0).await?;

    // Its record is in the index before the next one comes, as nobody works on it yet.
    let moved = ["task_requests{operation=\"VisibilityTaskStartExecution\"}"];
    let step = check
        .begin("a workflow starts", &moved, &["workflow_success"])
        .await?;
    stage.start_workflow("resting").await?;
    check.end(step).await?;

    let step = check.begin("a workflow completes", COMPLETED, FAULTS).await?;
    stage.start_workflow("done").await?;
    stage.decide("done", vec![complete(None)]).await?;
    check.end(step).await?;

    ends(stage, check).await?;
    tasks(stage, check).await?;
    errors(stage, check).await
}

/// The other ends of a workflow.
async fn ends(stage: &Stage, check: &mut Check<'_>) -> Result<(), String> {
    let moved = [
        "workflow_failed{taskqueue=\"failed\"}",
        "perdure_workflows_closed_total{status=\"failed\"}",
    ];
    let step = check
        .begin("a workflow fails", &moved, &["workflow_success"])
        .await?;
    stage.start_workflow("failed").await?;
    stage.decide("failed", vec![fail()]).await?;
    check.end(step).await?;

    let moved = ["workflow_continued_as_new{taskqueue=\"chain\"}"];
    let step = check
        .begin("a workflow continues as new", &moved, &["workflow_success"])
        .await?;
    stage.start_workflow("chain").await?;
    stage.decide("chain", vec![continue_as_new()]).await?;
    check.end(step).await?;

    let step = check
        .begin(
            "a workflow is canceled",
            &["workflow_cancel{taskqueue=\"canceled\"}"],
            &[],
        )
        .await?;
    stage.start_workflow("canceled").await?;
    cancel(stage, "canceled").await?;
    stage.decide("canceled", vec![canceled()]).await?;
    check.end(step).await?;

    let moved = [
        "workflow_terminate{taskqueue=\"terminated\"}",
        "perdure_stale_tickets_total",
    ];
    let step = check
        .begin("a workflow is terminated before its task is taken", &moved, &[])
        .await?;
    stage.start_workflow("terminated").await?;
    terminate(stage, "terminated").await?;
    // Its ticket is still in the queue; the poller gets the next task.
    stage
        .start_as(start("behind", "terminated", TASK_TIMEOUT))
        .await?;
    stage.decide("terminated", vec![complete(None)]).await?;
    check.end(step).await?;

    let moved = [
        "workflow_timeout{taskqueue=\"late\"}",
        "task_requests{operation=\"TimerActiveTaskWorkflowRunTimeout\"}",
        "perdure_wakeup_lateness_seconds",
    ];
    let step = check
        .begin("a workflow times out", &moved, &["workflow_terminate"])
        .await?;
    let mut request = start("late", "late", TASK_TIMEOUT);
    request.workflow_run_timeout = wire(SECOND);
    stage.start_as(request).await?;
    check.end(step).await
}

/// What becomes of workflow tasks.
async fn tasks(stage: &Stage, check: &mut Check<'_>) -> Result<(), String> {
    let moved = ["failed_workflow_tasks{failure=\"NonDeterministicError\"}"];
    let step = check
        .begin("a workflow task fails", &moved, &["start_to_close_timeout"])
        .await?;
    stage.start_workflow("broken").await?;
    let task = stage.task("broken").await?;
    let request = RespondWorkflowTaskFailedRequest {
        task_token: task.task_token,
        namespace: NAMESPACE.to_owned(),
        cause: WorkflowTaskFailedCause::NonDeterministicError.into(),
        ..Default::default()
    };
    let mut service = stage.service.clone();
    let failed = service.respond_workflow_task_failed(timed(request)).await;
    failed.map_err(of("fail workflow task"))?;
    check.end(step).await?;

    let moved = [
        "start_to_close_timeout{operation=\"TimerActiveTaskWorkflowTaskTimeout\"}",
        "task_requests{operation=\"TimerActiveTaskWorkflowTaskTimeout\"}",
        "task_latency_queue{operation=\"TimerActiveTaskWorkflowTaskTimeout\"}",
    ];
    let step = check
        .begin("a workflow task times out", &moved, &["failed_workflow_tasks"])
        .await?;
    stage.start_as(start("slow", "slow", SECOND)).await?;
    stage.task("slow").await?;
    check.end(step).await?;

    let moved = ["task_requests{operation=\"TimerActiveTaskUserTimer\"}"];
    let step = check.begin("a timer fires", &moved, &[]).await?;
    stage.start_workflow("timer").await?;
    stage
        .decide("timer", vec![timer(Duration::from_millis(100))])
        .await?;
    check.end(step).await
}

/// Calls that fail.
async fn errors(stage: &Stage, check: &mut Check<'_>) -> Result<(), String> {
    let moved = [
        "service_error_with_type{namespace=\"default\",operation=\"DescribeWorkflowExecution\",error_type=\"serviceerror_NotFound\"}",
    ];
    let stays = ["service_errors", "service_errors_resource_exhausted"];
    let step = check
        .begin("a call asks for what is not there", &moved, &stays)
        .await?;
    let request = DescribeWorkflowExecutionRequest {
        namespace: NAMESPACE.to_owned(),
        execution: execution("nobody"),
    };
    let mut service = stage.service.clone();
    let described = service.describe_workflow_execution(timed(request)).await;
    expect(described.err(), Code::NotFound)?;
    check.end(step).await?;

    let moved = ["visibility_persistence_errors{operation=\"ListWorkflowExecutions\"}"];
    let step = check
        .begin("the index refuses a call", &moved, &["persistence_errors"])
        .await?;
    let request = ListWorkflowExecutionsRequest {
        namespace: NAMESPACE.to_owned(),
        next_page_token: b"no token".to_vec(),
        ..Default::default()
    };
    let listed = service.list_workflow_executions(timed(request)).await;
    if listed.is_ok() {
        return Err("the index takes any token".to_owned());
    }
    check.end(step).await
}

pub(crate) fn expect(error: Option<tonic::Status>, code: Code) -> Result<(), String> {
    match error {
        Some(status) if status.code() == code => Ok(()),
        other => Err(format!("{code:?} was expected, not {other:?}")),
    }
}

async fn cancel(stage: &Stage, id: &str) -> Result<(), String> {
    let request = RequestCancelWorkflowExecutionRequest {
        namespace: NAMESPACE.to_owned(),
        workflow_execution: execution(id),
        ..Default::default()
    };
    let mut service = stage.service.clone();
    let asked = service.request_cancel_workflow_execution(timed(request)).await;
    asked.map(|_| ()).map_err(of("cancel"))
}

async fn terminate(stage: &Stage, id: &str) -> Result<(), String> {
    let request = TerminateWorkflowExecutionRequest {
        namespace: NAMESPACE.to_owned(),
        workflow_execution: execution(id),
        ..Default::default()
    };
    let mut service = stage.service.clone();
    let terminated = service.terminate_workflow_execution(timed(request)).await;
    terminated.map(|_| ()).map_err(of("terminate"))
}

pub(crate) fn command(command_type: CommandType, attributes: Attributes) -> Command {
    Command {
        command_type: command_type.into(),
        attributes: Some(attributes),
        ..Default::default()
    }
}

fn fail() -> Command {
    let failure = Some(Failure {
        message: "wrong".to_owned(),
        ..Default::default()
    });
    command(
        CommandType::FailWorkflowExecution,
        Attributes::FailWorkflowExecutionCommandAttributes(Box::new(
            FailWorkflowExecutionCommandAttributes { failure },
        )),
    )
}

fn canceled() -> Command {
    command(
        CommandType::CancelWorkflowExecution,
        Attributes::CancelWorkflowExecutionCommandAttributes(Box::default()),
    )
}

fn continue_as_new() -> Command {
    let workflow_type = Some(WorkflowType {
        name: "test".to_owned(),
    });
    command(
        CommandType::ContinueAsNewWorkflowExecution,
        Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(Box::new(
            ContinueAsNewWorkflowExecutionCommandAttributes {
                workflow_type,
                ..Default::default()
            },
        )),
    )
}

fn timer(span: Duration) -> Command {
    command(
        CommandType::StartTimer,
        Attributes::StartTimerCommandAttributes(Box::new(StartTimerCommandAttributes {
            timer_id: "t".to_owned(),
            start_to_fire_timeout: wire(span),
        })),
    )
}
