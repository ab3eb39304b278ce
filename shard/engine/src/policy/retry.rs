//! Retry policies: whether what failed is tried again, and after how long (reference 0.5, 2.7, 2.12).

use std::time::Duration;

use proto::{
    temporal::{
        common::v1::RetryPolicy,
        enums::v1::{RetryState, TimeoutType},
        failure::v1::{Failure, failure::FailureInfo},
    },
    time::{Timestamp, duration_from_proto, duration_to_proto},
};

use crate::limits::SPAN_MAX;

const INITIAL: Duration = Duration::from_secs(1);
const COEFFICIENT: f64 = 2.0;
/// The longest interval of a policy that names none, as a multiple of the first one.
const MAXIMUM_FACTOR: u32 = 100;
/// What precedes the name of a timeout among the error types that are not retried.
const TIMEOUT_PREFIX: &str = "TemporalTimeout:";

/// What becomes of something that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is tried again after this time.
    Retry(Duration),
    Stop(RetryState),
}

/// Decides whether the attempt, which failed at `now`, is followed by another one; no failure stands for one
/// that says nothing against it. A retry that would begin after the expiration is not made.
pub(crate) fn decide(
    policy: &RetryPolicy,
    attempt: i32,
    failure: Option<&Failure>,
    now: Timestamp,
    expiration: Option<Timestamp>,
) -> Decision {
    if let Some(state) = failure.and_then(|failure| forbids(policy, failure)) {
        return Decision::Stop(state);
    }
    if policy.maximum_attempts > 0 && attempt >= policy.maximum_attempts {
        return Decision::Stop(RetryState::MaximumAttemptsReached);
    }
    let wait = failure
        .and_then(asked_delay)
        .unwrap_or_else(|| interval(policy, attempt));
    if expiration.is_some_and(|end| now + wait > end) {
        return Decision::Stop(RetryState::Timeout);
    }
    Decision::Retry(wait)
}

/// Returns why a failure of this kind is never retried.
fn forbids(policy: &RetryPolicy, failure: &Failure) -> Option<RetryState> {
    let final_if = |is_final: bool| is_final.then_some(RetryState::NonRetryableFailure);
    match failure.failure_info.as_ref()? {
        FailureInfo::ApplicationFailureInfo(info) => {
            final_if(info.non_retryable || policy.non_retryable_error_types.contains(&info.r#type))
        }
        FailureInfo::ServerFailureInfo(info) => final_if(info.non_retryable),
        FailureInfo::CanceledFailureInfo(_) | FailureInfo::TerminatedFailureInfo(_) => final_if(true),
        FailureInfo::TimeoutFailureInfo(info) => match info.timeout_type() {
            // What waited too long in all would wait too long again.
            TimeoutType::ScheduleToStart | TimeoutType::ScheduleToClose => Some(RetryState::Timeout),
            kind @ (TimeoutType::StartToClose | TimeoutType::Heartbeat | TimeoutType::Unspecified) => {
                let mut named = policy.non_retryable_error_types.iter();
                final_if(named.any(|name| name.strip_prefix(TIMEOUT_PREFIX) == Some(timeout_name(kind))))
            }
        },
        FailureInfo::ResetWorkflowFailureInfo(_)
        | FailureInfo::ActivityFailureInfo(_)
        | FailureInfo::ChildWorkflowExecutionFailureInfo(_)
        | FailureInfo::NexusOperationExecutionFailureInfo(_)
        | FailureInfo::NexusHandlerFailureInfo(_) => None,
    }
}

/// Returns the delay that the failure itself asks for: it overrules the policy, its longest interval too.
fn asked_delay(failure: &Failure) -> Option<Duration> {
    match failure.failure_info.as_ref()? {
        FailureInfo::ApplicationFailureInfo(info) => {
            let delay = info.next_retry_delay.as_ref()?;
            Some(duration_from_proto(Some(delay)))
        }
        _ => None,
    }
}

/// Returns how long the policy waits after the attempt, counted from 1.
fn interval(policy: &RetryPolicy, attempt: i32) -> Duration {
    let (initial, coefficient, longest) = rates(policy);
    let seconds = initial.as_secs_f64() * coefficient.powi(attempt.saturating_sub(1).max(0));
    // Beyond what a span can hold the longest one holds as well.
    Duration::try_from_secs_f64(seconds).map_or(longest, |interval| interval.min(longest))
}

fn rates(policy: &RetryPolicy) -> (Duration, f64, Duration) {
    let or = |span: Option<&prost_types::Duration>, default: Duration| {
        let span = duration_from_proto(span);
        if span.is_zero() { default } else { span }
    };
    let initial = or(policy.initial_interval.as_ref(), INITIAL);
    let longest = or(
        policy.maximum_interval.as_ref(),
        initial.saturating_mul(MAXIMUM_FACTOR),
    );
    let coefficient = if policy.backoff_coefficient == 0.0 {
        COEFFICIENT
    } else {
        policy.backoff_coefficient
    };
    (
        initial,
        coefficient,
        longest.min(duration_from_proto(Some(&SPAN_MAX))),
    )
}

/// Fills in what the policy leaves open.
pub(crate) fn with_defaults(policy: RetryPolicy) -> RetryPolicy {
    let (initial, backoff_coefficient, longest) = rates(&policy);
    RetryPolicy {
        initial_interval: Some(duration_to_proto(initial)),
        backoff_coefficient,
        maximum_interval: Some(duration_to_proto(longest)),
        ..policy
    }
}

/// Refuses a policy that makes no sense, with the official server's words. A single attempt needs no sense.
pub(crate) fn check(policy: &RetryPolicy) -> Result<(), String> {
    if policy.maximum_attempts == 1 {
        return Ok(());
    }
    if let Some(why) = span_error(policy.initial_interval.as_ref()) {
        return Err(format!("invalid InitialInterval set on retry policy: {why}"));
    }
    let (initial, coefficient, longest) = rates(policy);
    if coefficient.is_nan() || coefficient < 1.0 {
        return Err("BackoffCoefficient cannot be less than 1 on retry policy.".to_owned());
    }
    if let Some(why) = span_error(policy.maximum_interval.as_ref()) {
        return Err(format!("invalid MaximumInterval set on retry policy: {why}"));
    }
    if longest < initial {
        return Err("MaximumInterval cannot be less than InitialInterval on retry policy.".to_owned());
    }
    if policy.maximum_attempts < 0 {
        return Err("MaximumAttempts cannot be negative on retry policy.".to_owned());
    }
    let mut timeouts = policy
        .non_retryable_error_types
        .iter()
        .filter_map(|name| name.strip_prefix(TIMEOUT_PREFIX));
    match timeouts.find(|name| !TIMEOUTS.iter().any(|kind| timeout_name(*kind) == *name)) {
        Some(name) => Err(format!("Invalid timeout type value: {name}.")),
        None => Ok(()),
    }
}

const TIMEOUTS: [TimeoutType; 4] = [
    TimeoutType::StartToClose,
    TimeoutType::ScheduleToStart,
    TimeoutType::ScheduleToClose,
    TimeoutType::Heartbeat,
];

/// Returns the timeout's name as messages and policies write it.
pub(crate) fn timeout_name(kind: TimeoutType) -> &'static str {
    match kind {
        TimeoutType::Unspecified => "Unspecified",
        TimeoutType::StartToClose => "StartToClose",
        TimeoutType::ScheduleToStart => "ScheduleToStart",
        TimeoutType::ScheduleToClose => "ScheduleToClose",
        TimeoutType::Heartbeat => "Heartbeat",
    }
}

/// Returns what is wrong with a span that a client sent, with the official server's words.
pub(crate) fn span_error(span: Option<&prost_types::Duration>) -> Option<&'static str> {
    let span = span?;
    if span.seconds.signum() * i64::from(span.nanos.signum()) < 0 {
        Some("duration has seconds and nanos with different signs")
    } else if span.seconds < 0 || span.nanos < 0 {
        Some("negative duration")
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
