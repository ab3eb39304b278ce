//! Rate limits: how far apart tasks may be.

use proto::time::Timestamp;

const SECOND_NANOS: i64 = 1_000_000_000;
/// About thirty years: slower is the same as this.
const INTERVAL_MAX_NANOS: i64 = i64::MAX / 8;

/// How far apart, in whole nanoseconds so that a deadline is never a hair too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Unlimited,
    Blocked,
    Every(i64),
}

impl Pace {
    fn new(per_second: Option<f64>) -> Self {
        let Some(rate) = per_second else {
            return Self::Unlimited;
        };
        if rate.is_nan() || rate <= 0.0 {
            return Self::Blocked;
        }
        #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates")]
        let interval = (1e9 / rate) as i64;
        if interval == 0 {
            Self::Unlimited
        } else {
            Self::Every(interval.min(INTERVAL_MAX_NANOS))
        }
    }
}

/// A token bucket that holds one second's worth, at least one.
#[derive(Clone, Debug)]
pub(super) struct Pacer {
    pace: Pace,
    /// When the next task is due if they go evenly; a full bucket lets them go a second earlier.
    due_nanos: i64,
}

impl Pacer {
    /// Starts with a full bucket. No rate is no limit, a rate of zero or less blocks.
    pub(super) fn new(per_second: Option<f64>) -> Self {
        Self {
            pace: Pace::new(per_second),
            due_nanos: i64::MIN,
        }
    }

    /// Changes the rate, keeping what was used of it; the next task is at most one interval away.
    pub(super) fn set(&mut self, per_second: Option<f64>, now: Timestamp) {
        self.pace = Pace::new(per_second);
        if let Pace::Every(interval) = self.pace {
            self.due_nanos = self.due_nanos.min(now.nanos().saturating_add(interval));
        }
    }

    /// Lets one task go if it may.
    pub(super) fn take(&mut self, now: Timestamp) -> bool {
        match self.pace {
            Pace::Unlimited => true,
            Pace::Blocked => false,
            Pace::Every(interval) => {
                let may = self.ready_nanos(interval) <= now.nanos();
                if may {
                    self.due_nanos = self.due_nanos.max(now.nanos()).saturating_add(interval);
                }
                may
            }
        }
    }

    /// Takes back what `take` counted.
    pub(super) fn refund(&mut self) {
        if let Pace::Every(interval) = self.pace {
            self.due_nanos = self.due_nanos.saturating_sub(interval);
        }
    }

    /// Says whether a task would have to wait.
    pub(super) fn holds(&self, now: Timestamp) -> bool {
        match self.pace {
            Pace::Unlimited => false,
            Pace::Blocked => true,
            Pace::Every(interval) => self.ready_nanos(interval) > now.nanos(),
        }
    }

    /// Returns when the next task may go; `None` when time does not tell.
    pub(super) fn ready_at(&self) -> Option<Timestamp> {
        match self.pace {
            Pace::Unlimited | Pace::Blocked => None,
            Pace::Every(interval) => Some(Timestamp::from_nanos(self.ready_nanos(interval))),
        }
    }

    fn ready_nanos(&self, interval: i64) -> i64 {
        self.due_nanos
            .saturating_sub(SECOND_NANOS.saturating_sub(interval).max(0))
    }
}

/// The dispatch rate of an activity queue: the API's goes before the workers' (reference 3.5).
#[derive(Debug)]
pub(super) struct Rate {
    pub(super) api: Option<f64>,
    pub(super) worker: Option<f64>,
    pub(super) pacer: Pacer,
}

impl Rate {
    pub(super) fn unlimited() -> Self {
        Self {
            api: None,
            worker: None,
            pacer: Pacer::new(None),
        }
    }

    pub(super) fn effective(&self) -> Option<f64> {
        self.api.or(self.worker)
    }

    pub(super) fn set_api(&mut self, rate: Option<f64>, now: Timestamp) {
        self.api = rate;
        self.pacer.set(self.effective(), now);
    }

    /// Heeds the last poll that says a rate.
    pub(super) fn set_worker(&mut self, rate: f64, now: Timestamp) {
        if self.worker != Some(rate) {
            self.worker = Some(rate);
            self.pacer.set(self.effective(), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn burst(pacer: &mut Pacer, now: Timestamp) -> usize {
        std::iter::repeat_with(|| pacer.take(now))
            .take(10_000)
            .take_while(|may| *may)
            .count()
    }

    #[test]
    fn bucket_holds_a_second_but_at_least_one() {
        let now = Timestamp::from_seconds(1_000);
        let rates = [0.0, -1.0, f64::NAN, 1e-12, 0.5, 1.0, 2.5, 100.0];
        let bursts = rates.map(|rate| burst(&mut Pacer::new(Some(rate)), now));
        assert_eq!(bursts, [0, 0, 0, 1, 1, 1, 2, 100]);
        assert_eq!(burst(&mut Pacer::new(Some(1e10)), now), 10_000);
        assert_eq!(burst(&mut Pacer::new(None), now), 10_000);
    }

    #[test]
    fn a_task_may_go_exactly_when_said() {
        let mut now = Timestamp::from_seconds(1_000);
        let mut pacer = Pacer::new(Some(3.0));
        burst(&mut pacer, now);
        for _ in 0..100 {
            let ready = pacer.ready_at().expect("paced");
            assert!(!pacer.take(ready - Duration::from_nanos(1)));
            assert!(pacer.take(ready));
            now = ready;
        }
        let elapsed = now.since(Timestamp::from_seconds(1_000)).as_secs_f64();
        assert!((elapsed - 100.0 / 3.0).abs() < 1.0, "{elapsed}");
    }

    #[test]
    fn a_faster_rate_forgives_the_slow_one() {
        let now = Timestamp::from_seconds(1_000);
        let mut pacer = Pacer::new(Some(0.001));
        assert!(pacer.take(now));
        pacer.set(Some(10.0), now);
        assert!(pacer.ready_at() <= Some(now + Duration::from_millis(100)));
    }
}
