use expect_test::expect;
use proto::temporal::common::v1::RetryPolicy;

use super::{
    GONE, ID, activity, beat, boom, fail, news, policy, refuses, request_cancel, schedule, scheduled,
    started, token,
};
use crate::{
    rig::{Rig, seconds},
    trigger::Trigger,
};

#[test]
fn schedule_to_start_timeout_is_not_retried() {
    // It also comes first where the time in all ends at the same moment.
    for schedule_to_close in [0.0, 2.0] {
        let mut rig = scheduled(|a| {
            a.schedule_to_start_timeout = seconds(2.0);
            a.schedule_to_close_timeout = seconds(schedule_to_close);
            a.retry_policy = Some(policy(1, 0.1));
        });
        rig.pass(3.0);
        expect![[r#"
            unready Activity 5 attempt 1
            ready Workflow queue 7 attempt 1 since 2s priority 3"#]]
        .assert_eq(&rig.owed());
        news(
            &mut rig,
            expect![[r#"
                6 2s ACTIVITY_TASK_TIMED_OUT 5 0 [activity ScheduleToStart timeout ScheduleToStart] Timeout
                7 2s WORKFLOW_TASK_SCHEDULED"#]],
        );
    }
}

#[test]
fn schedule_to_start_counts_from_each_attempt() {
    let mut rig = started(|a| {
        a.schedule_to_start_timeout = seconds(2.0);
        a.retry_policy = Some(policy(5, 1.0));
    });
    rig.pass(5.0);
    let activity = token(&rig);
    fail(&mut rig, activity, boom("one", false)).expect("fail");
    rig.pass(10.0);
    news(
        &mut rig,
        expect![[r#"
            6 8s ACTIVITY_TASK_TIMED_OUT 5 0 [activity ScheduleToStart timeout ScheduleToStart < [one]] Timeout
            7 8s WORKFLOW_TASK_SCHEDULED"#]],
    );
}

#[test]
fn start_to_close_timeout_is_retried() {
    let mut rig = started(|a| {
        a.start_to_close_timeout = seconds(2.0);
        a.heartbeat_timeout = seconds(2.0);
        a.retry_policy = Some(policy(2, 1.0));
    });
    let late = token(&rig);
    beat(&mut rig, late.clone(), "half").expect("heartbeat");
    rig.pass(2.5);
    assert_eq!(rig.news(), "");
    assert_eq!(
        activity(&rig).last_attempt_complete_time,
        0,
        "only a worker completes an attempt"
    );
    refuses(beat(&mut rig, late, ""), GONE);
    rig.pass(0.5);
    rig.begin_activity(ID).expect("begin");
    rig.pass(2.0);
    news(
        &mut rig,
        expect![[r#"
            6 3s ACTIVITY_TASK_STARTED 5 by worker 'poll 2' attempt 2 after [activity StartToClose timeout StartToClose]
            7 5s ACTIVITY_TASK_TIMED_OUT 5 6 [activity StartToClose timeout StartToClose at half < [activity StartToClose timeout StartToClose]] MaximumAttemptsReached
            8 5s WORKFLOW_TASK_SCHEDULED"#]],
    );
}

#[test]
fn heartbeats_put_their_timeout_off() {
    let mut rig = started(|a| {
        a.heartbeat_timeout = seconds(1.0);
        a.retry_policy = Some(policy(1, 1.0));
    });
    for details in ["one", "two", "three"] {
        rig.pass(0.9);
        let activity = token(&rig);
        beat(&mut rig, activity, details).expect("heartbeat");
    }
    rig.pass(1.0);
    news(
        &mut rig,
        expect![[r#"
            6 0ns ACTIVITY_TASK_STARTED 5 by worker 'poll 1' attempt 1
            7 3.7s ACTIVITY_TASK_TIMED_OUT 5 6 [activity Heartbeat timeout Heartbeat at three] MaximumAttemptsReached
            8 3.7s WORKFLOW_TASK_SCHEDULED"#]],
    );
}

#[test]
fn time_in_all_runs_out() {
    let not_enough = "Not enough time to schedule next retry before activity ScheduleToClose timeout, giving up \
                      retrying ScheduleToClose";
    let last = |rig: &mut Rig| {
        let news = rig.news();
        let line = news
            .lines()
            .find(|line| line.contains("TIMED_OUT"))
            .expect("timeout");
        line.split_once(' ').expect("event id").1.to_owned()
    };
    // While the first attempt runs.
    let mut rig = scheduled(|a| {
        a.schedule_to_close_timeout = seconds(1.0);
        a.retry_policy = Some(policy(1, 0.1));
    });
    rig.pass(0.1);
    rig.begin_activity(ID).expect("begin");
    rig.pass(0.9);
    assert_eq!(
        last(&mut rig),
        format!("1s ACTIVITY_TASK_TIMED_OUT 5 6 [{not_enough}] Timeout")
    );

    // While the second attempt waits in its queue.
    let mut rig = started(|a| a.schedule_to_close_timeout = seconds(3.0));
    let activity = token(&rig);
    fail(&mut rig, activity, boom("one", false)).expect("fail");
    rig.pass(3.0);
    assert_eq!(
        last(&mut rig),
        format!("3s ACTIVITY_TASK_TIMED_OUT 5 0 [{not_enough} < [one]] Timeout")
    );

    // When a retry would begin too late.
    let mut rig = started(|a| {
        a.start_to_close_timeout = seconds(1.0);
        a.schedule_to_close_timeout = seconds(5.0);
        a.retry_policy = Some(policy(0, 30.0));
    });
    let activity = token(&rig);
    beat(&mut rig, activity, "half").expect("heartbeat");
    rig.pass(1.0);
    assert_eq!(
        last(&mut rig),
        format!("1s ACTIVITY_TASK_TIMED_OUT 5 6 [{not_enough} at half] Timeout")
    );

    // After a cancel request the timeout keeps its name.
    let mut rig = scheduled(|a| a.schedule_to_close_timeout = seconds(3.0));
    rig.pass(0.1);
    rig.begin_activity(ID).expect("begin");
    request_cancel(&mut rig);
    rig.pass(2.9);
    let plain = "activity ScheduleToClose timeout ScheduleToClose";
    assert_eq!(
        last(&mut rig),
        format!("3s ACTIVITY_TASK_TIMED_OUT 5 11 [{plain}] CancelRequested")
    );
}

#[test]
fn listed_timeout_is_not_retried() {
    let mut rig = started(|a| {
        a.start_to_close_timeout = seconds(1.0);
        let listed = vec!["TemporalTimeout:StartToClose".to_owned()];
        a.retry_policy = Some(RetryPolicy {
            non_retryable_error_types: listed,
            ..policy(0, 1.0)
        });
    });
    rig.pass(1.0);
    news(
        &mut rig,
        expect![[r#"
            6 0ns ACTIVITY_TASK_STARTED 5 by worker 'poll 1' attempt 1
            7 1s ACTIVITY_TASK_TIMED_OUT 5 6 [activity StartToClose timeout StartToClose] NonRetryableFailure
            8 1s WORKFLOW_TASK_SCHEDULED"#]],
    );
}

#[test]
fn everything_due_happens_in_its_order() {
    let mut rig = Rig::new();
    let with_id = |id: &str, timeout: f64| {
        schedule(|a| {
            a.activity_id = id.to_owned();
            a.schedule_to_start_timeout = seconds(timeout);
        })
    };
    rig.task(vec![
        with_id("late", 3.0),
        with_id("early", 1.0),
        with_id("not yet", 9.0),
        with_id("same", 1.0),
    ]);
    rig.skip();
    rig.now = rig.now + std::time::Duration::from_secs(4);
    rig.send(Trigger::Wake).expect("wake");
    let news = rig.news();
    let timeouts = news
        .lines()
        .filter_map(|line| line.split_once("TIMED_OUT ")?.1.split(' ').next());
    assert_eq!(timeouts.collect::<Vec<_>>(), ["6", "8", "5"]);
}
