//! The core of membership: foca's protocol with our identity, envelope, announcements and view around it.
//!
//! Pure: time, randomness and datagrams are given, what to send and tell comes out. Owns no socket, no clock and no
//! thread. The agent drives it in production, a simulation in tests.

mod denials;
mod effects;
mod missing;
mod suspects;
mod timers;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use foca::{Foca, NoCustomBroadcast, OwnedNotification, PeriodicParams};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use self::{denials::Denials, effects::Effects, missing::Missing, suspects::Suspects, timers::Timers};
use crate::{
    config::{Config, Timing},
    envelope::{Dropped, Envelope, Kind},
    error::ConfigError,
    identity::{Identity, Phase, Start},
    limits,
    metrics::{Metrics, RECEIVED, SENT},
    name::is_node_name,
    view::{Member, Profile, State, View},
    wire::{self, Packet, Wire},
};

/// Time since an origin that the caller chose; never goes back.
pub type Moment = Duration;

/// What happens to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// A datagram came, from anyone.
    Datagram(&'a [u8]),
    /// The deadline has come.
    Tick,
    /// These are the seeds' addresses from now on.
    Seeds(Vec<SocketAddr>),
    /// Says that this node goes soon and shall own nothing, or that it stays after all.
    SetLeaving(bool),
    /// Says goodbye to all; `Output::Left` follows when it was said.
    Leave,
}

/// What a node wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// May be lost without harm.
    Send {
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    View(Arc<View>),
    /// The node is no member any more; nothing follows.
    Left,
    /// A later start of the same node is in the cluster: this process must stop. Nothing follows.
    Superseded {
        generation: u64,
    },
}

/// What a core is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    pub profile: Profile,
    pub config: Config,
    /// Drawn anew for each start: nonces come from it, and none may come twice under one key.
    pub seed: [u8; 32],
    pub metrics: Arc<Metrics>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Member,
    /// Rounds of goodbye to go, and when the next one is.
    Leaving {
        rounds: u32,
        next: Moment,
    },
    Gone,
}

/// One node's part in the gossip.
pub struct Gossip {
    foca: Foca<Identity, Wire, StdRng, NoCustomBroadcast>,
    wire: Wire,
    envelope: Envelope,
    effects: Effects,
    timers: Timers,
    missing: Missing,
    suspects: Suspects,
    denials: Denials,
    stage: Stage,
    view: Arc<View>,
    timing: Timing,
    rng: StdRng,
    /// A misconfigured neighbour speaks all the time; the log shall not.
    complain_after: Moment,
    metrics: Arc<Metrics>,
}

impl Gossip {
    /// Makes a member that knows nobody yet.
    ///
    /// # Errors
    ///
    /// The configuration or the profile is refused.
    pub fn new(parts: Parts) -> Result<Self, ConfigError> {
        let Parts {
            profile,
            config,
            seed,
            metrics,
        } = parts;
        config.check()?;
        let name = Arc::clone(&profile.id.name);
        if !is_node_name(&name) {
            return Err(ConfigError::NodeName(name.to_string()));
        }
        if profile.software.len() > limits::SOFTWARE_BYTES_MAX {
            return Err(ConfigError::Software(profile.software.to_string()));
        }
        let mut rng = StdRng::from_seed(seed);
        let envelope = Envelope::new(config.cluster_name.as_str().into(), &config.keys, rng.random());
        let timing = config.timing;
        let foca = Foca::new(
            Identity::new(&profile),
            protocol(&timing, envelope.room()),
            StdRng::from_rng(&mut rng),
            Wire {
                me: Arc::clone(&name),
            },
        );
        metrics.members.set(1);
        Ok(Self {
            foca,
            wire: Wire { me: name },
            envelope,
            effects: Effects::default(),
            timers: Timers::default(),
            missing: Missing::new(&timing),
            suspects: Suspects::new(timing.suspicion),
            denials: Denials::new(timing.probe_timeout),
            stage: Stage::Member,
            view: Arc::new(View::solo(profile)),
            timing,
            rng,
            complain_after: Moment::ZERO,
            metrics,
        })
    }

    /// Takes what happened. Fires timers too: the caller only has to come again by the deadline.
    pub fn handle(&mut self, input: Input<'_>, now: Moment, out: &mut Vec<Output>) {
        if self.stage == Stage::Gone {
            return;
        }
        self.allow_for_stall(now);
        match input {
            Input::Datagram(bytes) => self.datagram(bytes, now, out),
            Input::Tick => {}
            Input::Seeds(seeds) => self.missing.set_seeds(seeds, now),
            Input::SetLeaving(leaving) => self.set_leaving(leaving),
            Input::Leave => self.leave(now),
        }
        self.settle(now, out);
        self.fire(now, out);
        self.denials.give_up(now);
        self.refresh(out);
    }

    /// Returns when to come again if nothing else happens.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Moment> {
        match self.stage {
            Stage::Member => {
                let (timers, missing) = (self.timers.next(), self.missing.next());
                let all = [timers, missing, self.suspects.next(), self.denials.next()];
                all.into_iter().flatten().min()
            }
            Stage::Leaving { next, .. } => Some(next),
            Stage::Gone => None,
        }
    }

    /// Returns what this node sees; it is in it until the end.
    #[must_use]
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    fn datagram(&mut self, bytes: &[u8], now: Moment, out: &mut Vec<Output>) {
        self.metrics.datagram(RECEIVED, bytes.len());
        let (kind, content) = match self.envelope.open(bytes) {
            Ok(opened) => opened,
            Err(why) => return self.dropped(&why, now),
        };
        if self.stage != Stage::Member {
            return;
        }
        match kind {
            Kind::Superseded => match wire::decode_successor(&content) {
                Ok((name, start)) if *name == *self.me().name => self.meet_successor(start, out),
                Ok(_) | Err(_) => self.metrics.dropped("malformed"),
            },
            Kind::Swim => match self.wire.packet(&content) {
                Ok(packet) => self.swim(&packet, &content, now, out),
                Err(_) => self.metrics.dropped("malformed"),
            },
        }
    }

    fn dropped(&mut self, why: &Dropped, now: Moment) {
        self.metrics.dropped(match why {
            Dropped::Oversized => "oversized",
            Dropped::Malformed => "malformed",
            Dropped::Version(_) => "version",
            Dropped::Unauthenticated => "unauthenticated",
            Dropped::Cluster(_) => "cluster",
            Dropped::Replayed => "replayed",
        });
        let somebody_should_look = matches!(
            why,
            Dropped::Version(_) | Dropped::Unauthenticated | Dropped::Cluster(_)
        );
        if somebody_should_look && now >= self.complain_after {
            self.complain_after = now + limits::COMPLAINT_PERIOD;
            tracing::warn!(?why, "gossip of a foreign node dropped");
        }
    }

    fn swim(&mut self, packet: &Packet, content: &[u8], now: Moment, out: &mut Vec<Output>) {
        let me = self.me();
        let (name, start) = (Arc::clone(&me.name), me.stamp.start);
        let news = packet.news.iter().map(foca::Member::id);
        let namesakes = news.chain([&packet.from]).filter(|id| id.name == name);
        // Foca would declare a namesake dead, whichever of the two started later.
        if let Some(later) = namesakes.map(|id| id.stamp.start).max().filter(|&at| at > start) {
            return self.meet_successor(later, out);
        }
        let from = &packet.from;
        if from.name == name {
            return self.tell_superseded(from.gossip, &name, start, out);
        }
        match self.known_start(&from.name) {
            Some(later) if later > from.stamp.start => {
                return self.tell_superseded(from.gossip, &from.name, later, out);
            }
            None if self.foca.iter_membership_state().len() >= limits::MEMBERS_MAX => {
                return self.metrics.dropped("full");
            }
            Some(_) | None => {}
        }
        let result = self.foca.handle_data(content, &mut self.effects);
        self.check(result);
        // Whoever took this node for dead shall hear first that it lives.
        if self.effects.rejoined() {
            let result = self.foca.announce(from.clone(), &mut self.effects);
            self.check(result);
            self.missing.hurry(now);
        }
    }

    /// Returns when the last life of the name started, dead or alive.
    fn known_start(&self, name: &str) -> Option<Start> {
        let mut all = self.foca.iter_membership_state();
        all.find(|member| *member.id().name == *name)
            .map(|member| member.id().stamp.start)
    }

    fn meet_successor(&mut self, start: Start, out: &mut Vec<Output>) {
        if start > self.me().stamp.start {
            self.stage = Stage::Gone;
            let generation = start.generation;
            // Its own last word: it owns nothing from here on.
            self.publish(self.others(), State::Leaving, out);
            out.push(Output::Superseded { generation });
        }
    }

    fn tell_superseded(&mut self, to: SocketAddr, name: &str, start: Start, out: &mut Vec<Output>) {
        if let Ok(content) = wire::encode_successor(name, start) {
            self.metrics.superseded_told.inc();
            let bytes = self.envelope.seal(Kind::Superseded, &content);
            self.send(to, bytes, out);
        }
    }

    fn set_leaving(&mut self, leaving: bool) {
        let phase = if leaving { Phase::Leaving } else { Phase::Serving };
        if self.stage == Stage::Member && self.me().phase() != Some(phase) {
            self.become_other(phase);
        }
    }

    fn leave(&mut self, now: Moment) {
        if self.stage != Stage::Member {
            return;
        }
        self.become_other(Phase::Left);
        let result = self.foca.leave_cluster(&mut self.effects);
        self.check(result);
        let rounds = if self.foca.num_members() == 0 {
            0
        } else {
            limits::LEAVE_ROUNDS
        };
        self.stage = Stage::Leaving { rounds, next: now };
    }

    fn become_other(&mut self, phase: Phase) {
        let id = self.me().in_phase(phase);
        let result = self.foca.change_identity(id, &mut self.effects);
        self.check(result);
        // Foca takes itself for disconnected until somebody talks to it, and others may only talk to the former
        // identity. No news make it look at its members again.
        let result = self.foca.apply_many(std::iter::empty(), false, &mut self.effects);
        self.check(result);
    }

    fn fire(&mut self, now: Moment, out: &mut Vec<Output>) {
        match self.stage {
            Stage::Member => {}
            Stage::Leaving { rounds, next } => return self.say_goodbye(rounds, next, now, out),
            Stage::Gone => return,
        }
        while let Some(timer) = self.timers.due(now) {
            let result = self.foca.handle_timer(timer, &mut self.effects);
            self.check(result);
            self.settle(now, out);
        }
        let jitter = self.rng.random();
        let me = self.me().gossip;
        let foca = &self.foca;
        let present =
            |address| address == me || foca.iter_members().any(|member| member.id().gossip == address);
        for address in self.missing.due(now, present, jitter) {
            self.metrics.announcements.inc();
            let result = self.foca.announce(Identity::stranger(address), &mut self.effects);
            self.check(result);
        }
        self.settle(now, out);
        self.tell_suspects(now, out);
    }

    fn say_goodbye(&mut self, rounds: u32, next: Moment, now: Moment, out: &mut Vec<Output>) {
        if next > now {
            return;
        }
        if rounds == 0 {
            self.stage = Stage::Gone;
            out.push(Output::Left);
            return;
        }
        let result = self.foca.gossip(&mut self.effects);
        self.check(result);
        self.settle(now, out);
        self.stage = Stage::Leaving {
            rounds: rounds - 1,
            next: now + self.timing.gossip_period,
        };
    }

    /// Carries out what foca wants.
    fn settle(&mut self, now: Moment, out: &mut Vec<Output>) {
        let effects = std::mem::take(&mut self.effects);
        for (to, content) in effects.sends {
            let bytes = self.envelope.seal(Kind::Swim, &content);
            self.send(to, bytes, out);
        }
        for (after, timer) in effects.timers {
            self.timers.add(now + after, timer);
        }
        for note in effects.notes {
            self.note(note, now);
        }
    }

    fn note(&mut self, note: OwnedNotification<Identity>, now: Moment) {
        match note {
            OwnedNotification::MemberUp(id) => {
                self.missing.find(&id.name);
                self.denials.found(&id.name);
                self.metrics.members_up.inc();
            }
            OwnedNotification::MemberDown(id) => {
                if id.phase() == Some(Phase::Left) {
                    self.metrics.members_left.inc();
                } else {
                    self.metrics.members_failed.inc();
                    self.missing.lose(&id, now);
                    self.denials.wait_for(&id, now);
                }
                self.missing.hurry(now);
            }
            OwnedNotification::Idle => self.missing.hurry(now),
            OwnedNotification::Rejoin(_) => {
                self.metrics.rejoins.inc();
                self.missing.hurry(now);
            }
            OwnedNotification::Rename(..) | OwnedNotification::Active | OwnedNotification::Defunct => {}
        }
    }

    fn send(&self, to: SocketAddr, bytes: Vec<u8>, out: &mut Vec<Output>) {
        self.metrics.datagram(SENT, bytes.len());
        out.push(Output::Send { to, bytes });
    }

    fn check(&self, result: Result<(), foca::Error>) {
        if let Err(error) = result {
            tracing::debug!(%error, "gossip protocol refused a message");
            self.metrics.error("protocol");
        }
    }

    fn me(&self) -> &Identity {
        self.foca.identity()
    }

    fn others(&self) -> Vec<Member> {
        let member = |member: &foca::Member<Identity>| {
            let state = match (member.id().phase()?, member.state()) {
                (Phase::Left, _) | (_, foca::State::Down) => return None,
                (Phase::Leaving, _) => State::Leaving,
                (Phase::Serving, foca::State::Suspect) => State::Suspect,
                (Phase::Serving, foca::State::Alive) => State::Alive,
            };
            Some(Member {
                profile: member.id().profile()?,
                state,
            })
        };
        self.foca.iter_members().filter_map(member).collect()
    }

    fn refresh(&mut self, out: &mut Vec<Output>) {
        if self.stage != Stage::Gone {
            let state = match self.me().phase() {
                Some(Phase::Serving) => State::Alive,
                _ => State::Leaving,
            };
            self.publish(self.others(), state, out);
        }
    }

    fn publish(&mut self, mut members: Vec<Member>, state: State, out: &mut Vec<Output>) {
        let awaited = self.denials.add_to(&mut members);
        members.extend(self.me().profile().map(|profile| Member { profile, state }));
        members.sort_unstable_by(|a, b| a.name().cmp(b.name()));
        let lost = self.missing.lost().saturating_sub(awaited);
        if members == self.view.members() && lost == self.view.lost() {
            return;
        }
        let suspects = members.iter().filter(|m| m.state == State::Suspect).count();
        self.metrics.members_suspect.set(level(suspects));
        self.metrics.members.set(level(members.len()));
        self.metrics.members_lost.set(level(lost));
        let me = Arc::clone(self.view.me());
        self.view = Arc::new(View::new(self.view.version() + 1, me, members, lost));
        out.push(Output::View(Arc::clone(&self.view)));
    }
}

fn protocol(timing: &Timing, room: usize) -> foca::Config {
    let at_least_one =
        |count: usize| std::num::NonZeroUsize::new(count).unwrap_or(std::num::NonZeroUsize::MIN);
    foca::Config {
        probe_period: timing.probe_period,
        probe_rtt: timing.probe_timeout,
        num_indirect_probes: at_least_one(limits::FANOUT),
        max_transmissions: std::num::NonZeroU8::new(limits::TRANSMISSIONS)
            .unwrap_or(std::num::NonZeroU8::MIN),
        suspect_to_down_after: timing.suspicion,
        remove_down_after: Some(limits::LOST_FOR),
        max_packet_size: at_least_one(room),
        notify_down_members: true,
        periodic_announce: Some(PeriodicParams {
            frequency: timing.sync_period,
            num_members: at_least_one(1),
        }),
        // Ours go on when nobody is left, and to seeds too.
        periodic_announce_to_down_members: None,
        periodic_gossip: Some(PeriodicParams {
            frequency: timing.gossip_period,
            num_members: at_least_one(limits::FANOUT),
        }),
    }
}

fn level(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
