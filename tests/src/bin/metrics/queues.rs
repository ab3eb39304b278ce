//! Polls, queries, backlogs and what is in memory.

use std::time::Duration;

use perdure_tests::client::{
    NAMESPACE, answer, complete, execution, of, payloads, poll_workflow, queue, start, timed, wire,
};
use proto::temporal::{
    enums::v1::TaskQueueKind,
    query::v1::WorkflowQuery,
    taskqueue::v1::{StickyExecutionAttributes, TaskQueue},
    workflowservice::v1::{
        QueryWorkflowRequest, RespondQueryTaskCompletedRequest, StartWorkflowExecutionRequest,
    },
};
use tokio::task::JoinSet;
use tonic::{Code, Request};

use crate::{
    check::Check,
    stage::{Stage, TASK_TIMEOUT},
    workflows::expect,
};

/// One more than the server's settings let wait.
const POLLS: usize = 5;
const BACKLOG: usize = 40;
const PAYLOAD_BYTES: usize = 10_000;
/// A client's deadline, too short for an answer that nobody gives.
const BRIEF: Duration = Duration::from_secs(1);

pub(crate) async fn play(stage: &Stage, check: &mut Check<'_>) -> Result<(), String> {
    waiting_polls(stage, check).await?;
    too_many_polls(stage, check).await?;
    queries(stage, check).await?;
    sticky(stage, check).await?;
    backlog(stage, check).await?;
    staged(stage, check).await?;
    idle(stage, check).await
}

/// A poll that waits, one that gets what it waits for, one that is taken back, one that ends empty.
async fn waiting_polls(stage: &Stage, check: &mut Check<'_>) -> Result<(), String> {
    let moved = [
        "poll_success_sync{taskqueue=\"wait\"}",
        "syncmatch_latency{taskqueue=\"wait\"}",
    ];
    let stays = [
        "asyncmatch_latency",
        "poll_timeouts",
        "perdure_polls_cancelled_total",
    ];
    let step = check.begin("a poll waits for a task", &moved, &stays).await?;
    let poll = poll(stage, "wait");
    let told = async {
        check.level("pending_polls{taskqueue=\"wait\"}", 1.0).await?;
        check
            .level(
                "service_pending_requests{operation=\"PollWorkflowTaskQueue\"}",
                1.0,
            )
            .await?;
        stage.start_workflow("wait").await
    };
    let (token, told) = tokio::join!(poll, told);
    told?;
    let mut service = stage.service.clone();
    let answered = service
        .respond_workflow_task_completed(timed(answer(token?, vec![complete(None)])))
        .await;
    answered.map_err(of("complete workflow task"))?;
    check.end(step).await?;
    check.level("pending_polls{taskqueue=\"wait\"}", 0.0).await?;

    let step = check
        .begin(
            "a poll is taken back",
            &["perdure_polls_cancelled_total"],
            &["poll_timeouts"],
        )
        .await?;
    {
        let mut polls = JoinSet::new();
        let mut service = stage.service.clone();
        polls.spawn(async move {
            service
                .poll_workflow_task_queue(timed(poll_workflow("gone")))
                .await
        });
        check.level("pending_polls{taskqueue=\"gone\"}", 1.0).await?;
    }
    check.end(step).await?;

    let moved = ["poll_timeouts{taskqueue=\"empty\"}"];
    let step = check
        .begin("a poll ends without a task", &moved, &["poll_success"])
        .await?;
    let mut request = Request::new(poll_workflow("empty"));
    request.set_timeout(Duration::from_secs(2));
    let mut service = stage.service.clone();
    let polled = service.poll_workflow_task_queue(request).await;
    if !polled.map_err(of("poll"))?.into_inner().task_token.is_empty() {
        return Err("an empty queue has a task".to_owned());
    }
    check.end(step).await
}

async fn too_many_polls(stage: &Stage, check: &mut Check<'_>) -> Result<(), String> {
    let moved = [
        "perdure_polls_refused_total",
        "service_errors_resource_exhausted{operation=\"PollWorkflowTaskQueue\"}",
        "service_error_with_type{error_type=\"serviceerror_ResourceExhausted\"}",
    ];
    let step = check.begin("a queue has too many polls", &moved, &[]).await?;
    let mut polls = JoinSet::new();
    for _ in 0..POLLS {
        let mut service = stage.service.clone();
        polls.spawn(async move {
            service
                .poll_workflow_task_queue(timed(poll_workflow("crowd")))
                .await
        });
    }
    let first = polls.join_next().await.ok_or("no poll")?;
    let first = first.map_err(|error| error.to_string())?;
    expect(first.err(), Code::ResourceExhausted)?;
    check.end(step).await
}

async fn poll(stage: &Stage, name: &str) -> Result<Vec<u8>, String> {
    Ok(stage.task(name).await?.task_token)
}

/// A query that is answered, and one that is not.
async fn queries(stage: &Stage, check: &mut Check<'_>) -> Result<(), String> {
    stage.start_workflow("asked").await?;
    stage.decide("asked", vec![]).await?;
    let step = check
        .begin(
            "a query is answered",
            &["perdure_queries_given_total"],
            &["perdure_queries_failed_total"],
        )
        .await?;
    let mut service = stage.service.clone();
    let asked = service.query_workflow(timed(query("asked")));
    let mut worker = stage.service.clone();
    let answered = async {
        let task = stage.task("asked").await?;
        let request = RespondQueryTaskCompletedRequest {
            task_token: task.task_token,
            namespace: NAMESPACE.to_owned(),
            completed_type: proto::temporal::enums::v1::QueryResultType::Answered.into(),
            query_result: payloads(bytes::Bytes::from_static(b"1")),
            ..Default::default()
        };
        let responded = worker.respond_query_task_completed(timed(request)).await;
        responded.map_err(of("answer query"))
    };
    let (asked, answered) = tokio::join!(asked, answered);
    answered?;
    asked.map_err(of("query"))?;
    check.end(step).await?;

    let moved = [
        "perdure_queries_failed_total",
        "service_errors{namespace=\"default\",operation=\"QueryWorkflow\"}",
        "service_error_with_type{operation=\"QueryWorkflow\",error_type=\"serviceerror_DeadlineExceeded\"}",
    ];
    let step = check.begin("a query is not answered", &moved, &[]).await?;
    let mut request = Request::new(query("asked"));
    request.set_timeout(BRIEF);
    let asked = service.query_workflow(request);
    // Takes it and says nothing.
    let (asked, taken) = tokio::join!(asked, stage.task("asked"));
    taken?;
    expect(asked.err(), Code::DeadlineExceeded)?;
    check.end(step).await
}

fn query(id: &str) -> QueryWorkflowRequest {
    QueryWorkflowRequest {
        namespace: NAMESPACE.to_owned(),
        execution: execution(id),
        query: Some(WorkflowQuery {
            query_type: "state".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A worker names a sticky queue that nobody polls.
async fn sticky(stage: &Stage, check: &mut Check<'_>) -> Result<(), String> {
    let step = check
        .begin(
            "a sticky worker is gone",
            &["perdure_tickets_refused_sticky_total"],
            &[],
        )
        .await?;
    stage.start_workflow("sticky").await?;
    let task = stage.task("sticky").await?;
    let mut request = answer(task.task_token, vec![]);
    request.sticky_attributes = Some(StickyExecutionAttributes {
        worker_task_queue: Some(TaskQueue {
            kind: TaskQueueKind::Sticky.into(),
            normal_name: "sticky".to_owned(),
            ..queue("nobody").unwrap_or_default()
        }),
        schedule_to_start_timeout: wire(TASK_TIMEOUT),
    });
    let mut service = stage.service.clone();
    let answered = service.respond_workflow_task_completed(timed(request)).await;
    answered.map_err(of("complete workflow task"))?;
    stage.signal("sticky").await?;
    check.end(step).await
}

/// More tasks than a queue holds, and more runs than fit in memory.
async fn backlog(stage: &Stage, check: &mut Check<'_>) -> Result<(), String> {
    let moved = [
        "perdure_tickets_refused_full_total",
        "perdure_cache_evictions_total",
    ];
    let step = check
        .begin("more waits than there is room for", &moved, &[])
        .await?;
    for number in 0..BACKLOG {
        let id = format!("backlog-{number}");
        stage.start_as(large(&id, "backlog")).await?;
    }
    check.end(step).await?;
    check
        .level("approximate_backlog_count{taskqueue=\"backlog\"}", 40.0)
        .await?;
    for level in ["perdure_resident_runs", "cache_usage", "perdure_cache_bytes"] {
        check.some(level).await?;
    }
    let moved = ["cache_miss{operation=\"HistoryCacheGetOrCreate\"}"];
    let step = check.begin("the backlog is worked off", &moved, &[]).await?;
    for _ in 0..BACKLOG {
        stage.decide("backlog", vec![complete(None)]).await?;
    }
    check.end(step).await?;
    check
        .level("approximate_backlog_count{taskqueue=\"backlog\"}", 0.0)
        .await
}

fn large(id: &str, queue: &str) -> StartWorkflowExecutionRequest {
    StartWorkflowExecutionRequest {
        input: payloads(vec![b'x'; PAYLOAD_BYTES].into()),
        ..start(id, queue, TASK_TIMEOUT)
    }
}

/// Starts so many at a time that some wait while a commit is under way, until a scrape has seen it.
async fn staged(stage: &Stage, check: &mut Check<'_>) -> Result<(), String> {
    let load = async {
        let mut number = 0;
        loop {
            let mut all = JoinSet::new();
            for at in 0..BACKLOG {
                let mut service = stage.service.clone();
                let request = large(&format!("staged-{number}-{at}"), "staged");
                all.spawn(async move { service.start_workflow_execution(timed(request)).await });
            }
            for started in all.join_all().await {
                if let Err(status) = started {
                    return of("start workflow")(status);
                }
            }
            number += 1;
        }
    };
    tokio::select! {
        why = load => Err(why),
        seen = check.some("perdure_stage_bytes") => seen,
    }
}

/// A queue that has had nothing to do goes.
async fn idle(stage: &Stage, check: &mut Check<'_>) -> Result<(), String> {
    check.some("loaded_task_queue_count").await?;
    let step = check.begin("a queue goes", &["task_queue_stopped"], &[]).await?;
    stage.start_workflow("brief").await?;
    stage.decide("brief", vec![complete(None)]).await?;
    check.end(step).await
}
