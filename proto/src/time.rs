//! Points in time and spans, in nanoseconds, and what they are in the API's messages.

use std::{
    fmt,
    ops::{Add, Sub},
    time::Duration,
};

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Nanoseconds since the Unix epoch; the smallest value stands for "not set" in stored state.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const EPOCH: Self = Self(0);
    pub const MAX: Self = Self(i64::MAX);

    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(NANOS_PER_SECOND))
    }

    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Returns how much later `self` is than `earlier`, zero if it is not later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Returns the time as the API writes it.
    #[must_use]
    pub fn to_proto(self) -> prost_types::Timestamp {
        prost_types::Timestamp {
            seconds: self.0.div_euclid(NANOS_PER_SECOND),
            nanos: i32::try_from(self.0.rem_euclid(NANOS_PER_SECOND)).unwrap_or(0),
        }
    }

    /// Reads the API's time; times beyond what 64-bit nanoseconds hold are clamped.
    #[must_use]
    pub fn from_proto(time: &prost_types::Timestamp) -> Self {
        Self(
            time.seconds
                .saturating_mul(NANOS_PER_SECOND)
                .saturating_add(i64::from(time.nanos)),
        )
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    /// Adds, staying at the largest time instead of overflowing.
    fn add(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)),
        )
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)),
        )
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:09}",
            self.0.div_euclid(NANOS_PER_SECOND),
            self.0.rem_euclid(NANOS_PER_SECOND)
        )
    }
}

/// Returns the span as the API writes it.
#[must_use]
pub fn duration_to_proto(span: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(span.subsec_nanos()).unwrap_or(0),
    }
}

/// Reads the API's span: absent and negative are zero, which the API takes for "not set".
#[must_use]
pub fn duration_from_proto(span: Option<&prost_types::Duration>) -> Duration {
    span.and_then(|span| {
        let seconds = u64::try_from(span.seconds).ok()?;
        let nanos = u32::try_from(span.nanos).ok()?;
        Some(Duration::new(seconds, nanos))
    })
    .unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_the_epoch_keep_positive_nanos() {
        let time = Timestamp::from_nanos(-1);
        assert_eq!(
            time.to_proto(),
            prost_types::Timestamp {
                seconds: -1,
                nanos: 999_999_999
            }
        );
        assert_eq!(Timestamp::from_proto(&time.to_proto()), time);
    }

    #[test]
    fn negative_span_is_not_set() {
        let span = prost_types::Duration {
            seconds: -3,
            nanos: 0,
        };
        assert_eq!(duration_from_proto(Some(&span)), Duration::ZERO);
    }
}
