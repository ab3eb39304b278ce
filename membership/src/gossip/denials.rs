//! Denials: the dead that may say otherwise.
//!
//! A node that was cut off took the others for dead, and says so when it is back, to whoever hears it first. Those that
//! live deny it within milliseconds, once they hear of it, but what was theirs would have been given away by then. So a
//! death is told only after a moment: whoever is taken for dead is asked at once whether it is.

use std::{sync::Arc, time::Duration};

use crate::{
    gossip::Moment,
    identity::{Identity, Phase},
    view::{Member, State},
};

pub(super) struct Denials {
    /// How long one who lives takes to say so.
    moment: Duration,
    awaited: Vec<(Member, Moment)>,
}

impl Denials {
    pub(super) fn new(moment: Duration) -> Self {
        Self {
            moment,
            awaited: Vec::new(),
        }
    }

    /// A member is taken for dead.
    pub(super) fn wait_for(&mut self, dead: &Identity, now: Moment) {
        let state = match dead.phase() {
            Some(Phase::Leaving) => State::Leaving,
            _ => State::Suspect,
        };
        if let Some(profile) = dead.profile() {
            self.found(dead.name.as_ref());
            self.awaited.push((Member { profile, state }, now + self.moment));
        }
    }

    /// It lives, or another life of it does.
    pub(super) fn found(&mut self, name: &str) {
        self.awaited.retain(|(member, _)| **member.name() != *name);
    }

    /// Nobody waits any longer for those whose time is over.
    pub(super) fn give_up(&mut self, now: Moment) {
        self.awaited.retain(|(_, until)| *until > now);
    }

    pub(super) fn next(&self) -> Option<Moment> {
        self.awaited.iter().map(|(_, until)| *until).min()
    }

    /// Adds those that may still deny it; returns how many there are.
    pub(super) fn add_to(&self, members: &mut Vec<Member>) -> usize {
        let known: Vec<Arc<str>> = members.iter().map(|member| Arc::clone(member.name())).collect();
        let awaited = self.awaited.iter().map(|(member, _)| member);
        members.extend(awaited.filter(|member| !known.contains(member.name())).cloned());
        members.len() - known.len()
    }
}
