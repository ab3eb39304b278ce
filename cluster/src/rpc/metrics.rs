//! What a node counts of its calls to others.

use std::{sync::Arc, time::Duration};

use proto::metrics::{Counter, Family, Histogram, Metric, Scale};

use crate::rpc::{Call, Lost};

const OPERATION: &[&str] = &["service_role", "operation"];

proto::metrics! {
    /// The metrics of calls to other nodes.
    pub(crate) struct Calls {
        /// Calls to other nodes.
        client_requests: Family<Counter> = Metric::official("client_requests", &[]).by(OPERATION);
        /// Those of them that no answer came of.
        client_errors: Family<Counter> = Metric::official("client_errors", &[]).by(OPERATION);
        /// How long they took, polls among them.
        client_latency: Family<Histogram> =
            Metric::official("client_latency", &[]).histogram(Scale::Time).by(OPERATION);
        /// Calls that no answer came of, by what is known of them: not_sent, unknown, busy (too many wait for the node).
        lost: Family<Counter> = Metric::own("perdure_node_calls_lost_total").by(&["outcome"]);
    }
}

/// Counts calls; the series are looked up once.
#[derive(Debug)]
pub(crate) struct Counts {
    calls: Arc<Calls>,
    series: [Series; KINDS.len()],
}

#[derive(Debug)]
struct Series {
    requests: Arc<Counter>,
    errors: Arc<Counter>,
    latency: Arc<Histogram>,
}

/// Whom a call of each kind is for, and its name.
const KINDS: [[&str; 2]; 10] = [
    ["history", "Ask"],
    ["matching", "Poll"],
    ["matching", "Query"],
    ["matching", "AnswerQuery"],
    ["matching", "View"],
    ["matching", "WorkerShutdown"],
    ["history", "Hints"],
    ["history", "HandOver"],
    ["admin", "Operate"],
    ["matching", "Workers"],
];

fn kind(call: &Call) -> usize {
    match call {
        Call::Ask { .. } => 0,
        Call::Poll { .. } => 1,
        Call::Query { .. } => 2,
        Call::AnswerQuery { .. } => 3,
        Call::View { .. } => 4,
        Call::WorkerShutdown { .. } => 5,
        Call::Hints { .. } => 6,
        Call::HandOver { .. } => 7,
        Call::Operate { .. } => 8,
        Call::Workers { .. } => 9,
    }
}

impl Counts {
    pub(crate) fn new(calls: Arc<Calls>) -> Self {
        let series = KINDS.map(|labels| Series {
            requests: calls.client_requests.with(&labels),
            errors: calls.client_errors.with(&labels),
            latency: calls.client_latency.with(&labels),
        });
        Self { calls, series }
    }

    /// A call begins.
    pub(crate) fn begun(&self, call: &Call) {
        self.series[kind(call)].requests.inc();
    }

    /// A call ended after this long.
    pub(crate) fn ended(&self, call: &Call, took: Duration, lost: Option<&Lost>) {
        let series = &self.series[kind(call)];
        series.latency.record(took);
        let Some(lost) = lost else { return };
        series.errors.inc();
        let outcome = match lost {
            Lost::NotSent(_) => "not_sent",
            Lost::Unknown(_) => "unknown",
            Lost::Busy(_) => "busy",
        };
        self.calls.lost.with(&[outcome]).inc();
    }
}
