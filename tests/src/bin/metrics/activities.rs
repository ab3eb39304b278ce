//! What becomes of activities.

use std::time::Duration;

use perdure_tests::client::{NAMESPACE, of, queue, timed, wire};
use proto::temporal::{
    command::v1::{
        Command, RequestCancelActivityTaskCommandAttributes, ScheduleActivityTaskCommandAttributes,
        command::Attributes,
    },
    common::v1::{ActivityType, RetryPolicy},
    enums::v1::CommandType,
    failure::v1::{ApplicationFailureInfo, Failure, failure::FailureInfo},
    workflowservice::v1::{
        PollActivityTaskQueueResponse, RespondActivityTaskCanceledRequest,
        RespondActivityTaskCompletedRequest, RespondActivityTaskFailedRequest,
    },
};

use crate::{check::Check, stage::Stage, workflows::command};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(1);

pub(crate) async fn play(stage: &Stage, check: &mut Check<'_>) -> Result<(), String> {
    completes(stage, check).await?;
    fails(stage, check).await?;
    is_canceled(stage, check).await?;
    for (name, kind, tweak) in TIMEOUTS {
        times_out(stage, check, name, kind, *tweak).await?;
    }
    Ok(())
}

async fn completes(stage: &Stage, check: &mut Check<'_>) -> Result<(), String> {
    let moved = [
        "activity_success{namespace=\"default\",taskqueue=\"act\"}",
        "activity_start_to_close_latency{taskqueue=\"act\"}",
        "activity_schedule_to_close_latency{taskqueue=\"act\"}",
        "service_requests{operation=\"AddActivityTask\"}",
        "service_requests{operation=\"RecordActivityTaskStarted\"}",
        "task_requests{operation=\"TransferActiveTaskActivity\"}",
        "task_schedule_to_start_latency{task_type=\"Activity\"}",
        "poll_success{taskqueue=\"act\",task_type=\"Activity\"}",
    ];
    let stays = ["activity_fail", "activity_task_fail", "activity_timeout"];
    let step = check.begin("an activity completes", &moved, &stays).await?;
    let task = begun(stage, "act", |_| {}).await?;
    let request = RespondActivityTaskCompletedRequest {
        task_token: task.task_token,
        namespace: NAMESPACE.to_owned(),
        ..Default::default()
    };
    let mut service = stage.service.clone();
    let completed = service.respond_activity_task_completed(timed(request)).await;
    completed.map_err(of("complete activity"))?;
    check.end(step).await
}

/// Fails, is tried again and fails for good.
async fn fails(stage: &Stage, check: &mut Check<'_>) -> Result<(), String> {
    let moved = [
        "activity_task_fail{taskqueue=\"act_fails\"}",
        "task_requests{operation=\"TimerActiveTaskActivityRetryTimer\"}",
    ];
    let step = check
        .begin("an activity fails and is tried again", &moved, &["activity_fail"])
        .await?;
    let retry = |attributes: &mut ScheduleActivityTaskCommandAttributes| {
        attributes.retry_policy = Some(RetryPolicy {
            initial_interval: wire(Duration::from_millis(100)),
            maximum_attempts: 2,
            ..Default::default()
        });
    };
    let task = begun(stage, "act-fails", retry).await?;
    fail(stage, task).await?;
    let task = stage.activity("act-fails").await?;
    check.end(step).await?;

    let moved = ["activity_fail{taskqueue=\"act_fails\"}", "activity_task_fail"];
    let step = check
        .begin("an activity fails for good", &moved, &["activity_success"])
        .await?;
    fail(stage, task).await?;
    check.end(step).await
}

async fn fail(stage: &Stage, task: PollActivityTaskQueueResponse) -> Result<(), String> {
    let request = RespondActivityTaskFailedRequest {
        task_token: task.task_token,
        namespace: NAMESPACE.to_owned(),
        failure: Some(Failure {
            message: "wrong".to_owned(),
            failure_info: Some(FailureInfo::ApplicationFailureInfo(
                ApplicationFailureInfo::default(),
            )),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut service = stage.service.clone();
    let failed = service.respond_activity_task_failed(timed(request)).await;
    failed.map(|_| ()).map_err(of("fail activity"))
}

async fn is_canceled(stage: &Stage, check: &mut Check<'_>) -> Result<(), String> {
    let moved = ["activity_cancel{taskqueue=\"act_cancel\"}"];
    let step = check
        .begin("an activity is canceled", &moved, &["activity_fail"])
        .await?;
    let task = begun(stage, "act-cancel", |_| {}).await?;
    stage.signal("act-cancel").await?;
    let cancel = RequestCancelActivityTaskCommandAttributes {
        // The event after the start, its first task and that task's start and end.
        scheduled_event_id: 5,
    };
    let cancel = command(
        CommandType::RequestCancelActivityTask,
        Attributes::RequestCancelActivityTaskCommandAttributes(Box::new(cancel)),
    );
    stage.decide("act-cancel", vec![cancel]).await?;
    let request = RespondActivityTaskCanceledRequest {
        task_token: task.task_token,
        namespace: NAMESPACE.to_owned(),
        ..Default::default()
    };
    let mut service = stage.service.clone();
    let canceled = service.respond_activity_task_canceled(timed(request)).await;
    canceled.map_err(of("cancel activity"))?;
    check.end(step).await
}

type Tweak = fn(&mut ScheduleActivityTaskCommandAttributes);

/// The four time-outs: what the step is called, the metric and the label, and which of an activity's spans is short.
const TIMEOUTS: &[(&str, [&str; 2], Tweak)] = &[
    (
        "an activity's heartbeat times out",
        ["heartbeat_timeout", "Heartbeat"],
        |attributes| attributes.heartbeat_timeout = wire(SHORT),
    ),
    (
        "an activity's start times out",
        ["schedule_to_start_timeout", "ScheduleToStart"],
        |attributes| {
            attributes.schedule_to_start_timeout = wire(SHORT);
            // Nobody polls there.
            attributes.task_queue = queue("deserted");
        },
    ),
    (
        "an activity times out",
        ["start_to_close_timeout", "StartToClose"],
        |attributes| attributes.start_to_close_timeout = wire(SHORT),
    ),
    (
        "an activity with all attempts times out",
        ["schedule_to_close_timeout", "ScheduleToClose"],
        |attributes| attributes.schedule_to_close_timeout = wire(SHORT),
    ),
];

async fn times_out(
    stage: &Stage,
    check: &mut Check<'_>,
    name: &'static str,
    [metric, label]: &[&str; 2],
    tweak: Tweak,
) -> Result<(), String> {
    let moved = [
        format!("{metric}{{operation=\"TimerActiveTaskActivityTimeout\"}}"),
        format!("activity_timeout{{timeout_type=\"{label}\"}}"),
        format!("activity_task_timeout{{timeout_type=\"{label}\"}}"),
        "task_requests{operation=\"TimerActiveTaskActivityTimeout\"}".to_owned(),
    ];
    let moved: Vec<&str> = moved.iter().map(String::as_str).collect();
    let stays = ["activity_success", "activity_fail", "workflow_timeout"];
    let step = check.begin(name, &moved, &stays).await?;
    let id = format!("act-{label}").to_lowercase();
    schedule(stage, &id, tweak).await?;
    if *label != "ScheduleToStart" {
        stage.activity(&id).await?;
    }
    check.end(step).await
}

/// Schedules an activity in a workflow of its own, and takes it.
async fn begun(
    stage: &Stage,
    id: &str,
    tweak: impl Fn(&mut ScheduleActivityTaskCommandAttributes),
) -> Result<PollActivityTaskQueueResponse, String> {
    schedule(stage, id, tweak).await?;
    stage.activity(id).await
}

async fn schedule(
    stage: &Stage,
    id: &str,
    tweak: impl Fn(&mut ScheduleActivityTaskCommandAttributes),
) -> Result<(), String> {
    stage.start_workflow(id).await?;
    stage.decide(id, vec![activity(id, tweak)]).await
}

fn activity(name: &str, tweak: impl Fn(&mut ScheduleActivityTaskCommandAttributes)) -> Command {
    let mut attributes = ScheduleActivityTaskCommandAttributes {
        activity_id: "a".to_owned(),
        activity_type: Some(ActivityType {
            name: "test".to_owned(),
        }),
        task_queue: queue(name),
        start_to_close_timeout: wire(LONG),
        retry_policy: Some(RetryPolicy {
            maximum_attempts: 1,
            ..Default::default()
        }),
        ..Default::default()
    };
    tweak(&mut attributes);
    command(
        CommandType::ScheduleActivityTask,
        Attributes::ScheduleActivityTaskCommandAttributes(Box::new(attributes)),
    )
}
