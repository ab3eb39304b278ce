use expect_test::expect;
use proto::temporal::{
    command::v1::command::Attributes as Command,
    common::v1::{ActivityType, Priority, RetryPolicy},
};

use super::*;
use crate::{
    rig::{Rig, complete_workflow, payloads, seconds, workflow},
    trigger::{ActivityRef, Signal, StartWorkflow, Trigger},
};

fn attributes(id: &str) -> ScheduleActivityTaskCommandAttributes {
    ScheduleActivityTaskCommandAttributes {
        activity_id: id.to_owned(),
        activity_type: Some(ActivityType {
            name: "Activity".to_owned(),
        }),
        task_queue: Some(TaskQueue {
            name: "elsewhere".to_owned(),
            ..Default::default()
        }),
        start_to_close_timeout: seconds(10.0),
        ..Default::default()
    }
}

fn command(a: ScheduleActivityTaskCommandAttributes) -> Command {
    Command::ScheduleActivityTaskCommandAttributes(Box::new(a))
}

fn schedule(id: &str) -> Command {
    command(attributes(id))
}

fn eager(id: &str) -> Command {
    command(ScheduleActivityTaskCommandAttributes {
        request_eager_execution: true,
        input: payloads("in"),
        ..attributes(id)
    })
}

fn cancel(scheduled_event_id: i64) -> Command {
    Command::RequestCancelActivityTaskCommandAttributes(Box::new(
        RequestCancelActivityTaskCommandAttributes { scheduled_event_id },
    ))
}

fn signal(rig: &mut Rig) {
    rig.send(Trigger::Signal(Box::new(Signal {
        name: "go".to_owned(),
        ..Default::default()
    })))
    .expect("signal");
}

#[test]
fn timeouts_are_derived_and_capped() {
    // run, schedule to close, schedule to start, start to close, heartbeat => the four
    let cases = [
        ((0, 0, 0, 7, 0), (0, 0, 7, 0)),
        ((100, 0, 0, 7, 0), (100, 100, 7, 0)),
        ((100, 9, 0, 0, 0), (9, 9, 9, 0)),
        ((100, 500, 500, 500, 500), (100, 100, 100, 100)),
        ((100, 0, 0, 3, 30), (100, 100, 3, 3)),
        ((100, 0, 200, 300, 0), (100, 100, 100, 0)),
        ((0, 20, 15, 5, 8), (20, 15, 5, 5)),
        ((0, 0, 15, 5, 2), (0, 15, 5, 2)),
        ((0, 4, 9, 9, 0), (4, 4, 4, 0)),
    ];
    let span = Duration::from_secs;
    for (given, expected) in cases {
        let (run, close, start, attempt, heartbeat) = given;
        let set = |seconds: u64| (seconds > 0).then(|| duration_to_proto(span(seconds)));
        let a = ScheduleActivityTaskCommandAttributes {
            schedule_to_close_timeout: set(close),
            schedule_to_start_timeout: set(start),
            start_to_close_timeout: set(attempt),
            heartbeat_timeout: set(heartbeat),
            ..Default::default()
        };
        let expected = Timeouts {
            schedule_to_close: span(expected.0),
            schedule_to_start: span(expected.1),
            start_to_close: span(expected.2),
            heartbeat: span(expected.3),
        };
        assert_eq!(Timeouts::resolve(&a, span(run)), expected, "{given:?}");
    }
}

#[test]
fn event_holds_resolved_values() {
    let mut rig = Rig::start(StartWorkflow {
        run_timeout: Duration::from_secs(60),
        ..workflow()
    });
    rig.task(vec![schedule("a")]);
    let event = rig.events.last().and_then(|event| event.attributes.clone());
    let Some(Attributes::ActivityTaskScheduledEventAttributes(a)) = event else {
        panic!("{event:?}")
    };
    assert_eq!(a.retry_policy, Some(retry::with_defaults(RetryPolicy::default())));
    assert_eq!(
        a.task_queue.map(|queue| queue.kind()),
        Some(TaskQueueKind::Normal)
    );
    assert_eq!(a.schedule_to_close_timeout, seconds(60.0));
    assert_eq!(a.heartbeat_timeout, seconds(0.0));
    assert_eq!(a.priority, None);
}

#[test]
fn bad_attributes_fail_the_task() {
    let long = "x".repeat(1_001);
    let queue = |name: &str| {
        Some(TaskQueue {
            name: name.to_owned(),
            ..Default::default()
        })
    };
    let kind = |name: &str| {
        Some(ActivityType {
            name: name.to_owned(),
        })
    };
    let with = |change: &dyn Fn(&mut ScheduleActivityTaskCommandAttributes)| {
        let mut a = attributes("a");
        change(&mut a);
        command(a)
    };
    let cases = [
        (schedule(""), "activityId is not set"),
        (
            schedule(&long),
            "activityId exceeds length limit. Length=1001 Limit=1000",
        ),
        (with(&|a| a.activity_type = None), "activityType is not set"),
        (
            with(&|a| a.activity_type = kind(&long)),
            "activityType exceeds length limit. Length=1001 Limit=1000",
        ),
        (
            with(&|a| a.schedule_to_close_timeout = seconds(-1.0)),
            "invalid ScheduleToCloseTimeout: negative duration",
        ),
        (
            with(&|a| a.heartbeat_timeout = seconds(-1.0)),
            "invalid HeartbeatTimeout: negative duration",
        ),
        (
            with(&|a| a.start_to_close_timeout = None),
            "a valid StartToCloseTimeout or ScheduleToCloseTimeout must be set on the activity. ActivityId=a \
             ActivityType=Activity",
        ),
        (with(&|a| a.task_queue = None), "taskQueue is not set"),
        (with(&|a| a.task_queue = queue("")), "missing task queue name"),
        (
            with(&|a| a.task_queue = queue(&long)),
            "taskQueue length exceeds limit",
        ),
        (
            with(&|a| a.task_queue = queue("/_sys/x")),
            "task queue name cannot start with reserved prefix /_sys/",
        ),
        (
            with(&|a| a.task_queue = queue(INTERNAL_QUEUE)),
            "cannot use internal per-namespace task queue:temporal-sys-per-ns-tq (in parent component task queue: \
             queue)",
        ),
        (
            with(&|a| {
                a.retry_policy = Some(RetryPolicy {
                    backoff_coefficient: 0.1,
                    ..Default::default()
                });
            }),
            "BackoffCoefficient cannot be less than 1 on retry policy.",
        ),
        (
            with(&|a| {
                a.priority = Some(Priority {
                    priority_key: -1,
                    ..Default::default()
                })
            }),
            "invalid priorities: priority key can't be negative",
        ),
    ];
    for (command, message) in cases {
        let mut rig = Rig::new();
        assert_eq!(
            rig.refused(vec![command]),
            format!("BadScheduleActivityAttributes: {message}")
        );
        rig.skip();
        assert!(rig.run.is_open() && rig.run.state.activities.is_empty());
    }
}

#[test]
fn input_too_large_ends_the_run() {
    let mut rig = Rig::new();
    rig.limits.blob_bytes = 100;
    let message =
        "BadScheduleActivityAttributes: ScheduleActivityTaskCommandAttributes.Input exceeds size limit.";
    let large = ScheduleActivityTaskCommandAttributes {
        input: payloads(&"x".repeat(200)),
        ..attributes("a")
    };
    assert_eq!(rig.refused(vec![command(large)]), message);
    assert!(!rig.run.is_open());
}

#[test]
fn pending_limit_and_ids() {
    let mut rig = Rig::new();
    rig.limits.pending_activities = 2;
    assert_eq!(
        rig.refused(vec![schedule("a"), schedule("b"), schedule("c")]),
        "PendingActivitiesLimitExceeded: the number of pending activities, 2, has reached the per-workflow limit \
         of 2"
    );
    let duplicate = "ScheduleActivityDuplicateId: invalid history builder state for action: \
                     add-activitytask-scheduled-event, ActivityID: a";
    let mut rig = Rig::new();
    assert_eq!(rig.refused(vec![schedule("a"), schedule("a")]), duplicate);
    let mut rig = Rig::new();
    rig.limits.pending_activities = 1;
    rig.task(vec![schedule("a")]);
    signal(&mut rig);
    rig.skip();
    // An activity that is canceled before it starts gives its id and its place free.
    rig.task(vec![cancel(5), schedule("a")]);
    expect![[r#"
        8 0ns WORKFLOW_TASK_STARTED
        9 0ns WORKFLOW_TASK_COMPLETED
        10 0ns ACTIVITY_TASK_CANCEL_REQUESTED 5
        11 0ns ACTIVITY_TASK_SCHEDULED a elsewhere 0ns 0ns 10s 0ns
        12 0ns ACTIVITY_TASK_CANCELED 5 0 "ACTIVITY_ID_NOT_STARTED" requested 10
        13 0ns WORKFLOW_TASK_SCHEDULED"#]]
    .assert_eq(&rig.news());
    expect![[r#"
        unready Workflow 7 attempt 1
        unready Activity 5 attempt 1
        ready Activity elsewhere 11 attempt 1 since 0ns priority 3
        ready Workflow queue 13 attempt 1 since 0ns priority 3"#]]
    .assert_eq(&rig.owed());
}

#[test]
fn eager_activity_comes_back_started() {
    let mut rig = Rig::new();
    let done = rig.task(vec![eager("a"), schedule("b")]);
    let [activity] = &done.activities[..] else {
        panic!("{done:?}")
    };
    assert_eq!(
        (activity.scheduled_event_id, activity.started_time),
        (5, rig.now.nanos())
    );
    assert_eq!(
        activity.input.as_ref().map(|input| &input.input),
        Some(&payloads("in"))
    );
    let owed = rig.owed();
    assert!(
        owed.contains("ready Activity elsewhere 6") && !owed.contains("Activity elsewhere 5"),
        "{owed}"
    );
    let named = ActivityRef::Token {
        scheduled_event_id: 5,
        attempt: 1,
        started_time: activity.started_time,
    };
    rig.skip();
    rig.send(Trigger::CompleteActivity {
        activity: named,
        result: None,
        identity: "worker".to_owned(),
    })
    .expect("complete");
    let news = rig.news();
    assert!(
        news.starts_with("7 0ns ACTIVITY_TASK_STARTED 5 by worker '") && !news.contains("''"),
        "{news}"
    );
}

#[test]
fn cancel_undoes_what_has_not_started() {
    // In the same task, whose completed event is 4; eager or not.
    for command in [schedule("a"), eager("a")] {
        let mut rig = Rig::new();
        rig.skip();
        let done = rig.task(vec![command, cancel(5)]);
        assert_eq!(done.activities, []);
        expect![[r#"
            3 0ns WORKFLOW_TASK_STARTED
            4 0ns WORKFLOW_TASK_COMPLETED
            5 0ns ACTIVITY_TASK_SCHEDULED a elsewhere 0ns 0ns 10s 0ns
            6 0ns ACTIVITY_TASK_CANCEL_REQUESTED 5
            7 0ns ACTIVITY_TASK_CANCELED 5 0 "ACTIVITY_ID_NOT_STARTED" requested 6
            8 0ns WORKFLOW_TASK_SCHEDULED"#]]
        .assert_eq(&rig.news());
    }
    // While it waits for a retry.
    let mut rig = Rig::new();
    rig.task(vec![schedule("a")]);
    rig.begin_activity(5).expect("begin");
    rig.send(Trigger::FailActivity(Box::new(crate::trigger::FailActivity {
        activity: ActivityRef::ById("a".to_owned()),
        failure: None,
        identity: "worker".to_owned(),
        last_heartbeat_details: None,
    })))
    .expect("fail");
    signal(&mut rig);
    rig.skip();
    rig.task(vec![cancel(5)]);
    assert!(
        rig.news()
            .contains("11 0ns ACTIVITY_TASK_CANCELED 5 0 \"ACTIVITY_ID_NOT_STARTED\" requested 10")
    );
    assert_eq!(rig.run.state.activities.len(), 0);
}

#[test]
fn run_that_closes_does_not_learn_of_the_cancellation() {
    let mut rig = Rig::new();
    rig.task(vec![schedule("a")]);
    signal(&mut rig);
    rig.skip();
    rig.task(vec![cancel(5), complete_workflow()]);
    expect![[r#"
        8 0ns WORKFLOW_TASK_STARTED
        9 0ns WORKFLOW_TASK_COMPLETED
        10 0ns ACTIVITY_TASK_CANCEL_REQUESTED 5
        11 0ns WORKFLOW_EXECUTION_COMPLETED"#]]
    .assert_eq(&rig.news());
}

#[test]
fn run_that_closes_hands_out_no_eager_activity() {
    let mut rig = Rig::new();
    assert_eq!(rig.task(vec![eager("a"), complete_workflow()]).activities, []);
}

#[test]
fn cancel_needs_a_pending_activity() {
    let unknown = |id: i64| {
        format!(
            "BadRequestCancelActivityAttributes: invalid history builder state for action: \
             add-activitytask-cancel-requested-event, ScheduledEventID: {id}"
        )
    };
    for id in [0, -1] {
        let mut rig = Rig::new();
        let message = "ScheduledEventId is not set on RequestCancelActivityTaskCommand.";
        assert_eq!(
            rig.refused(vec![cancel(id)]),
            format!("BadRequestCancelActivityAttributes: {message}")
        );
    }
    for id in [1, 77] {
        assert_eq!(Rig::new().refused(vec![cancel(id)]), unknown(id));
    }
    let started = || {
        let mut rig = Rig::new();
        rig.task(vec![schedule("a")]);
        rig.begin_activity(5).expect("begin");
        signal(&mut rig);
        rig
    };
    assert_eq!(started().refused(vec![cancel(5), cancel(5)]), unknown(5));
    let mut rig = started();
    rig.task(vec![cancel(5)]);
    signal(&mut rig);
    assert_eq!(rig.refused(vec![cancel(5)]), unknown(5));
    let mut rig = started();
    let activity = ActivityRef::ById("a".to_owned());
    rig.send(Trigger::CompleteActivity {
        activity,
        result: None,
        identity: String::new(),
    })
    .expect("complete");
    assert_eq!(rig.refused(vec![cancel(5)]), unknown(5));
}

#[test]
fn cancel_of_an_activity_whose_end_is_buffered_is_void() {
    let mut rig = Rig::new();
    rig.task(vec![schedule("a")]);
    rig.begin_activity(5).expect("begin");
    signal(&mut rig);
    let task = rig.begin_task();
    let activity = ActivityRef::ById("a".to_owned());
    rig.send(Trigger::CompleteActivity {
        activity,
        result: payloads("r"),
        identity: String::new(),
    })
    .expect("complete");
    rig.skip();
    rig.end_task(&task, vec![cancel(5), schedule("a")])
        .expect("complete task");
    expect![[r#"
        9 0ns WORKFLOW_TASK_COMPLETED
        10 0ns ACTIVITY_TASK_CANCEL_REQUESTED 5
        11 0ns ACTIVITY_TASK_SCHEDULED a elsewhere 0ns 0ns 10s 0ns
        12 0ns ACTIVITY_TASK_STARTED 5 by worker 'poll 1' attempt 1
        13 0ns ACTIVITY_TASK_COMPLETED 5 12 r
        14 0ns WORKFLOW_TASK_SCHEDULED"#]]
    .assert_eq(&rig.news());
}
