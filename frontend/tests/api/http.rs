//! The operators' pages.

use std::sync::Arc;

use perdure_frontend::http;
use proto::temporal::workflowservice::v1::GetSystemInfoRequest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::server::Server;

/// Gets a page: its status line and its body.
async fn get(address: std::net::SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.expect("connection");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    (
        head.lines().next().unwrap_or_default().to_owned(),
        body.to_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_tell_what_the_node_does() {
    let server = Server::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let address = listener.local_addr().expect("address");
    tokio::spawn(http::serve(
        listener,
        Arc::clone(&server.frontend),
        axum::Router::new(),
        std::future::pending(),
    ));
    let mut client = server.client().await;
    client
        .get_system_info(GetSystemInfoRequest {})
        .await
        .expect("info");

    assert_eq!(
        get(address, "/health").await,
        (
            "HTTP/1.1 200 OK".to_owned(),
            "{\n  \"status\": \"ok\"\n}".to_owned()
        )
    );
    let (_, metrics) = get(address, "/metrics").await;
    for name in [
        "service_requests{service_name=\"frontend\",namespace=\"_unknown_\",operation=\"GetSystemInfo\"} 1",
        "perdure_commit_latency_seconds_count ",
        "acquire_shards_count{service_name=\"history\",operation=\"ShardController\"} ",
    ] {
        assert!(metrics.contains(name), "{name} in\n{metrics}");
    }
    for (path, expected) in [
        ("/debug/shards", "\"resident_runs\""),
        ("/debug/shards/0", "\"shard\": 0,"),
        ("/debug/view", "\"shards_here\": ["),
        ("/debug/namespaces", "\"default\""),
        ("/debug/queues", "["),
    ] {
        let (status, body) = get(address, path).await;
        assert!(
            status.ends_with("200 OK") && body.contains(expected),
            "{path}: {status} {body}"
        );
    }

    let (status, body) = get(address, "/debug/shards/1000000").await;
    assert!(
        status.ends_with("404 Not Found") && body.contains("\"error\""),
        "{status} {body}"
    );

    assert!(get(address, "/ready").await.1.contains("\"ok\""));
    server.frontend.drain();
    let (status, body) = get(address, "/ready").await;
    assert!(
        status.ends_with("503 Service Unavailable") && body.contains("\"draining\""),
        "{status} {body}"
    );
    assert_eq!(get(address, "/health").await.0, "HTTP/1.1 200 OK");
}
