//! The shard map in the simulated cluster: the stored one and what may be written of it, what each node knows of it,
//! and who wants shards to be split and merged.

use std::{sync::Arc, time::Duration};

use cluster::{
    leases::Input as LeasesInput,
    map::{
        ShardMap,
        change::{Change, Serve},
    },
};
use proto::{ids::ShardId, time::Timestamp};
use shard::moving;
use storage::{
    batch::Table,
    shard::{Lease, Row, ShardStore},
};

use super::{
    calls::Message,
    deeds::{Deed, For, Outcome},
    world::{Event, Local, World},
};
use crate::world::ready;

/// How often a node looks for a newer map because somebody else does not have what it should.
const DOUBT_EVERY: Duration = Duration::from_millis(500);
/// How often a node reads the map although nobody says that it has changed.
const READ_EVERY: Duration = Duration::from_secs(10);
/// Shards beyond which they are merged sooner than split, and the other way round.
const SHARDS_MANY: usize = 7;
const SHARDS_FEW: usize = 3;

impl World {
    /// A map comes into the place of the one before.
    pub(crate) fn land(&mut self, map: ShardMap) {
        let before = std::mem::replace(&mut self.map, Arc::new(map));
        let map = &self.map;
        assert!(map.is_sound(), "the map covers each position once: {map:?}");
        assert_eq!(map.version, before.version + 1);
        let filled = |map: &ShardMap| map.change.clone().map_or_else(Vec::new, |change| change.children);
        for child in filled(map) {
            let is_new = !filled(&before).contains(&child);
            assert!(!is_new || self.used.insert(child), "an id is used once: {child}");
        }
        if map.ranges == before.ranges {
            return;
        }
        let change = before.change.clone().expect("only a change changes ranges");
        let kind = usize::from(change.is_merge());
        self.changes[kind] += 1;
        self.check_children(&before, &change);
    }

    /// The new shards have what their parents have: nothing is missing, old or too much.
    fn check_children(&self, before: &ShardMap, change: &Change) {
        let shards = |ids: &[u32]| ids.iter().copied().map(ShardId).collect::<Vec<_>>();
        let (parents, children) = (shards(&change.parents), shards(&change.children));
        assert!(parents.iter().all(|parent| before.range(*parent).is_some()));
        for table in Table::ALL {
            let all = |shards: &[ShardId]| {
                let mut rows: Vec<_> = shards.iter().flat_map(|shard| self.rows(*shard, table)).collect();
                rows.sort_by(|one, other| one.key.cmp(&other.key));
                rows
            };
            assert_eq!(all(&children), all(&parents), "rows of {table:?} are copied");
            for child in &children {
                let (start, last) = self.map.range(*child).expect("it is in the map");
                for row in self.rows(*child, table) {
                    let position = moving::position(table, &row.key).expect("own row");
                    assert!((start..=last).contains(&position), "{child} has its own rows");
                }
            }
        }
    }

    pub(crate) fn rows(&self, shard: ShardId, table: Table) -> Vec<Row> {
        ready(self.store.scan(shard, table, b"", None, usize::MAX)).expect("rows")
    }

    /// The node has read or written a map.
    pub(crate) fn learn(&mut self, node: usize, map: &Arc<ShardMap>) {
        let Some(it) = self.node(node) else { return };
        if map.version <= it.map.version {
            return;
        }
        it.map = Arc::clone(map);
        self.place(node);
        self.hear_of_map(node);
        self.see_to_changes(node);
    }

    /// Tells the others that the map has changed.
    pub(crate) fn tell_news(&mut self, node: usize) {
        for other in self.running() {
            if other != node {
                self.send_to_seat(node, other, Message::News);
            }
        }
    }

    /// What is said of a new map may get lost.
    pub(crate) fn read_map_again(&mut self, node: usize) {
        self.read_map(node);
        self.here(node, READ_EVERY, Local::ReadMap);
    }

    pub(crate) fn read_map(&mut self, node: usize) {
        self.deed(node, Deed::ReadMap, For::Node);
    }

    /// Somebody does not have what it should by the map that this node knows.
    pub(crate) fn doubt_map(&mut self, node: usize) {
        let now = self.now;
        let Some(it) = self.node(node) else { return };
        if it.doubted.is_none_or(|at| now - at >= DOUBT_EVERY) {
            it.doubted = Some(now);
            self.read_map(node);
        }
    }

    /// Another node knows a map of this version.
    pub(crate) fn heard_of_map(&mut self, node: usize, version: u64) {
        if self.node(node).is_some_and(|it| version > it.map.version) {
            self.doubt_map(node);
        }
    }

    /// A lease is here: the map says whether the shard is served.
    pub(crate) fn look(&mut self, node: usize, lease: Lease, asked_at: Timestamp) {
        let attempt = self.number();
        let Some(it) = self.node(node) else { return };
        it.taking.insert(lease.shard, attempt);
        let by = For::TakeUp {
            lease,
            attempt,
            asked_at,
        };
        self.deed(node, Deed::ReadMap, by);
    }

    /// The map was read, or written, for a shard that is taken up.
    pub(crate) fn looked(
        &mut self,
        node: usize,
        (lease, attempt, asked_at): (Lease, u64, Timestamp),
        outcome: Outcome,
    ) {
        let shard = lease.shard;
        let is_taking = |it: &mut super::node::Node| it.taking.get(&shard) == Some(&attempt);
        if !self.node(node).is_some_and(is_taking) {
            return;
        }
        let by = For::TakeUp {
            lease: lease.clone(),
            attempt,
            asked_at,
        };
        let serve = match outcome {
            Outcome::Map(map) => match map.serve(shard) {
                Serve::Yes => true,
                Serve::No => false,
                Serve::After(withdrawn) => {
                    let from = map.version;
                    let map = withdrawn;
                    return self.deed(node, Deed::WriteMap { from, map }, by);
                }
            },
            Outcome::Written(_) => true,
            Outcome::Refused => return self.deed(node, Deed::ReadMap, by),
            _ => false,
        };
        if let Some(it) = self.node(node) {
            it.taking.remove(&shard);
        }
        if serve {
            self.leased(node, lease, asked_at);
        } else {
            self.tell_leases(node, LeasesInput::NotTakenUp(shard));
        }
    }

    /// Somebody wants a split or a merge, or has changed his mind.
    pub(crate) fn wish(&mut self) {
        if !self.faulty {
            return;
        }
        let wait = Duration::from_millis(500 + self.random.below(8_000) as u64);
        self.after(wait, Event::Wish);
        let running = self.running();
        if !running.is_empty() {
            let node = running[self.random.below(running.len())];
            self.deed(node, Deed::ReadMap, For::Operator);
        }
    }

    pub(crate) fn operator_read(&mut self, node: usize, outcome: Outcome) {
        let Outcome::Map(map) = outcome else { return };
        let shards: Vec<_> = map.shards().collect();
        let place = self.random.below(shards.len());
        let (shard, next) = (shards[place], shards.get(place + 1));
        let merges = match shards.len() {
            ..SHARDS_FEW => false,
            SHARDS_MANY.. => true,
            _ => self.random.one_in(2),
        };
        let wanted = match (&map.change, next) {
            (Some(_), _) if self.random.one_in(12) => Ok(map.cancel()),
            (Some(_), _) => return,
            (None, Some(next)) if merges => map.want_merge(shard, *next),
            (None, _) => {
                let (start, last) = map.range(shard).expect("it is in the map");
                let at = start + self.random.next() % (last - start).max(1) + 1;
                let at = self.random.one_in(3).then_some(at);
                map.want_split(shard, at)
            }
        };
        if let Ok(wanted) = wanted {
            let from = map.version;
            self.deed(node, Deed::WriteMap { from, map: wanted }, For::Operator);
        }
    }

    /// Takes up what waited until a change was made or given up.
    pub(crate) fn take_up_later(&mut self, node: usize) {
        let Some(it) = self.node(node) else { return };
        for shard in std::mem::take(&mut it.later) {
            self.here(node, Duration::from_micros(20), Local::TakeUp(shard));
        }
    }
}
