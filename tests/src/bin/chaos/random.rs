//! The seeded numbers that moments and choices are drawn from.

use std::time::Duration;

/// A stream of numbers; streams of one seed and different names are independent.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(mix(seed ^ mix(stream)))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Less than `end`, which must not be 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Less than `end`, to the millisecond.
    pub(crate) fn duration(&mut self, end: Duration) -> Duration {
        let end = u64::try_from(end.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(self.below(end))
    }
}

/// Spreads a number over all 64 bits (the finalizer of SplitMix64).
pub(crate) const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A number for a name, the same in every run.
pub(crate) fn number_of(name: &str) -> u64 {
    name.bytes().fold(7, |number, byte| mix(number ^ u64::from(byte)))
}
