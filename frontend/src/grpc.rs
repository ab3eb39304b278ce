//! The gRPC server: services, health, reflection, transport settings and the way it stops.

mod accept;
mod answer;
mod health;
mod operator_service;
mod wire;
mod workflow_service;

use std::sync::Arc;

use proto::temporal::{
    operatorservice::v1::operator_service_server::OperatorServiceServer,
    workflowservice::v1::workflow_service_server::WorkflowServiceServer,
};
use tokio::net::TcpListener;
use tonic::{codec::CompressionEncoding, transport::Server};
use tonic_health::ServingStatus;

use self::{operator_service::Operators, wire::WireLayer, workflow_service::Workflows};
use crate::{frontend::Frontend, limits};

/// The server could not start, or failed while it served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("build reflection service: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    #[error("serve gRPC: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves calls on the listener until `shutdown` ends; then polls are answered empty, calls that are under way end,
/// and it returns when the last one has. Whoever waits for that must bound it: a client may hold a call open.
pub async fn serve(
    listener: TcpListener,
    frontend: Arc<Frontend>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let (reporter, health) = tonic_health::server::health_reporter();
    health::report(&reporter, ServingStatus::Serving).await;
    let stopping = async {
        tokio::select! {
            () = shutdown => {}
            () = health::follow(&reporter, frontend.stages(), frontend.router.reach()) => {}
        }
        health::report(&reporter, ServingStatus::NotServing).await;
        frontend.drain();
    };
    let workflows = WorkflowServiceServer::new(Workflows(Arc::clone(&frontend)))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(limits::REQUEST_BYTES_MAX)
        .max_encoding_message_size(limits::RESPONSE_BYTES_MAX);
    let operators = OperatorServiceServer::new(Operators(Arc::clone(&frontend)))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(limits::REQUEST_BYTES_MAX)
        .max_encoding_message_size(limits::RESPONSE_BYTES_MAX);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Server::builder()
        // Without a grace: with one, this version of tonic closes connections without telling their clients.
        .max_connection_age(frontend.options.calls.connection_age_max)
        .max_concurrent_streams(limits::STREAMS_PER_CONNECTION_MAX)
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(limits::KEEPALIVE_AFTER))
        .http2_keepalive_timeout(Some(limits::KEEPALIVE_TIMEOUT))
        .http2_max_pending_accept_reset_streams(Some(limits::RESET_STREAMS_MAX))
        .http2_max_header_list_size(limits::HEADER_BYTES_MAX)
        .layer(WireLayer)
        .add_service(workflows)
        .add_service(operators)
        .add_service(health.accept_compressed(CompressionEncoding::Gzip))
        .add_service(
            reflection()
                .build_v1()?
                .accept_compressed(CompressionEncoding::Gzip),
        )
        .add_service(
            reflection()
                .build_v1alpha()?
                .accept_compressed(CompressionEncoding::Gzip),
        )
        .serve_with_incoming_shutdown(
            accept::incoming(listener, frontend.options.calls.connections_max),
            stopping,
        )
        .await?;
    Ok(())
}
