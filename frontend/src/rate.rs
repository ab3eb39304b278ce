//! Rate: how many calls a second go on. One atomic number, so that callers never wait for each other.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use tokio::time::Instant;

use crate::{config::Config, error::Error};

const SECOND_NANOS: u64 = 1_000_000_000;
/// Seconds' worth of calls that may come at once, as the official server allows.
const BURST: u64 = 2;
const VISIBILITY_BURST: u64 = 1;

/// A token bucket. Holds when the next call is due if they went evenly; a full bucket lets them go earlier by what
/// it holds.
#[derive(Debug)]
pub(crate) struct Rate {
    began: Instant,
    due_nanos: AtomicU64,
    interval_nanos: u64,
    ahead_nanos: u64,
}

impl Rate {
    /// Starts full, with so many seconds' worth.
    fn new(per_second: NonZeroU32, burst: u64, now: Instant) -> Self {
        Self {
            began: now,
            due_nanos: AtomicU64::new(0),
            interval_nanos: SECOND_NANOS / u64::from(per_second.get()),
            ahead_nanos: burst * SECOND_NANOS,
        }
    }

    /// Lets one call go if it may.
    fn take(&self, now: Instant) -> bool {
        let now = u64::try_from(now.saturating_duration_since(self.began).as_nanos()).unwrap_or(u64::MAX);
        let next = |due: u64| {
            let due = due.max(now).saturating_add(self.interval_nanos);
            (due - now <= self.ahead_nanos).then_some(due)
        };
        self.due_nanos.fetch_update(Relaxed, Relaxed, next).is_ok()
    }
}

/// The calls of the whole node.
#[derive(Debug)]
pub(crate) struct NodeRate(Option<Rate>);

impl NodeRate {
    pub(crate) fn new(config: &Config, now: Instant) -> Self {
        Self(config.rps.map(|rps| Rate::new(rps, BURST, now)))
    }

    pub(crate) fn take(&self, now: Instant) -> Result<(), Error> {
        match &self.0 {
            Some(rate) if !rate.take(now) => Err(Error::node_rate_exceeded()),
            _ => Ok(()),
        }
    }
}

/// The calls of one namespace.
#[derive(Debug)]
pub(crate) struct NamespaceRates {
    calls: Option<Rate>,
    visibility: Option<Rate>,
}

impl NamespaceRates {
    pub(crate) fn new(config: &Config, now: Instant) -> Self {
        let rate = |rps: Option<NonZeroU32>, burst| rps.map(|rps| Rate::new(rps, burst, now));
        Self {
            calls: rate(config.namespace_rps, BURST),
            visibility: rate(config.namespace_visibility_rps, VISIBILITY_BURST),
        }
    }

    pub(crate) fn take(&self, kind: CallKind, now: Instant) -> Result<(), Error> {
        let rate = match kind {
            CallKind::Usual => &self.calls,
            CallKind::Visibility => &self.visibility,
        };
        match rate {
            Some(rate) if !rate.take(now) => Err(Error::namespace_rate_exceeded()),
            _ => Ok(()),
        }
    }
}

/// Which bucket of its namespace a call takes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CallKind {
    Usual,
    Visibility,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn burst(rate: &Rate, now: Instant) -> usize {
        std::iter::repeat_with(|| rate.take(now))
            .take(1_000)
            .filter(|may| *may)
            .count()
    }

    #[test]
    fn a_bucket_holds_its_burst_and_fills_again() {
        let now = Instant::now();
        let rate = Rate::new(NonZeroU32::new(10).expect("rate"), 2, now);
        assert_eq!(burst(&rate, now), 20);
        assert_eq!(burst(&rate, now + Duration::from_millis(99)), 0);
        assert_eq!(burst(&rate, now + Duration::from_millis(100)), 1);
        assert_eq!(burst(&rate, now + Duration::from_secs(60)), 20);
    }

    #[test]
    fn callers_at_the_same_time_share_it() {
        let now = Instant::now();
        let rate = Rate::new(NonZeroU32::new(100).expect("rate"), 1, now);
        let taken: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| burst(&rate, now))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("thread"))
                .sum()
        });
        assert_eq!(taken, 100);
    }
}
