//! Limits by the names of the official server's dynamic settings.

use std::time::Duration;

use super::Limits;

/// The value of a limit is not one that it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a whole number is wanted")]
pub struct InvalidLimit;

impl Limits {
    /// Takes a limit that counts things or bytes; says whether the name is one of a limit. Case does not matter in
    /// names. Of what a run may wait for, and of signals and updates, zero allows any number.
    pub fn set(&mut self, name: &str, value: &str) -> Result<bool, InvalidLimit> {
        let Some(limit) = self.named(&name.to_ascii_lowercase()) else {
            return Ok(false);
        };
        let number: u32 = value.parse().map_err(|_| InvalidLimit)?;
        let bytes = usize::try_from(number).unwrap_or(usize::MAX);
        match limit {
            Limit::Exact(limit) => *limit = bytes,
            Limit::Signed(limit) => *limit = i64::from(number),
            Limit::Count(limit) => *limit = if number == 0 { usize::MAX } else { bytes },
            Limit::SignedCount(limit) => *limit = if number == 0 { i64::MAX } else { i64::from(number) },
        }
        Ok(true)
    }

    /// Takes a span of time; says whether the name is one of a span.
    pub fn set_span(&mut self, name: &str, value: Duration) -> bool {
        let span = match name.to_ascii_lowercase().as_str() {
            "history.defaultworkflowtasktimeout" => &mut self.task_timeout_default,
            "history.workflowtaskheartbeattimeout" => &mut self.heartbeat_chain,
            "history.workflowtaskretrymaxinterval" => &mut self.task_retry_max,
            "history.workflowidreuseminimalinterval" => &mut self.continue_interval,
            _ => return false,
        };
        *span = value;
        true
    }

    fn named(&mut self, name: &str) -> Option<Limit<'_>> {
        Some(match name {
            "limit.blobsize.error" => Limit::Exact(&mut self.blob_bytes),
            "limit.maxidlength" => Limit::Exact(&mut self.id_bytes),
            "limit.memosize.error" => Limit::Exact(&mut self.memo_bytes),
            "limit.historysize.error" => Limit::Signed(&mut self.history_bytes),
            "limit.historysize.suggestcontinueasnew" => Limit::Signed(&mut self.suggest_bytes),
            "limit.historycount.error" => Limit::Signed(&mut self.history_events),
            "limit.historycount.suggestcontinueasnew" => Limit::Signed(&mut self.suggest_events),
            "limit.mutablestatesize.error" => Limit::Exact(&mut self.state_bytes),
            "limit.mutablestateactivityfailuresize.error" => Limit::Exact(&mut self.last_failure_bytes),
            "limit.numpendingactivities.error" => Limit::Count(&mut self.pending_activities),
            "limit.numpendingchildexecutions.error" => Limit::Count(&mut self.pending_children),
            "limit.numpendingsignals.error" => Limit::Count(&mut self.pending_signals),
            "limit.numpendingcancelrequests.error" => Limit::Count(&mut self.pending_cancels),
            "history.maximumsignalsperexecution" => Limit::SignedCount(&mut self.signals),
            "history.maximumbufferedeventsbatch" => Limit::Exact(&mut self.buffered_events),
            "history.maximumbufferedeventssizeinbytes" => Limit::Exact(&mut self.buffered_bytes),
            "history.maxinflightupdates" => Limit::Count(&mut self.updates_in_flight),
            "history.maxinflightupdatepayloads" => Limit::Count(&mut self.updates_in_flight_bytes),
            "history.maxtotalupdates" => Limit::Count(&mut self.updates_total),
            "history.maxbufferedquerycount" => Limit::Exact(&mut self.buffered_queries),
            "history.historymaxautoresetpoints" => Limit::Exact(&mut self.reset_points),
            _ => return None,
        })
    }
}

/// Where a limit is kept, and what zero means to it.
enum Limit<'a> {
    Exact(&'a mut usize),
    Signed(&'a mut i64),
    Count(&'a mut usize),
    SignedCount(&'a mut i64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn official_names_set_limits() {
        let mut limits = Limits::default();
        for (name, value) in [
            ("limit.historyCount.error", "7"),
            ("limit.numPendingActivities.error", "3"),
            ("limit.numPendingSignals.error", "0"),
            ("history.maximumSignalsPerExecution", "0"),
            ("history.MAXINFLIGHTUPDATES", "2"),
        ] {
            assert_eq!(limits.set(name, value), Ok(true), "{name}");
        }
        let expected = Limits {
            history_events: 7,
            pending_activities: 3,
            pending_signals: usize::MAX,
            signals: i64::MAX,
            updates_in_flight: 2,
            ..Limits::default()
        };
        assert_eq!(limits, expected);
    }

    #[test]
    fn other_names_and_values_are_told() {
        let mut limits = Limits::default();
        assert_eq!(limits.set("limit.historyCount.warn", "7"), Ok(false));
        for value in ["many", "-1", "1.5"] {
            assert_eq!(limits.set("limit.blobSize.error", value), Err(InvalidLimit));
        }
        assert_eq!(limits, Limits::default());
    }

    #[test]
    fn spans_are_set_by_official_names() {
        let mut limits = Limits::default();
        let second = Duration::from_secs(1);
        assert!(limits.set_span("history.workflowTaskHeartbeatTimeout", second));
        assert!(!limits.set_span("history.shardIOTimeout", second));
        assert_eq!(limits.heartbeat_chain, second);
    }
}
