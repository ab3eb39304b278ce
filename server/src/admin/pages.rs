//! Pages: the operator's questions as HTTP, for callers on this machine only.

use std::net::SocketAddr;

use axum::{
    Json, Router,
    extract::{ConnectInfo, Path, Query, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    operator::{Operator, OperatorError},
    question::Question,
};

/// A page of a browser cannot send it to another site without asking first.
pub(crate) const HEADER: &str = "x-perdure-admin";

/// Returns the pages below `/admin`.
pub fn pages(operator: Operator) -> Router {
    Router::new()
        .route("/admin/members", get(members))
        .route("/admin/shards", get(shards))
        .route("/admin/shards/{shard}/split", post(split))
        .route("/admin/shards/{shard}/merge/{right}", post(merge))
        .route("/admin/shards/cancel", post(cancel))
        .route("/admin/queues", get(queues))
        .route("/admin/run", get(run))
        .route("/admin/nodes/{name}", get(node))
        .route("/admin/nodes/{name}/drain", post(drain))
        .layer(middleware::from_fn(from_here))
        .with_state(operator)
}

/// The listener may be open to scrapers of metrics; commands are for those who are on the machine.
async fn from_here(ConnectInfo(caller): ConnectInfo<SocketAddr>, request: Request, next: Next) -> Response {
    let here = caller.ip().to_canonical().is_loopback();
    if here && request.headers().contains_key(HEADER) {
        return next.run(request).await;
    }
    let error = "operators' pages answer `perdure admin` on the node's own machine only";
    (StatusCode::FORBIDDEN, Json(json!({ "error": error }))).into_response()
}

async fn members(State(operator): State<Operator>) -> Json<Value> {
    Json(operator.members())
}

async fn shards(State(operator): State<Operator>) -> Json<Value> {
    Json(operator.shards().await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Split {
    /// A position in hexadecimal digits, as the shards' ranges are shown.
    at: Option<String>,
}

async fn split(
    State(operator): State<Operator>,
    Path(shard): Path<u32>,
    Query(split): Query<Split>,
) -> Response {
    answer(operator.split(shard, split.at.as_deref()).await)
}

async fn merge(State(operator): State<Operator>, Path((left, right)): Path<(u32, u32)>) -> Response {
    answer(operator.merge(left, right).await)
}

async fn cancel(State(operator): State<Operator>) -> Response {
    answer(operator.cancel().await)
}

async fn queues(State(operator): State<Operator>) -> Json<Value> {
    Json(operator.queues().await)
}

async fn node(State(operator): State<Operator>, Path(name): Path<String>) -> Response {
    answer(operator.ask(&name, Question::Node).await)
}

async fn drain(State(operator): State<Operator>, Path(name): Path<String>) -> Response {
    answer(operator.ask(&name, Question::Drain).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    namespace: String,
    workflow_id: String,
    #[serde(default)]
    run_id: String,
}

async fn run(State(operator): State<Operator>, Query(run): Query<Run>) -> Response {
    answer(operator.run(&run.namespace, &run.workflow_id, &run.run_id).await)
}

fn answer(answer: Result<Value, OperatorError>) -> Response {
    let error = match answer {
        Ok(answer) => return Json(answer).into_response(),
        Err(error) => error,
    };
    let status = match &error {
        OperatorError::NoNode { .. } | OperatorError::NotFound(_) => StatusCode::NOT_FOUND,
        OperatorError::RunId(_) => StatusCode::BAD_REQUEST,
        OperatorError::Refused(_) => StatusCode::CONFLICT,
        OperatorError::Silent(..) | OperatorError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(json!({ "error": error.to_string() }))).into_response()
}
