//! What happens to the simulated cluster: faults drawn from the seed, then healing, then everything must come to its
//! end.

use std::time::Duration;

use proto::ids::TaskKind;

use super::{
    network::Network,
    work::WORKFLOWS,
    world::{Event, World},
};
use crate::records;

/// How long things go wrong.
const FAULTY: Duration = Duration::from_secs(90);
/// How long healing may take. The longest way: a ticket is lost at the last moment, and its shard looks for lost
/// tickets at growing intervals.
const HEALED_WITHIN: Duration = Duration::from_secs(900);

impl World {
    /// Runs the world to its end. Returns a digest of all that happened, and how many splits and merges were made.
    pub(crate) fn run(mut self) -> (u64, [u32; 2]) {
        for node in 0..self.seats.len() {
            let wait = Duration::from_millis(self.random.below(3_000) as u64);
            self.after(wait, Event::Start(node));
        }
        self.after(Duration::ZERO, Event::Client);
        self.after(Duration::ZERO, Event::Workers(TaskKind::Workflow));
        self.after(Duration::ZERO, Event::Workers(TaskKind::Activity));
        self.after(Duration::from_secs(5), Event::Fault);
        self.after(Duration::from_secs(4), Event::Wish);
        while self.now < FAULTY {
            self.step();
        }
        self.heal();
        let healed = self.now + HEALED_WITHIN;
        while !self.is_done() {
            assert!(self.now < healed, "stuck: {}", self.story_so_far());
            for _ in 0..200 {
                self.step();
            }
        }
        self.model.check(&self.store);
        for shard in self.map.shards() {
            records::check_rows(&self.store, shard);
        }
        (self.trace(), self.changes)
    }

    fn heal(&mut self) {
        self.faulty = false;
        self.network = Network::healthy();
        for node in 0..self.seats.len() {
            self.seats[node].paused = Duration::ZERO;
            self.after(Duration::ZERO, Event::Start(node));
        }
    }

    /// All nodes see the same, each shard is where it belongs and nowhere else, and all that was begun has ended.
    fn is_done(&self) -> bool {
        let nodes: Vec<_> = self.seats.iter().filter_map(|seat| seat.node.as_ref()).collect();
        let agreed = nodes.len() == self.seats.len()
            && nodes.iter().all(|node| {
                node.view.fingerprint() == nodes[0].view.fingerprint() && node.leases.is_settled()
            });
        let placed = self.map.shards().all(|shard| {
            let holders = nodes.iter().filter(|node| node.held.contains_key(&shard));
            let holders: Vec<_> = holders.map(|node| &node.id.name).collect();
            holders.len() == 1 && nodes[0].ring.owner_of_shard(shard) == Some(holders[0])
        });
        let closed = |n| self.model.is_closed(&self.store, &format!("order-{n}"));
        agreed && placed && self.is_unchanging() && (0..WORKFLOWS).all(closed)
    }

    fn story_so_far(&self) -> String {
        let nodes = self.seats.iter().filter_map(|seat| seat.node.as_ref());
        let nodes: Vec<_> = nodes
            .map(|node| {
                let held: Vec<_> = node.held.keys().map(|shard| shard.0).collect();
                let members = node.view.members().len();
                let parked = node.parked.len();
                format!(
                    "{}: {members} members, holds {held:?}, {parked} parked, map {}, {:?}",
                    node.id.name, node.map.version, node.leases
                )
            })
            .collect();
        let open = (0..WORKFLOWS).map(|n| format!("order-{n}"));
        let open = open.filter(|id| !self.model.is_closed(&self.store, id));
        let open: Vec<_> = open
            .map(|id| {
                let shard = self.map.shard(crate::requests::key(&id).position());
                format!("{id} in {shard}: {}", self.model.outline(&self.store, &id))
            })
            .collect();
        format!(
            "at {:?}, {:?}, {nodes:#?}, {open:#?}, map {:?}",
            self.now, self.model, self.map
        )
    }

    pub(crate) fn fault(&mut self) {
        if !self.faulty {
            return;
        }
        let wait = Duration::from_millis(500 + self.random.below(6_000) as u64);
        self.after(wait, Event::Fault);
        let nodes = self.seats.len();
        let (node, other) = (self.random.below(nodes), self.random.below(nodes));
        match self.random.below(12) {
            0 | 1 => {
                self.crash(node);
                self.start_later(node);
            }
            2 | 3 => {
                self.begin_leaving(node);
                self.start_later(node);
            }
            4 => self.network.cut(node, other),
            5 => {
                self.network.cut(node, other);
                self.network.cut(other, node);
            }
            6 => {
                for other in (0..nodes).filter(|other| *other != node) {
                    self.network.cut(node, other);
                    self.network.cut(other, node);
                }
            }
            7 => self.network.cut_store(node),
            8 => {
                let span = Duration::from_millis(self.random.below(12_000) as u64);
                self.seats[node].paused = self.now + span;
            }
            9 => self.network.worsen(&mut self.random),
            _ => self.network = Network::healthy(),
        }
    }

    /// Somebody starts the node again; nothing comes of it while it runs.
    pub(crate) fn start_later(&mut self, node: usize) {
        let wait = Duration::from_millis(self.random.below(25_000) as u64);
        self.after(wait, Event::Start(node));
    }
}
