//! Retry policies (reference 0.5): checked, and what is not set is filled in.

use proto::{
    temporal::{common::v1::RetryPolicy, enums::v1::TimeoutType},
    time::duration_to_proto,
};

use crate::{error::Error, validate};

use std::time::Duration;

const INITIAL_INTERVAL: Duration = Duration::from_secs(1);
const BACKOFF_COEFFICIENT: f64 = 2.0;
/// The longest interval that is not set is this many times the first.
const MAXIMUM_INTERVAL_FACTOR: u32 = 100;
/// What a non-retryable error type that names a time-out begins with.
const TIMEOUT_PREFIX: &str = "TemporalTimeout:";

/// Checks the policy and fills in what it leaves open. A policy of one attempt is not looked at.
pub(crate) fn policy(policy: Option<RetryPolicy>) -> Result<Option<RetryPolicy>, Error> {
    let Some(mut policy) = policy else { return Ok(None) };
    let initial = validate::span(policy.initial_interval.as_ref());
    let filled = match initial {
        Ok(Duration::ZERO) => INITIAL_INTERVAL,
        Ok(initial) => initial,
        Err(_) => Duration::ZERO,
    };
    if initial == Ok(Duration::ZERO) {
        policy.initial_interval = Some(duration_to_proto(filled));
    }
    if policy.backoff_coefficient == 0.0 {
        policy.backoff_coefficient = BACKOFF_COEFFICIENT;
    }
    if validate::span(policy.maximum_interval.as_ref()) == Ok(Duration::ZERO) {
        policy.maximum_interval = Some(duration_to_proto(filled.saturating_mul(MAXIMUM_INTERVAL_FACTOR)));
    }
    if policy.maximum_attempts != 1 {
        check(&policy)?;
    }
    for interval in [&mut policy.initial_interval, &mut policy.maximum_interval] {
        if let Ok(span) = validate::span(interval.as_ref()) {
            *interval = Some(duration_to_proto(span));
        }
    }
    Ok(Some(policy))
}

fn check(policy: &RetryPolicy) -> Result<(), Error> {
    let initial = validate::span(policy.initial_interval.as_ref())
        .map_err(|why| Error::invalid(format!("invalid InitialInterval set on retry policy: {why}")))?;
    if policy.backoff_coefficient < 1.0 {
        return Err(Error::invalid(
            "BackoffCoefficient cannot be less than 1 on retry policy.",
        ));
    }
    let maximum = validate::span(policy.maximum_interval.as_ref())
        .map_err(|why| Error::invalid(format!("invalid MaximumInterval set on retry policy: {why}")))?;
    if maximum < initial {
        return Err(Error::invalid(
            "MaximumInterval cannot be less than InitialInterval on retry policy.",
        ));
    }
    if policy.maximum_attempts < 0 {
        return Err(Error::invalid(
            "MaximumAttempts cannot be negative on retry policy.",
        ));
    }
    for error_type in &policy.non_retryable_error_types {
        if let Some(name) = error_type.strip_prefix(TIMEOUT_PREFIX)
            && !is_timeout(name)
        {
            return Err(Error::invalid(format!("Invalid timeout type value: {name}.")));
        }
    }
    Ok(())
}

/// Whether the text names a time-out, in the API's form or in the short one.
fn is_timeout(name: &str) -> bool {
    const SHORT: [&str; 5] = [
        "Unspecified",
        "StartToClose",
        "ScheduleToStart",
        "ScheduleToClose",
        "Heartbeat",
    ];
    SHORT.contains(&name) || TimeoutType::from_str_name(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(seconds: i64) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds, nanos: 0 })
    }

    #[test]
    fn policies_are_refused_in_official_words() {
        let invalid =
            |policy_: RetryPolicy| policy(Some(policy_)).map_or_else(|e| e.to_string(), |_| "ok".to_owned());
        let table = [
            (
                RetryPolicy {
                    backoff_coefficient: 0.5,
                    ..Default::default()
                },
                "BackoffCoefficient cannot be less than 1 on retry policy.",
            ),
            (
                RetryPolicy {
                    initial_interval: span(-1),
                    ..Default::default()
                },
                "invalid InitialInterval set on retry policy: negative duration",
            ),
            (
                RetryPolicy {
                    maximum_interval: span(-1),
                    ..Default::default()
                },
                "invalid MaximumInterval set on retry policy: negative duration",
            ),
            (
                RetryPolicy {
                    initial_interval: span(10),
                    maximum_interval: span(1),
                    ..Default::default()
                },
                "MaximumInterval cannot be less than InitialInterval on retry policy.",
            ),
            (
                RetryPolicy {
                    maximum_attempts: -1,
                    ..Default::default()
                },
                "MaximumAttempts cannot be negative on retry policy.",
            ),
            (
                RetryPolicy {
                    non_retryable_error_types: vec!["TemporalTimeout:Foo".to_owned()],
                    ..Default::default()
                },
                "Invalid timeout type value: Foo.",
            ),
            (
                RetryPolicy {
                    non_retryable_error_types: vec!["TemporalTimeout:StartToClose".to_owned()],
                    ..Default::default()
                },
                "ok",
            ),
            (
                RetryPolicy {
                    maximum_attempts: 1,
                    backoff_coefficient: 0.5,
                    ..Default::default()
                },
                "ok",
            ),
        ];
        for (given, expected) in table {
            assert_eq!(invalid(given.clone()), expected, "{given:?}");
        }
    }

    #[test]
    fn what_is_not_set_is_filled_in() {
        let filled = policy(Some(RetryPolicy::default()))
            .expect("policy")
            .expect("some");
        assert_eq!(
            (filled.initial_interval, filled.backoff_coefficient),
            (span(1), 2.0)
        );
        assert_eq!((filled.maximum_interval, filled.maximum_attempts), (span(100), 0));
    }
}
