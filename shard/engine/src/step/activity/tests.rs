//! The histories here are those of the official server 1.32 for the same calls.

mod random;
mod sizes;
mod timeouts;

use expect_test::{Expect, expect};
use proto::temporal::{
    command::v1::{
        RequestCancelActivityTaskCommandAttributes, ScheduleActivityTaskCommandAttributes,
        command::Attributes as Command,
    },
    common::v1::{ActivityType, Priority, RetryPolicy},
    failure::v1::{ApplicationFailureInfo, Failure, failure::FailureInfo},
    taskqueue::v1::TaskQueue,
};

use crate::{
    outcome::{Rejection, Reply},
    rig::{Rig, complete_workflow, payloads, seconds, workflow},
    state::Activity,
    trigger::{ActivityRef, BeginTask, FailActivity, Signal, Trigger},
};

/// The scheduled event of the first activity of a run.
const ID: i64 = 5;

const GONE: &str = "invalid activityID or activity already timed out or invoking workflow is completed";

fn schedule(change: impl FnOnce(&mut ScheduleActivityTaskCommandAttributes)) -> Command {
    let mut a = ScheduleActivityTaskCommandAttributes {
        activity_id: "a".to_owned(),
        activity_type: Some(ActivityType {
            name: "Activity".to_owned(),
        }),
        task_queue: Some(TaskQueue {
            name: "queue".to_owned(),
            ..Default::default()
        }),
        input: payloads("in"),
        start_to_close_timeout: seconds(10.0),
        retry_policy: Some(policy(0, 1.0)),
        ..Default::default()
    };
    change(&mut a);
    Command::ScheduleActivityTaskCommandAttributes(Box::new(a))
}

fn policy(attempts: i32, initial: f64) -> RetryPolicy {
    RetryPolicy {
        initial_interval: seconds(initial),
        backoff_coefficient: 2.0,
        maximum_attempts: attempts,
        ..Default::default()
    }
}

fn cancel(scheduled_event_id: i64) -> Command {
    Command::RequestCancelActivityTaskCommandAttributes(Box::new(
        RequestCancelActivityTaskCommandAttributes { scheduled_event_id },
    ))
}

/// A run that waits for the activity.
fn scheduled(change: impl FnOnce(&mut ScheduleActivityTaskCommandAttributes)) -> Rig {
    let mut rig = Rig::new();
    rig.task(vec![schedule(change)]);
    rig.skip();
    rig
}

fn started(change: impl FnOnce(&mut ScheduleActivityTaskCommandAttributes)) -> Rig {
    let mut rig = scheduled(change);
    rig.begin_activity(ID).expect("begin");
    rig.effects.clear();
    rig
}

fn activity(rig: &Rig) -> &Activity {
    rig.run.state.activities.get(&ID).expect("pending activity")
}

fn token(rig: &Rig) -> ActivityRef {
    let Activity {
        attempt,
        started_time,
        ..
    } = *activity(rig);
    ActivityRef::Token {
        scheduled_event_id: ID,
        attempt,
        started_time,
    }
}

fn boom(message: &str, non_retryable: bool) -> Failure {
    Failure {
        message: message.to_owned(),
        failure_info: Some(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo {
            non_retryable,
            ..Default::default()
        })),
        ..Default::default()
    }
}

fn complete(rig: &mut Rig, activity: ActivityRef, result: &str) -> Result<Reply, Rejection> {
    rig.send(Trigger::CompleteActivity {
        activity,
        result: payloads(result),
        identity: "worker".to_owned(),
    })
}

fn fail(rig: &mut Rig, activity: ActivityRef, failure: Failure) -> Result<Reply, Rejection> {
    rig.send(Trigger::FailActivity(Box::new(FailActivity {
        activity,
        failure: Some(failure),
        identity: "worker".to_owned(),
        last_heartbeat_details: None,
    })))
}

fn give_up(rig: &mut Rig, activity: ActivityRef, details: &str) -> Result<Reply, Rejection> {
    rig.send(Trigger::CancelActivity {
        activity,
        details: payloads(details),
        identity: "worker".to_owned(),
    })
}

fn beat(rig: &mut Rig, activity: ActivityRef, details: &str) -> Result<Reply, Rejection> {
    let details = if details.is_empty() {
        None
    } else {
        payloads(details)
    };
    rig.send(Trigger::Heartbeat {
        activity,
        details,
        identity: "worker".to_owned(),
    })
}

fn signal(rig: &mut Rig) {
    rig.send(Trigger::Signal(Box::new(Signal {
        name: "stop".to_owned(),
        ..Default::default()
    })))
    .expect("signal");
}

/// Lets the worker of the workflow ask for the activity's cancellation.
fn request_cancel(rig: &mut Rig) {
    signal(rig);
    rig.task(vec![cancel(ID)]);
    rig.skip();
}

fn news(rig: &mut Rig, expected: Expect) {
    expected.assert_eq(&rig.news());
}

fn refuses<T: std::fmt::Debug>(given: Result<T, Rejection>, expected: &str) {
    assert_eq!(given.expect_err("rejection").to_string(), expected);
}

#[test]
fn success_writes_the_start_with_the_result() {
    let mut rig = Rig::new();
    rig.task(vec![schedule(|a| {
        a.priority = Some(Priority {
            priority_key: 2,
            ..Default::default()
        })
    })]);
    rig.skip();
    rig.pass(1.0);
    let task = rig.begin_activity(ID).expect("begin");
    assert!(rig.early, "a retry may follow");
    assert_eq!((task.attempt, task.scheduled_node, task.input), (1, 4, None));
    expect!["unready Activity 5 attempt 1"].assert_eq(&rig.owed());
    assert_eq!(rig.news(), "");
    rig.pass(2.0);
    let activity = token(&rig);
    complete(&mut rig, activity.clone(), "out").expect("complete");
    news(
        &mut rig,
        expect![[r#"
            6 1s ACTIVITY_TASK_STARTED 5 by worker 'poll 1' attempt 1
            7 3s ACTIVITY_TASK_COMPLETED 5 6 out
            8 3s WORKFLOW_TASK_SCHEDULED"#]],
    );
    refuses(complete(&mut rig, activity, "twice"), GONE);
}

#[test]
fn begin_is_idempotent_for_a_poll_and_stale_for_others() {
    let mut rig = scheduled(|_| {});
    let first = rig.begin_activity(ID).expect("begin");
    rig.pass(1.0);
    rig.effects.clear();
    assert_eq!(rig.begin_activity(ID), Ok(first));
    assert_eq!(rig.owed(), "");
    let other = |attempt, scheduled_event_id, request_id: &str| {
        let request_id = request_id.to_owned();
        Trigger::BeginActivity(Box::new(BeginTask {
            scheduled_event_id,
            attempt,
            request_id,
            ..Default::default()
        }))
    };
    for (attempt, id, request_id) in [(1, ID, "other"), (1, ID, ""), (2, ID, "poll 1"), (1, 9, "poll 1")] {
        assert_eq!(rig.send(other(attempt, id, request_id)), Err(Rejection::Stale));
    }
    fail(&mut rig, ActivityRef::ById("a".to_owned()), boom("again", false)).expect("fail");
    assert_eq!(
        rig.send(other(2, ID, "early")),
        Err(Rejection::Stale),
        "it backs off"
    );
}

#[test]
fn only_a_start_that_may_be_repeated_leaves_early() {
    for (attempts, attempt, early) in [(0, 1, true), (1, 1, false), (2, 1, true), (2, 2, false)] {
        let mut rig = scheduled(|a| a.retry_policy = Some(policy(attempts, 1.0)));
        for _ in 1..attempt {
            rig.begin_activity(ID).expect("begin");
            let activity = token(&rig);
            fail(&mut rig, activity, boom("again", false)).expect("fail");
            rig.pass(5.0);
        }
        rig.begin_activity(ID).expect("begin");
        assert_eq!(rig.early, early, "attempt {attempt} of {attempts}");
    }
}

#[test]
fn failed_attempt_backs_off_and_leaves_no_event() {
    let mut rig = started(|a| a.retry_policy = Some(policy(3, 2.0)));
    rig.pass(1.0);
    let activity_ref = token(&rig);
    beat(&mut rig, activity_ref.clone(), "half").expect("heartbeat");
    fail(&mut rig, activity_ref.clone(), boom("flaky", false)).expect("fail");
    assert_eq!((rig.news().as_str(), rig.owed().as_str()), ("", ""));
    let waiting = activity(&rig);
    assert!(waiting.backing_off);
    assert_eq!(
        (waiting.attempt, waiting.last_worker_identity.as_str()),
        (2, "worker")
    );
    assert_eq!(waiting.last_attempt_complete_time, rig.now.nanos());
    refuses(complete(&mut rig, activity_ref, "late"), GONE);
    rig.pass(1.9);
    assert_eq!(rig.owed(), "");
    rig.pass(0.1);
    expect!["ready Activity queue 5 attempt 2 since 3s priority 3"].assert_eq(&rig.owed());
    let again = rig.begin_activity(ID).expect("begin");
    assert_eq!((again.attempt, again.heartbeat_details), (2, payloads("half")));
    rig.pass(4.0);
    let activity_ref = token(&rig);
    complete(&mut rig, activity_ref, "ok").expect("complete");
    news(
        &mut rig,
        expect![[r#"
            6 3s ACTIVITY_TASK_STARTED 5 by worker 'poll 2' attempt 2 after [flaky]
            7 7s ACTIVITY_TASK_COMPLETED 5 6 ok
            8 7s WORKFLOW_TASK_SCHEDULED"#]],
    );
}

#[test]
fn retry_without_a_delay_is_ready_at_once() {
    let mut rig = started(|_| {});
    let mut failure = boom("soon", false);
    if let Some(FailureInfo::ApplicationFailureInfo(info)) = &mut failure.failure_info {
        info.next_retry_delay = seconds(0.0);
    }
    let activity = token(&rig);
    fail(&mut rig, activity, failure).expect("fail");
    expect!["ready Activity queue 5 attempt 2 since 0ns priority 3"].assert_eq(&rig.owed());
}

#[test]
fn last_failure_ends_the_activity() {
    // attempts, schedule to close, interval, canceled, final failure, retry state
    let cases = [
        (1, 0.0, 1.0, false, false, "MaximumAttemptsReached"),
        (0, 0.0, 1.0, false, true, "NonRetryableFailure"),
        (1, 0.0, 1.0, false, true, "NonRetryableFailure"),
        (0, 5.0, 60.0, false, false, "Timeout"),
        (1, 5.0, 60.0, false, false, "MaximumAttemptsReached"),
        (0, 0.0, 1.0, true, false, "CancelRequested"),
        (1, 0.0, 1.0, true, true, "CancelRequested"),
    ];
    for (attempts, schedule_to_close, interval, canceled, non_retryable, expected) in cases {
        let mut rig = started(|a| {
            a.schedule_to_close_timeout = seconds(schedule_to_close);
            a.retry_policy = Some(policy(attempts, interval));
        });
        if canceled {
            request_cancel(&mut rig);
        }
        let activity = token(&rig);
        fail(&mut rig, activity, boom("broke", non_retryable)).expect("fail");
        let news = rig.news();
        let failed = news
            .lines()
            .find(|line| line.contains("ACTIVITY_TASK_FAILED"))
            .expect("event");
        assert!(failed.ends_with(&format!("[broke] {expected}")), "{failed}");
    }
}

#[test]
fn canceled_only_on_request() {
    let mut rig = started(|_| {});
    let activity = token(&rig);
    refuses(
        give_up(&mut rig, activity.clone(), "bye"),
        "unable to mark activity as canceled without activity being request canceled first",
    );
    assert_eq!(
        beat(&mut rig, activity.clone(), ""),
        Ok(Reply::Heartbeat {
            cancel_requested: false
        })
    );
    request_cancel(&mut rig);
    assert_eq!(
        beat(&mut rig, activity.clone(), ""),
        Ok(Reply::Heartbeat {
            cancel_requested: true
        })
    );
    give_up(&mut rig, activity, "bye").expect("cancel");
    news(
        &mut rig,
        expect![[r#"
            11 0ns ACTIVITY_TASK_STARTED 5 by worker 'poll 1' attempt 1
            12 0ns ACTIVITY_TASK_CANCELED 5 11 bye requested 10
            13 0ns WORKFLOW_TASK_SCHEDULED"#]],
    );
}

#[test]
fn by_id_an_activity_completes_before_it_starts() {
    let by_id = || ActivityRef::ById("a".to_owned());
    let mut rig = scheduled(|_| {});
    refuses(beat(&mut rig, by_id(), ""), GONE);
    refuses(give_up(&mut rig, by_id(), ""), GONE);
    refuses(fail(&mut rig, by_id(), boom("no", false)), GONE);
    complete(&mut rig, by_id(), "early").expect("complete");
    expect![[r#"
        unready Activity 5 attempt 1
        ready Workflow queue 8 attempt 1 since 0ns priority 3"#]]
    .assert_eq(&rig.owed());
    news(
        &mut rig,
        expect![[r#"
            6 0ns ACTIVITY_TASK_STARTED 5 by worker '' attempt 1
            7 0ns ACTIVITY_TASK_COMPLETED 5 6 early
            8 0ns WORKFLOW_TASK_SCHEDULED"#]],
    );
    refuses(
        complete(&mut rig, by_id(), "twice"),
        "cannot find pending activity with ActivityID a, check workflow execution history for more details",
    );

    let mut rig = started(|_| {});
    fail(&mut rig, by_id(), boom("one", false)).expect("fail");
    complete(&mut rig, by_id(), "between").expect("complete");
    news(
        &mut rig,
        expect![[r#"
            6 0ns ACTIVITY_TASK_STARTED 5 by worker '' attempt 2 after [one]
            7 0ns ACTIVITY_TASK_COMPLETED 5 6 between
            8 0ns WORKFLOW_TASK_SCHEDULED"#]],
    );
    rig.pass(5.0);
    assert_eq!(rig.news(), "", "the retry is gone");
}

#[test]
fn heartbeat_details_are_the_last_ones_given() {
    let mut rig = started(|_| {});
    let activity_ref = token(&rig);
    beat(&mut rig, activity_ref.clone(), "one").expect("heartbeat");
    beat(&mut rig, activity_ref.clone(), "").expect("heartbeat");
    assert_eq!(activity(&rig).heartbeat_details, None);
    beat(&mut rig, activity_ref.clone(), "two").expect("heartbeat");
    rig.pass(1.0);
    rig.send(Trigger::FailActivity(Box::new(FailActivity {
        activity: activity_ref,
        failure: None,
        identity: "worker".to_owned(),
        last_heartbeat_details: payloads("three"),
    })))
    .expect("fail");
    let waiting = activity(&rig);
    assert_eq!(
        (&waiting.heartbeat_details, &waiting.last_failure),
        (&payloads("three"), &None)
    );
    assert_eq!(waiting.heartbeat_time, rig.now.nanos());
}

#[test]
fn closed_run_refuses_its_activities() {
    let mut rig = started(|_| {});
    let activity = token(&rig);
    signal(&mut rig);
    rig.task(vec![complete_workflow()]);
    let closed = "workflow execution already completed";
    let by_id = ActivityRef::ById("a".to_owned());
    for activity in [activity, by_id] {
        refuses(complete(&mut rig, activity.clone(), "late"), closed);
        refuses(fail(&mut rig, activity.clone(), boom("late", false)), closed);
        refuses(give_up(&mut rig, activity.clone(), "late"), closed);
        refuses(beat(&mut rig, activity, "late"), closed);
    }
    assert_eq!(rig.begin_activity(ID), Err(Rejection::Stale));
}

#[test]
fn results_wait_while_a_task_runs() {
    let mut rig = Rig::new();
    rig.task(vec![
        schedule(|_| {}),
        schedule(|a| a.activity_id = "b".to_owned()),
    ]);
    signal(&mut rig);
    let task = rig.begin_task();
    rig.skip();
    for id in [5, 6] {
        rig.begin_activity(id).expect("begin");
    }
    complete(&mut rig, ActivityRef::ById("a".to_owned()), "from a").expect("complete");
    signal(&mut rig);
    complete(&mut rig, ActivityRef::ById("b".to_owned()), "from b").expect("complete");
    assert_eq!(rig.news(), "");
    rig.end_task(&task, Vec::new()).expect("complete task");
    news(
        &mut rig,
        expect![[r#"
            10 0ns WORKFLOW_TASK_COMPLETED
            11 0ns ACTIVITY_TASK_STARTED 5 by worker 'poll 1' attempt 1
            12 0ns WORKFLOW_EXECUTION_SIGNALED
            13 0ns ACTIVITY_TASK_STARTED 6 by worker 'poll 1' attempt 1
            14 0ns ACTIVITY_TASK_COMPLETED 5 11 from a
            15 0ns ACTIVITY_TASK_COMPLETED 6 13 from b
            16 0ns WORKFLOW_TASK_SCHEDULED"#]],
    );
}

#[test]
fn priority_comes_from_the_workflow_where_the_activity_has_none() {
    let of = |key| {
        Some(Priority {
            priority_key: key,
            ..Default::default()
        })
    };
    for (own, expected) in [(None, 4), (of(1), 1)] {
        let mut rig = Rig::start(crate::trigger::StartWorkflow {
            priority: of(4),
            ..workflow()
        });
        rig.task(vec![schedule(|a| a.priority = own.clone())]);
        let ready = rig.owed();
        assert!(
            ready.contains(&format!("5 attempt 1 since 0ns priority {expected}")),
            "{ready}"
        );
        assert_eq!(activity(&rig).priority, own);
        assert_eq!(rig.begin_activity(ID).expect("begin").priority, of(expected));
    }
}
