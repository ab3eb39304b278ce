//! Metrics: what a crate counts, and what it says of each.
//!
//! Counting touches one atomic: no lock and no look-up. Each crate lists its metrics once with [`crate::metrics!`];
//! the page and the documentation are made of those lists. Who exports takes samples.

mod family;
mod handles;

use std::{
    borrow::Cow,
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

pub use family::{Family, OTHER};
pub use handles::{ENTRIES_MAX, Handles};

/// A label's value.
pub type Label = Cow<'static, str>;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    pub fn inc(&self) {
        self.add(1);
    }

    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A level.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    pub fn add(&self, change: i64) {
        self.0.fetch_add(change, Relaxed);
    }

    pub fn set(&self, level: i64) {
        self.0.store(level, Relaxed);
    }

    #[must_use]
    pub fn value(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// What a histogram measures, and so where its buckets end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Recorded in nanoseconds, shown in seconds.
    Time,
    /// Things without a unit.
    Count,
    Bytes,
}

/// 1, 2 and 5 times powers of ten from a millisecond to 1,000 seconds (reference 9.1).
const TIME: [u64; 19] = {
    let mut bounds = ONE_TWO_FIVE;
    let mut at = 0;
    while at < bounds.len() {
        bounds[at] *= 1_000_000;
        at += 1;
    }
    bounds
};
const ONE_TWO_FIVE: [u64; 19] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000,
    500_000, 1_000_000,
];
const COUNT: [u64; 16] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000,
];
/// Powers of two from 1 KiB to 16 MiB.
const BYTES: [u64; 15] = {
    let mut bounds = [0; 15];
    let mut at = 0;
    while at < bounds.len() {
        bounds[at] = 1024 << at;
        at += 1;
    }
    bounds
};

impl Scale {
    /// Returns the buckets' upper bounds; what is more falls into one more bucket.
    #[must_use]
    pub const fn bounds(self) -> &'static [u64] {
        match self {
            Self::Time => &TIME,
            Self::Count => &COUNT,
            Self::Bytes => &BYTES,
        }
    }

    /// Returns a recorded value in the unit that is shown.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "bounds are exact, and a sum need not be exact to the nanosecond"
    )]
    pub fn shown(self, value: u64) -> f64 {
        match self {
            Self::Time => Duration::from_nanos(value).as_secs_f64(),
            Self::Count | Self::Bytes => value as f64,
        }
    }
}

/// Values by bucket.
#[derive(Debug)]
pub struct Histogram {
    scale: Scale,
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    #[must_use]
    pub fn new(scale: Scale) -> Self {
        Self {
            scale,
            buckets: (0..=scale.bounds().len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }
    }

    pub fn record(&self, span: Duration) {
        self.record_value(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
    }

    pub fn record_value(&self, value: u64) {
        let bucket = self.scale.bounds().partition_point(|&bound| bound < value);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// Returns how many values were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Relaxed)).sum()
    }

    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let bounds = self.scale.bounds().iter().map(|bound| self.scale.shown(*bound));
        let counts = self.buckets.iter().map(|bucket| bucket.load(Relaxed));
        Snapshot {
            buckets: bounds.chain([f64::MAX]).zip(counts).collect(),
            sum: self.scale.shown(self.sum.load(Relaxed)),
        }
    }
}

/// A histogram at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Upper bound and count of each bucket, not cumulated; the last one is unbounded.
    pub buckets: Vec<(f64, u64)>,
    pub sum: f64,
}

/// The value of one series.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Counter(u64),
    Gauge(i64),
    Histogram(Snapshot),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram(Scale),
}

/// What is said of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
    /// Names of the labels whose values differ by series.
    pub labels: &'static [&'static str],
    /// Labels that are the same for all series.
    pub constant: &'static [(&'static str, &'static str)],
    /// Whether the official server has a metric of this name, with these labels or more.
    pub official: bool,
}

impl Metric {
    /// A metric that the official server has too: a dashboard made for one shows the other.
    #[must_use]
    pub const fn official(name: &'static str, constant: &'static [(&'static str, &'static str)]) -> Self {
        Self {
            constant,
            official: true,
            ..Self::own(name)
        }
    }

    /// A metric that only this server has.
    #[must_use]
    pub const fn own(name: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Counter,
            help: "",
            labels: &[],
            constant: &[],
            official: false,
        }
    }

    #[must_use]
    pub const fn by(self, labels: &'static [&'static str]) -> Self {
        Self { labels, ..self }
    }

    #[must_use]
    pub const fn gauge(self) -> Self {
        self.kind(Kind::Gauge)
    }

    #[must_use]
    pub const fn histogram(self, scale: Scale) -> Self {
        self.kind(Kind::Histogram(scale))
    }

    const fn kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    #[must_use]
    pub const fn help(self, help: &'static str) -> Self {
        Self { help, ..self }
    }
}

/// One metric as it is exported.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub about: &'static Metric,
    pub series: Vec<Series>,
}

/// The values of a metric's labels, in their order, and its value under them.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub labels: Vec<Label>,
    pub value: Value,
}

/// Something that can be a metric.
pub trait Measure {
    fn new(about: &'static Metric) -> Self;
    fn series(&self) -> Vec<Series>;
}

fn single(value: Value) -> Vec<Series> {
    let labels = Vec::new();
    vec![Series { labels, value }]
}

impl Measure for Counter {
    fn new(_: &'static Metric) -> Self {
        Self::default()
    }

    fn series(&self) -> Vec<Series> {
        single(Value::Counter(self.value()))
    }
}

impl Measure for Gauge {
    fn new(_: &'static Metric) -> Self {
        Self::default()
    }

    fn series(&self) -> Vec<Series> {
        single(Value::Gauge(self.value()))
    }
}

impl Measure for Histogram {
    fn new(about: &'static Metric) -> Self {
        match about.kind {
            Kind::Histogram(scale) => Self::new(scale),
            Kind::Counter | Kind::Gauge => Self::new(Scale::Count),
        }
    }

    fn series(&self) -> Vec<Series> {
        single(Value::Histogram(self.snapshot()))
    }
}

/// Defines a set of metrics: what each measures, and what is said of it.
#[macro_export]
macro_rules! metrics {
    (
        $(#[$meta:meta])*
        $vis:vis struct $set:ident {
            $( #[doc = $help:literal] $field:ident: $kind:ty = $about:expr; )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug)]
        $vis struct $set {
            $( #[doc = $help] $vis $field: $kind, )+
        }

        impl $set {
            /// What is said of each metric, in a fixed order.
            $vis const TABLE: &'static [$crate::metrics::Metric] = &[ $( $about.help($help.trim_ascii_start()), )+ ];

            /// Returns all metrics in the order of the table.
            #[must_use]
            $vis fn samples(&self) -> Vec<$crate::metrics::Sample> {
                let series = [ $( $crate::metrics::Measure::series(&self.$field), )+ ];
                Self::TABLE
                    .iter()
                    .zip(series)
                    .map(|(about, series)| $crate::metrics::Sample { about, series })
                    .collect()
            }
        }

        impl Default for $set {
            fn default() -> Self {
                let mut table = Self::TABLE.iter();
                Self {
                    $( $field: $crate::metrics::Measure::new(table.next().unwrap_or(&Self::TABLE[0])), )+
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::metrics! {
        struct Set {
            /// Things.
            things: Counter = Metric::own("things_total");
            /// Waits.
            waits: Histogram = Metric::official("waits", &[("a", "b")]).histogram(Scale::Time);
            /// Levels.
            levels: Family<Gauge> = Metric::own("levels").gauge().by(&["namespace"]);
        }
    }

    #[test]
    fn a_value_falls_into_the_bucket_that_holds_it() {
        let latency = Histogram::new(Scale::Time);
        for span in [
            Duration::ZERO,
            Duration::from_millis(1),
            Duration::from_micros(1_001),
            Duration::MAX,
        ] {
            latency.record(span);
        }
        let buckets = latency.snapshot().buckets;
        assert_eq!(
            (buckets[0], buckets[1], buckets[TIME.len()]),
            ((0.001, 2), (0.002, 1), (f64::MAX, 1))
        );
        assert_eq!(buckets[TIME.len() - 1].0, 1_000.0);
        assert_eq!(latency.count(), 4);
    }

    #[test]
    fn bytes_and_counts_have_buckets_of_their_own() {
        assert_eq!((BYTES[0], BYTES[14]), (1 << 10, 16 << 20));
        let counts = Histogram::new(Scale::Count);
        counts.record_value(3);
        assert_eq!(counts.snapshot().buckets[2], (5.0, 1));
        assert_eq!(counts.snapshot().sum, 3.0);
    }

    #[test]
    fn a_set_is_sampled_in_the_order_of_its_table() {
        let set = Set::default();
        set.things.add(2);
        set.waits.record(Duration::from_secs(1));
        set.levels.with(&["x"]).set(-1);
        let samples = set.samples();
        let names: Vec<_> = samples.iter().map(|sample| sample.about.name).collect();
        assert_eq!(names, ["things_total", "waits", "levels"]);
        assert_eq!(samples[0].about.help, "Things.");
        assert_eq!(samples[0].series, single(Value::Counter(2)));
        assert_eq!(samples[2].series[0].labels, ["x"]);
        assert_eq!(samples[2].series[0].value, Value::Gauge(-1));
    }
}
