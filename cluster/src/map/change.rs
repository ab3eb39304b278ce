//! Change: a split or merge as the map knows it, from an operator's wish to the one write that makes it true.
//!
//! Each step is a conditional write of the whole map, so a step of somebody who has been overtaken is refused:
//!
//! ```text
//! want -> begin -> finish
//!           |^
//!    withdraw  (whoever takes a parent up again; then somebody begins anew)
//! ```

use prost::Message;
use proto::ids::ShardId;

use super::{PlanError, ShardMap};

/// A split or merge that an operator wants.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Change {
    /// One shard to split, or two neighbours to merge, the left one first.
    #[prost(uint32, repeated, tag = "1")]
    pub parents: Vec<u32>,
    /// Where the right half of a split begins; 0 leaves it to whoever begins.
    #[prost(uint64, tag = "2")]
    pub at: u64,
    /// The new shards while somebody fills them; none before, and after that was given up.
    #[prost(uint32, repeated, tag = "3")]
    pub children: Vec<u32>,
}

impl Change {
    #[must_use]
    pub fn is_merge(&self) -> bool {
        self.parents.len() > 1
    }

    #[must_use]
    pub fn has_parent(&self, shard: ShardId) -> bool {
        self.parents.contains(&shard.0)
    }

    /// Returns the shard whose owner sees to the change.
    #[must_use]
    pub fn leader(&self) -> Option<ShardId> {
        self.parents.first().copied().map(ShardId)
    }
}

/// What whoever has just taken a shard's lease does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serve {
    /// The shard is not in the map: it is not served.
    No,
    Yes,
    /// Somebody may be filling shards that are to replace it. It is served once this map is in the place of the one that
    /// was read: they cannot finish then. What is committed under the new lease would be missing there.
    After(ShardMap),
}

impl ShardMap {
    /// Returns what to do with a shard whose lease was taken before this map was read.
    #[must_use]
    pub fn serve(&self, shard: ShardId) -> Serve {
        if self.range(shard).is_none() {
            Serve::No
        } else if self.is_being_replaced(shard) {
            Serve::After(self.withdraw())
        } else {
            Serve::Yes
        }
    }

    /// Returns where the shard is best split: at the median of the runs that were used lately.
    #[must_use]
    pub fn middle(&self, shard: ShardId, median: Option<u64>) -> u64 {
        let Some((start, last)) = self.range(shard) else {
            return 0;
        };
        let within = median.filter(|median| *median > start && *median <= last);
        within.unwrap_or_else(|| start + (last - start) / 2 + 1)
    }

    /// Returns the map that says that the shard is to be split, at `at` if that is said.
    pub fn want_split(&self, shard: ShardId, at: Option<u64>) -> Result<Self, PlanError> {
        let (start, last) = self.range(shard).ok_or(PlanError::Unknown(shard))?;
        if start == last {
            return Err(PlanError::Narrow(shard));
        }
        if let Some(at) = at.filter(|at| *at <= start || *at > last) {
            return Err(PlanError::Outside { shard, at });
        }
        self.want(vec![shard.0], at.unwrap_or(0))
    }

    /// Returns the map that says that the two neighbours are to become one.
    pub fn want_merge(&self, left: ShardId, right: ShardId) -> Result<Self, PlanError> {
        // Whether it can be done does not depend on the new one's id.
        self.merge(left, right, left)?;
        self.want(vec![left.0, right.0], 0)
    }

    fn want(&self, parents: Vec<u32>, at: u64) -> Result<Self, PlanError> {
        if self.change.is_some() {
            return Err(PlanError::UnderWay);
        }
        Ok(Self {
            change: Some(Change {
                parents,
                at,
                children: Vec::new(),
            }),
            ..self.next()
        })
    }

    /// Returns the map with new ids for the shards that are to be filled. A split of which nobody has said where
    /// is made at `at`.
    pub fn begin(&self, at: u64) -> Result<Self, PlanError> {
        let ids = match &self.change {
            Some(change) if change.is_merge() => 1,
            Some(_) => 2,
            None => return Err(PlanError::NoChange),
        };
        let (mut next, first) = self.reserve(ids)?;
        next.discard();
        if let Some(change) = &mut next.change {
            if change.at == 0 && !change.is_merge() {
                change.at = at;
            }
            change.children = (first.0..first.0 + ids).collect();
        }
        // It can be finished, or it is not begun.
        next.finish()?;
        Ok(next)
    }

    /// Returns the map in which the filled shards have taken the place of their parents.
    pub fn finish(&self) -> Result<Self, PlanError> {
        let change = self.change.as_ref().ok_or(PlanError::NoChange)?;
        let id = |ids: &[u32], at: usize| ids.get(at).copied().map(ShardId).ok_or(PlanError::NoChange);
        let (parent, child) = (id(&change.parents, 0)?, id(&change.children, 0)?);
        let mut next = if change.is_merge() {
            self.merge(parent, id(&change.parents, 1)?, child)?
        } else {
            self.split(parent, change.at, child, id(&change.children, 1)?)?
        };
        next.garbage.extend(&change.parents);
        next.change = None;
        Ok(next)
    }

    /// Returns the map in which nobody fills shards: who did cannot finish any more, and somebody may begin anew.
    #[must_use]
    pub fn withdraw(&self) -> Self {
        let mut next = self.next();
        next.discard();
        next
    }

    /// Returns the map without the change.
    #[must_use]
    pub fn cancel(&self) -> Self {
        Self {
            change: None,
            ..self.withdraw()
        }
    }

    /// Returns the map in which the shard has no rows that are to be deleted.
    #[must_use]
    pub fn cleaned(&self, shard: ShardId) -> Self {
        let mut next = self.next();
        next.garbage.retain(|garbage| *garbage != shard.0);
        next
    }

    fn discard(&mut self) {
        if let Some(change) = &mut self.change {
            self.garbage.append(&mut change.children);
        }
    }

    /// Tells whether somebody may be filling shards that are to replace this one.
    #[must_use]
    pub fn is_being_replaced(&self, shard: ShardId) -> bool {
        let change = self.change.as_ref();
        change.is_some_and(|change| !change.children.is_empty() && change.has_parent(shard))
    }

    /// Returns the shard whose owner has this one too: neighbours that are to merge go together.
    #[must_use]
    pub fn home(&self, shard: ShardId) -> ShardId {
        let change = self.change.as_ref().filter(|change| change.has_parent(shard));
        change.and_then(Change::leader).unwrap_or(shard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(map: &ShardMap) -> Vec<u32> {
        map.shards().map(|shard| shard.0).collect()
    }

    #[test]
    fn a_split_is_wanted_begun_and_finished() {
        let map = ShardMap::even(2);
        let wanted = map.want_split(ShardId(0), Some(77)).expect("wanted");
        assert!(!wanted.is_being_replaced(ShardId(0)), "nobody fills anything yet");
        let begun = wanted.begin(5).expect("begun");
        assert!(begun.is_being_replaced(ShardId(0)) && !begun.is_being_replaced(ShardId(1)));
        assert_eq!(shards(&begun), [0, 1], "nothing has changed for callers");
        let done = begun.finish().expect("finished");
        assert!(done.is_sound());
        assert_eq!((shards(&done), &done.garbage[..]), (vec![2, 3, 1], &[0][..]));
        assert_eq!(
            (done.shard(76), done.shard(77)),
            (ShardId(2), ShardId(3)),
            "as the operator said"
        );
        assert_eq!(done.version, map.version + 3, "each step is one write");
        assert_eq!(done.cleaned(ShardId(0)).garbage, [0_u32; 0]);
    }

    #[test]
    fn who_begins_says_where_if_nobody_else_did() {
        let wanted = ShardMap::even(1).want_split(ShardId(0), None).expect("wanted");
        let done = wanted.begin(99).and_then(|map| map.finish()).expect("done");
        assert_eq!(done.range(ShardId(1)), Some((0, 98)));
        assert_eq!(
            wanted.begin(0).err(),
            Some(PlanError::Outside {
                shard: ShardId(0),
                at: 0
            })
        );
    }

    #[test]
    fn neighbours_that_merge_go_together() {
        let map = ShardMap::even(4);
        let wanted = map.want_merge(ShardId(1), ShardId(2)).expect("wanted");
        let homes = [0, 1, 2, 3].map(|shard| wanted.home(ShardId(shard)).0);
        assert_eq!(homes, [0, 1, 1, 3]);
        let done = wanted.begin(0).and_then(|map| map.finish()).expect("done");
        assert!(done.is_sound());
        assert_eq!((shards(&done), &done.garbage[..]), (vec![0, 4, 3], &[1, 2][..]));
    }

    #[test]
    fn what_was_begun_and_withdrawn_is_begun_with_other_shards() {
        let wanted = ShardMap::even(1).want_split(ShardId(0), Some(9)).expect("wanted");
        let begun = wanted.begin(0).expect("begun");
        let withdrawn = begun.withdraw();
        assert_eq!(withdrawn.finish().err(), Some(PlanError::NoChange));
        assert!(!withdrawn.is_being_replaced(ShardId(0)));
        let again = withdrawn.begin(0).expect("begun again");
        assert_eq!(again.garbage, [1, 2], "what was filled is to be deleted");
        let done = again.finish().expect("finished");
        assert_eq!((shards(&done), &done.garbage[..]), (vec![3, 4], &[1, 2, 0][..]));
        // Begun over one that was not withdrawn, the same.
        assert_eq!(begun.begin(0).expect("begun over it").garbage, [1, 2]);
        assert_eq!(begun.cancel().change, None);
        assert_eq!(begun.cancel().garbage, [1, 2]);
    }

    #[test]
    fn wishes_that_make_no_sense_are_refused() {
        let map = ShardMap::even(3);
        let split = |shard, at| map.want_split(ShardId(shard), at).err();
        assert_eq!(split(9, None), Some(PlanError::Unknown(ShardId(9))));
        assert_eq!(
            split(0, Some(0)),
            Some(PlanError::Outside {
                shard: ShardId(0),
                at: 0
            })
        );
        let apart = map.want_merge(ShardId(0), ShardId(2)).err();
        assert_eq!(apart, Some(PlanError::Apart(ShardId(0), ShardId(2))));
        let wanted = map.want_merge(ShardId(0), ShardId(1)).expect("wanted");
        assert_eq!(
            wanted.want_split(ShardId(2), None).err(),
            Some(PlanError::UnderWay)
        );
        assert_eq!(map.begin(5).err(), Some(PlanError::NoChange));
        let narrow = map.split(ShardId(0), 1, ShardId(3), ShardId(4)).expect("split");
        let refused = narrow.want_split(ShardId(3), None).err();
        assert_eq!(refused, Some(PlanError::Narrow(ShardId(3))));
    }
}
