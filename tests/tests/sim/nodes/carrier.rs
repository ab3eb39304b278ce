//! Splits and merges in the simulated cluster: the node that has the parents does what the steps say, as the carrier of
//! the product does.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use cluster::split::{
    copy,
    steps::{Input, Output, Steps},
};
use proto::ids::ShardId;
use shard::{feed::Follower, input::Input as ShardInput};
use storage::shard::{Lease, ShardStore};

use super::{
    deeds::{Deed, For, Outcome},
    world::{Local, World},
};

/// Until a change that failed is tried again; doubles up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LAST: Duration = Duration::from_secs(30);
/// How long a shard may take to finish its batches.
const FINISH: Duration = Duration::from_secs(5);
/// One step in so many is the last one of its node, or another node takes a parent's lease just then.
const BEFALLS: usize = 150;
const BEFALLS_LATE: usize = 12;

/// A change that the node is about.
pub(crate) struct Carrier {
    /// Grows when what is under way is not wanted any more; no two changes of a node have the same.
    round: u64,
    steps: Steps,
    parents: Vec<ShardId>,
    children: Vec<ShardId>,
    leases: Vec<Option<Lease>>,
    follower: Follower,
    /// The map that was read last.
    read: u64,
    /// Parents that finish what they have taken.
    drains: BTreeSet<usize>,
    /// Nobody takes a parent up here.
    alone: bool,
}

/// How often a change has failed, and until when it waits.
#[derive(Clone, Copy, Default)]
pub(crate) struct Failures {
    count: u32,
    until: Duration,
}

impl World {
    /// Begins what this node is to do: a change whose parents are all here, and the rows of shards that are gone.
    pub(crate) fn see_to_changes(&mut self, node: usize) {
        self.begin_change(node);
        self.begin_sweep(node);
    }

    fn begin_change(&mut self, node: usize) {
        let (now, round, limits) = (self.now, self.number(), self.store.limits());
        let Some(it) = self.node(node) else { return };
        let Some(change) = it.map.change.clone() else {
            it.failures = Failures::default();
            return;
        };
        if it.carrier.is_some() || it.failures.until > now {
            return;
        }
        let parents: Vec<_> = change.parents.iter().copied().map(ShardId).collect();
        let owner = parents.first().and_then(|leader| it.ring.owner_of_shard(*leader));
        let is_mine = owner == Some(&it.id.name);
        let here = |parent: &ShardId| it.held.get(parent).is_some_and(|held| !held.draining);
        if !is_mine || !parents.iter().all(here) {
            return;
        }
        let median = match &parents[..] {
            [parent] => it.held.get(parent).and_then(|held| held.core.median()),
            _ => None,
        };
        let mut out = Vec::new();
        it.carrier = Some(Carrier {
            round,
            steps: Steps::new(&change, median, limits, &mut out),
            parents,
            children: Vec::new(),
            leases: Vec::new(),
            follower: Follower::default(),
            read: 0,
            drains: BTreeSet::new(),
            alone: false,
        });
        self.perform_all(node, out);
    }

    fn tell_steps(&mut self, node: usize, input: Input<'_>) {
        let mut out = Vec::new();
        let Some(carrier) = self.node(node).and_then(|it| it.carrier.as_mut()) else {
            return;
        };
        carrier.steps.handle(input, &mut out);
        self.perform_all(node, out);
    }

    fn perform_all(&mut self, node: usize, outputs: Vec<Output>) {
        let round = self.round(node);
        for output in outputs {
            // One may end what the next one belongs to.
            if !matches!(output, Output::Copy(_)) || self.round(node) == round {
                self.perform(node, output);
            }
        }
    }

    fn round(&mut self, node: usize) -> Option<u64> {
        Some(self.node(node)?.carrier.as_ref()?.round)
    }

    fn perform(&mut self, node: usize, output: Output) {
        self.befall(node, &output);
        let Some(carrier) = self.node(node).and_then(|it| it.carrier.as_mut()) else {
            return;
        };
        let round = carrier.round;
        let by = For::Carrier { round, place: 0 };
        match output {
            Output::ReadMap => self.deed(node, Deed::ReadMap, by),
            Output::WriteMap(map) => {
                let from = carrier.read;
                self.deed(node, Deed::WriteMap { from, map }, by);
            }
            Output::Follow { children } => {
                carrier.leases = vec![None; children.len()];
                carrier.children = children;
                self.follow(node);
            }
            Output::Copy(output) => self.perform_copy(node, round, output),
            Output::Stop => {
                let round = self.number();
                let carrier = self.node(node).and_then(|it| it.carrier.as_mut());
                let carrier = carrier.expect("it was there");
                (carrier.round, carrier.alone) = (round, false);
                carrier.drains.clear();
                self.take_up_later(node);
            }
            Output::Done => self.end_change(node, false),
            Output::Failed(_) => self.end_change(node, true),
        }
    }

    fn end_change(&mut self, node: usize, failed: bool) {
        let now = self.now;
        let Some(it) = self.node(node) else { return };
        it.carrier = None;
        if failed {
            let wait = (RETRY_FIRST * (1 << it.failures.count.min(10))).min(RETRY_LAST);
            it.failures.count += 1;
            it.failures.until = now + wait;
            self.here(node, wait, Local::Changes);
        }
        self.take_up_later(node);
    }

    /// The parents tell what they commit from here on.
    fn follow(&mut self, node: usize) {
        let Some(it) = self.node(node) else { return };
        let Some(carrier) = &mut it.carrier else { return };
        let mut all = true;
        for (place, parent) in carrier.parents.iter().enumerate() {
            let Some(held) = it.held.get_mut(parent) else {
                all = false;
                continue;
            };
            let mut feed = carrier.follower.feed(place);
            if !held.core.is_committing() {
                feed.begin(&held.lease, held.core.view().batch);
            }
            held.feed = Some(feed);
        }
        if all {
            self.hear_soon(node);
        } else {
            self.tell_steps(node, Input::Failed);
        }
    }

    fn perform_copy(&mut self, node: usize, round: u64, output: copy::Output) {
        let Some(carrier) = self.node(node).and_then(|it| it.carrier.as_mut()) else {
            return;
        };
        let (deed, place) = match output {
            copy::Output::Detach { parent, lease } => (Deed::Detach(lease), parent),
            copy::Output::Lease { child, above } => {
                let shard = carrier.children[child];
                (Deed::Lease { shard, above }, child)
            }
            copy::Output::Read { parent, from, limit } => {
                let shard = carrier.parents[parent];
                (Deed::Read { shard, from, limit }, parent)
            }
            copy::Output::Put { child, batch } => {
                let lease = carrier.leases[child].clone().expect("a child is leased first");
                (Deed::Put { lease, batch }, child)
            }
            copy::Output::Retake { parent } => {
                let shard = carrier.parents[parent];
                // Told apart from a child's by its place.
                let place = carrier.children.len() + parent;
                (Deed::Lease { shard, above: 0 }, place)
            }
            copy::Output::Drain { parent } => return self.drain_parent(node, round, parent),
            copy::Output::Switch | copy::Output::GiveUp(_) => unreachable!("the steps see to it"),
        };
        self.deed(node, deed, For::Carrier { round, place });
    }

    fn drain_parent(&mut self, node: usize, round: u64, parent: usize) {
        let Some(it) = self.node(node) else { return };
        let Some(carrier) = &mut it.carrier else { return };
        carrier.alone = true;
        let shard = carrier.parents[parent];
        match it.held.get_mut(&shard).filter(|held| !held.draining) {
            Some(held) => {
                held.draining = true;
                carrier.drains.insert(parent);
                self.here(node, FINISH, Local::FinishEnds(round, parent));
                self.feed(node, shard, ShardInput::Drain);
            }
            None => self.parent_drained(node, parent),
        }
    }

    /// A parent has not finished in time.
    pub(crate) fn finish_ends(&mut self, node: usize, round: u64, parent: usize) {
        let carrier = self.node(node).and_then(|it| it.carrier.as_ref());
        if carrier.is_some_and(|carrier| carrier.round == round && carrier.drains.contains(&parent)) {
            self.tell_steps(node, Input::Failed);
        }
    }

    /// Tells whether the shard is drained for a change, and which of the parents it is.
    pub(crate) fn drains(&mut self, node: usize, shard: ShardId) -> Option<usize> {
        let carrier = self.node(node)?.carrier.as_ref()?;
        let parent = carrier.parents.iter().position(|parent| *parent == shard)?;
        carrier.drains.contains(&parent).then_some(parent)
    }

    /// A shard has let go of everything. Returns whether that was for a change.
    pub(crate) fn drained_for_change(&mut self, node: usize, shard: ShardId) {
        if let Some(parent) = self.drains(node, shard) {
            self.parent_drained(node, parent);
        }
    }

    fn parent_drained(&mut self, node: usize, parent: usize) {
        if let Some(carrier) = self.node(node).and_then(|it| it.carrier.as_mut()) {
            carrier.drains.remove(&parent);
        }
        // What it committed was told before it said so.
        self.hear(node);
        self.tell_steps(node, Input::Copied(copy::Input::Drained { parent }));
    }

    /// A shard works here no more: if it was being drained it has not let go in good order.
    pub(crate) fn parent_fell(&mut self, node: usize, shard: ShardId) {
        if self.drains(node, shard).is_some() {
            self.tell_steps(node, Input::Failed);
        }
        self.hear_soon(node);
    }

    pub(crate) fn hear_soon(&mut self, node: usize) {
        if self.round(node).is_some() {
            let most = if self.random.one_in(10) { 500_000 } else { 5_000 };
            let wait = Duration::from_micros(10 + self.random.below(most) as u64);
            self.here(node, wait, Local::Hear);
        }
    }

    /// The carrier hears what the parents have said.
    pub(crate) fn hear(&mut self, node: usize) {
        loop {
            let carrier = self.node(node).and_then(|it| it.carrier.as_mut());
            let Some((parent, fed)) = carrier.and_then(|carrier| carrier.follower.try_next()) else {
                return;
            };
            self.tell_steps(node, Input::said(parent, fed));
        }
    }

    pub(crate) fn hear_of_map(&mut self, node: usize) {
        let map = self.node(node).map(|it| Arc::clone(&it.map));
        if let Some(map) = map {
            self.tell_steps(node, Input::Heard(&map));
        }
    }

    /// Something that was wanted has come, unless it is not wanted any more.
    pub(crate) fn carried(&mut self, node: usize, round: u64, place: usize, outcome: Outcome) {
        let carrier = self.node(node).and_then(|it| it.carrier.as_mut());
        let Some(carrier) = carrier.filter(|carrier| carrier.round == round) else {
            return;
        };
        let input = match outcome {
            Outcome::Map(map) => {
                carrier.read = map.version;
                Input::Map(map)
            }
            Outcome::Written(_) => Input::Written,
            Outcome::Refused => Input::Refused,
            Outcome::Leased(lease) => match place.checked_sub(carrier.children.len()) {
                Some(parent) => Input::Copied(copy::Input::Retaken { parent, lease }),
                None => {
                    carrier.leases[place] = Some(lease.clone());
                    Input::Copied(copy::Input::Leased { child: place, lease })
                }
            },
            Outcome::Detached => Input::Copied(copy::Input::Detached { parent: place }),
            Outcome::Rows(rows) => Input::Copied(copy::Input::Read { parent: place, rows }),
            Outcome::Put => Input::Copied(copy::Input::Put { child: place }),
            Outcome::Failed => Input::Failed,
        };
        self.tell_steps(node, input);
    }

    /// Tells whether a parent must wait until a change of it is made or given up.
    pub(crate) fn waits_for_change(&mut self, node: usize, shard: ShardId) -> bool {
        let carrier = self.node(node).and_then(|it| it.carrier.as_ref());
        carrier.is_some_and(|carrier| carrier.alone && carrier.parents.contains(&shard))
    }

    /// The carrier dies just here, or somebody takes a parent up: above all when a step of no return is near.
    fn befall(&mut self, node: usize, output: &Output) {
        let late = match output {
            Output::Copy(copy::Output::Drain { .. } | copy::Output::Retake { .. }) => true,
            Output::WriteMap(_) | Output::ReadMap => true,
            Output::Copy(_) | Output::Follow { .. } => false,
            Output::Stop | Output::Done | Output::Failed(_) => return,
        };
        let odds = if late { BEFALLS_LATE } else { BEFALLS };
        if !self.faulty || !self.random.one_in(odds) {
            return;
        }
        if self.random.one_in(2) {
            self.crash(node);
            return self.start_later(node);
        }
        let carrier = self.node(node).and_then(|it| it.carrier.as_ref());
        let parents = carrier.map_or_else(Vec::new, |carrier| carrier.parents.clone());
        let others: Vec<_> = self
            .running()
            .into_iter()
            .filter(|other| *other != node)
            .collect();
        if parents.is_empty() || others.is_empty() {
            return;
        }
        let parent = parents[self.random.below(parents.len())];
        let other = others[self.random.below(others.len())];
        let has =
            |it: &mut super::node::Node| it.held.contains_key(&parent) || it.taking.contains_key(&parent);
        if !self.node(other).is_some_and(has) {
            self.take_up(other, parent);
        }
    }
}
