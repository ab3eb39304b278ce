//! Members of the simulated cluster: how they start, gossip, leave, and what their views make of shards and queues.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use cluster::leases::{Input as LeasesInput, Leases, Output as LeasesOutput};
use matching::input::Input as QueueInput;
use membership::{
    config::Config,
    gossip::{Gossip, Input, Output, Parts},
    ring::Ring,
    view::{Profile, View},
};
use proto::{ids::NodeId, ids::ShardId, time::Timestamp};

use super::{
    calls::Message,
    carrier::Failures,
    node::{Node, Peer},
    world::{Event, Local, World},
};

/// How long a node that leaves has to give its shards up.
const LEAVES_WITHIN: Duration = Duration::from_secs(20);
/// How long the answer of another node is waited for.
const ANSWERS_WITHIN: Duration = Duration::from_secs(6);

fn address(node: usize) -> SocketAddr {
    ([10, 0, 0, u8::try_from(node).expect("few nodes")], 6_933).into()
}

fn name(node: usize) -> String {
    format!("node-{node}")
}

impl World {
    pub(crate) fn start(&mut self, node: usize) {
        if let Some(it) = &self.seats[node].node {
            if it.leaving {
                self.after(Duration::from_secs(1), Event::Start(node));
            }
            return;
        }
        self.seats[node].generation += 1;
        let id = NodeId {
            name: name(node).into(),
            generation: self.seats[node].generation,
        };
        let profile = Profile {
            id: id.clone(),
            gossip: address(node),
            peer: address(node),
            client: address(node),
            software: "0.1.0".into(),
            started: Timestamp::EPOCH + self.now,
        };
        let config = Config {
            bind: address(node),
            allow_plaintext: true,
            ..Config::default()
        };
        let mut seed = [0; 32];
        for chunk in seed.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.random.next().to_le_bytes());
        }
        let parts = Parts {
            profile: profile.clone(),
            config,
            seed,
            metrics: Arc::default(),
        };
        let gossip = Gossip::new(parts).expect("a sound configuration");
        let view = Arc::new(View::solo(profile));
        let life = self.number();
        self.seats[node].node = Some(Node {
            life,
            id,
            gossip,
            ring: Ring::of(&view),
            view: Arc::clone(&view),
            leases: Leases::default(),
            held: [].into(),
            taking: [].into(),
            queues: [].into(),
            asked: [].into(),
            forwarded: [].into(),
            parked: Vec::new(),
            polls: [].into(),
            hand_overs: [].into(),
            askers: [].into(),
            map: Arc::clone(&self.map),
            doubted: None,
            deeds: [].into(),
            carrier: None,
            failures: Failures::default(),
            sweeper: None,
            later: Vec::new(),
            leaving: false,
            wake: None,
        });
        self.gossip(node, Input::Seeds(vec![address(0), address(1)]));
        self.placed(node, view);
        self.read_map_again(node);
        self.arm(node);
    }

    /// Nothing is left of the node but what it has sent.
    pub(crate) fn crash(&mut self, node: usize) {
        self.seats[node].node = None;
    }

    pub(crate) fn begin_leaving(&mut self, node: usize) {
        let Some(it) = self.node(node) else { return };
        it.leaving = true;
        self.gossip(node, Input::SetLeaving(true));
        self.here(node, LEAVES_WITHIN, Local::LeavingEnds);
        self.leave_if_empty(node);
        self.arm(node);
    }

    pub(crate) fn leave(&mut self, node: usize) {
        self.gossip(node, Input::Leave);
    }

    fn leave_if_empty(&mut self, node: usize) {
        let empty = |it: &mut Node| it.leaving && it.held.is_empty() && it.taking.is_empty();
        if self.node(node).is_some_and(empty) {
            self.leave(node);
        }
    }

    pub(crate) fn datagram(&mut self, from: usize, to: usize, bytes: &[u8]) {
        if self.network.hears(from, to) {
            self.gossip(to, Input::Datagram(bytes));
        }
    }

    pub(crate) fn gossip(&mut self, node: usize, input: Input<'_>) {
        let now = self.now;
        let mut out = Vec::new();
        let Some(it) = self.node(node) else { return };
        it.gossip.handle(input, now, &mut out);
        for output in out {
            match output {
                Output::Send { to, bytes } => self.send_datagram(node, to, bytes),
                Output::View(view) => self.placed(node, view),
                Output::Left | Output::Superseded { .. } => self.crash(node),
            }
        }
    }

    fn send_datagram(&mut self, from: usize, to: SocketAddr, bytes: Vec<u8>) {
        let Some(to) = (0..self.seats.len()).find(|node| address(*node) == to) else {
            return;
        };
        if self.network.loses(&mut self.random) {
            return;
        }
        let copies = if self.faulty && self.random.one_in(20) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let wait = self.network.takes(&mut self.random);
            let bytes = bytes.clone();
            self.after(wait, Event::Datagram { from, to, bytes });
        }
    }

    /// The node sees others: shards and queues may belong elsewhere.
    fn placed(&mut self, node: usize, view: Arc<View>) {
        let Some(it) = self.node(node) else { return };
        it.ring = Ring::of(&view);
        let before = std::mem::replace(&mut it.view, view);
        let ids =
            |view: &View| -> BTreeSet<_> { view.members().iter().map(|it| it.profile.id.clone()).collect() };
        let came: Vec<_> = ids(&it.view).difference(&ids(&before)).cloned().collect();
        for id in came {
            // It may have been here before, and cut off when there was something to hear.
            if let Some(peer) = self.find(&id).filter(|peer| peer.node != node) {
                self.send(node, peer, Message::News);
            }
        }
        self.place(node);
        self.see_to_changes(node);
    }

    /// Tells the leases what belongs to the node by its view and its map.
    pub(crate) fn place(&mut self, node: usize) {
        let Some(it) = self.node(node) else { return };
        let (me, view) = (Arc::clone(&it.id.name), Arc::clone(&it.view));
        let is_mine = |shard: &ShardId| it.ring.owner_of_shard(it.map.home(*shard)) == Some(&me);
        let mine = it.map.shards().filter(is_mine).collect();
        let others = view.members().iter().filter(|member| *member.name() != me);
        let others = others.map(|member| member.profile.id.clone()).collect();
        let placed = LeasesInput::Placed {
            mine,
            others,
            may_take: true,
        };
        self.tell_leases(node, placed);
        self.move_queues(node);
        self.route_parked(node);
        self.leave_if_empty(node);
    }

    fn move_queues(&mut self, node: usize) {
        let Some(it) = self.node(node) else { return };
        let (ring, me) = (&it.ring, &it.id.name);
        let elsewhere = it
            .queues
            .keys()
            .filter(|queue| ring.owner(queue.name.as_bytes()) != Some(me));
        let elsewhere: Vec<_> = elsewhere.cloned().collect();
        for queue in elsewhere {
            self.tell_queue(node, &queue, QueueInput::Drain);
            if let Some(it) = self.node(node) {
                it.queues.remove(&queue);
            }
        }
    }

    pub(crate) fn tell_leases(&mut self, node: usize, input: LeasesInput) {
        let now = self.clock(node);
        let mut out = Vec::new();
        let Some(it) = self.node(node) else { return };
        it.leases.handle(input, now, &mut out);
        for output in out {
            match output {
                LeasesOutput::Ask { of, shards } => self.ask_for(node, of, shards),
                LeasesOutput::TakeUp(shard) => self.take_up(node, shard),
                LeasesOutput::GiveUp(shard) => self.give_up(node, shard),
                LeasesOutput::Check(shard) => self.feed(node, shard, shard::input::Input::Check),
                LeasesOutput::Free(shard) => self.tell_owner(node, shard, Message::Freed(shard)),
                LeasesOutput::Answer { token, kept } => {
                    let asker = self.node(node).and_then(|it| it.askers.remove(&token));
                    if let Some(asker) = asker {
                        self.send(node, asker, Message::HandedOver { token, kept });
                    }
                }
            }
        }
    }

    fn ask_for(&mut self, node: usize, of: NodeId, shards: Vec<ShardId>) {
        let token = self.number();
        let peer = self.find(&of);
        let Some(it) = self.node(node) else { return };
        it.hand_overs.insert(token, (of, shards.clone()));
        let wait = if let Some(peer) = peer {
            self.send(node, peer, Message::HandOver { token, shards });
            ANSWERS_WITHIN
        } else {
            Duration::from_millis(1)
        };
        self.here(node, wait, Local::HandOverEnds(token));
    }

    /// Returns the life of the node that the id means.
    fn find(&self, id: &NodeId) -> Option<Peer> {
        let node = (0..self.seats.len()).find(|node| *name(*node) == *id.name)?;
        let is_it = self.seats[node].node.as_ref().is_some_and(|it| it.id == *id);
        if is_it { self.peer(node) } else { None }
    }

    /// Returns the node that the ring names, as it is now.
    pub(crate) fn seat_of(&self, owner: &str) -> Option<usize> {
        (0..self.seats.len()).find(|node| name(*node) == owner)
    }

    pub(crate) fn handed_over(&mut self, node: usize, token: u64, kept: Vec<ShardId>) {
        let asked = self.node(node).and_then(|it| it.hand_overs.remove(&token));
        if let Some((by, shards)) = asked {
            let kept = kept.into_iter().collect();
            self.tell_leases(node, LeasesInput::Answered { by, shards, kept });
        }
    }

    /// The shard works here no more, and nobody asked for that.
    pub(crate) fn fell(&mut self, node: usize, shard: ShardId) {
        self.parent_fell(node, shard);
        self.tell_leases(node, LeasesInput::Fell(shard));
        self.leave_if_empty(node);
    }

    /// The shard works here no more.
    pub(crate) fn ended(&mut self, node: usize, shard: ShardId) {
        self.tell_leases(node, LeasesInput::Ended(shard));
        self.leave_if_empty(node);
    }
}
