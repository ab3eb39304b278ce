//! The shards that hold tickets back because the queue refused them, and the credit they are given.
//!
//! Credit may be lost on its way, so a shard that says nothing is offered it again, more and more seldom.
//! Meanwhile nobody knows what it holds, so it does not count.

use std::collections::{BTreeMap, BTreeSet};

use proto::{ids::ShardId, time::Timestamp};

use crate::{
    limits::{CREDIT_PORTION_MIN, CREDIT_TRIES_MAX, CREDIT_TTL, SHARDS_REMEMBERED_MAX},
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
    /// The ends of credit and of rests.
    ends: BTreeSet<(Timestamp, ShardId)>,
    count: u64,
    promised: usize,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    count: u64,
    oldest: Timestamp,
    state: State,
    /// How often in a row it said nothing to its credit.
    silent: u32,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Wanting,
    Credited {
        left: usize,
        until: Timestamp,
        heard: bool,
    },
    /// Said nothing; is asked again later.
    Resting {
        until: Timestamp,
    },
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

    /// Counts tickets that their shard keeps; credit that the shard had is void.
    pub(super) fn refused(&mut self, shard: ShardId, more: u64, since: Timestamp) {
        let held = self.take(shard);
        if held.is_none() && self.shards.len() >= SHARDS_REMEMBERED_MAX {
            return;
        }
        let (count, oldest) = held.map_or((0, since), |held| (held.count, held.oldest));
        let held = Held {
            count: count.saturating_add(more).min(COUNT_MAX),
            oldest: oldest.min(since),
            state: State::Wanting,
            silent: 0,
        };
        self.put(shard, held);
    }

    /// Takes what the shard says it holds back.
    pub(super) fn said(&mut self, shard: ShardId, count: u64, oldest: Timestamp) {
        let held = self.take(shard);
        if count == 0 || (held.is_none() && self.shards.len() >= SHARDS_REMEMBERED_MAX) {
            return;
        }
        let state = match held.map(|held| held.state) {
            Some(State::Credited { left, until, .. }) => State::Credited {
                left,
                until,
                heard: true,
            },
            Some(State::Wanting | State::Resting { .. }) | None => State::Wanting,
        };
        self.put(
            shard,
            Held {
                count: count.min(COUNT_MAX),
                oldest,
                state,
                silent: 0,
            },
        );
    }

    /// Counts a ticket that is held back no longer.
    pub(super) fn accepted(&mut self, shard: ShardId) {
        if self.shards.is_empty() {
            return;
        }
        let Some(held) = self.take(shard).filter(|held| held.count > 1) else {
            return;
        };
        let state = match held.state {
            State::Credited { left, until, .. } if left > 1 => State::Credited {
                left: left - 1,
                until,
                heard: true,
            },
            State::Credited { .. } | State::Wanting | State::Resting { .. } => State::Wanting,
        };
        self.put(
            shard,
            Held {
                count: held.count - 1,
                state,
                silent: 0,
                ..held
            },
        );
    }

    /// Shares room for new tickets among the shards that want it, the one with the oldest ticket first.
    ///
    /// Portions are not too small: a shard reads its store for each.
    pub(super) fn grant(&mut self, mut room: usize, now: Timestamp, out: &mut Vec<Output>) {
        let share = (room / self.wanting.len().max(1)).max(CREDIT_PORTION_MIN);
        while room > 0 {
            let Some((_, shard)) = self.wanting.first().copied() else {
                return;
            };
            let Some(held) = self.take(shard) else { return };
            let free = share
                .min(room)
                .min(usize::try_from(held.count).unwrap_or(usize::MAX));
            room -= free;
            let state = State::Credited {
                left: free,
                until: now + CREDIT_TTL,
                heard: false,
            };
            self.put(shard, Held { state, ..held });
            out.push(Output::Credit { shard, free });
        }
    }

    /// Returns when the next credit or rest ends.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.ends.first().map(|(until, _)| *until)
    }

    /// Ends credit that was not used up, and rests.
    pub(super) fn expire(&mut self, now: Timestamp) {
        while let Some((until, shard)) = self.ends.first().copied() {
            if until > now {
                return;
            }
            let Some(held) = self.take(shard) else { return };
            match held.state {
                State::Credited { heard: false, .. } if held.silent >= CREDIT_TRIES_MAX => {}
                State::Credited { heard: false, .. } => {
                    let silent = held.silent + 1;
                    let state = State::Resting {
                        until: now + CREDIT_TTL * 2_u32.saturating_pow(silent),
                    };
                    self.put(
                        shard,
                        Held {
                            state,
                            silent,
                            ..held
                        },
                    );
                }
                State::Credited { .. } | State::Wanting | State::Resting { .. } => {
                    self.put(
                        shard,
                        Held {
                            state: State::Wanting,
                            ..held
                        },
                    );
                }
            }
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn take(&mut self, shard: ShardId) -> Option<Held> {
        let held = self.shards.remove(&shard)?;
        if held.silent == 0 {
            self.count -= held.count;
            self.by_age.remove(&(held.oldest, shard));
        }
        match held.state {
            State::Wanting => {
                self.wanting.remove(&(held.oldest, shard));
            }
            State::Credited { left, until, .. } => {
                self.promised -= left;
                self.ends.remove(&(until, shard));
            }
            State::Resting { until } => {
                self.ends.remove(&(until, shard));
            }
        }
        Some(held)
    }

    fn put(&mut self, shard: ShardId, held: Held) {
        if held.silent == 0 {
            self.count += held.count;
            self.by_age.insert((held.oldest, shard));
        }
        match held.state {
            State::Wanting => {
                self.wanting.insert((held.oldest, shard));
            }
            State::Credited { left, until, .. } => {
                self.promised += left;
                self.ends.insert((until, shard));
            }
            State::Resting { until } => {
                self.ends.insert((until, shard));
            }
        }
        self.shards.insert(shard, held);
    }
}
