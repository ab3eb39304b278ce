//! What an operator may set for queues.

use std::{num::NonZeroUsize, time::Duration};

use serde::{Deserialize, Deserializer};

use crate::limits;

/// Bounds of every queue of the node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Tickets that wait in one queue; the rest stay in their shards.
    pub tickets_max: NonZeroUsize,
    /// Bytes of the tickets that wait in one queue.
    pub ticket_bytes_max: NonZeroUsize,
    /// Polls that wait in one queue; over it a poll is refused with CONCURRENT_LIMIT.
    pub polls_max: NonZeroUsize,
    /// Queries that wait in one queue or are in its workers' hands.
    pub queries_max: NonZeroUsize,
    /// Bytes of the queries that wait in one queue.
    pub query_bytes_max: NonZeroUsize,
    /// Messages in one queue's mailbox; over it a call is refused as busy.
    pub mailbox_messages_max: NonZeroUsize,
    /// How long a queue that just started lets a query wait for its first poller, such as "2s".
    #[serde(deserialize_with = "human_duration")]
    pub rehome_grace: Duration,
    /// How long a queue stays in memory when nothing happens, such as "5m".
    #[serde(deserialize_with = "human_duration")]
    pub idle_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tickets_max: at_least_one(limits::TICKETS_MAX),
            ticket_bytes_max: at_least_one(limits::TICKET_BYTES_MAX),
            polls_max: at_least_one(limits::POLLS_MAX),
            queries_max: at_least_one(limits::QUERIES_MAX),
            query_bytes_max: at_least_one(limits::QUERY_BYTES_MAX),
            mailbox_messages_max: at_least_one(limits::MAILBOX_MESSAGES_MAX),
            rehome_grace: limits::REHOME_GRACE,
            idle_after: limits::IDLE_AFTER,
        }
    }
}

fn at_least_one(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN)
}

/// Reads a span from settings.
pub fn human_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    read_duration(&text).ok_or_else(|| {
        serde::de::Error::custom(format!("read duration {text:?}: want a number and ms, s, m or h"))
    })
}

/// Reads a whole number with its unit: ms, s, m or h.
#[must_use]
pub fn read_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit_ms))
        .filter(|_| unit_ms > 0)
        .map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_spans_with_units() {
        let config: Config =
            serde_json::from_str(r#"{"idle_after": "90s", "rehome_grace": "250ms"}"#).expect("config");
        assert_eq!(config.idle_after, Duration::from_secs(90));
        assert_eq!(config.rehome_grace, Duration::from_millis(250));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for text in [
            r#"{"tickets": 1}"#,
            r#"{"tickets_max": 0}"#,
            r#"{"idle_after": "5"}"#,
            r#"{"idle_after": "-5s"}"#,
            r#"{"idle_after": "s"}"#,
            r#"{"idle_after": "18446744073709551615h"}"#,
        ] {
            assert!(serde_json::from_str::<Config>(text).is_err(), "{text}");
        }
    }
}
