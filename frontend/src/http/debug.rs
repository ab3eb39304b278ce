//! What the node holds at the moment, as JSON.

use std::{
    fmt::Write,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use axum::{
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::frontend::Frontend;

const NANOS_PER_SECOND: f64 = 1e9;

pub(super) async fn shards(State(frontend): State<Arc<Frontend>>) -> Response {
    json(&frontend.router.shard_views().await)
}

pub(super) async fn queues(State(frontend): State<Arc<Frontend>>) -> Response {
    json(&frontend.router.queue_views().await)
}

/// A namespace as this node knows it.
#[derive(Serialize)]
struct NamespaceView {
    id: String,
    name: String,
    state: &'static str,
    retention_seconds: u64,
    search_attributes: Vec<String>,
    reclaiming: bool,
}

pub(super) async fn namespaces(State(frontend): State<Arc<Frontend>>) -> Response {
    let views: Vec<_> = frontend
        .namespaces
        .all()
        .iter()
        .map(|namespace| NamespaceView {
            id: namespace.id.to_string(),
            name: namespace.name().to_owned(),
            state: namespace.record.state().as_str_name(),
            retention_seconds: namespace.record.retention().as_secs(),
            search_attributes: namespace.schema.custom().keys().cloned().collect(),
            reclaiming: namespace.record.reclaiming,
        })
        .collect();
    json(&views)
}

fn json(view: &impl Serialize) -> Response {
    match serde_json::to_string_pretty(view) {
        Ok(text) => ([(CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Writes the shards' counters under public names.
pub(super) fn shard_metrics(frontend: &Frontend) -> String {
    let metrics = frontend.router.shard_metrics();
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Relaxed);
    #[expect(
        clippy::cast_precision_loss,
        reason = "a sum of spans need not be exact to the nanosecond"
    )]
    let seconds = count(&metrics.commit_nanos) as f64 / NANOS_PER_SECOND;
    let counters = [
        ("shard_requests", "Requests to runs", count(&metrics.requests)),
        (
            "shard_commits",
            "Batches that became durable",
            count(&metrics.commits),
        ),
        (
            "shard_commit_bytes",
            "Bytes of committed batches",
            count(&metrics.commit_bytes),
        ),
        (
            "shard_commit_runs",
            "Runs that committed batches stored",
            count(&metrics.commit_runs),
        ),
        ("shard_loads", "Rows that were loaded", count(&metrics.loads)),
        (
            "shard_restarts",
            "Times that a shard was given up and taken again",
            count(&metrics.restarts),
        ),
    ];
    let mut text = String::new();
    for (name, help, value) in counters {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}.\n# TYPE {name} gauge\n{name} {value}");
    }
    let name = "shard_commit_seconds";
    let _ = writeln!(
        text,
        "# HELP {name} Seconds that commits took, summed up.\n# TYPE {name} gauge\n{name} {seconds}"
    );
    text
}
