//! Leases: which shards this node takes up and gives up, and when.
//!
//! Pure: views, answers and time come in, what to do goes out; the keeper does it and the simulation too. What it
//! believes is a hint. Two nodes may both believe that they own a shard; the store's fence decides.
//!
//! ```text
//! Wanted -> Asking -> Taking -> Held -> Leaving -> GivingUp
//!    ^________________________________________________|
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    time::Duration,
};

use proto::{
    ids::{NodeId, ShardId},
    time::Timestamp,
};

use self::state::{Asker, Record, State};

mod state;

/// Shards that are asked for and taken up together: each is without an owner for as long as all of them take.
pub const SHARDS_AT_A_TIME: usize = 16;
/// Until a shard that fell again and again is tried once more; doubles up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(5);
/// Until a shard is tried again whose lease was not to be had. It does not grow: the store is away, however long,
/// and the shard is to work soon after its return.
pub const RETRY_TAKE_UP: Duration = Duration::from_millis(250);
/// How long after another node may have taken a shard that is looked for.
const CHECK_AFTER: Duration = Duration::from_secs(1);
/// How long the others are asked for a shard that one of them keeps; then the lease is taken all the same.
pub const ASK_FOR: Duration = Duration::from_secs(5);
/// How long a shard that belongs elsewhere waits to be asked for. It goes all the same then, so that its next owner
/// need not fence it.
pub const UNASKED: Duration = Duration::from_secs(3);
/// How often one shard that is held is checked, each in its turn, so that even one that was taken unseen is found.
pub const CHECK_PERIOD: Duration = Duration::from_secs(10);
/// A shard that stands for this long has not fallen before.
const FALLS_FORGOTTEN: Duration = Duration::from_secs(30);

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// These shards belong to this node from now on, and these other nodes are there, whether they own anything or
    /// are about to go. One that may not take keeps what it has: it may be cut off from nodes that are alive.
    Placed {
        mine: BTreeSet<ShardId>,
        others: BTreeSet<NodeId>,
        may_take: bool,
    },
    /// Another node wants the shards. Answered under the token.
    Asked { token: u64, shards: Vec<ShardId> },
    /// What another node said of shards it was asked for: those that it keeps. Who cannot be reached keeps nothing:
    /// it is gone, or will be fenced.
    Answered {
        by: NodeId,
        shards: Vec<ShardId>,
        kept: BTreeSet<ShardId>,
    },
    /// The lease is here and the shard works.
    TakenUp(ShardId),
    /// The lease was not to be had.
    NotTakenUp(ShardId),
    /// The shard that was to be given up works here no more.
    Ended(ShardId),
    /// The shard works here no more, and nobody asked for that.
    Fell(ShardId),
    /// Somebody here wants the shard to be given up and, if it belongs here, to be taken up anew.
    Release(ShardId),
    /// Another node had the shard and has let it go. A hint: it may get lost.
    Freed(ShardId),
    /// The deadline has come.
    Tick,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Asks the node to give the shards up, and to say which of them it keeps.
    Ask {
        of: NodeId,
        shards: Vec<ShardId>,
    },
    /// Takes the lease and starts the shard.
    TakeUp(ShardId),
    /// Lets the shard finish what it has begun and releases its lease.
    GiveUp(ShardId),
    /// Asks the store whether the lease of a shard that works here is still the newest. If it is not, the shard ends.
    Check(ShardId),
    /// Tells whoever owns the shard that it was let go here.
    Free(ShardId),
    Answer {
        token: u64,
        kept: Vec<ShardId>,
    },
}

/// The shards of one node.
#[derive(Debug, Default)]
pub struct Leases {
    mine: BTreeSet<ShardId>,
    others: BTreeSet<NodeId>,
    may_take: bool,
    /// Those that are here or on their way.
    shards: BTreeMap<ShardId, State>,
    records: BTreeMap<ShardId, Record>,
    askers: Vec<Asker>,
    /// When the next of the shards that are held is checked, and the last one that was.
    next_round: Option<Timestamp>,
    last_checked: Option<ShardId>,
}

impl Leases {
    /// Takes one input in.
    pub fn handle(&mut self, input: Input, now: Timestamp, out: &mut Vec<Output>) {
        match input {
            Input::Placed {
                mine,
                others,
                may_take,
            } => {
                self.may_take = may_take;
                self.placed(mine, others, now);
            }
            Input::Asked { token, shards } => self.asked(token, shards, now, out),
            Input::Answered { by, shards, kept } => self.answered(&by, &shards, &kept),
            Input::TakenUp(shard) => self.taken_up(shard, now),
            Input::NotTakenUp(shard) => self.want(shard, now + RETRY_TAKE_UP),
            Input::Ended(shard) => self.ended(shard, now, out),
            Input::Fell(shard) => self.fell(shard, now, out),
            Input::Release(shard) => self.release(shard, out),
            Input::Freed(shard) => self.freed(shard, now),
            Input::Tick => {}
        }
        self.settle(now, out);
    }

    /// Returns when `Tick` is wanted.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let in_turn = self.in_turn();
        self.shards
            .values()
            .filter_map(|state| match state {
                // One that waits for its turn is seen to when another is done.
                State::Wanted { .. } if in_turn >= SHARDS_AT_A_TIME || !self.may_take => None,
                State::Wanted { not_before } => Some(*not_before),
                State::Asking { until, .. } | State::Leaving { until } => Some(*until),
                State::Kept { again, until } => Some(*again.min(until)),
                State::Held { check, .. } => *check,
                State::Taking { .. } | State::GivingUp => None,
            })
            .chain(self.next_round)
            .min()
    }

    /// Returns the shards that work here.
    pub fn held(&self) -> impl Iterator<Item = ShardId> {
        self.shards
            .iter()
            .filter(|(_, state)| {
                matches!(
                    state,
                    State::Held { .. } | State::Leaving { .. } | State::GivingUp
                )
            })
            .map(|(shard, _)| *shard)
    }

    /// Returns the shards that belong here and that nobody was asked for yet: whoever had them still has them.
    pub fn waiting(&self) -> impl Iterator<Item = ShardId> {
        self.shards
            .iter()
            .filter(|(_, state)| matches!(state, State::Wanted { .. }))
            .map(|(shard, _)| *shard)
    }

    /// Tells whether all that belongs here works here, and nothing else does.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let held = |state: &State| matches!(state, State::Held { .. });
        self.shards.len() == self.mine.len() && self.shards.values().all(held)
    }

    fn placed(&mut self, mine: BTreeSet<ShardId>, others: BTreeSet<NodeId>, now: Timestamp) {
        self.mine = mine;
        self.others = others;
        let (mine, others, may_take) = (&self.mine, &self.others, self.may_take);
        self.shards.retain(|shard, state| {
            let is_mine = mine.contains(shard);
            match state {
                State::Asking { .. } | State::Kept { .. } if !may_take => {
                    let not_before = now;
                    *state = State::Wanted { not_before };
                    is_mine
                }
                State::Wanted { .. } | State::Kept { .. } => is_mine,
                State::Asking { of, .. } => {
                    of.retain(|node| others.contains(node));
                    is_mine
                }
                State::Held { .. } if !is_mine => {
                    let until = now + UNASKED;
                    *state = State::Leaving { until };
                    true
                }
                // Those who came may have had it, and those who went may have taken it before.
                State::Held { check, .. } => {
                    *check = Some(now);
                    true
                }
                State::Leaving { .. } if is_mine => {
                    *state = State::held(now);
                    true
                }
                _ => true,
            }
        });
        for shard in &self.mine {
            let not_before = now;
            self.shards.entry(*shard).or_insert(State::Wanted { not_before });
        }
    }

    /// Gives up what belongs elsewhere. What belongs here is kept, as are those that are on their way here: the
    /// asker asks again, and both will have seen the same view by then.
    ///
    /// An asker that goes on believing takes the lease in the end. It may die before both see the same.
    fn asked(&mut self, token: u64, shards: Vec<ShardId>, now: Timestamp, out: &mut Vec<Output>) {
        let mut asker = Asker {
            token,
            waits: BTreeSet::new(),
            kept: Vec::new(),
        };
        for shard in shards {
            match self.shards.get_mut(&shard) {
                Some(State::Held { check, .. }) => {
                    *check = Some(now + ASK_FOR + CHECK_AFTER);
                    asker.kept.push(shard);
                }
                Some(State::Taking { .. }) => asker.kept.push(shard),
                Some(state @ State::Leaving { .. }) => {
                    *state = State::GivingUp;
                    out.push(Output::GiveUp(shard));
                    asker.waits.insert(shard);
                }
                Some(State::GivingUp) => {
                    asker.waits.insert(shard);
                }
                Some(State::Wanted { .. } | State::Asking { .. } | State::Kept { .. }) | None => {}
            }
        }
        self.askers.push(asker);
    }

    fn answered(&mut self, by: &NodeId, shards: &[ShardId], kept: &BTreeSet<ShardId>) {
        for shard in shards {
            if let Some(State::Asking {
                of, kept: is_kept, ..
            }) = self.shards.get_mut(shard)
                && of.remove(by)
            {
                *is_kept |= kept.contains(shard);
            }
        }
    }

    fn taken_up(&mut self, shard: ShardId, now: Timestamp) {
        if self.shards.get(&shard) == Some(&State::Taking { fell: true }) {
            return self.want_again(shard, now);
        }
        let state = if self.mine.contains(&shard) {
            State::held(now)
        } else {
            State::Leaving { until: now + UNASKED }
        };
        self.shards.insert(shard, state);
    }

    fn ended(&mut self, shard: ShardId, now: Timestamp, out: &mut Vec<Output>) {
        let mut asked = false;
        for asker in &mut self.askers {
            asked |= asker.waits.remove(&shard);
        }
        match self.shards.remove(&shard) {
            // Another life of the shard is on its way.
            Some(state @ State::Taking { .. }) => {
                self.shards.insert(shard, state);
            }
            // Given up, and here again by a newer view.
            Some(_) if self.mine.contains(&shard) => {
                self.shards.insert(shard, State::Wanted { not_before: now });
            }
            Some(State::GivingUp) if !asked => out.push(Output::Free(shard)),
            Some(_) | None => {}
        }
    }

    /// The first time it is tried again at once, then later and later.
    fn fell(&mut self, shard: ShardId, now: Timestamp, out: &mut Vec<Output>) {
        match self.shards.get(&shard) {
            Some(State::Taking { .. }) => {
                self.shards.insert(shard, State::Taking { fell: true });
            }
            Some(State::Held { since, .. }) => {
                if now.since(*since) > FALLS_FORGOTTEN {
                    self.records.remove(&shard);
                }
                self.want_again(shard, now);
            }
            Some(_) | None => self.ended(shard, now, out),
        }
    }

    fn release(&mut self, shard: ShardId, out: &mut Vec<Output>) {
        if let Some(state @ (State::Held { .. } | State::Leaving { .. })) = self.shards.get_mut(&shard) {
            *state = State::GivingUp;
            out.push(Output::GiveUp(shard));
        }
    }

    /// Who lets a shard go may have taken it from this node, which did not notice; or this node waits for it.
    fn freed(&mut self, shard: ShardId, now: Timestamp) {
        match self.shards.get_mut(&shard) {
            Some(State::Held { check, .. }) => *check = Some(now),
            Some(State::Kept { again, .. }) => *again = now,
            _ => {}
        }
    }

    /// The shard fell: the first time it is tried again at once.
    fn want_again(&mut self, shard: ShardId, now: Timestamp) {
        let record = self.records.entry(shard).or_default();
        let wait = match record.failures {
            0 => Duration::ZERO,
            failures => (RETRY_FIRST * (1 << (failures - 1).min(10))).min(RETRY_LAST),
        };
        record.failures = record.failures.saturating_add(1);
        self.want(shard, now + wait);
    }

    /// Wants the shard, unless it belongs elsewhere by now.
    fn want(&mut self, shard: ShardId, not_before: Timestamp) {
        if self.mine.contains(&shard) {
            self.shards.insert(shard, State::Wanted { not_before });
        } else {
            self.shards.remove(&shard);
        }
    }

    /// Does what is due.
    fn settle(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        for (shard, state) in &mut self.shards {
            match state {
                State::Asking { of, kept: false, .. } if of.is_empty() => {
                    *state = State::Taking { fell: false };
                    out.push(Output::TakeUp(*shard));
                }
                State::Asking { until, .. } | State::Kept { until, .. } if *until <= now => {
                    *state = State::Taking { fell: false };
                    out.push(Output::TakeUp(*shard));
                }
                State::Asking { of, until, .. } if of.is_empty() => {
                    let (again, until) = (now + RETRY_FIRST, *until);
                    *state = State::Kept { again, until };
                }
                State::Leaving { until } if *until <= now => {
                    *state = State::GivingUp;
                    out.push(Output::GiveUp(*shard));
                }
                State::Held { check, .. } if check.is_some_and(|at| at <= now) => {
                    *check = None;
                    out.push(Output::Check(*shard));
                }
                _ => {}
            }
        }
        self.check_next(now, out);
        self.ask(now, out);
        self.answer(out);
    }

    /// Checks the shards that are held one by one: one operation of the node in a period, however many they are.
    fn check_next(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if self.next_round.is_some_and(|at| at > now) {
            return;
        }
        self.next_round = Some(now + CHECK_PERIOD);
        let held = |(shard, state): (&ShardId, &State)| matches!(state, State::Held { .. }).then_some(*shard);
        let after = self.last_checked.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.shards.range((after, Bound::Unbounded)).find_map(held);
        self.last_checked = next.or_else(|| self.shards.iter().find_map(held));
        out.extend(self.last_checked.map(Output::Check));
    }

    /// How many are asked for or taken up at the moment.
    fn in_turn(&self) -> usize {
        self.shards
            .values()
            .filter(|state| {
                matches!(
                    state,
                    State::Asking { .. } | State::Kept { .. } | State::Taking { .. }
                )
            })
            .count()
    }

    /// Asks the others for the shards whose turn it is.
    fn ask(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if !self.may_take {
            return;
        }
        let mut free = SHARDS_AT_A_TIME.saturating_sub(self.in_turn());
        let mut asked = Vec::new();
        for (shard, state) in &mut self.shards {
            let until = match state {
                State::Wanted { not_before } if *not_before <= now && free > 0 => {
                    free -= 1;
                    now + ASK_FOR
                }
                State::Kept { again, until } if *again <= now => *until,
                _ => continue,
            };
            if self.others.is_empty() {
                *state = State::Taking { fell: false };
                out.push(Output::TakeUp(*shard));
            } else {
                let of = self.others.clone();
                let kept = false;
                *state = State::Asking { of, kept, until };
                asked.push(*shard);
            }
        }
        if !asked.is_empty() {
            out.extend(self.others.iter().map(|node| Output::Ask {
                of: node.clone(),
                shards: asked.clone(),
            }));
        }
    }

    /// Answers those who wait for nothing more.
    fn answer(&mut self, out: &mut Vec<Output>) {
        let done = self.askers.extract_if(.., |asker| asker.waits.is_empty());
        out.extend(done.map(|asker| Output::Answer {
            token: asker.token,
            kept: asker.kept,
        }));
    }
}

#[cfg(test)]
mod tests;
