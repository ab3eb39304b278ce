//! Call: what is known of one call beside its message: who calls, with which features, and until when.

use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::MetadataMap;

use crate::{config::Waits, error::Error, limits, versions};

/// The feature that makes a client follow a chain of runs by itself.
const FOLLOWS_NEXT_RUN_ID: &str = "follows-next-run-id";
/// Clients that show history to people; they do not want events that may never be written.
const VIEWERS: [&str; 2] = ["temporal-cli", "temporal-ui"];

/// What is known of one call beside its message.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) started: Instant,
    /// When the client gives up, if it said so.
    pub(crate) deadline: Option<Instant>,
    waits: Waits,
    client_name: String,
    client_version: String,
    supported_servers: String,
    pub(crate) follows_next_run_id: bool,
}

impl Call {
    pub(crate) fn new(metadata: &MetadataMap, waits: Waits) -> Self {
        let started = Instant::now();
        let text = |name| {
            metadata
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let features = text("supported-features");
        Self {
            started,
            waits,
            deadline: parse_timeout(&text("grpc-timeout")).and_then(|timeout| started.checked_add(timeout)),
            client_name: text("client-name"),
            client_version: text("client-version"),
            supported_servers: text("supported-server-versions"),
            follows_next_run_id: features
                .split(',')
                .any(|feature| feature.trim() == FOLLOWS_NEXT_RUN_ID),
        }
    }

    /// Refuses clients and servers that do not fit.
    pub(crate) fn check_versions(&self) -> Result<(), Error> {
        versions::check(&self.client_name, &self.client_version, &self.supported_servers)
    }

    /// Whether the client shows history to people, rather than replaying it.
    pub(crate) fn is_viewer(&self) -> bool {
        VIEWERS.contains(&self.client_name.as_str())
    }

    /// Returns until when a poll may wait (reference 3.4). A client must say how long it waits.
    pub(crate) fn poll_deadline(&self) -> Result<Instant, Error> {
        let Some(deadline) = self.deadline else {
            return Err(Error::invalid("Context timeout is not set."));
        };
        if deadline.saturating_duration_since(self.started) < limits::POLL_MIN {
            return Err(Error::FailedPrecondition(
                "Context timeout is too short.".to_owned(),
            ));
        }
        Ok((deadline - limits::DEADLINE_BUFFER).min(self.started + self.waits.poll_max))
    }

    /// Returns until when the server lets a call wait for news.
    pub(crate) fn news_limit(&self) -> Instant {
        self.started + self.waits.news_max
    }

    /// Returns until when a call that asked for news may wait before it is answered without.
    pub(crate) fn news_deadline(&self) -> Instant {
        let longest = self.news_limit();
        self.deadline.map_or(longest, |deadline| {
            let early = deadline.checked_sub(limits::DEADLINE_BUFFER).unwrap_or(deadline);
            early.max(self.started).min(longest)
        })
    }
}

/// Reads the header `grpc-timeout`: at most eight digits and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let digits = text.strip_suffix(unit)?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        'H' => Duration::from_secs(count * 60 * 60),
        'M' => Duration::from_secs(count * 60),
        'S' => Duration::from_secs(count),
        'm' => Duration::from_millis(count),
        'u' => Duration::from_micros(count),
        'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(timeout: &str) -> Call {
        let mut metadata = MetadataMap::new();
        if let Ok(value) = timeout.parse() {
            metadata.insert("grpc-timeout", value);
        }
        Call::new(&metadata, Waits::default())
    }

    #[test]
    fn timeouts_are_read_in_every_unit() {
        let table = [
            ("2H", Some(7_200_000)),
            ("3M", Some(180_000)),
            ("70S", Some(70_000)),
            ("250m", Some(250)),
            ("5000u", Some(5)),
            ("7000000n", Some(7)),
            ("", None),
            ("S", None),
            ("5x", None),
            ("-5S", None),
            ("123456789S", None),
        ];
        for (text, millis) in table {
            assert_eq!(parse_timeout(text), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn a_poll_ends_before_its_client_gives_up() {
        let waits = |timeout: &str| {
            let call = call(timeout);
            call.poll_deadline()
                .map(|deadline| deadline.duration_since(call.started).as_millis())
        };
        assert_eq!(waits("70S"), Ok(60_000));
        assert_eq!(waits("10S"), Ok(9_000));
        assert_eq!(waits("2S"), Ok(1_000));
        assert_eq!(
            waits("1999m"),
            Err(Error::FailedPrecondition(
                "Context timeout is too short.".to_owned()
            ))
        );
        assert_eq!(waits(""), Err(Error::invalid("Context timeout is not set.")));
    }

    #[test]
    fn waits_are_as_long_as_is_set() {
        let mut call = call("90S");
        call.waits = Waits {
            poll_max: Duration::from_secs(3),
            news_max: Duration::from_secs(2),
        };
        let after = |deadline: Instant| deadline.duration_since(call.started).as_secs();
        assert_eq!(call.poll_deadline().map(after), Ok(3));
        assert_eq!(after(call.news_deadline()), 2);
    }

    #[test]
    fn news_are_waited_for_at_most_as_long_as_the_client_waits() {
        let waits = |timeout: &str| {
            let call = call(timeout);
            call.news_deadline().duration_since(call.started).as_millis()
        };
        assert_eq!(
            [waits(""), waits("90S"), waits("5S"), waits("500m")],
            [20_000, 20_000, 4_000, 0]
        );
    }
}
