//! Suspects: members that somebody took for dead, and who may not know it.
//!
//! Only the suspect itself can refute, and it hears of its suspicion by chance: news is sent a number of times and is
//! then old. If its finder dies before it declares the suspect dead, nobody speaks of it any more, and whoever still
//! suspects it would do so for ever. So whoever suspects somebody for long tells it, and takes it for dead when that is
//! of no use: it is, or another life of it is there.

use std::time::Duration;

use foca::Member;

use crate::{
    envelope::Kind,
    gossip::{Gossip, Moment, Output},
    identity::Identity,
    limits,
};

/// Times as long as a suspicion that a suspect has to refute: it is told twice.
const GIVEN_UP: u32 = 3;

pub(super) struct Suspects {
    period: Duration,
    next: Option<Moment>,
    /// Where the last round ended, if not all were told.
    turn: usize,
    /// Since when they are suspected.
    since: Vec<(Member<Identity>, Moment)>,
}

impl Suspects {
    /// After a suspicion's time without a refutal something is amiss.
    pub(super) fn new(suspicion: Duration) -> Self {
        Self {
            period: suspicion,
            next: None,
            turn: 0,
            since: Vec::new(),
        }
    }

    /// Returns those who did not refute it in all the time that they had.
    pub(super) fn given_up(&mut self, now: Moment, suspects: &[Member<Identity>]) -> Vec<Identity> {
        self.since.retain(|(member, _)| suspects.contains(member));
        for suspect in suspects {
            if !self.since.iter().any(|(member, _)| member == suspect) {
                self.since.push((suspect.clone(), now));
            }
        }
        let is_over = |since: &Moment| now >= *since + self.period * GIVEN_UP;
        let over = self.since.iter().filter(|(_, since)| is_over(since));
        over.map(|(member, _)| member.id().clone()).collect()
    }

    pub(super) fn next(&self) -> Option<Moment> {
        self.next
    }

    /// Returns which of so many suspects are told now, by their places, and sets the time of the next round.
    pub(super) fn due(&mut self, now: Moment, count: usize) -> Vec<usize> {
        if count == 0 {
            self.next = None;
            return Vec::new();
        }
        let next = *self.next.get_or_insert(now + self.period);
        if next > now {
            return Vec::new();
        }
        self.next = Some(now + self.period);
        let told = count.min(limits::FANOUT);
        let places = (0..told).map(|n| (self.turn + n) % count).collect();
        self.turn = (self.turn + told) % count;
        places
    }
}

impl Gossip {
    /// Tells those who are suspected for long that they are, so that they refute it.
    pub(super) fn tell_suspects(&mut self, now: Moment, out: &mut Vec<Output>) {
        let all = self.foca.iter_members();
        let suspects: Vec<_> = all
            .filter(|member| member.state() == foca::State::Suspect)
            .cloned()
            .collect();
        let given_up = self.suspects.given_up(now, &suspects);
        if !given_up.is_empty() {
            let dead = given_up.into_iter().map(Member::down);
            let result = self.foca.apply_many(dead, true, &mut self.effects);
            self.check(result);
            self.settle(now, out);
        }
        for place in self.suspects.due(now, suspects.len()) {
            let suspect = &suspects[place];
            if let Ok(content) = self.wire.suspicion(self.foca.identity(), suspect) {
                let bytes = self.envelope.seal(Kind::Swim, &content);
                self.send(suspect.id().gossip, bytes, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(2);

    #[test]
    fn who_is_suspected_for_long_is_told_again_and_again() {
        let mut suspects = Suspects::new(PERIOD);
        assert!(suspects.due(Moment::ZERO, 1).is_empty());
        assert_eq!(suspects.next(), Some(PERIOD));
        assert!(suspects.due(PERIOD / 2, 1).is_empty());
        assert_eq!(suspects.due(PERIOD, 1), [0]);
        assert_eq!(suspects.due(PERIOD * 2, 1), [0]);
        assert!(suspects.due(PERIOD * 3, 0).is_empty());
        assert_eq!(suspects.next(), None);
    }

    #[test]
    fn of_many_each_has_its_turn() {
        let mut suspects = Suspects::new(PERIOD);
        let count = limits::FANOUT * 2 + 1;
        suspects.due(Moment::ZERO, count);
        let told: std::collections::BTreeSet<_> = (1..=3)
            .flat_map(|round| suspects.due(PERIOD * round, count))
            .collect();
        assert_eq!(told.len(), count);
    }
}
