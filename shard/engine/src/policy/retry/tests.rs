use proto::temporal::failure::v1::{
    ApplicationFailureInfo, CanceledFailureInfo, ChildWorkflowExecutionFailureInfo, ServerFailureInfo,
    TerminatedFailureInfo, TimeoutFailureInfo,
};

use super::*;

fn seconds(seconds: f64) -> prost_types::Duration {
    let span = Duration::from_secs_f64(seconds.abs());
    let span = duration_to_proto(span);
    if seconds < 0.0 {
        prost_types::Duration {
            seconds: -span.seconds,
            nanos: -span.nanos,
        }
    } else {
        span
    }
}

fn policy(initial: f64, coefficient: f64, longest: f64, attempts: i32) -> RetryPolicy {
    RetryPolicy {
        initial_interval: (initial != 0.0).then(|| seconds(initial)),
        backoff_coefficient: coefficient,
        maximum_interval: (longest != 0.0).then(|| seconds(longest)),
        maximum_attempts: attempts,
        non_retryable_error_types: vec!["Fatal".to_owned(), "TemporalTimeout:StartToClose".to_owned()],
    }
}

fn failure(info: FailureInfo) -> Failure {
    Failure {
        failure_info: Some(info),
        ..Default::default()
    }
}

fn application(kind: &str, non_retryable: bool, delay: Option<f64>) -> Failure {
    failure(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo {
        r#type: kind.to_owned(),
        non_retryable,
        next_retry_delay: delay.map(seconds),
        ..Default::default()
    }))
}

fn timeout(kind: TimeoutType) -> Failure {
    failure(FailureInfo::TimeoutFailureInfo(TimeoutFailureInfo {
        timeout_type: kind.into(),
        ..Default::default()
    }))
}

#[test]
fn interval_grows_up_to_the_longest() {
    // initial, coefficient, longest (0 for none), attempt, seconds
    let cases = [
        (1.0, 2.0, 0.0, 1, 1.0),
        (1.0, 2.0, 0.0, 2, 2.0),
        (1.0, 2.0, 0.0, 7, 64.0),
        (1.0, 2.0, 0.0, 8, 100.0),
        (7.0, 2.0, 20.0, 2, 14.0),
        (7.0, 2.0, 20.0, 3, 20.0),
        (0.1, 1000.0, 0.0, 2, 10.0),
        (0.0, 0.0, 0.0, 3, 4.0),
        (1.0, 1.0, 0.0, 1_000_000, 1.0),
        (1.0, 10.0, 0.0, i32::MAX, 100.0),
        (1e9, 1e300, 2e9, 3, 2e9),
    ];
    for (initial, coefficient, longest, attempt, expected) in cases {
        let policy = policy(initial, coefficient, longest, 0);
        let expected = Duration::from_secs_f64(expected);
        assert_eq!(
            interval(&policy, attempt),
            expected,
            "{initial} {coefficient} {longest} {attempt}"
        );
    }
}

#[test]
fn decides_by_failure_attempts_and_time() {
    use Decision::{Retry, Stop};
    use RetryState::{MaximumAttemptsReached, NonRetryableFailure, Timeout};
    let once = Retry(Duration::from_secs(1));
    // attempts allowed, attempt, failure, seconds until expiration, expected
    let cases = [
        ("no failure", 0, 1, None, None, once),
        ("plain", 0, 1, Some(Failure::default()), None, once),
        (
            "application",
            0,
            1,
            Some(application("Boom", false, None)),
            None,
            once,
        ),
        (
            "flag",
            0,
            1,
            Some(application("Boom", true, None)),
            None,
            Stop(NonRetryableFailure),
        ),
        (
            "listed",
            0,
            1,
            Some(application("Fatal", false, None)),
            None,
            Stop(NonRetryableFailure),
        ),
        (
            "flag beats attempts",
            1,
            1,
            Some(application("B", true, None)),
            None,
            Stop(NonRetryableFailure),
        ),
        (
            "last attempt",
            3,
            3,
            Some(application("B", false, None)),
            None,
            Stop(MaximumAttemptsReached),
        ),
        (
            "attempts beat time",
            1,
            1,
            None,
            Some(0),
            Stop(MaximumAttemptsReached),
        ),
        ("just in time", 0, 1, None, Some(1), once),
        ("too late", 0, 2, None, Some(1), Stop(Timeout)),
        (
            "delay",
            0,
            1,
            Some(application("B", false, Some(600.0))),
            None,
            Retry(Duration::from_secs(600)),
        ),
        (
            "no delay",
            0,
            5,
            Some(application("B", false, Some(0.0))),
            None,
            Retry(Duration::ZERO),
        ),
        (
            "delay too long",
            0,
            1,
            Some(application("B", false, Some(9.0))),
            Some(5),
            Stop(Timeout),
        ),
        (
            "schedule to start",
            0,
            1,
            Some(timeout(TimeoutType::ScheduleToStart)),
            None,
            Stop(Timeout),
        ),
        (
            "schedule to close",
            1,
            1,
            Some(timeout(TimeoutType::ScheduleToClose)),
            None,
            Stop(Timeout),
        ),
        (
            "listed timeout",
            0,
            1,
            Some(timeout(TimeoutType::StartToClose)),
            None,
            Stop(NonRetryableFailure),
        ),
        (
            "heartbeat",
            0,
            1,
            Some(timeout(TimeoutType::Heartbeat)),
            None,
            once,
        ),
    ];
    let now = Timestamp::from_seconds(1_000);
    for (name, attempts, attempt, failure, left, expected) in cases {
        let expiration = left.map(|left| now + Duration::from_secs(left));
        let policy = policy(1.0, 2.0, 0.0, attempts);
        assert_eq!(
            decide(&policy, attempt, failure.as_ref(), now, expiration),
            expected,
            "{name}"
        );
    }
}

#[test]
fn failure_kinds_that_end_everything() {
    use FailureInfo as Info;
    let server = |non_retryable| Info::ServerFailureInfo(ServerFailureInfo { non_retryable });
    let cases = [
        (Info::CanceledFailureInfo(CanceledFailureInfo::default()), true),
        (
            Info::TerminatedFailureInfo(TerminatedFailureInfo::default()),
            true,
        ),
        (server(true), true),
        (server(false), false),
        (
            Info::ChildWorkflowExecutionFailureInfo(ChildWorkflowExecutionFailureInfo::default()),
            false,
        ),
    ];
    for (info, is_final) in cases {
        let forbidden = forbids(&policy(1.0, 2.0, 0.0, 0), &failure(info.clone()));
        assert_eq!(forbidden.is_some(), is_final, "{info:?}");
    }
}

#[test]
fn defaults_fill_what_is_open() {
    // given: initial, coefficient, longest; filled: the same
    let cases = [
        ((0.0, 0.0, 0.0), (1.0, 2.0, 100.0)),
        ((3.0, 0.0, 0.0), (3.0, 2.0, 300.0)),
        ((0.0, 0.0, 3.0), (1.0, 2.0, 3.0)),
        ((0.05, 1.0, 1.0), (0.05, 1.0, 1.0)),
    ];
    for ((initial, coefficient, longest), expected) in cases {
        let filled = with_defaults(policy(initial, coefficient, longest, 7));
        assert_eq!(filled, policy(expected.0, expected.1, expected.2, 7));
    }
}

#[test]
fn refuses_policies_without_sense() {
    let named = |name: &str| RetryPolicy {
        non_retryable_error_types: vec![name.to_owned()],
        ..Default::default()
    };
    let cases = [
        (
            policy(-1.0, 0.0, 0.0, 0),
            "invalid InitialInterval set on retry policy: negative duration",
        ),
        (
            policy(0.0, 0.1, 0.0, 0),
            "BackoffCoefficient cannot be less than 1 on retry policy.",
        ),
        (
            policy(0.0, -2.0, 0.0, 0),
            "BackoffCoefficient cannot be less than 1 on retry policy.",
        ),
        (
            policy(0.0, 0.0, -1.0, 0),
            "invalid MaximumInterval set on retry policy: negative duration",
        ),
        (
            policy(5.0, 1.0, 1.0, 0),
            "MaximumInterval cannot be less than InitialInterval on retry policy.",
        ),
        (
            policy(0.0, 0.0, 0.5, 0),
            "MaximumInterval cannot be less than InitialInterval on retry policy.",
        ),
        (
            policy(0.0, 0.0, 0.0, -1),
            "MaximumAttempts cannot be negative on retry policy.",
        ),
        (named("TemporalTimeout:Foo"), "Invalid timeout type value: Foo."),
        (named("TemporalTimeout:Heartbeat"), ""),
        (policy(0.0, 0.2, 0.0, 1), ""),
        (policy(0.0, 0.0, 0.0, 0), ""),
    ];
    for (policy, expected) in cases {
        assert_eq!(check(&policy).err().unwrap_or_default(), expected, "{policy:?}");
    }
}
