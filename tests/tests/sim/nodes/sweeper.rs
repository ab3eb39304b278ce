//! Sweepers of the simulated cluster: they delete the rows of shards that are gone.

use std::{sync::Arc, time::Duration};

use cluster::split::sweep::{REST, Sweep};
use proto::ids::ShardId;
use storage::shard::Lease;

use super::{
    deeds::{Deed, For, Outcome},
    world::{Local, World},
};

/// How long until rows that could not be deleted are looked at again.
const RETRY: Duration = Duration::from_secs(10);

/// A shard whose rows are deleted.
pub(crate) struct Sweeper {
    id: u64,
    shard: ShardId,
    under: Option<(Lease, Sweep)>,
}

impl World {
    pub(crate) fn begin_sweep(&mut self, node: usize) {
        let id = self.number();
        let Some(it) = self.node(node) else { return };
        if it.sweeper.is_some() {
            return;
        }
        let mut garbage = it.map.garbage.iter().copied().map(ShardId);
        let Some(shard) = garbage.find(|shard| it.ring.owner_of_shard(*shard) == Some(&it.id.name)) else {
            return;
        };
        it.sweeper = Some(Sweeper {
            id,
            shard,
            under: None,
        });
        self.here(node, REST, Local::Sweep(id));
    }

    pub(crate) fn sweep(&mut self, node: usize, id: u64) {
        let sweeper = self.node(node).and_then(|it| it.sweeper.as_ref());
        if let Some(shard) = sweeper.filter(|it| it.id == id).map(|it| it.shard) {
            self.deed(node, Deed::Lease { shard, above: 0 }, For::Sweeper(id));
        }
    }

    pub(crate) fn swept(&mut self, node: usize, id: u64, outcome: Outcome) {
        let sweeper = self.node(node).and_then(|it| it.sweeper.as_mut());
        let Some(sweeper) = sweeper.filter(|sweeper| sweeper.id == id) else {
            return;
        };
        let shard = sweeper.shard;
        let next = match outcome {
            Outcome::Leased(lease) => {
                let sweep = Sweep::new(&lease);
                sweeper.under = Some((lease, sweep));
                sweeper.read()
            }
            Outcome::Rows(rows) => {
                let (lease, sweep) = sweeper.under.as_mut().expect("it is leased");
                match sweep.read(rows) {
                    Some(batch) => Deed::Put {
                        lease: lease.clone(),
                        batch,
                    },
                    None => sweeper.read(),
                }
            }
            Outcome::Put => sweeper.read(),
            Outcome::Map(map) if map.garbage.contains(&shard.0) => Deed::WriteMap {
                from: map.version,
                map: map.cleaned(shard),
            },
            Outcome::Refused => Deed::ReadMap,
            Outcome::Map(_) | Outcome::Written(_) => return self.end_sweep(node, Duration::ZERO),
            Outcome::Detached | Outcome::Failed => return self.end_sweep(node, RETRY),
        };
        self.deed(node, next, For::Sweeper(id));
    }

    fn end_sweep(&mut self, node: usize, wait: Duration) {
        if let Some(it) = self.node(node) {
            it.sweeper = None;
        }
        self.here(node, wait, Local::Changes);
    }

    /// Tells whether the stored map and all nodes are done with splits and merges.
    pub(crate) fn is_unchanging(&self) -> bool {
        let knows = |seat: &super::world::Seat| {
            let node = seat.node.as_ref();
            node.is_some_and(|it| Arc::ptr_eq(&it.map, &self.map) || it.map == self.map)
        };
        self.map.change.is_none() && self.map.garbage.is_empty() && self.seats.iter().all(knows)
    }
}

impl Sweeper {
    /// Returns what comes after rows that were deleted, or were not there.
    fn read(&self) -> Deed {
        let shard = self.shard;
        let wants = self.under.as_ref().and_then(|(_, sweep)| sweep.wants());
        wants.map_or(Deed::ReadMap, |(from, limit)| Deed::Read { shard, from, limit })
    }
}
