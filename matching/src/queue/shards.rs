//! The shards that hold tickets back because the queue refused them, and the credit they are given.

use std::collections::{BTreeMap, BTreeSet};

use proto::{ids::ShardId, time::Timestamp};

use crate::{
    limits::{CREDIT_TTL, SHARDS_REMEMBERED_MAX},
    output::Output,
};

/// What one shard may say, so that the sum cannot overflow.
const COUNT_MAX: u64 = u32::MAX as u64;

#[derive(Debug, Default)]
pub(super) struct Shards {
    shards: BTreeMap<ShardId, Held>,
    by_age: BTreeSet<(Timestamp, ShardId)>,
    /// Those that get the next credit, the shard with the oldest ticket first.
    wanting: BTreeSet<(Timestamp, ShardId)>,
    /// Those that have credit, by when they got it.
    credited: BTreeSet<(Timestamp, ShardId)>,
    count: u64,
    promised: usize,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    count: u64,
    oldest: Timestamp,
    credit: Option<Credit>,
}

#[derive(Clone, Copy, Debug)]
struct Credit {
    left: usize,
    given: Timestamp,
    /// The shard has said something since.
    heard: bool,
}

impl Shards {
    pub(super) fn len(&self) -> usize {
        self.shards.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    /// Returns how many tickets are held back.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.by_age.first().map(|(oldest, _)| *oldest)
    }

    pub(super) fn anyone_wants(&self) -> bool {
        !self.wanting.is_empty()
    }

    /// Returns how many tickets may still come on credit.
    pub(super) fn promised(&self) -> usize {
        self.promised
    }

    /// Counts a ticket that its shard keeps; credit that the shard had is void.
    pub(super) fn refused(&mut self, shard: ShardId, scheduled_time: Timestamp) {
        let held = self.take(shard);
        if held.is_none() && self.shards.len() >= SHARDS_REMEMBERED_MAX {
            return;
        }
        let (count, oldest) = held.map_or((0, scheduled_time), |held| (held.count, held.oldest));
        let held = Held {
            count: (count + 1).min(COUNT_MAX),
            oldest: oldest.min(scheduled_time),
            credit: None,
        };
        self.put(shard, held);
    }

    /// Takes what the shard says it holds back.
    pub(super) fn said(&mut self, shard: ShardId, count: u64, oldest: Timestamp) {
        let held = self.take(shard);
        if count == 0 || (held.is_none() && self.shards.len() >= SHARDS_REMEMBERED_MAX) {
            return;
        }
        let credit = held.and_then(|held| held.credit).map(|credit| Credit {
            heard: true,
            ..credit
        });
        let count = count.min(COUNT_MAX);
        self.put(
            shard,
            Held {
                count,
                oldest,
                credit,
            },
        );
    }

    /// Counts a ticket that is held back no longer.
    pub(super) fn accepted(&mut self, shard: ShardId) {
        if self.shards.is_empty() {
            return;
        }
        let Some(mut held) = self.take(shard) else { return };
        held.count -= 1;
        if held.count == 0 {
            return;
        }
        held.credit = held
            .credit
            .map(|credit| Credit {
                left: credit.left - 1,
                heard: true,
                ..credit
            })
            .filter(|credit| credit.left > 0);
        self.put(shard, held);
    }

    /// Shares room for new tickets among the shards that want it, the one with the oldest ticket first.
    pub(super) fn grant(&mut self, mut room: usize, now: Timestamp, out: &mut Vec<Output>) {
        let share = (room / self.wanting.len().max(1)).max(1);
        while room > 0 {
            let Some((_, shard)) = self.wanting.first().copied() else {
                return;
            };
            let Some(mut held) = self.take(shard) else { return };
            let free = share
                .min(room)
                .min(usize::try_from(held.count).unwrap_or(usize::MAX));
            room -= free;
            held.credit = Some(Credit {
                left: free,
                given: now,
                heard: false,
            });
            self.put(shard, held);
            out.push(Output::Credit { shard, free });
        }
    }

    /// Returns when the oldest credit ends.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.credited.first().map(|(given, _)| *given + CREDIT_TTL)
    }

    /// Ends credit that was not used up; a shard that said nothing since is gone, or has nothing left.
    pub(super) fn expire(&mut self, now: Timestamp) {
        while let Some((given, shard)) = self.credited.first().copied() {
            if given + CREDIT_TTL > now {
                return;
            }
            let Some(held) = self.take(shard) else { return };
            if held.credit.is_some_and(|credit| credit.heard) {
                self.put(shard, Held { credit: None, ..held });
            }
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn take(&mut self, shard: ShardId) -> Option<Held> {
        let held = self.shards.remove(&shard)?;
        self.count -= held.count;
        self.by_age.remove(&(held.oldest, shard));
        match held.credit {
            Some(credit) => {
                self.promised -= credit.left;
                self.credited.remove(&(credit.given, shard));
            }
            None => {
                self.wanting.remove(&(held.oldest, shard));
            }
        }
        Some(held)
    }

    fn put(&mut self, shard: ShardId, held: Held) {
        self.count += held.count;
        self.by_age.insert((held.oldest, shard));
        match held.credit {
            Some(credit) => {
                self.promised += credit.left;
                self.credited.insert((credit.given, shard));
            }
            None => {
                self.wanting.insert((held.oldest, shard));
            }
        }
        self.shards.insert(shard, held);
    }
}
