//! The network between nodes, and between nodes and the store: who hears whom, how late and how often.

use std::{collections::BTreeSet, time::Duration};

use crate::random::Random;

pub(crate) struct Network {
    /// Nothing comes from the first to the second.
    cuts: BTreeSet<(usize, usize)>,
    /// Nodes that the store does not hear, nor they it.
    store_cuts: BTreeSet<usize>,
    /// One datagram in so many is lost; 0 loses none.
    pub(crate) loss: usize,
    pub(crate) delay: Duration,
    pub(crate) store_delay: Duration,
}

impl Network {
    pub(crate) fn healthy() -> Self {
        Self {
            cuts: BTreeSet::new(),
            store_cuts: BTreeSet::new(),
            loss: 0,
            delay: Duration::from_millis(2),
            store_delay: Duration::from_millis(10),
        }
    }

    pub(crate) fn hears(&self, from: usize, to: usize) -> bool {
        !self.cuts.contains(&(from, to))
    }

    pub(crate) fn reaches_store(&self, node: usize) -> bool {
        !self.store_cuts.contains(&node)
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.cuts.insert((from, to));
    }

    pub(crate) fn cut_store(&mut self, node: usize) {
        self.store_cuts.insert(node);
    }

    pub(crate) fn worsen(&mut self, random: &mut Random) {
        self.loss = [0, 20, 5][random.below(3)];
        self.delay = Duration::from_millis([2, 20, 300][random.below(3)]);
        self.store_delay = Duration::from_millis([10, 100, 2_000][random.below(3)]);
    }

    pub(crate) fn takes(&self, random: &mut Random) -> Duration {
        some(self.delay, random)
    }

    pub(crate) fn store_takes(&self, random: &mut Random) -> Duration {
        some(self.store_delay, random)
    }

    pub(crate) fn loses(&self, random: &mut Random) -> bool {
        self.loss > 0 && random.one_in(self.loss)
    }
}

fn some(most: Duration, random: &mut Random) -> Duration {
    let micros = usize::try_from(most.as_micros()).expect("short");
    Duration::from_micros(50 + random.below(micros.max(1)) as u64)
}
