//! What stands in for a payload or a failure that is too large to keep (reference 1.4, 7).

use prost::Message;
use proto::temporal::failure::v1::{
    ApplicationFailureInfo, Failure, ServerFailureInfo, TimeoutFailureInfo, failure::FailureInfo,
};

/// The replacement of a failure over the limit takes this part of the limit.
pub(super) const REPLACEMENT_SHARE: usize = 4;
/// How many bytes tags and lengths of a level of a failure may take.
const FRAME_BYTES: usize = 10;
/// How many causes below a failure are kept.
const DEPTH: usize = 20;

/// Returns the failure that ends an activity because something was too large.
pub(super) fn failure(message: &str) -> Failure {
    server_failure(message, true)
}

fn server_failure(message: &str, non_retryable: bool) -> Failure {
    Failure {
        message: message.to_owned(),
        failure_info: Some(FailureInfo::ServerFailureInfo(ServerFailureInfo {
            non_retryable,
        })),
        ..Default::default()
    }
}

/// Replaces a failure over the limit; the activity ends with it.
pub(super) fn replace(given: Failure, most: usize) -> Failure {
    wrap(given, most, true)
}

/// Shortens the failure if it takes more than `most` bytes.
pub(super) fn shorten(given: Failure, most: usize) -> Failure {
    if given.encoded_len() <= most {
        return given;
    }
    let non_retryable = match &given.failure_info {
        Some(FailureInfo::ApplicationFailureInfo(info)) => info.non_retryable,
        Some(FailureInfo::ServerFailureInfo(info)) => info.non_retryable,
        _ => false,
    };
    wrap(given, most, non_retryable)
}

fn wrap(given: Failure, most: usize, non_retryable: bool) -> Failure {
    let cause = cut(given, most, DEPTH).map(Box::new);
    Failure {
        cause,
        ..server_failure("Failure exceeds size limit.", non_retryable)
    }
}

/// Keeps what fits: the kind first, then the message, the stack trace and the causes.
fn cut(given: Failure, most: usize, depth: usize) -> Option<Failure> {
    let failure_info = given.failure_info.and_then(|info| bare(info, most));
    let mut kept = Failure {
        source: cut_text(given.source, most),
        failure_info,
        ..Default::default()
    };
    let mut room = most.checked_sub(kept.encoded_len() + FRAME_BYTES)?;
    kept.message = cut_text(given.message, room);
    room -= kept.message.len();
    kept.stack_trace = cut_text(given.stack_trace, room);
    room -= kept.stack_trace.len();
    if let Some(cause) = given.cause.filter(|_| depth > 0) {
        kept.cause = cut(*cause, room.saturating_sub(FRAME_BYTES), depth - 1).map(Box::new);
    }
    Some(kept)
}

/// Keeps what decides about retries, without payloads.
fn bare(info: FailureInfo, most: usize) -> Option<FailureInfo> {
    match info {
        FailureInfo::ApplicationFailureInfo(info) => {
            Some(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo {
                r#type: cut_text(info.r#type, most),
                non_retryable: info.non_retryable,
                ..Default::default()
            }))
        }
        FailureInfo::TimeoutFailureInfo(info) => Some(FailureInfo::TimeoutFailureInfo(TimeoutFailureInfo {
            timeout_type: info.timeout_type,
            ..Default::default()
        })),
        FailureInfo::ServerFailureInfo(info) => Some(FailureInfo::ServerFailureInfo(info)),
        _ => None,
    }
}

/// Cuts the text after the last whole character within so many bytes.
fn cut_text(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn application(message: &str, stack_trace: &str, cause: Option<Failure>) -> Failure {
        Failure {
            message: message.to_owned(),
            source: "CompatRaw".to_owned(),
            stack_trace: stack_trace.to_owned(),
            cause: cause.map(Box::new),
            failure_info: Some(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo {
                r#type: "T".to_owned(),
                ..Default::default()
            })),
            ..Default::default()
        }
    }

    #[test]
    fn small_failure_stays() {
        let given = application("boom", "at 1", Some(application("why", "", None)));
        assert_eq!(shorten(given.clone(), 4096), given);
    }

    #[test]
    fn long_message_is_cut_to_the_official_length() {
        let given = application(
            &"m".repeat(5_000),
            &"s".repeat(3_000),
            Some(application("c", "", None)),
        );
        let kept = shorten(given, 4_096);
        assert_eq!(kept.message, "Failure exceeds size limit.");
        assert_eq!(
            kept.failure_info,
            Some(FailureInfo::ServerFailureInfo(ServerFailureInfo {
                non_retryable: false
            }))
        );
        assert_eq!(
            kept.cause.as_deref(),
            Some(&application(&"m".repeat(4_070), "", None))
        );
    }

    #[test]
    fn replacement_stays_within_its_bytes() {
        let mut given = application(&"é".repeat(300), &"s".repeat(200), None);
        for _ in 0..40 {
            given = application(&"é".repeat(30), "stack", Some(given));
        }
        for most in [0, 1, 20, 33, 34, 35, 100, 500, 1_000, 4_096] {
            let cause = replace(given.clone(), most).cause;
            let bytes = cause.map_or(0, |cause| cause.encoded_len());
            assert!(bytes <= most, "{bytes} bytes of {most}");
        }
    }
}
