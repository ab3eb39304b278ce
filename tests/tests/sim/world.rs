//! The simulated world: a client, workers, queues, one shard, its owners and its store; what is acknowledged is
//! remembered and compared with what is there in the end.

use std::{
    collections::BTreeMap,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use matching::{
    input::{Input as QueueInput, PollToken},
    queue::Queue,
};
use proto::{
    ids::{NamespaceId, QueueKey, ShardId, TaskKind},
    time::Timestamp,
};
use shard::{
    input::{Input, Request, RunTarget, Token},
    output::Output,
};
use storage::{memory::MemoryStore, shard::BatchLimits};

use crate::{
    mail::Mail,
    owners::Owner,
    random::Random,
    records::{self, Model},
    worker::SIGNALS,
};

pub(crate) const NAMESPACE: NamespaceId = NamespaceId::from_bytes([7; 16]);
pub(crate) const SHARD: ShardId = ShardId(0);
pub(crate) const WORKFLOWS: usize = 4;
/// Steps with faults; then everything works and must come to its end.
const FAULTY_STEPS: usize = 150;
const HEALING_STEPS: usize = 600;

/// What the store takes in one commit: what a laptop's takes, what Cassandra's takes, and less than one step.
const LIMITS: [BatchLimits; 3] = [
    BatchLimits {
        bytes: 4 << 20,
        writes: 8192,
    },
    BatchLimits {
        bytes: 4_000,
        writes: 24,
    },
    BatchLimits { bytes: 1, writes: 1 },
];

/// What an answer is waited for.
#[derive(Clone, Debug)]
pub(crate) enum Waiting {
    Start(String),
    Signal(String, String),
    Begin(RunTarget),
    Complete { workflow: String, ends: bool },
    Activity,
}

impl Waiting {
    /// Returns the workflow of which something is acknowledged.
    pub(crate) fn workflow(&self) -> Option<&str> {
        match self {
            Self::Start(id) | Self::Signal(id, _) => Some(id),
            Self::Complete { workflow, .. } => Some(workflow),
            Self::Begin(_) | Self::Activity => None,
        }
    }
}

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) now: Timestamp,
    pub(crate) store: MemoryStore,
    /// By the epochs of their leases: only the newest can commit.
    pub(crate) owners: BTreeMap<u64, Owner>,
    pub(crate) queues: BTreeMap<QueueKey, Queue>,
    pub(crate) mail: Vec<Mail>,
    pub(crate) waiting: BTreeMap<Token, Waiting>,
    /// Which owner is to answer.
    pub(crate) asked_of: BTreeMap<Token, u64>,
    /// Requests that wait for the next owner.
    pub(crate) parked: Vec<(Token, RunTarget, Request)>,
    pub(crate) polls: BTreeMap<PollToken, QueueKey>,
    pub(crate) tokens: u64,
    pub(crate) faulty: bool,
    /// The store loses rows, as none should: the auditor finds them.
    pub(crate) lossy: bool,
    pub(crate) model: Model,
    trace: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let lossy = random.one_in(3);
        let store = MemoryStore::with_limits(LIMITS[random.below(LIMITS.len())]);
        Self {
            random,
            now: Timestamp::from_seconds(1_000_000),
            store,
            owners: BTreeMap::new(),
            queues: BTreeMap::new(),
            mail: Vec::new(),
            waiting: BTreeMap::new(),
            asked_of: BTreeMap::new(),
            parked: Vec::new(),
            polls: BTreeMap::new(),
            tokens: 0,
            faulty: true,
            lossy,
            model: Model::default(),
            trace: 0,
        }
    }

    /// Runs the world to its end. Returns a digest of all that happened.
    pub(crate) fn run(mut self) -> u64 {
        self.recover();
        for _ in 0..FAULTY_STEPS {
            self.step();
        }
        self.faulty = false;
        self.heal();
        self.model.check(&self.store);
        if !self.lossy {
            records::check_rows(&self.store, SHARD);
        }
        self.trace
    }

    fn step(&mut self) {
        match self.random.below(15) {
            0 => self.start(),
            1 => self.signal(),
            2 | 3 => self.poll(TaskKind::Workflow),
            4 => self.poll(TaskKind::Activity),
            5..=8 => self.deliver(),
            9 | 10 => self.finish_commit(),
            11 => self.pass_time(),
            12 => self.flush(),
            13 => match self.random.below(8) {
                0 | 1 => self.hand_over(),
                2 => self.take_over(),
                _ => {}
            },
            _ if self.random.one_in(4) => self.crash(),
            _ => {}
        }
    }

    fn heal(&mut self) {
        for _ in 0..HEALING_STEPS {
            for n in 0..WORKFLOWS {
                let id = format!("order-{n}");
                if !self.model.runs.contains_key(&id) && self.asked(&id) {
                    self.start_one(n);
                }
                let known = self.model.signals.get(&id).cloned().unwrap_or_default();
                let fresh = (0..SIGNALS).find(|request| !known.contains(&format!("signal-{n}-{request}")));
                if let Some(request) = fresh
                    && known.len() < SIGNALS
                    && self.model.runs.contains_key(&id)
                    && !self.model.ended.contains(&id)
                {
                    self.signal_one(n, request);
                }
            }
            self.flush();
            self.finish_commit();
            while !self.mail.is_empty() {
                self.deliver();
            }
            for kind in [TaskKind::Workflow, TaskKind::Activity] {
                if !self.polls.values().any(|queue| queue.kind == kind) {
                    self.poll(kind);
                }
            }
            if self
                .model
                .runs
                .keys()
                .all(|id| self.model.is_closed(&self.store, id))
                && self.nothing_open()
            {
                return;
            }
            if self.mail.is_empty() && self.nothing_under_way() {
                self.pass_time();
            }
        }
        panic!("stuck: {:?}", self.model);
    }

    fn asked(&self, id: &str) -> bool {
        self.waiting
            .values()
            .all(|waiting| !matches!(waiting, Waiting::Start(other) if other == id))
    }

    fn nothing_open(&self) -> bool {
        self.model.runs.len() == WORKFLOWS && self.nothing_under_way()
    }

    fn nothing_under_way(&self) -> bool {
        self.owners.values().all(|owner| owner.commit.is_none())
    }

    fn pass_time(&mut self) {
        let due = self
            .owners
            .values()
            .filter_map(|owner| owner.shard.next_deadline());
        let queues = self.queues.values().filter_map(|queue| queue.next_deadline());
        let next = queues.map(|(at, _)| at).chain(due).min();
        let next = next.unwrap_or(self.now + Duration::from_secs(1));
        let random = self.now + Duration::from_millis(self.random.below(2_000) as u64);
        self.now = if self.faulty { random } else { next.max(self.now) };
        let owners: Vec<u64> = self.owners.keys().copied().collect();
        for owner in owners {
            self.feed_to(owner, Input::Tick);
        }
        let queues: Vec<_> = self.queues.keys().cloned().collect();
        for queue in queues {
            self.tell_queue(&queue, QueueInput::Tick);
        }
    }

    pub(crate) fn token(&mut self) -> u64 {
        self.tokens += 1;
        self.tokens
    }

    /// Takes the output into the digest.
    pub(crate) fn note(&mut self, output: &Output) {
        for byte in format!("{output:?}").bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }
}

/// Takes the result of a future that needs nothing to wait for.
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the memory store waits for nothing"),
    }
}
