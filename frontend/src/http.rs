//! The HTTP listener for operators: health, metrics and views of what the node holds. Only where an address is given.

mod debug;
mod exposition;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

use crate::frontend::{Frontend, Stage};

const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves pages, these and `more`, on the listener until `shutdown` ends.
pub async fn serve(
    listener: TcpListener,
    frontend: Arc<Frontend>,
    more: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let pages = Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/debug/shards", get(debug::shards))
        .route("/debug/shards/{id}", get(debug::shard))
        .route("/debug/view", get(debug::view))
        .route("/debug/queues", get(debug::queues))
        .route("/debug/namespaces", get(debug::namespaces))
        .with_state(frontend)
        .merge(more);
    axum::serve(
        listener,
        pages.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .with_graceful_shutdown(shutdown)
    .await
}

/// The process lives.
async fn health() -> Response {
    debug::json(&serde_json::json!({ "status": "ok" }))
}

/// The node takes calls, and can answer them.
async fn ready(State(frontend): State<Arc<Frontend>>) -> Response {
    let lacks = frontend.router.reach().borrow().lacks();
    let why = match (frontend.stage(), lacks) {
        (Stage::Serving, None) => return health().await,
        (Stage::Serving, Some(lacks)) => lacks,
        (stage, _) => stage.name(),
    };
    let status = debug::json(&serde_json::json!({ "status": why }));
    (StatusCode::SERVICE_UNAVAILABLE, status).into_response()
}

async fn metrics(State(frontend): State<Arc<Frontend>>) -> Response {
    let mut samples = frontend.metrics.samples();
    let router = &frontend.router;
    samples.extend(router.metrics().samples(&router.store().counts()));
    let text = exposition::text(&samples);
    ([(CONTENT_TYPE, METRICS_TYPE)], text).into_response()
}
