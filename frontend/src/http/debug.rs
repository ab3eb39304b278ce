//! What the node holds at the moment, as JSON.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use proto::ids::ShardId;
use serde::Serialize;

use crate::frontend::Frontend;

pub(super) async fn shards(State(frontend): State<Arc<Frontend>>) -> Response {
    json(&frontend.router.shard_views().await)
}

pub(super) async fn shard(State(frontend): State<Arc<Frontend>>, Path(id): Path<u32>) -> Response {
    match frontend.router.shard_view(ShardId(id)).await {
        Some(view) => json(&view),
        None => {
            let error = format!("shard {id} is not on this node");
            (
                StatusCode::NOT_FOUND,
                json(&serde_json::json!({ "error": error })),
            )
                .into_response()
        }
    }
}

pub(super) async fn view(State(frontend): State<Arc<Frontend>>) -> Response {
    json(&frontend.router.view())
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

/// Writes a view as a page.
pub(super) fn json(view: &impl Serialize) -> Response {
    match serde_json::to_string_pretty(view) {
        Ok(text) => ([(CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
