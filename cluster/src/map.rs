//! The shard map: which range of the key space is which shard. Stored, versioned; never a modulus.

use prost::Message;
use proto::ids::ShardId;

/// The shard map as it is stored.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ShardMap {
    /// Grows with each change.
    #[prost(uint64, tag = "1")]
    pub version: u64,
    /// In the order of their starts; the first starts at 0, each ends where the next one starts.
    #[prost(message, repeated, tag = "2")]
    pub ranges: Vec<Range>,
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
        Self { version: 1, ranges }
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

    /// Tells whether the ranges cover the key space, each once.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.ranges.first().is_some_and(|first| first.start == 0)
            && self.ranges.windows(2).all(|pair| pair[0].start < pair[1].start)
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
}
