//! What the calls of a node count, under the names that Temporal's dashboards plot (reference 9.1, 9.2).
//!
//! Counters are exported as gauges: the names must not get the suffix `_total`.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use proto::metrics::{Kind, Metric, Sample, Scale, Series, Value};
use tonic::Code;

use crate::{error::Error, status};

/// A number that only grows.
type Count = Gauge<u64, AtomicU64>;

const SERVICE: &str = "frontend";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOperation {
    service_name: &'static str,
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByError {
    service_name: &'static str,
    operation: &'static str,
    error_type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCause {
    service_name: &'static str,
    operation: &'static str,
    resource_exhausted_cause: &'static str,
    resource_exhausted_scope: &'static str,
}

/// The metrics of a node's calls.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<ByOperation, Count>,
    pending: Family<ByOperation, Gauge>,
    latency: Family<ByOperation, Histogram>,
    errors: Family<ByOperation, Count>,
    errors_by_type: Family<ByError, Count>,
    exhausted: Family<ByCause, Count>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let requests = Family::default();
        registry.register("service_requests", "Calls that came in", requests.clone());
        let pending = Family::default();
        registry.register(
            "service_pending_requests",
            "Calls that are under way",
            pending.clone(),
        );
        let latency = Family::new_with_constructor(time_buckets as fn() -> Histogram);
        registry.register("service_latency", "Seconds that calls took", latency.clone());
        let errors = Family::default();
        registry.register(
            "service_errors",
            "Calls that failed through no fault of the caller",
            errors.clone(),
        );
        let errors_by_type = Family::default();
        registry.register(
            "service_error_with_type",
            "Calls that failed, by error",
            errors_by_type.clone(),
        );
        let exhausted = Family::default();
        let help = "Calls that met a limit";
        registry.register("service_errors_resource_exhausted", help, exhausted.clone());
        Self {
            registry,
            requests,
            pending,
            latency,
            errors,
            errors_by_type,
            exhausted,
        }
    }
}

fn time_buckets() -> Histogram {
    Histogram::new(Scale::Time.bounds().iter().map(|bound| Scale::Time.shown(*bound)))
}

impl Metrics {
    /// Counts a call, which is pending until the returned value is dropped.
    pub(crate) fn begin(self: &Arc<Self>, operation: &'static str) -> Counted {
        let labels = ByOperation {
            service_name: SERVICE,
            operation,
        };
        self.requests.get_or_create(&labels).inc();
        self.pending.get_or_create(&labels).inc();
        Counted {
            metrics: Arc::clone(self),
            labels,
            started: Instant::now(),
        }
    }

    /// Writes the metrics as text, together with those that other parts of the node keep by themselves.
    #[must_use]
    pub fn text(&self, samples: &[Sample]) -> String {
        let mut text = String::new();
        if text::encode(&mut text, &self.registry).is_err() {
            text.clear();
        }
        // That mark belongs to another format, and more follows.
        let mut text = text.trim_end_matches("# EOF\n").to_owned();
        write_samples(&mut text, samples);
        text
    }
}

/// A call under way.
pub(crate) struct Counted {
    metrics: Arc<Metrics>,
    labels: ByOperation,
    started: Instant,
}

impl Counted {
    /// Counts how the call ended; one that is dropped before was taken back by its client.
    pub(crate) fn end(&self, error: Option<&Error>) {
        let metrics = &self.metrics;
        metrics
            .latency
            .get_or_create(&self.labels)
            .observe(self.started.elapsed().as_secs_f64());
        let Some(error) = error else { return };
        let ByOperation {
            service_name,
            operation,
        } = self.labels;
        let code = status::code(error);
        let error_type = type_name(code);
        metrics
            .errors_by_type
            .get_or_create(&ByError {
                service_name,
                operation,
                error_type,
            })
            .inc();
        if is_unexpected(error, code) {
            metrics.errors.get_or_create(&self.labels).inc();
        }
        if let Error::Exhausted { cause, scope, .. } = error {
            let labels = ByCause {
                service_name,
                operation,
                resource_exhausted_cause: status::cause_name(*cause),
                resource_exhausted_scope: status::scope_name(*scope),
            };
            metrics.exhausted.get_or_create(&labels).inc();
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.metrics.pending.get_or_create(&self.labels).dec();
    }
}

/// Whether the error says something about the server rather than about the request.
fn is_unexpected(error: &Error, code: Code) -> bool {
    use proto::temporal::enums::v1::ResourceExhaustedScope::System;
    match error {
        Error::Exhausted { scope, .. } => *scope == System,
        _ => matches!(
            code,
            Code::Unknown
                | Code::Internal
                | Code::Unavailable
                | Code::DeadlineExceeded
                | Code::Aborted
                | Code::Unimplemented
                | Code::DataLoss
        ),
    }
}

/// Returns the label of an error with the code.
fn type_name(code: Code) -> &'static str {
    match code {
        Code::InvalidArgument => "serviceerror_InvalidArgument",
        Code::NotFound => "serviceerror_NotFound",
        Code::AlreadyExists => "serviceerror_AlreadyExists",
        Code::FailedPrecondition => "serviceerror_FailedPrecondition",
        Code::PermissionDenied => "serviceerror_PermissionDenied",
        Code::ResourceExhausted => "serviceerror_ResourceExhausted",
        Code::Unavailable => "serviceerror_Unavailable",
        Code::DeadlineExceeded => "serviceerror_DeadlineExceeded",
        Code::Aborted => "serviceerror_Aborted",
        Code::Unimplemented => "serviceerror_Unimplemented",
        Code::Internal => "serviceerror_Internal",
        _ => "serviceerror_Unknown",
    }
}

/// Writes all samples of one name together, as the format wants it.
fn write_samples(text: &mut String, samples: &[Sample]) {
    let mut by_name: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        by_name.entry(sample.about.name).or_default().push(sample);
    }
    for (name, samples) in by_name {
        let about = samples[0].about;
        // Official counters lack the suffix that the format asks of counters.
        let kind = match about.kind {
            Kind::Histogram(_) => "histogram",
            Kind::Counter | Kind::Gauge if about.official => "untyped",
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // Writing into a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}", about.help);
        for sample in samples {
            for series in &sample.series {
                write_series(text, sample.about, series);
            }
        }
    }
}

fn write_series(text: &mut String, about: &Metric, series: &Series) {
    let constant = about.constant.iter().copied();
    let own = about
        .labels
        .iter()
        .copied()
        .zip(series.labels.iter().map(AsRef::as_ref));
    // Values hold letters, digits and underscores alone: nothing is to be escaped.
    let labels: Vec<String> = constant
        .chain(own)
        .map(|(name, value)| format!("{name}=\"{value}\""))
        .collect();
    let (name, labels) = (about.name, labels.join(","));
    let braced = if labels.is_empty() {
        String::new()
    } else {
        format!("{{{labels}}}")
    };
    let _ = match &series.value {
        Value::Counter(count) => writeln!(text, "{name}{braced} {count}"),
        Value::Gauge(level) => writeln!(text, "{name}{braced} {level}"),
        Value::Histogram(snapshot) => {
            let comma = if labels.is_empty() { "" } else { "," };
            let mut cumulated = 0;
            for (bound, count) in &snapshot.buckets {
                cumulated += count;
                let bound = if *bound == f64::MAX {
                    "+Inf".to_owned()
                } else {
                    bound.to_string()
                };
                let _ = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {cumulated}");
            }
            writeln!(
                text,
                "{name}_sum{braced} {}\n{name}_count{braced} {cumulated}",
                snapshot.sum
            )
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_under_the_names_of_dashboards() {
        let metrics = Arc::new(Metrics::default());
        metrics.begin("StartWorkflowExecution").end(None);
        metrics
            .begin("StartWorkflowExecution")
            .end(Some(&Error::NotFound("x".to_owned())));
        metrics
            .begin("StartWorkflowExecution")
            .end(Some(&Error::Unavailable("x".to_owned())));
        const ADDED: Metric = Metric::official("tasks_added", &[("service_name", "matching")]);
        let counter = Sample {
            about: &ADDED,
            series: vec![Series {
                labels: Vec::new(),
                value: Value::Counter(7),
            }],
        };
        let text = metrics.text(&[counter]);
        let labels = "service_name=\"frontend\",operation=\"StartWorkflowExecution\"";
        for line in [
            format!("service_requests{{{labels}}} 3"),
            format!("service_pending_requests{{{labels}}} 0"),
            format!("service_errors{{{labels}}} 1"),
            format!("service_error_with_type{{{labels},error_type=\"serviceerror_NotFound\"}} 1"),
            format!("service_latency_count{{{labels}}} 3"),
            "tasks_added{service_name=\"matching\"} 7".to_owned(),
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
        }
        assert!(!text.contains("# EOF"));
    }
}
