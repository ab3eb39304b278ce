//! The books of one run: latencies, calls, errors, and a line per second of how it went.
//!
//! Everybody writes, few read. Times are handed in; it never looks at a clock.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;
use serde::Serialize;
use tonic::Code;

use crate::rpc::{Rpc, code_name};

/// Longest latency that is told apart, microseconds: an hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;
/// Error texts kept per call and code.
const TEXT_CHARS_MAX: usize = 200;

/// Latency in milliseconds, from a histogram of microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Latency {
    pub count: u64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Latency {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        if histogram.is_empty() {
            return Self::default();
        }
        Self {
            count: histogram.len(),
            mean: histogram.mean() / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / 1e3,
        }
    }
}

/// One kind of call.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Calls {
    pub rpc: String,
    pub calls: u64,
    pub latency_ms: Latency,
    /// By code; a call that was made again counts each time.
    pub errors: BTreeMap<&'static str, Errors>,
}

/// Errors of one code.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Errors {
    pub count: u64,
    /// The text of the first.
    pub first: String,
}

/// What happened since the last line.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Interval {
    pub started: u64,
    pub closed: u64,
    pub operations: u64,
    pub errors: u64,
    pub latency_ms: Latency,
}

/// Counts since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    pub started: u64,
    pub closed: u64,
    /// Signals, updates and queries answered.
    pub operations: u64,
    pub errors: u64,
    /// Starts that the open loop left out because too many were in flight.
    pub shed: u64,
}

struct Row {
    calls: u64,
    latency: Histogram<u64>,
    errors: BTreeMap<&'static str, Errors>,
}

struct Books {
    counts: Counts,
    counts_before: Counts,
    latency: Histogram<u64>,
    interval: Histogram<u64>,
    rows: Vec<Row>,
}

/// See the module.
pub(crate) struct Recorder {
    books: Mutex<Books>,
}

impl Default for Recorder {
    fn default() -> Self {
        let row = |_| Row {
            calls: 0,
            latency: histogram(),
            errors: BTreeMap::new(),
        };
        let books = Books {
            counts: Counts::default(),
            counts_before: Counts::default(),
            latency: histogram(),
            interval: histogram(),
            rows: Rpc::ALL.map(row).into(),
        };
        Self {
            books: Mutex::new(books),
        }
    }
}

impl Recorder {
    /// A client set out to start a workflow.
    pub(crate) fn started(&self) {
        self.books().counts.started += 1;
    }

    /// A workflow reached its goal; `latency` unless it does not count (warm-up).
    pub(crate) fn closed(&self, latency: Option<Duration>) {
        let mut books = self.books();
        books.counts.closed += 1;
        if let Some(latency) = latency {
            let micros = micros(latency);
            books.latency.saturating_record(micros);
            books.interval.saturating_record(micros);
        }
    }

    /// A signal, update or query was answered.
    pub(crate) fn operated(&self) {
        self.books().counts.operations += 1;
    }

    /// The open loop left a start out.
    pub(crate) fn shed(&self) {
        self.books().counts.shed += 1;
    }

    /// A call came back.
    pub(crate) fn called(&self, rpc: Rpc, took: Duration) {
        let mut books = self.books();
        let row = &mut books.rows[rpc as usize];
        row.calls += 1;
        row.latency.saturating_record(micros(took));
    }

    /// A call failed.
    pub(crate) fn failed(&self, rpc: Rpc, code: Code, text: &str) {
        let mut books = self.books();
        books.counts.errors += 1;
        let errors = books.rows[rpc as usize]
            .errors
            .entry(code_name(code))
            .or_default();
        errors.count += 1;
        if errors.count == 1 {
            errors.first = text.chars().take(TEXT_CHARS_MAX).collect();
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.books().counts
    }

    /// What happened since this was last asked.
    pub(crate) fn interval(&self) -> Interval {
        let mut books = self.books();
        let (now, before) = (books.counts, books.counts_before);
        let latency_ms = Latency::of(&books.interval);
        books.interval.reset();
        books.counts_before = now;
        Interval {
            started: now.started - before.started,
            closed: now.closed - before.closed,
            operations: now.operations - before.operations,
            errors: now.errors - before.errors,
            latency_ms,
        }
    }

    /// The latencies of all workflows that count, microseconds.
    pub(crate) fn latency(&self) -> Histogram<u64> {
        self.books().latency.clone()
    }

    /// The calls that were made at all.
    pub(crate) fn calls(&self) -> Vec<Calls> {
        let books = self.books();
        let made = Rpc::ALL
            .into_iter()
            .zip(&books.rows)
            .filter(|(_, row)| row.calls > 0);
        made.map(|(rpc, row)| Calls {
            rpc: rpc.name(),
            calls: row.calls,
            latency_ms: if rpc.waits() {
                Latency::default()
            } else {
                Latency::of(&row.latency)
            },
            errors: row.errors.clone(),
        })
        .collect()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Three digits, up to an hour; grows as it needs.
#[expect(clippy::expect_used, reason = "the bounds are constants")]
pub(crate) fn histogram() -> Histogram<u64> {
    let mut histogram = Histogram::new_with_max(LATENCY_US_MAX, 3).expect("valid bounds");
    histogram.auto(false);
    histogram
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_values() {
        let recorder = Recorder::default();
        for ms in 1..=1000 {
            recorder.closed(Some(Duration::from_millis(ms)));
        }
        let latency = Latency::of(&recorder.latency());
        let near = |value: f64, wanted: f64| (value / wanted - 1.0).abs() < 0.002;
        assert_eq!(latency.count, 1000);
        assert!(near(latency.p50, 500.0) && near(latency.p90, 900.0) && near(latency.p99, 990.0));
        assert!(near(latency.p999, 999.0) && near(latency.max, 1000.0) && near(latency.mean, 500.5));
    }

    #[test]
    fn one_stall_in_a_hundred_shows_in_the_p99() {
        let recorder = Recorder::default();
        (0..98).for_each(|_| recorder.closed(Some(Duration::from_millis(2))));
        (0..2).for_each(|_| recorder.closed(Some(Duration::from_secs(2))));
        assert!(Latency::of(&recorder.latency()).p99 > 1990.0);
    }

    #[test]
    fn an_interval_holds_what_came_since_the_last() {
        let recorder = Recorder::default();
        recorder.started();
        recorder.closed(Some(Duration::from_millis(5)));
        let first = recorder.interval();
        assert_eq!((first.started, first.closed, first.latency_ms.count), (1, 1, 1));
        recorder.closed(None);
        let second = recorder.interval();
        assert_eq!(
            (second.started, second.closed, second.latency_ms.count),
            (0, 1, 0)
        );
        assert_eq!(recorder.counts().closed, 2);
    }

    #[test]
    fn errors_are_kept_by_call_and_code() {
        let recorder = Recorder::default();
        recorder.called(Rpc::StartWorkflowExecution, Duration::from_millis(1));
        recorder.failed(Rpc::StartWorkflowExecution, Code::Unavailable, "first");
        recorder.failed(Rpc::StartWorkflowExecution, Code::Unavailable, "second");
        let calls = recorder.calls();
        assert_eq!(calls.len(), 1);
        let errors = calls[0].errors.get("UNAVAILABLE");
        assert_eq!(
            errors.map(|errors| (errors.count, errors.first.as_str())),
            Some((2, "first"))
        );
    }
}
