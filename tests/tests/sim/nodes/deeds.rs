//! Deeds: what nodes do at the store besides their shards' own commits. The map is read and written, rows are copied
//! and swept; each deed ends in one outcome, and a late one has nobody to hear of it.

use std::sync::Arc;

use cluster::map::ShardMap;
use proto::{
    ids::{NodeId, ShardId},
    time::Timestamp,
};
use shard::moving::{self, Rows, Spot};
use storage::{
    batch::Batch,
    shard::{Lease, ShardStore},
};

use super::{
    node::Peer,
    store::{Answer, GIVES_UP_AFTER, Operation},
    world::{Local, World},
};
use crate::world::ready;

/// Rows of a page at most: few, so that a shard takes many.
const PAGE: usize = 5;

#[derive(Clone, Debug)]
pub(crate) enum Deed {
    ReadMap,
    /// Puts the map in the place of the one of that version.
    WriteMap {
        from: u64,
        map: ShardMap,
    },
    Lease {
        shard: ShardId,
        above: u64,
    },
    Detach(Lease),
    Read {
        shard: ShardId,
        from: Spot,
        limit: usize,
    },
    Put {
        lease: Lease,
        batch: Batch,
    },
}

/// What has come of a deed.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Map(Arc<ShardMap>),
    Written(Arc<ShardMap>),
    Refused,
    Leased(Lease),
    Detached,
    Rows(Rows),
    Put,
    /// It was not done, or nobody knows whether it was.
    Failed,
}

/// Whom the outcome is for.
#[derive(Clone, Debug)]
pub(crate) enum For {
    /// The node, which wants to know the map.
    Node,
    /// A shard whose lease was taken.
    TakeUp {
        lease: Lease,
        attempt: u64,
        asked_at: Timestamp,
    },
    /// The change that the node is about, and which child or parent of it.
    Carrier {
        round: u64,
        place: usize,
    },
    Sweeper(u64),
    /// Somebody who wants a split or merge.
    Operator,
}

impl World {
    pub(crate) fn deed(&mut self, node: usize, deed: Deed, by: For) {
        let token = self.number();
        let Some(it) = self.node(node) else { return };
        it.deeds.insert(token, by);
        self.operate(node, Operation::Deed { token, deed });
        let outcome = Box::new(Outcome::Failed);
        self.here(
            node,
            GIVES_UP_AFTER,
            Local::Stored(Answer::Deed { token, outcome }),
        );
    }

    /// A deed comes to the store, whatever has become of its sender.
    pub(crate) fn arrive_deed(&mut self, by: Peer, deed: Deed) -> Outcome {
        match deed {
            Deed::ReadMap => Outcome::Map(Arc::clone(&self.map)),
            Deed::WriteMap { from, map } => {
                if self.map.version != from {
                    return Outcome::Refused;
                }
                self.land(map);
                Outcome::Written(Arc::clone(&self.map))
            }
            Deed::Lease { shard, above } => Outcome::Leased(self.acquire(by, shard, above)),
            Deed::Detach(lease) => {
                // A backend that keeps histories apart has nothing to move, and refuses nobody.
                if self.random.one_in(2) || ready(self.store.holds(&lease)).expect("read") {
                    Outcome::Detached
                } else {
                    Outcome::Failed
                }
            }
            Deed::Read { shard, from, limit } => {
                let limit = limit.min(1 + self.random.below(PAGE));
                Outcome::Rows(ready(moving::read(&self.store, shard, &from, limit)).expect("rows"))
            }
            Deed::Put { lease, batch } => {
                let put = ready(self.store.commit(&lease, batch)).is_ok();
                if put { Outcome::Put } else { Outcome::Failed }
            }
        }
    }

    /// Takes a lease, and counts epochs apart from the store.
    pub(crate) fn acquire(&mut self, by: Peer, shard: ShardId, above: u64) -> Lease {
        let id = NodeId {
            name: format!("node-{}", by.node).into(),
            generation: by.life,
        };
        let lease = ready(self.store.acquire_above(shard, &id, above)).expect("a lease");
        let newest = self.epochs.entry(shard).or_default();
        assert!(lease.epoch > *newest, "an epoch is given once");
        *newest = lease.epoch;
        lease
    }

    /// The outcome has come; only the first one counts.
    pub(crate) fn deed_done(&mut self, node: usize, token: u64, outcome: Outcome) {
        let by = self.node(node).and_then(|it| it.deeds.remove(&token));
        let Some(by) = by else { return };
        if let Outcome::Map(map) | Outcome::Written(map) = &outcome {
            let map = Arc::clone(map);
            self.learn(node, &map);
        }
        if let Outcome::Written(_) = &outcome {
            self.tell_news(node);
        }
        match by {
            For::Node => {}
            For::TakeUp {
                lease,
                attempt,
                asked_at,
            } => self.looked(node, (lease, attempt, asked_at), outcome),
            For::Carrier { round, place } => self.carried(node, round, place, outcome),
            For::Sweeper(id) => self.swept(node, id, outcome),
            For::Operator => self.operator_read(node, outcome),
        }
    }
}
