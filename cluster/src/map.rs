//! The shard map: which range of the key space is which shard. Stored, versioned; never a modulus.

pub mod change;

use std::{collections::BTreeSet, ops::RangeInclusive};

use prost::Message;
use proto::ids::ShardId;

use self::change::Change;

/// The shard map as it is stored.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ShardMap {
    /// Grows with each change.
    #[prost(uint64, tag = "1")]
    pub version: u64,
    /// In the order of their starts; the first starts at 0, each ends where the next one starts.
    #[prost(message, repeated, tag = "2")]
    pub ranges: Vec<Range>,
    /// Ids from here on were never given to a shard; 0 in maps of before there were splits.
    #[prost(uint32, tag = "3")]
    pub next_shard: u32,
    /// The split or merge that is wanted or under way: one at a time.
    #[prost(message, optional, tag = "4")]
    pub change: Option<Change>,
    /// Shards that are not in the map and may have rows, which nobody reads: they are to be deleted.
    #[prost(uint32, repeated, tag = "5")]
    pub garbage: Vec<u32>,
}

/// A change of the map that cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("find shard {0}: it is not in the map")]
    Unknown(ShardId),
    #[error("split shard {shard} at {at}: the point is not within it")]
    Outside { shard: ShardId, at: u64 },
    #[error("merge shards {0} and {1}: they are not neighbours")]
    Apart(ShardId, ShardId),
    #[error("name a new shard: all ids are used")]
    NoIds,
    #[error("split shard {0}: it has one position")]
    Narrow(ShardId),
    #[error("change the shard map: another change is under way")]
    UnderWay,
    #[error("change the shard map: no change is under way")]
    NoChange,
}

/// One shard's range.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Range {
    #[prost(uint64, tag = "1")]
    pub start: u64,
    #[prost(uint32, tag = "2")]
    pub shard: u32,
}

impl ShardMap {
    /// Divides the key space evenly.
    #[must_use]
    pub fn even(shards: u32) -> Self {
        let shards = shards.max(1);
        let width = u128::from(u64::MAX) + 1;
        let ranges = (0..shards)
            .map(|shard| {
                let start = width * u128::from(shard) / u128::from(shards);
                // Below 2^64, since shard < shards.
                Range {
                    start: u64::try_from(start).unwrap_or(u64::MAX),
                    shard,
                }
            })
            .collect();
        Self {
            version: 1,
            ranges,
            next_shard: shards,
            change: None,
            garbage: Vec::new(),
        }
    }

    /// Returns the map with this many new ids set aside, and the first of them. No id is used twice: what a retired
    /// shard has left behind must not be taken for another one's.
    pub fn reserve(&self, ids: u32) -> Result<(Self, ShardId), PlanError> {
        let used = self.ranges.iter().map(|range| range.shard).max();
        let first = used
            .map_or(0, |shard| shard.saturating_add(1))
            .max(self.next_shard);
        let next_shard = first.checked_add(ids).ok_or(PlanError::NoIds)?;
        let map = Self {
            next_shard,
            ..self.next()
        };
        Ok((map, ShardId(first)))
    }

    /// Returns the map in which two new shards, named by reserved ids, have taken the place of one: the left one
    /// ends where the right one begins, at `at`.
    pub fn split(&self, shard: ShardId, at: u64, left: ShardId, right: ShardId) -> Result<Self, PlanError> {
        let place = self.place(shard)?;
        let start = self.ranges[place].start;
        let last = self.last_position(place);
        if at <= start || at > last {
            return Err(PlanError::Outside { shard, at });
        }
        let halves = [(start, left), (at, right)].map(|(start, shard)| Range {
            start,
            shard: shard.0,
        });
        Ok(self.replace(place..=place, halves))
    }

    /// Returns the map in which a new shard, named by a reserved id, has taken the place of two neighbours.
    pub fn merge(&self, left: ShardId, right: ShardId, whole: ShardId) -> Result<Self, PlanError> {
        let (from, to) = (self.place(left)?, self.place(right)?);
        if to != from + 1 {
            return Err(PlanError::Apart(left, right));
        }
        let start = self.ranges[from].start;
        let whole = Range {
            start,
            shard: whole.0,
        };
        Ok(self.replace(from..=to, [whole]))
    }

    /// Returns the first and the last position of the shard.
    #[must_use]
    pub fn range(&self, shard: ShardId) -> Option<(u64, u64)> {
        let place = self.place(shard).ok()?;
        Some((self.ranges[place].start, self.last_position(place)))
    }

    fn place(&self, shard: ShardId) -> Result<usize, PlanError> {
        let place = self.ranges.iter().position(|range| range.shard == shard.0);
        place.ok_or(PlanError::Unknown(shard))
    }

    fn last_position(&self, place: usize) -> u64 {
        let next = self.ranges.get(place + 1);
        next.map_or(u64::MAX, |next| next.start - 1)
    }

    fn replace(&self, old: RangeInclusive<usize>, new: impl IntoIterator<Item = Range>) -> Self {
        let mut next = self.next();
        next.ranges.splice(old, new);
        next
    }

    /// Returns the map under its next version, for something of it to be changed.
    fn next(&self) -> Self {
        Self {
            version: self.version + 1,
            ..self.clone()
        }
    }

    /// Returns the shard that the position falls into.
    #[must_use]
    pub fn shard(&self, position: u64) -> ShardId {
        let at = self.ranges.partition_point(|range| range.start <= position);
        ShardId(
            self.ranges
                .get(at.saturating_sub(1))
                .map_or(0, |range| range.shard),
        )
    }

    pub fn shards(&self) -> impl Iterator<Item = ShardId> + '_ {
        self.ranges.iter().map(|range| ShardId(range.shard))
    }

    /// Tells whether the ranges cover the key space, each once, and no shard has two.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let shards: BTreeSet<u32> = self.ranges.iter().map(|range| range.shard).collect();
        self.ranges.first().is_some_and(|first| first.start == 0)
            && self.ranges.windows(2).all(|pair| pair[0].start < pair[1].start)
            && shards.len() == self.ranges.len()
            && (self.next_shard == 0 || shards.last().is_none_or(|last| *last < self.next_shard))
            && !self.garbage.iter().any(|shard| shards.contains(shard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_map_covers_the_key_space() {
        for shards in [1, 2, 3, 7, 64] {
            let map = ShardMap::even(shards);
            assert!(map.is_sound());
            assert_eq!(map.shard(0), ShardId(0));
            assert_eq!(map.shard(u64::MAX), ShardId(shards - 1));
        }
        let map = ShardMap::even(2);
        assert_eq!(map.shard((1 << 63) - 1), ShardId(0));
        assert_eq!(map.shard(1 << 63), ShardId(1));
    }

    #[test]
    fn split_and_merge_keep_every_other_position_where_it_was() {
        let map = ShardMap::even(4);
        let (reserved, first) = map.reserve(3).expect("ids");
        assert_eq!((first, reserved.next_shard), (ShardId(4), 7));
        let (start, last) = reserved.range(ShardId(1)).expect("a range");
        let at = start + (last - start) / 3;
        let split = reserved
            .split(ShardId(1), at, ShardId(4), ShardId(5))
            .expect("split");
        assert!(split.is_sound() && split.version == map.version + 2);
        assert_eq!(split.range(ShardId(4)), Some((start, at - 1)));
        assert_eq!(split.range(ShardId(5)), Some((at, last)));
        assert_eq!(split.range(ShardId(1)), None, "the parent is retired");
        for position in [0, start - 1, last + 1, u64::MAX] {
            assert_eq!(split.shard(position), map.shard(position), "{position}");
        }
        let merged = split.merge(ShardId(4), ShardId(5), ShardId(6)).expect("merged");
        assert!(merged.is_sound());
        assert_eq!(merged.range(ShardId(6)), Some((start, last)));
    }

    #[test]
    fn changes_that_make_no_sense_are_refused() {
        let map = ShardMap::even(2);
        let (start, last) = map.range(ShardId(1)).expect("a range");
        let split = |shard, at| map.split(shard, at, ShardId(2), ShardId(3)).err();
        let outside = |at| PlanError::Outside {
            shard: ShardId(1),
            at,
        };
        assert_eq!(split(ShardId(1), start), Some(outside(start)));
        assert_eq!(split(ShardId(1), start - 1), Some(outside(start - 1)));
        assert_eq!(split(ShardId(1), last), None, "the right half has one position");
        assert_eq!(split(ShardId(9), 5), Some(PlanError::Unknown(ShardId(9))));
        let apart = map.merge(ShardId(1), ShardId(0), ShardId(2)).err();
        assert_eq!(apart, Some(PlanError::Apart(ShardId(1), ShardId(0))));
        let full = ShardMap {
            next_shard: u32::MAX,
            ..map.clone()
        };
        assert_eq!(full.reserve(1).err(), Some(PlanError::NoIds));
    }

    #[test]
    fn ids_are_never_used_twice() {
        let mut map = ShardMap::even(1);
        let mut seen = BTreeSet::from([0]);
        for _ in 0..50 {
            let (reserved, first) = map.reserve(3).expect("ids");
            let [left, right, whole] = [0, 1, 2].map(|n| ShardId(first.0 + n));
            assert!([left, right, whole].into_iter().all(|id| seen.insert(id.0)));
            let only = ShardId(reserved.ranges[0].shard);
            let split = reserved.split(only, 1 << 63, left, right).expect("split");
            map = split.merge(left, right, whole).expect("merged");
            assert!(map.is_sound());
        }
        // A map of before there were splits knows its ids by its shards.
        let old = ShardMap {
            next_shard: 0,
            ..ShardMap::even(8)
        };
        assert!(old.is_sound());
        assert_eq!(old.reserve(1).expect("ids").1, ShardId(8));
    }

    #[test]
    fn shard_with_two_ranges_is_unsound() {
        let mut map = ShardMap::even(3);
        map.ranges[2].shard = 0;
        assert!(!map.is_sound());
    }
}
