//! Whom the cluster should have and has not: seeds that are no members, and members that were lost.
//!
//! Foca announces to nobody by itself once it knows nobody. So a node that starts alone, or a cluster that fell
//! into parts, would stay so: here announcements go on, at growing intervals, for as long as anybody is missing.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use crate::{config::Timing, gossip::Moment, identity::Identity, limits};

pub(super) struct Missing {
    seeds: Vec<SocketAddr>,
    lost: BTreeMap<Arc<str>, Lost>,
    min: Duration,
    max: Duration,
    interval: Duration,
    next: Option<Moment>,
    /// Where the last round ended, if not all could be asked.
    turn: usize,
}

struct Lost {
    address: SocketAddr,
    since: Moment,
}

impl Missing {
    pub(super) fn new(timing: &Timing) -> Self {
        Self {
            seeds: Vec::new(),
            lost: BTreeMap::new(),
            min: timing.announce_min,
            max: timing.announce_max,
            interval: timing.announce_min,
            next: None,
            turn: 0,
        }
    }

    /// Takes what the seeds' names resolve to.
    pub(super) fn set_seeds(&mut self, mut seeds: Vec<SocketAddr>, now: Moment) {
        seeds.sort_unstable();
        seeds.dedup();
        seeds.truncate(limits::SEED_ADDRESSES_MAX);
        if seeds != self.seeds {
            self.seeds = seeds;
            self.hurry(now);
        }
    }

    pub(super) fn lose(&mut self, id: &Identity, now: Moment) {
        if self.lost.len() >= limits::LOST_MAX && !self.lost.contains_key(&id.name) {
            let first = self.lost.iter().min_by_key(|(_, lost)| lost.since);
            if let Some(name) = first.map(|(name, _)| Arc::clone(name)) {
                self.lost.remove(&name);
            }
        }
        let lost = Lost {
            address: id.gossip,
            since: now,
        };
        self.lost.insert(Arc::clone(&id.name), lost);
    }

    pub(super) fn find(&mut self, name: &str) {
        self.lost.remove(name);
    }

    pub(super) fn lost(&self) -> usize {
        self.lost.len()
    }

    /// Announces at once, then again at short intervals.
    pub(super) fn hurry(&mut self, now: Moment) {
        self.interval = self.min;
        self.next = Some(now);
    }

    pub(super) fn next(&self) -> Option<Moment> {
        self.next
    }

    /// Returns whom to announce to if it is time, and sets the time of the next round.
    ///
    /// `jitter` from 0 to 1 keeps nodes that started together from speaking together.
    pub(super) fn due(
        &mut self,
        now: Moment,
        present: impl Fn(SocketAddr) -> bool,
        jitter: f64,
    ) -> Vec<SocketAddr> {
        if self.next.is_none_or(|next| next > now) {
            return Vec::new();
        }
        self.lost
            .retain(|_, lost| now.saturating_sub(lost.since) < limits::LOST_FOR);
        let mut all: Vec<SocketAddr> = self
            .seeds
            .iter()
            .copied()
            .chain(self.lost.values().map(|lost| lost.address))
            .filter(|&address| !present(address))
            .collect();
        all.sort_unstable();
        all.dedup();
        if all.is_empty() {
            // Whatever makes somebody missing again calls `hurry`.
            self.next = None;
            return all;
        }
        self.next = Some(now + self.interval.mul_f64(0.75 + jitter / 2.0));
        self.interval = (self.interval * 2).min(self.max);
        let start = self.turn % all.len();
        all.rotate_left(start);
        all.truncate(limits::ANNOUNCE_FANOUT);
        self.turn = start + all.len();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn lost(port: u16) -> Identity {
        Identity {
            name: port.to_string().into(),
            ..Identity::stranger(address(port))
        }
    }

    fn missing() -> Missing {
        Missing::new(&Timing::default())
    }

    #[test]
    fn intervals_grow_to_the_longest_and_start_anew_when_hurried() {
        let mut missing = missing();
        missing.set_seeds(vec![address(1)], Moment::ZERO);
        let mut gaps = Vec::new();
        for _ in 0..7 {
            let now = missing.next().expect("somebody is missing");
            assert_eq!(missing.due(now, |_| false, 0.5), [address(1)]);
            gaps.push((missing.next().expect("again") - now).as_millis());
        }
        assert_eq!(gaps, [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
        let now = missing.next().expect("again");
        missing.hurry(now);
        missing.due(now, |_| false, 0.5);
        assert_eq!(missing.next(), Some(now + limits::ANNOUNCE_MIN));
    }

    #[test]
    fn nobody_missing_nothing_due() {
        let mut missing = missing();
        assert_eq!(missing.next(), None);
        missing.set_seeds(vec![address(1)], Moment::ZERO);
        assert!(missing.due(Moment::ZERO, |_| true, 0.5).is_empty());
        assert_eq!(missing.next(), None);
        missing.set_seeds(vec![address(1)], Moment::ZERO);
        assert_eq!(missing.next(), None, "the same seeds are no news");
    }

    #[test]
    fn every_missing_one_has_its_turn() {
        let mut missing = missing();
        let count = u16::try_from(2 * limits::ANNOUNCE_FANOUT + 3).expect("few");
        for port in 1..=count {
            missing.lose(&lost(port), Moment::ZERO);
        }
        missing.hurry(Moment::ZERO);
        let mut asked = std::collections::BTreeSet::new();
        for _ in 0..3 {
            let now = missing.next().expect("many are missing");
            let round = missing.due(now, |_| false, 0.0);
            assert!(round.len() <= limits::ANNOUNCE_FANOUT);
            asked.extend(round);
        }
        assert_eq!(asked.len(), usize::from(count));
    }

    #[test]
    fn the_lost_are_bounded_and_forgotten() {
        let mut missing = missing();
        for port in 0..u16::try_from(limits::LOST_MAX).expect("few") + 10 {
            missing.lose(&lost(port), Duration::from_secs(u64::from(port)));
        }
        assert_eq!(missing.lost(), limits::LOST_MAX);
        missing.find("50");
        assert_eq!(missing.lost(), limits::LOST_MAX - 1);
        let later = limits::LOST_FOR + Duration::from_secs(100);
        missing.hurry(later);
        missing.due(later, |_| false, 0.5);
        assert_eq!(missing.lost(), limits::LOST_MAX + 10 - 101);
    }
}
