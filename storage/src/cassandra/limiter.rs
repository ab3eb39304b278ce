//! Limiter: how many commits of this node may be in flight, found from how long they take.
//!
//! Cassandra does not say that it has enough; it becomes slow, then lets requests time out, and each one that is
//! sent again makes it worse. So the limit grows by one while commits are as quick as they were when few were in
//! flight, and shrinks by a tenth when they take several times that, or fail.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const LIMIT_FIRST: usize = 16;
const LIMIT_MIN: usize = 4;
/// Commits that take longer than this many times the shortest recent ones mean that too many are in flight.
const SLOW: u32 = 4;
/// Quicker than this is never slow: it may be a pause of the collector.
const SLOW_LEAST: Duration = Duration::from_millis(40);
/// After so many commits the shortest latency is forgotten a little, so that it follows the store's state.
const WINDOW: u32 = 64;

/// Hands out the right to commit.
pub(super) struct Limiter {
    permits: Arc<Semaphore>,
    state: Mutex<State>,
    limit_max: usize,
}

#[derive(Debug)]
struct State {
    limit: usize,
    /// Permits that exist; follows the limit as they come back.
    issued: usize,
    shortest: Option<Duration>,
    seen: u32,
    /// Commits since the limit was last looked at.
    since: usize,
    /// All rights were in use at some time since then.
    busy: bool,
    /// One of those commits was slow.
    slow: bool,
}

/// The right to have one commit in flight.
pub(super) struct Permit(OwnedSemaphorePermit);

impl Limiter {
    pub(super) fn new(limit_max: usize) -> Self {
        let limit_max = limit_max.max(LIMIT_MIN);
        let limit = LIMIT_FIRST.min(limit_max);
        Self {
            permits: Arc::new(Semaphore::new(limit)),
            state: Mutex::new(State {
                limit,
                issued: limit,
                shortest: None,
                seen: 0,
                since: 0,
                busy: false,
                slow: false,
            }),
            limit_max,
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.state().limit
    }

    /// Waits for a right; those who wait are served in order. Each shard has one commit at most, so there are
    /// never more waiting than shards.
    pub(super) async fn enter(&self) -> Option<Permit> {
        Arc::clone(&self.permits).acquire_owned().await.ok().map(Permit)
    }

    /// Gives a right back; `took` is `None` for a commit that was not answered.
    pub(super) fn leave(&self, permit: Permit, took: Option<Duration>) {
        let mut state = self.state();
        // All rights were in use: only then does the latency tell about the limit.
        let busy = self.permits.available_permits() == 0;
        state.learn(took, busy, self.limit_max);
        if state.issued > state.limit {
            state.issued -= 1;
            permit.0.forget();
        } else {
            drop(permit);
            if state.issued < state.limit {
                let more = state.limit - state.issued;
                state.issued += more;
                self.permits.add_permits(more);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn learn(&mut self, took: Option<Duration>, busy: bool, limit_max: usize) {
        self.since += 1;
        self.busy |= busy;
        self.slow |= match took {
            None => true,
            Some(took) => {
                self.remember(took);
                let shortest = self.shortest.unwrap_or(took);
                took > (shortest * SLOW).max(SLOW_LEAST)
            }
        };
        // Once in a round: the commits that were in flight together tell the same.
        if self.since < self.limit {
            return;
        }
        if self.slow {
            self.limit = (self.limit * 9 / 10).max(LIMIT_MIN);
        } else if self.busy {
            self.limit = (self.limit + 1).min(limit_max);
        }
        (self.since, self.busy, self.slow) = (0, false, false);
    }

    fn remember(&mut self, took: Duration) {
        self.seen += 1;
        let shortest = self.shortest.unwrap_or(took);
        let aged = if self.seen.is_multiple_of(WINDOW) {
            shortest + shortest / 8
        } else {
            shortest
        };
        self.shortest = Some(aged.min(took));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `rounds` rounds of as many commits as the limit allows, each taking `took`.
    fn rounds(limiter: &Limiter, rounds: usize, took: Option<Duration>) -> usize {
        for _ in 0..rounds {
            let mut permits = Vec::new();
            while let Ok(permit) = Arc::clone(&limiter.permits).try_acquire_owned() {
                permits.push(Permit(permit));
            }
            assert!(permits.len() <= limiter.limit_max);
            for permit in permits {
                limiter.leave(permit, took);
            }
        }
        limiter.limit()
    }

    #[test]
    fn grows_while_quick_and_shrinks_while_slow() {
        let limiter = Limiter::new(64);
        let quick = Some(Duration::from_millis(10));
        assert!(rounds(&limiter, 10, quick) > LIMIT_FIRST);
        assert_eq!(rounds(&limiter, 5_000, quick), 64);
        let slow = Some(Duration::from_millis(400));
        assert!(rounds(&limiter, 5, slow) < 64);
        assert_eq!(rounds(&limiter, 50, None), LIMIT_MIN);
        assert!(rounds(&limiter, 50, quick) > LIMIT_MIN);
    }

    #[test]
    fn a_slower_store_becomes_the_measure_in_time() {
        let limiter = Limiter::new(64);
        rounds(&limiter, 20, Some(Duration::from_millis(12)));
        let slower = Some(Duration::from_millis(100));
        assert_eq!(rounds(&limiter, 30, slower), LIMIT_MIN);
        assert!(rounds(&limiter, 2_000, slower) > LIMIT_FIRST);
    }
}
