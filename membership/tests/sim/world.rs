//! The world: nodes with their cores, the network between them, one clock.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use membership::{
    config::{Config, Timing},
    gossip::{Gossip, Input, Moment, Output, Parts},
    metrics::Metrics,
    ring::Ring,
    secret::SecretKey,
    view::{Member, Profile, State, View},
};
use proto::{ids::NodeId, time::Timestamp};

use crate::network::{Dice, Link, Network};

/// A node of the story; several processes may have been it.
pub(crate) type NodeIndex = usize;

struct Process {
    node: NodeIndex,
    core: Gossip,
    metrics: Arc<Metrics>,
    paused_until: Moment,
    ended: Option<Output>,
    up: bool,
    leaving: bool,
}

struct Flight {
    to: SocketAddr,
    from: NodeIndex,
    bytes: Vec<u8>,
}

pub(crate) struct World {
    seed: u64,
    timing: Timing,
    pub(crate) network: Network,
    pub(crate) dice: Dice,
    now: Moment,
    processes: Vec<Process>,
    /// Who listens where.
    listeners: BTreeMap<SocketAddr, usize>,
    flights: BTreeMap<u64, Flight>,
    arrivals: BinaryHeap<Reverse<(Moment, u64)>>,
    flown: u64,
    cuts: BTreeSet<Link>,
    generations: BTreeMap<NodeIndex, u64>,
    recorded: Option<Vec<(SocketAddr, Vec<u8>)>>,
    trace: u64,
    /// Something happened since it was last known whether all agree.
    stirred: bool,
}

fn address(node: NodeIndex) -> SocketAddr {
    ([10, 0, 0, u8::try_from(node).expect("few nodes")], 6_933).into()
}

impl World {
    pub(crate) fn new(seed: u64, timing: Timing, network: Network) -> Self {
        Self {
            seed,
            timing,
            network,
            dice: Dice::new(seed),
            now: Moment::ZERO,
            processes: Vec::new(),
            listeners: BTreeMap::new(),
            flights: BTreeMap::new(),
            arrivals: BinaryHeap::new(),
            flown: 0,
            cuts: BTreeSet::new(),
            generations: BTreeMap::new(),
            recorded: None,
            trace: 0,
            stirred: true,
        }
    }

    pub(crate) fn trace(&self) -> u64 {
        self.trace
    }

    /// Starts the node's next life; its seeds are the first two nodes.
    pub(crate) fn start(&mut self, node: NodeIndex) {
        self.start_at(node, address(node));
    }

    /// Starts the node's next life at another address while the former one may go on. Returns the former one.
    pub(crate) fn start_again_elsewhere(&mut self, node: NodeIndex) -> usize {
        let former = self.running(node).expect("a former life");
        self.processes[former].node = usize::MAX;
        self.cuts = self
            .cuts
            .iter()
            .map(|link| Link {
                from: if link.from == node { usize::MAX } else { link.from },
                to: if link.to == node { usize::MAX } else { link.to },
            })
            .collect();
        self.start_at(node, address(node + 100));
        former
    }

    fn start_at(&mut self, node: NodeIndex, address_of_it: SocketAddr) {
        assert!(self.running(node).is_none(), "{node} runs");
        let generation = self.generations.entry(node).or_default();
        *generation += 1;
        let profile = Profile {
            id: NodeId {
                name: format!("node-{node}").into(),
                generation: *generation,
            },
            gossip: address_of_it,
            peer: address_of_it,
            client: address_of_it,
            software: "0.1.0".into(),
            started: Timestamp::EPOCH + self.now,
        };
        let config = Config {
            bind: address_of_it,
            // Sealing costs most of the time of a debug build; some seeds pay it.
            keys: if self.seed.is_multiple_of(16) {
                vec![SecretKey::from_bytes([7; 32])]
            } else {
                Vec::new()
            },
            allow_plaintext: true,
            timing: self.timing.clone(),
            ..Config::default()
        };
        let mut seed = [0; 32];
        for chunk in seed.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.dice.next().to_le_bytes());
        }
        let metrics = Arc::<Metrics>::default();
        let core = Gossip::new(Parts {
            profile,
            config,
            seed,
            metrics: Arc::clone(&metrics),
        })
        .expect("a sound configuration");
        self.processes.push(Process {
            node,
            core,
            metrics,
            paused_until: Moment::ZERO,
            ended: None,
            up: true,
            leaving: false,
        });
        let process = self.processes.len() - 1;
        self.listeners.insert(address_of_it, process);
        self.drive(process, Input::Seeds(vec![address(0), address(1)]));
    }

    pub(crate) fn running(&self, node: NodeIndex) -> Option<usize> {
        self.processes
            .iter()
            .position(|process| process.node == node && process.up)
    }

    fn process_of(&self, node: NodeIndex) -> usize {
        self.running(node).expect("it runs")
    }

    pub(crate) fn crash(&mut self, node: NodeIndex) {
        let process = self.process_of(node);
        self.end(process);
    }

    fn end(&mut self, process: usize) {
        self.stirred = true;
        self.processes[process].up = false;
        self.listeners.retain(|_, listener| *listener != process);
    }

    pub(crate) fn pause(&mut self, node: NodeIndex, span: Duration) {
        let process = self.process_of(node);
        self.processes[process].paused_until = self.now + span;
    }

    pub(crate) fn set_leaving(&mut self, node: NodeIndex, leaving: bool) {
        let process = self.process_of(node);
        self.processes[process].leaving = leaving;
        self.drive(process, Input::SetLeaving(leaving));
    }

    pub(crate) fn leave(&mut self, node: NodeIndex) {
        let process = self.process_of(node);
        self.drive(process, Input::Leave);
    }

    pub(crate) fn cut(&mut self, link: Link) {
        self.cuts.insert(link);
    }

    /// Cuts every link between these nodes and the others.
    pub(crate) fn split(&mut self, some: &[NodeIndex]) {
        for from in 0..16 {
            for to in 0..16 {
                if some.contains(&from) != some.contains(&to) {
                    self.cut(Link { from, to });
                }
            }
        }
    }

    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
        self.network = Network::lan();
        for process in &mut self.processes {
            process.paused_until = process.paused_until.min(self.now);
        }
    }

    fn drive(&mut self, process: usize, input: Input<'_>) {
        let mut out = Vec::new();
        let it = &mut self.processes[process];
        it.core.handle(input, self.now, &mut out);
        for output in out {
            match output {
                Output::Send { to, bytes } => self.send(process, to, bytes),
                Output::View(view) => {
                    self.stirred = true;
                    self.trace =
                        self.trace.rotate_left(5) ^ view.fingerprint() ^ self.now.subsec_nanos() as u64;
                }
                Output::Left | Output::Superseded { .. } => {
                    self.processes[process].ended = Some(output);
                    self.end(process);
                }
            }
        }
    }

    fn send(&mut self, process: usize, to: SocketAddr, bytes: Vec<u8>) {
        let from = self.processes[process].node;
        if let Some(recorded) = &mut self.recorded {
            recorded.push((to, bytes.clone()));
        }
        if self.dice.chance(self.network.loss) {
            return;
        }
        let copies = 1 + usize::from(self.dice.chance(self.network.duplicates));
        for _ in 0..copies {
            let bytes = bytes.clone();
            self.fly(Flight { to, from, bytes });
        }
    }

    fn fly(&mut self, flight: Flight) {
        let at = self.now + self.dice.between(self.network.delay);
        self.flown += 1;
        self.flights.insert(self.flown, flight);
        self.arrivals.push(Reverse((at, self.flown)));
    }

    fn arrive(&mut self, number: u64) {
        let flight = self.flights.remove(&number).expect("in flight");
        let Some(&process) = self.listeners.get(&flight.to) else {
            return;
        };
        let it = &self.processes[process];
        let link = Link {
            from: flight.from,
            to: it.node,
        };
        if self.cuts.contains(&link) {
            return;
        }
        if it.paused_until > self.now {
            // Waits in the socket's buffer.
            self.flights.insert(number, flight);
            self.arrivals.push(Reverse((it.paused_until, number)));
            return;
        }
        self.drive(process, Input::Datagram(&flight.bytes));
    }

    /// Lets the next thing happen that happens before `end`.
    fn step(&mut self, end: Moment) -> bool {
        let arrival = self.arrivals.peek().map(|Reverse((at, _))| *at);
        let tick = self
            .processes
            .iter()
            .enumerate()
            .filter(|(_, process)| process.up)
            .filter_map(|(index, process)| {
                let deadline = process.core.next_deadline()?;
                Some((deadline.max(process.paused_until), index))
            })
            .min();
        let tick_first = match (arrival, tick) {
            (Some(arrival), Some((tick, _))) => tick < arrival,
            (None, Some(_)) => true,
            (Some(_), None) => false,
            (None, None) => return false,
        };
        let at = if tick_first {
            tick.expect("first").0
        } else {
            arrival.expect("first")
        };
        if at > end {
            return false;
        }
        self.now = self.now.max(at);
        if tick_first {
            self.drive(tick.expect("first").1, Input::Tick);
        } else if let Some(Reverse((_, number))) = self.arrivals.pop() {
            self.arrive(number);
        }
        true
    }

    pub(crate) fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until all that run see each other as they are, and tells how long that took.
    pub(crate) fn run_until_settled(&mut self, bound: Duration) -> Duration {
        let start = self.now;
        self.stirred = true;
        while !(std::mem::take(&mut self.stirred) && self.is_settled()) {
            if !self.step(start + bound) {
                panic!(
                    "seed {}: not settled after {bound:?}:\n{}",
                    self.seed,
                    self.describe()
                );
            }
        }
        self.now - start
    }

    fn truth(&self) -> Vec<(String, u64, bool)> {
        let mut truth: Vec<_> = self
            .processes
            .iter()
            .filter(|process| process.up && process.node != usize::MAX)
            .map(|process| {
                (
                    format!("node-{}", process.node),
                    self.generations[&process.node],
                    process.leaving,
                )
            })
            .collect();
        truth.sort();
        truth
    }

    pub(crate) fn is_settled(&self) -> bool {
        let truth = self.truth();
        let mut running = self.processes.iter().filter(|process| process.up);
        let all_true = running.all(|process| {
            let view = process.core.view();
            let seen = view.members().iter().map(|member| {
                let leaving = member.state == State::Leaving;
                (&**member.name(), member.profile.id.generation, leaving)
            });
            let suspects = view.members().iter().any(|m| m.state == State::Suspect);
            !suspects
                && seen.eq(truth
                    .iter()
                    .map(|(name, generation, leaving)| (&**name, *generation, *leaving)))
        });
        let views: BTreeSet<u64> = self
            .processes
            .iter()
            .filter(|process| process.up)
            .map(|process| process.core.view().fingerprint())
            .collect();
        all_true && views.len() <= 1
    }

    fn describe(&self) -> String {
        let mut text = format!("truth: {:?}\n", self.truth());
        for process in self.processes.iter().filter(|process| process.up) {
            let seen: Vec<String> = process
                .core
                .view()
                .members()
                .iter()
                .map(|m| format!("{}/{} {:?}", m.name(), m.profile.id.generation, m.state))
                .collect();
            text += &format!(
                "{} sees {seen:?}, lost {}\n",
                process.node,
                process.core.view().lost()
            );
        }
        text
    }

    fn up(&self) -> impl Iterator<Item = &Process> {
        self.processes.iter().filter(|process| process.up)
    }

    /// Counts how often any node that runs found another one dead.
    pub(crate) fn failures_seen(&self) -> u64 {
        self.up()
            .map(|process| process.metrics.members_failed.value())
            .sum()
    }

    pub(crate) fn failures_seen_by(&self, node: NodeIndex) -> u64 {
        self.processes[self.process_of(node)]
            .metrics
            .members_failed
            .value()
    }

    pub(crate) fn lost_seen(&self) -> usize {
        self.up().map(|process| process.core.view().lost()).sum()
    }

    pub(crate) fn members_seen_by(&self, node: NodeIndex) -> usize {
        self.processes[self.process_of(node)].core.view().members().len()
    }

    pub(crate) fn state_of(&self, node: NodeIndex, seen_by: NodeIndex) -> Option<State> {
        let view = self.processes[self.process_of(seen_by)].core.view();
        view.member(&format!("node-{node}")).map(|member| member.state)
    }

    pub(crate) fn is_superseded(&self, process: usize) -> bool {
        matches!(self.processes[process].ended, Some(Output::Superseded { .. }))
    }

    pub(crate) fn owns_nothing(&self, process: usize) -> bool {
        let view = self.processes[process].core.view();
        let me = view.member(view.me()).map(Member::may_own);
        me == Some(false) && !Ring::of(view).names().contains(view.me())
    }

    pub(crate) fn views(&self) -> Vec<View> {
        self.up().map(|process| (**process.core.view()).clone()).collect()
    }

    pub(crate) fn record(&mut self) {
        self.recorded = Some(Vec::new());
    }

    /// Sends every datagram again that was ever sent.
    pub(crate) fn replay_everything(&mut self) {
        let recorded = self.recorded.take().expect("recorded");
        for (to, bytes) in recorded.clone() {
            self.fly(Flight { to, from: 99, bytes });
        }
        self.recorded = Some(recorded);
    }
}
