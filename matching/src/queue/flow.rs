//! How many tasks came and went in the last 30 s.

use std::time::Duration;

use proto::time::Timestamp;

use crate::ticket::Priority;

const BUCKETS: usize = 6;
const BUCKET_NANOS: i64 = 5_000_000_000;

/// Counts by five seconds, the last of them not over yet.
#[derive(Debug, Default)]
struct Window {
    counts: [u32; BUCKETS],
    /// The five seconds that are counted in, since the epoch.
    current: i64,
}

impl Window {
    fn advance(&mut self, now: Timestamp) {
        let current = now.nanos().div_euclid(BUCKET_NANOS);
        let passed = usize::try_from(current.saturating_sub(self.current)).unwrap_or(0);
        for step in 1..=passed.min(BUCKETS) {
            self.counts[slot(self.current.saturating_add(i64::try_from(step).unwrap_or(0)))] = 0;
        }
        if passed > BUCKETS {
            self.counts = [0; BUCKETS];
        }
        self.current = self.current.max(current);
    }

    fn add(&mut self, now: Timestamp) {
        self.advance(now);
        let count = &mut self.counts[slot(self.current)];
        *count = count.saturating_add(1);
    }

    fn take_back(&mut self, now: Timestamp) {
        self.advance(now);
        let count = &mut self.counts[slot(self.current)];
        *count = count.saturating_sub(1);
    }

    /// Returns the count of the last 25 to 30 s.
    fn sum(&self, now: Timestamp) -> u64 {
        let current = now.nanos().div_euclid(BUCKET_NANOS);
        let over = usize::try_from(current.saturating_sub(self.current))
            .unwrap_or(0)
            .min(BUCKETS);
        let kept = (0..BUCKETS - over).map(|back| slot(self.current - i64::try_from(back).unwrap_or(0)));
        kept.map(|slot| u64::from(self.counts[slot])).sum()
    }
}

fn slot(bucket: i64) -> usize {
    usize::try_from(bucket.rem_euclid(BUCKETS as i64)).unwrap_or(0)
}

/// Tasks added and dispatched, a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) add: f64,
    pub(super) dispatch: f64,
}

#[derive(Debug, Default)]
struct Pair {
    added: Window,
    dispatched: Window,
}

#[derive(Debug)]
pub(super) struct Flow {
    total: Pair,
    levels: [Pair; Priority::LEVELS],
    started: Timestamp,
}

impl Flow {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            total: Pair::default(),
            levels: Default::default(),
            started: now,
        }
    }

    pub(super) fn added(&mut self, priority: Priority, now: Timestamp) {
        self.total.added.add(now);
        self.levels[priority.level()].added.add(now);
    }

    pub(super) fn dispatched(&mut self, priority: Priority, now: Timestamp) {
        self.total.dispatched.add(now);
        self.levels[priority.level()].dispatched.add(now);
    }

    /// Takes one dispatch back that did not arrive.
    pub(super) fn returned(&mut self, priority: Priority, now: Timestamp) {
        self.total.dispatched.take_back(now);
        self.levels[priority.level()].dispatched.take_back(now);
    }

    pub(super) fn rates(&self, now: Timestamp) -> Rates {
        self.of(&self.total, now)
    }

    pub(super) fn level_rates(&self, priority: Priority, now: Timestamp) -> Rates {
        self.of(&self.levels[priority.level()], now)
    }

    fn of(&self, pair: &Pair, now: Timestamp) -> Rates {
        #[expect(clippy::cast_precision_loss, reason = "counts of 30 s")]
        let rate = |window: &Window| window.sum(now) as f64 / self.span_seconds(now);
        Rates {
            add: rate(&pair.added),
            dispatch: rate(&pair.dispatched),
        }
    }

    /// Returns how much time the windows cover; a young queue's is what it has lived, at least a second.
    fn span_seconds(&self, now: Timestamp) -> f64 {
        let into_bucket = u64::try_from(now.nanos().rem_euclid(BUCKET_NANOS)).unwrap_or(0);
        let whole = BUCKET_NANOS.unsigned_abs() * (BUCKETS as u64 - 1);
        let covered = Duration::from_nanos(whole + into_bucket);
        covered
            .min(now.since(self.started))
            .max(Duration::from_secs(1))
            .as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_nanos((1_700_000_000_000 + ms) * 1_000_000)
    }

    #[test]
    fn steady_flow_shows_its_rate() {
        let mut flow = Flow::new(at(0));
        for ms in (0..120_000).step_by(100) {
            flow.added(Priority::default(), at(ms));
            if ms >= 30_000 {
                let rate = flow.rates(at(ms)).add;
                assert!((9.9..=10.1).contains(&rate), "{rate} at {ms}");
            }
        }
        assert_eq!(flow.level_rates(Priority::FIRST, at(120_000)), Rates::default());
    }

    #[test]
    fn what_is_long_ago_counts_no_more() {
        let mut flow = Flow::new(at(0));
        flow.added(Priority::default(), at(0));
        flow.dispatched(Priority::default(), at(4_000));
        assert!(flow.rates(at(24_999)).add > 0.0);
        assert_eq!(flow.rates(at(30_000)), Rates::default());
        flow.added(Priority::default(), at(1_000_000));
        assert!(flow.rates(at(1_000_000)).add < 0.05);
        // A clock that steps back counts where it was.
        flow.added(Priority::default(), at(999_000));
        assert!(flow.rates(at(1_000_000)).add > 0.05);
    }
}
