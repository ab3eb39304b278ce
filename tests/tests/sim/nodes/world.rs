//! The calendar of the simulated cluster: what happens when, and to whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use cluster::map::ShardMap;
use matching::input::PollToken;
use proto::{
    ids::{ShardId, TaskKind},
    time::Timestamp,
};
use shard::input::{Request, RunTarget, Token};
use storage::memory::MemoryStore;

use super::{
    calls::Message,
    network::Network,
    node::{Node, Peer},
    shards::Read,
    store::{Answer, Operation},
    work::Call,
};
use crate::{random::Random, records::Model, world::Waiting};

/// What the clocks of all nodes are near to.
const BASE: Timestamp = Timestamp::from_seconds(1_000_000);

/// What happens.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Comes to whoever listens at the node's address.
    Datagram {
        from: usize,
        to: usize,
        bytes: Vec<u8>,
    },
    /// Comes over a connection, to one life of a node.
    Message {
        from: usize,
        to: Peer,
        message: Message,
    },
    /// Something within one life of a node.
    At(Peer, Local),
    /// An operation comes to the store. Whoever sent it may be dead.
    Store {
        by: Peer,
        operation: Operation,
    },
    /// A client asks something that was not acknowledged yet.
    Client,
    /// Workers poll.
    Workers(TaskKind),
    /// A worker has thought.
    Respond {
        target: RunTarget,
        request: Request,
        waiting: Waiting,
    },
    /// Nobody waits for the answer any more.
    CallEnds(Token),
    PollEnds(PollToken),
    Fault,
    /// Somebody wants a split or merge.
    Wish,
    Start(usize),
}

#[derive(Clone, Debug)]
pub(crate) enum Local {
    Wake,
    Flush(ShardId, u64),
    Read(ShardId, u64, Read),
    Stored(Answer),
    /// The index has what a shard has told it.
    Indexed(ShardId, u64, proto::ids::RunKey, u64),
    /// A request that another node was asked is tried again.
    AskAgain(Token),
    /// Requests have waited too long for a shard.
    ParkedEnds,
    /// Another node does not answer.
    HandOverEnds(u64),
    LeavingEnds,
    /// A shard waits no more for a change of it.
    TakeUp(ShardId),
    /// The map may have changed.
    ReadMap,
    /// The carrier may have heard something of the parents.
    Hear,
    /// A parent is not waited for any longer.
    FinishEnds(u64, usize),
    /// A change or a sweep may be tried again.
    Changes,
    Sweep(u64),
}

/// A place in the cluster; several lives of a node may sit there one after another.
pub(crate) struct Seat {
    pub(crate) node: Option<Node>,
    pub(crate) generation: u64,
    /// Its clock is this much ahead.
    pub(crate) skew: Duration,
    /// Until then its process stands still.
    pub(crate) paused: Duration,
}

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) now: Duration,
    events: BTreeMap<(Duration, u64), Event>,
    sequence: u64,
    pub(crate) seats: Vec<Seat>,
    pub(crate) store: MemoryStore,
    /// The newest epoch of each shard, counted apart from the store.
    pub(crate) epochs: BTreeMap<ShardId, u64>,
    pub(crate) network: Network,
    /// The map as it is stored.
    pub(crate) map: Arc<ShardMap>,
    /// Ids that were ever given to shards.
    pub(crate) used: BTreeSet<u32>,
    /// Splits and merges that were made.
    pub(crate) changes: [u32; 2],
    pub(crate) model: Model,
    pub(crate) calls: BTreeMap<Token, Call>,
    pub(crate) polls: BTreeMap<PollToken, (TaskKind, Peer)>,
    pub(crate) faulty: bool,
    numbers: u64,
    trace: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let nodes = 3 + random.below(3);
        let shards = 2 + u32::try_from(random.below(4)).expect("few");
        let seats = (0..nodes)
            .map(|_| Seat {
                node: None,
                generation: 0,
                skew: Duration::from_millis(random.below(2_000) as u64),
                paused: Duration::ZERO,
            })
            .collect();
        Self {
            random,
            now: Duration::ZERO,
            events: BTreeMap::new(),
            sequence: 0,
            seats,
            store: MemoryStore::new(),
            epochs: BTreeMap::new(),
            network: Network::healthy(),
            map: Arc::new(ShardMap::even(shards)),
            used: (0..shards).collect(),
            changes: [0, 0],
            model: Model::default(),
            calls: BTreeMap::new(),
            polls: BTreeMap::new(),
            faulty: true,
            numbers: 0,
            trace: seed,
        }
    }

    /// A number that was never given before.
    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(crate) fn clock(&self, node: usize) -> Timestamp {
        BASE + self.now + self.seats[node].skew
    }

    pub(crate) fn node(&mut self, node: usize) -> Option<&mut Node> {
        self.seats[node].node.as_mut()
    }

    /// The node, if it is still in this life.
    pub(crate) fn alive(&mut self, peer: Peer) -> Option<&mut Node> {
        self.node(peer.node).filter(|node| node.life == peer.life)
    }

    pub(crate) fn peer(&self, node: usize) -> Option<Peer> {
        let life = self.seats[node].node.as_ref()?.life;
        Some(Peer { node, life })
    }

    pub(crate) fn running(&self) -> Vec<usize> {
        (0..self.seats.len())
            .filter(|node| self.seats[*node].node.is_some())
            .collect()
    }

    pub(crate) fn after(&mut self, wait: Duration, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + wait, self.sequence), event);
    }

    pub(crate) fn here(&mut self, node: usize, wait: Duration, local: Local) {
        if let Some(peer) = self.peer(node) {
            self.after(wait, Event::At(peer, local));
        }
    }

    /// Does what is next in the calendar.
    pub(crate) fn step(&mut self) {
        let ((at, _), event) = self.events.pop_first().expect("somebody always wants something");
        self.now = at;
        let place = match &event {
            Event::Datagram { to, .. } => Some(*to),
            Event::Message { to, .. } => Some(to.node),
            Event::At(peer, _) => Some(peer.node),
            _ => None,
        };
        if let Some(node) = place
            && self.seats[node].paused > self.now
        {
            // Waits in a buffer until the process goes on.
            let wait = self.seats[node].paused - self.now;
            return self.after(wait, event);
        }
        self.note(place, &event);
        self.happen(event);
        if let Some(node) = place {
            self.arm(node);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Datagram { from, to, bytes } => self.datagram(from, to, &bytes),
            Event::Message { from, to, message } => {
                if self.network.hears(from, to.node) && self.alive(to).is_some() {
                    self.message(from, to.node, message);
                }
            }
            Event::At(peer, local) => {
                if self.alive(peer).is_some() {
                    self.local(peer.node, local);
                }
            }
            Event::Store { by, operation } => self.arrive(by, operation),
            Event::Client => self.client(),
            Event::Workers(kind) => self.workers(kind),
            Event::Respond {
                target,
                request,
                waiting,
            } => self.call(target, request, waiting),
            Event::CallEnds(token) => drop(self.calls.remove(&token)),
            Event::PollEnds(token) => drop(self.polls.remove(&token)),
            Event::Fault => self.fault(),
            Event::Wish => self.wish(),
            Event::Start(node) => self.start(node),
        }
    }

    fn local(&mut self, node: usize, local: Local) {
        match local {
            Local::Wake => self.wake(node),
            Local::Flush(shard, epoch) => self.flush(node, shard, epoch),
            Local::Read(shard, epoch, read) => self.read(node, shard, epoch, read),
            Local::Stored(answer) => self.stored(node, answer),
            Local::Indexed(shard, epoch, run, version) => self.indexed(node, shard, epoch, run, version),
            Local::AskAgain(token) => self.ask_again(node, token),
            Local::ParkedEnds => self.end_parked(node),
            Local::HandOverEnds(token) => self.handed_over(node, token, Vec::new()),
            Local::LeavingEnds => self.leave(node),
            Local::TakeUp(shard) => self.take_up(node, shard),
            Local::ReadMap => self.read_map_again(node),
            Local::Hear => self.hear(node),
            Local::FinishEnds(round, parent) => self.finish_ends(node, round, parent),
            Local::Changes => self.see_to_changes(node),
            Local::Sweep(id) => self.sweep(node, id),
        }
    }

    /// Sees to it that the node is woken at its next deadline.
    pub(crate) fn arm(&mut self, node: usize) {
        let (now, clock) = (self.now, self.clock(node));
        let Some(it) = self.node(node) else { return };
        let cores = it.held.values().filter_map(|held| held.core.next_deadline());
        let queues = it.queues.values().filter_map(|queue| queue.next_deadline());
        let by_clock = cores
            .chain(queues.map(|(at, _)| at))
            .chain(it.leases.next_deadline())
            .min();
        let by_clock = by_clock.map(|at| now + at.since(clock));
        let Some(next) = by_clock.into_iter().chain(it.gossip.next_deadline()).min() else {
            return;
        };
        let next = next.max(now + Duration::from_millis(1));
        if it.wake.is_none_or(|wake| wake > next) {
            it.wake = Some(next);
            self.here(node, next - now, Local::Wake);
        }
    }

    fn wake(&mut self, node: usize) {
        let now = self.now;
        let Some(it) = self.node(node) else { return };
        if it.wake.is_some_and(|wake| wake <= now) {
            it.wake = None;
        }
        let (shards, queues): (Vec<_>, Vec<_>) = (
            it.held.keys().copied().collect(),
            it.queues.keys().cloned().collect(),
        );
        self.gossip(node, membership::gossip::Input::Tick);
        self.tell_leases(node, cluster::leases::Input::Tick);
        for shard in shards {
            self.feed(node, shard, shard::input::Input::Tick);
        }
        for queue in queues {
            self.tell_queue(node, &queue, matching::input::Input::Tick);
        }
    }

    /// Takes what happens into the digest.
    fn note(&mut self, place: Option<usize>, event: &Event) {
        let kind = match event {
            Event::Datagram { bytes, .. } => bytes.len() as u64,
            Event::Message { message, .. } => message.kind(),
            Event::At(_, local) => matches!(local, Local::Wake).into(),
            _ => 7,
        };
        for part in [
            self.now.as_nanos() as u64,
            place.map_or(99, |node| node as u64),
            kind,
        ] {
            self.trace = (self.trace ^ part).wrapping_mul(0x0100_0000_01B3).rotate_left(17);
        }
    }

    pub(crate) fn trace(&self) -> u64 {
        self.trace
    }
}
