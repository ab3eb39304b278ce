//! The network's faults, and the dice that decide them.

use std::time::Duration;

use crate::world::NodeIndex;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Link {
    pub(crate) from: NodeIndex,
    pub(crate) to: NodeIndex,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    /// Share of datagrams that get lost.
    pub(crate) loss: f64,
    /// Share of datagrams that come twice.
    pub(crate) duplicates: f64,
    pub(crate) delay: (Duration, Duration),
}

impl Network {
    pub(crate) const fn lan() -> Self {
        Self {
            loss: 0.0,
            duplicates: 0.0,
            delay: (Duration::from_micros(100), Duration::from_millis(2)),
        }
    }
}

/// SplitMix64: the story's own dice.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below a usize")
    }

    pub(crate) fn chance(&mut self, share: f64) -> bool {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64 <= share && share > 0.0
    }

    pub(crate) fn between(&mut self, (from, to): (Duration, Duration)) -> Duration {
        let span = u64::try_from((to - from).as_nanos()).expect("short");
        from + Duration::from_nanos(self.next() % span.max(1))
    }
}
