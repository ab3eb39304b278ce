//! Client: one question to a node's pages.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Method, Request, StatusCode, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::pages::HEADER;

const TIMEOUT: Duration = Duration::from_secs(15);
/// An answer's bytes, at most.
const ANSWER_MAX: usize = 64 << 20;

/// There is no answer, or none to go on with.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("connect to {0}: {1}; is the node up, and does its http_listen say so?")]
    Connect(SocketAddr, std::io::Error),
    #[error("ask {0}: {1}")]
    Broken(SocketAddr, String),
    /// There is nothing of that name, in the node's own words.
    #[error("{0}")]
    NotFound(String),
    /// The node's own words.
    #[error("{0}")]
    Refused(String),
}

/// Asks, bounded in time.
pub(crate) async fn ask(address: SocketAddr, method: Method, path: &str) -> Result<Value, AskError> {
    let broken = |error: String| AskError::Broken(address, error);
    tokio::time::timeout(TIMEOUT, exchange(address, method, path))
        .await
        .map_err(|_| broken(format!("no answer for {TIMEOUT:?}")))?
}

async fn exchange(address: SocketAddr, method: Method, path: &str) -> Result<Value, AskError> {
    let broken = |error: &dyn std::fmt::Display| AskError::Broken(address, error.to_string());
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| AskError::Connect(address, error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(&error))?;
    // Ends with the sender; what goes wrong is seen by the request.
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", address.to_string())
        .header(HEADER, "1")
        .body(Empty::<Bytes>::new())
        .map_err(|error| broken(&error))?;
    let answer = sender
        .send_request(request)
        .await
        .map_err(|error| broken(&error))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_MAX)
        .collect()
        .await
        .map_err(|error| broken(&error))?
        .to_bytes();
    connection.abort();
    if status == StatusCode::NOT_FOUND && body.is_empty() {
        return Err(broken(&"it has no such page: is it a node of this release?"));
    }
    let value: Value = serde_json::from_slice(&body).map_err(|error| broken(&error))?;
    if status.is_success() {
        return Ok(value);
    }
    let error = value["error"].as_str().unwrap_or("it refuses without a reason");
    Err(if status == StatusCode::NOT_FOUND {
        AskError::NotFound(error.to_owned())
    } else {
        AskError::Refused(error.to_owned())
    })
}
