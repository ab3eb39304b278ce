//! Which node shall own what: consistent hashing over the names of the members that may own something.
//!
//! The same on every node that sees the same members. It knows names, not generations: a node that restarts
//! gets what it had. Built when the view changes, then only read.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use hashring::HashRing;
use proto::ids::ShardId;
use xxhash_rust::xxh3::Xxh3;

use crate::{
    limits,
    view::{Member, View},
};

/// One of a node's points. Only the name and the number are hashed, byte by byte: the ring is part of what nodes
/// must agree on, so neither a derive nor the machine may have a say.
#[derive(Clone)]
struct Point {
    name: Arc<str>,
    number: u32,
    /// Where it stands in the order of the ring.
    place: usize,
}

impl Hash for Point {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.name.as_bytes());
        state.write(&[0xff]);
        state.write(&self.number.to_le_bytes());
    }
}

struct Key<'a>(&'a [u8]);

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0);
    }
}

/// Who shall own what.
#[derive(Clone)]
pub struct Ring {
    ring: HashRing<Point>,
    /// The owner of each place, as an index into `names`.
    owners: Arc<[usize]>,
    /// In order.
    names: Arc<[Arc<str>]>,
    fingerprint: u64,
}

impl Ring {
    /// Builds the ring of the members that may own something.
    #[must_use]
    pub fn of(view: &View) -> Self {
        Self::new(
            view.members()
                .iter()
                .filter(|member| member.may_own())
                .map(Member::name)
                .cloned(),
        )
    }

    /// Builds the ring of these nodes, in whatever order they come.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = Arc<str>>) -> Self {
        let mut names: Vec<Arc<str>> = names.into_iter().collect();
        names.sort_unstable();
        names.dedup();
        let points = names
            .iter()
            .flat_map(|name| (0..limits::VIRTUAL_NODES).map(|number| (Arc::clone(name), number)))
            .map(|(name, number)| Point {
                name,
                number,
                place: 0,
            })
            .collect();
        // hashring does not tell where `get` landed, which is needed to go on to the next owner. So the points
        // are ordered by it once, numbered in that order and put in again.
        let ordered: Vec<Point> = filled(points)
            .into_iter()
            .enumerate()
            .map(|(place, point)| Point { place, ..point })
            .collect();
        let owners = ordered
            .iter()
            .map(|point| names.binary_search(&point.name).unwrap_or_default())
            .collect();
        let mut hash = Xxh3::new();
        for name in &names {
            hash.update(name.as_bytes());
            hash.update(&[0xff]);
        }
        Self {
            ring: filled(ordered),
            owners,
            names: names.into(),
            fingerprint: hash.digest(),
        }
    }

    /// Returns the owner of the key, or none if no node may own anything. Costs O(log n).
    #[must_use]
    pub fn owner(&self, key: &[u8]) -> Option<&Arc<str>> {
        self.ring.get(&Key(key)).map(|point| &point.name)
    }

    #[must_use]
    pub fn owner_of_shard(&self, shard: ShardId) -> Option<&Arc<str>> {
        self.owner(&shard_key(shard))
    }

    /// Returns up to `count` nodes: the owner, then who would own the key if those before were gone.
    #[must_use]
    pub fn owners(&self, key: &[u8], count: usize) -> Vec<&Arc<str>> {
        let count = count.min(self.names.len());
        let Some(first) = self.ring.get(&Key(key)) else {
            return Vec::new();
        };
        let mut found: Vec<usize> = Vec::with_capacity(count);
        let around = self.owners[first.place..]
            .iter()
            .chain(&self.owners[..first.place]);
        for &owner in around {
            if found.len() == count {
                break;
            }
            if !found.contains(&owner) {
                found.push(owner);
            }
        }
        found.into_iter().map(|owner| &self.names[owner]).collect()
    }

    #[must_use]
    pub fn owners_of_shard(&self, shard: ShardId, count: usize) -> Vec<&Arc<str>> {
        self.owners(&shard_key(shard), count)
    }

    /// Returns the names of the nodes on the ring, in order.
    #[must_use]
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Returns a hash of the nodes: rings with the same one have the same owners.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

fn filled(points: Vec<Point>) -> HashRing<Point> {
    let mut ring = HashRing::new();
    ring.batch_add(points);
    ring
}

fn shard_key(shard: ShardId) -> [u8; 10] {
    let mut key = *b"shard/\0\0\0\0";
    key[6..].copy_from_slice(&shard.0.to_le_bytes());
    key
}

#[cfg(test)]
mod tests;
