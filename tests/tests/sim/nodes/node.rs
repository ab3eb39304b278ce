//! One life of a node: what it has in memory.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cluster::{leases::Leases, map::ShardMap};
use matching::{input::PollToken, queue::Queue};
use membership::{gossip::Gossip, ring::Ring, view::View};
use proto::ids::{NodeId, QueueKey, ShardId};
use shard::{
    feed::Feed,
    input::{Request, RunTarget, Token},
    shard::Shard,
};
use storage::shard::Lease;

use super::{
    carrier::{Carrier, Failures},
    deeds::For,
    sweeper::Sweeper,
};

pub(crate) struct Node {
    /// No other life of any node has it.
    pub(crate) life: u64,
    pub(crate) id: NodeId,
    pub(crate) gossip: Gossip,
    pub(crate) view: Arc<View>,
    pub(crate) ring: Ring,
    pub(crate) leases: Leases,
    pub(crate) held: BTreeMap<ShardId, Held>,
    /// Leases that are being acquired, by which attempt.
    pub(crate) taking: BTreeMap<ShardId, u64>,
    pub(crate) queues: BTreeMap<QueueKey, Queue>,
    /// Who is to hear what a shard of this node answers, and whether another node had the lease already.
    pub(crate) asked: BTreeMap<Token, (Origin, bool)>,
    /// What this node has asked another one for a client.
    pub(crate) forwarded: BTreeMap<Token, Waiting>,
    /// What waits for a shard to come here.
    pub(crate) parked: Vec<(Token, Origin, Waiting)>,
    /// Which node holds the poll that waits in a queue here.
    pub(crate) polls: BTreeMap<PollToken, Peer>,
    /// Shards that others were asked for.
    pub(crate) hand_overs: BTreeMap<u64, (NodeId, Vec<ShardId>)>,
    /// Who asked for shards of this node.
    pub(crate) askers: BTreeMap<u64, Peer>,
    /// The newest map that it has seen, and when it last doubted it.
    pub(crate) map: Arc<ShardMap>,
    pub(crate) doubted: Option<Duration>,
    /// What it does at the store besides, and for whom.
    pub(crate) deeds: BTreeMap<u64, For>,
    /// The split or merge that it is about.
    pub(crate) carrier: Option<Carrier>,
    pub(crate) failures: Failures,
    pub(crate) sweeper: Option<Sweeper>,
    /// Shards that are taken up once the change that drains them is made or given up.
    pub(crate) later: Vec<ShardId>,
    /// It gives up what it has, then ends.
    pub(crate) leaving: bool,
    /// When its next deadline is already in the calendar.
    pub(crate) wake: Option<Duration>,
}

/// A shard that works here.
pub(crate) struct Held {
    pub(crate) core: Shard,
    pub(crate) lease: Lease,
    /// The batch whose answer has not come.
    pub(crate) commit: Option<u64>,
    pub(crate) draining: bool,
    /// Nobody waits for it to end.
    pub(crate) given_up: bool,
    /// Where it tells what it commits.
    pub(crate) feed: Option<Feed>,
    pub(crate) flush: bool,
}

/// One life of another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) node: usize,
    pub(crate) life: u64,
}

/// Where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Client,
    Peer(Peer),
}

/// A request that is not answered yet.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) target: RunTarget,
    pub(crate) request: Request,
    pub(crate) until: Duration,
}
