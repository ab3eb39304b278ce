//! One life of a node: what it has in memory.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cluster::leases::Leases;
use matching::{input::PollToken, queue::Queue};
use membership::{gossip::Gossip, ring::Ring, view::View};
use proto::ids::{NodeId, QueueKey, ShardId};
use shard::{
    input::{Request, RunTarget, Token},
    shard::Shard,
};
use storage::shard::Lease;

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
