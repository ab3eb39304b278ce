//! The HTTP listener for operators: health, metrics and views of what the node holds. Only where an address is given.

mod debug;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

use crate::frontend::Frontend;

const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves pages on the listener until `shutdown` ends.
pub async fn serve(
    listener: TcpListener,
    frontend: Arc<Frontend>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let pages = Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/debug/shards", get(debug::shards))
        .route("/debug/queues", get(debug::queues))
        .route("/debug/namespaces", get(debug::namespaces))
        .with_state(frontend);
    axum::serve(listener, pages)
        .with_graceful_shutdown(shutdown)
        .await
}

/// The process lives.
async fn health() -> &'static str {
    "ok"
}

/// The node takes calls.
async fn ready(State(frontend): State<Arc<Frontend>>) -> Response {
    if frontend.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining").into_response()
    } else {
        "ok".into_response()
    }
}

async fn metrics(State(frontend): State<Arc<Frontend>>) -> Response {
    let text = frontend.metrics.text(&frontend.router.metrics().samples());
    ([(CONTENT_TYPE, METRICS_TYPE)], text).into_response()
}
