//! What the calls of a node count, under the names that Temporal's dashboards plot (reference 9.1, 9.2).

use std::{sync::Arc, time::Duration};

use cluster::metrics::NodeMetrics;
use proto::metrics::{Counter, Family, Gauge, Handles, Histogram, Metric, Sample, Scale};
use tonic::Code;

use crate::{error::Error, status};

const FRONTEND: &[(&str, &str)] = &[("service_name", "frontend")];
const CALL: &[&str] = &["namespace", "operation"];
const ERROR: &[&str] = &["namespace", "operation", "error_type"];
const LIMIT: &[&str] = &[
    "namespace",
    "operation",
    "resource_exhausted_cause",
    "resource_exhausted_scope",
];

proto::metrics! {
    /// The metrics of a node's calls.
    pub struct Calls {
        /// Calls that came in.
        service_requests: Family<Counter> = Metric::official("service_requests", FRONTEND).by(CALL);
        /// Calls that are under way.
        service_pending_requests: Family<Gauge> =
            Metric::official("service_pending_requests", FRONTEND).gauge().by(CALL);
        /// How long calls took.
        service_latency: Family<Histogram> =
            Metric::official("service_latency", FRONTEND).histogram(Scale::Time).by(CALL);
        /// Calls that failed through no fault of the caller.
        service_errors: Family<Counter> = Metric::official("service_errors", FRONTEND).by(CALL);
        /// Calls that failed, by error.
        service_error_with_type: Family<Counter> =
            Metric::official("service_error_with_type", FRONTEND).by(ERROR);
        /// Calls that met a limit.
        service_errors_resource_exhausted: Family<Counter> =
            Metric::official("service_errors_resource_exhausted", FRONTEND).by(LIMIT);
    }
}

/// The metrics of a node's calls, and the series of each operation and namespace at hand.
#[derive(Debug)]
pub struct Metrics {
    calls: Calls,
    known: Handles<Series>,
    /// Counts what finds no place; not shown.
    rest: Series,
}

/// What is counted of an operation in a namespace.
#[derive(Debug)]
struct Series {
    operation: &'static str,
    namespace: Box<str>,
    requests: Arc<Counter>,
    pending: Arc<Gauge>,
    latency: Arc<Histogram>,
    errors: Arc<Counter>,
}

impl Series {
    fn new(calls: &Calls, operation: &'static str, namespace: &str) -> Self {
        let labels = [namespace, operation];
        Self {
            operation,
            namespace: namespace.into(),
            requests: calls.service_requests.with(&labels),
            pending: calls.service_pending_requests.with(&labels),
            latency: calls.service_latency.with(&labels),
            errors: calls.service_errors.with(&labels),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            calls: Calls::default(),
            known: Handles::default(),
            rest: Series::new(&Calls::default(), "", ""),
        }
    }
}

impl Metrics {
    /// Counts a call, which is pending until the returned value is dropped. A namespace that is not known when it is
    /// named first counts as none.
    pub(crate) fn begin(
        &self,
        operation: &'static str,
        namespace: &str,
        is_known: impl FnOnce() -> bool,
    ) -> Counted<'_> {
        let series = self.known.find(operation, namespace).or_else(|| {
            let namespace = if is_known() { namespace } else { "" };
            self.known.get(operation, namespace, |namespace| {
                Series::new(&self.calls, operation, namespace)
            })
        });
        let series = series.unwrap_or(&self.rest);
        series.requests.inc();
        series.pending.add(1);
        Counted {
            calls: &self.calls,
            series,
        }
    }

    /// What is said of each metric that the page shows.
    #[must_use]
    pub fn table() -> Vec<&'static Metric> {
        let mut table: Vec<_> = Calls::TABLE.iter().collect();
        table.extend(NodeMetrics::table());
        table
    }

    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        self.calls.samples()
    }
}

/// A call under way.
pub(crate) struct Counted<'a> {
    calls: &'a Calls,
    series: &'a Series,
}

impl Counted<'_> {
    pub(crate) fn operation(&self) -> &'static str {
        self.series.operation
    }

    /// Counts how the call ended; one that is dropped before was taken back by its client.
    pub(crate) fn end(&self, took: Duration, error: Option<&Error>) {
        self.series.latency.record(took);
        let Some(error) = error else { return };
        let (namespace, operation) = (&*self.series.namespace, self.series.operation);
        let code = status::code(error);
        let labels = [namespace, operation, type_name(code)];
        self.calls.service_error_with_type.with(&labels).inc();
        if is_unexpected(error, code) {
            self.series.errors.inc();
        }
        if let Error::Exhausted { cause, scope, .. } = error {
            let (cause, scope) = (status::cause_name(*cause), status::scope_name(*scope));
            let labels = [namespace, operation, cause, scope];
            self.calls.service_errors_resource_exhausted.with(&labels).inc();
        }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.series.pending.add(-1);
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

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "StartWorkflowExecution";

    fn begin<'a>(metrics: &'a Metrics, namespace: &str) -> Counted<'a> {
        metrics.begin(START, namespace, || namespace == "default")
    }

    #[test]
    fn calls_are_counted_by_operation_and_namespace() {
        let metrics = Metrics::default();
        let took = Duration::from_millis(3);
        begin(&metrics, "default").end(took, None);
        begin(&metrics, "default").end(took, Some(&Error::NotFound("x".to_owned())));
        begin(&metrics, "default").end(took, Some(&Error::Unavailable("x".to_owned())));
        let under_way = begin(&metrics, "default");
        let calls = &metrics.calls;
        let labels = ["default", START];
        assert_eq!(calls.service_requests.with(&labels).value(), 4);
        assert_eq!(calls.service_pending_requests.with(&labels).value(), 1);
        assert_eq!(calls.service_latency.with(&labels).count(), 3);
        assert_eq!(calls.service_errors.with(&labels).value(), 1);
        for error in ["serviceerror_NotFound", "serviceerror_Unavailable"] {
            let labels = ["default", START, error];
            assert_eq!(calls.service_error_with_type.with(&labels).value(), 1, "{error}");
        }
        drop(under_way);
        assert_eq!(calls.service_pending_requests.with(&labels).value(), 0);
    }

    #[test]
    fn namespaces_that_are_not_there_count_as_none() {
        let metrics = Metrics::default();
        for at in 0..10_000 {
            begin(&metrics, &format!("no-{at}")).end(Duration::ZERO, None);
        }
        assert_eq!(metrics.calls.service_requests.with(&["", START]).value(), 10_000);
        let samples = metrics.samples();
        assert!(
            samples.iter().all(|sample| sample.series.len() <= 1),
            "{samples:?}"
        );
    }
}
