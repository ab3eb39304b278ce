//! What happens below the services: sizes, unknown methods, versions, health, the way the server stops.

use std::num::NonZeroU32;

use perdure_frontend::config::Config;
use proto::temporal::{
    common::v1::{Payload, Payloads},
    taskqueue::v1::TaskQueue,
    workflowservice::v1::{workflow_service_client::WorkflowServiceClient, *},
};
use tonic::{Code, Request};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::server::{NAMESPACE, Server, check, outcome, polled, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_too_large() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let payload = Payload {
        data: vec![0; 5 << 20].into(),
        ..Default::default()
    };
    let request = StartWorkflowExecutionRequest {
        input: Some(Payloads {
            payloads: vec![payload],
        }),
        ..Default::default()
    };
    let status = client
        .start_workflow_execution(request)
        .await
        .expect_err("too large");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(
        status
            .message()
            .starts_with("grpc: received message larger than max ("),
        "{}",
        status.message()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_that_are_not_there() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let rows = [(
        outcome(client.create_schedule(CreateScheduleRequest::default()).await),
        "Unimplemented: method CreateSchedule not supported",
    )];
    check(&rows);
    let mut grpc = tonic::client::Grpc::new(server.channel().await);
    grpc.ready().await.expect("ready");
    let path = "/temporal.api.workflowservice.v1.WorkflowService/Foo"
        .parse()
        .expect("path");
    let codec = tonic_prost::ProstCodec::<GetSystemInfoRequest, GetSystemInfoResponse>::default();
    let status = grpc
        .unary(Request::new(GetSystemInfoRequest {}), path, codec)
        .await
        .expect_err("unknown");
    assert_eq!(
        (status.code(), status.message()),
        (
            Code::Unimplemented,
            "unknown method Foo for service temporal.api.workflowservice.v1.WorkflowService"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_do_not_fit() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let request = |version: &str, servers: &str| {
        let mut request = Request::new(GetSystemInfoRequest {});
        let headers = request.metadata_mut();
        headers.insert("client-name", "temporal-go".parse().expect("name"));
        headers.insert("client-version", version.parse().expect("version"));
        headers.insert("supported-server-versions", servers.parse().expect("range"));
        request
    };
    let rows = [
        (
            outcome(client.get_system_info(request("1.0.0", ">=1.0.0 <2.0.0")).await),
            "ok",
        ),
        (
            outcome(client.get_system_info(request("2.1.0", "")).await),
            "FailedPrecondition: Client version 2.1.0 is not supported. Server supports temporal-go versions: <2.0.0 \
             [ClientVersionNotSupportedFailure]",
        ),
        (
            outcome(client.get_system_info(request("1.0.0", ">=2.0.0")).await),
            "FailedPrecondition: Server version 1.32.0 is not supported. Client supports server versions: >=2.0.0 \
             [ServerVersionNotSupportedFailure]",
        ),
    ];
    check(&rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_stop() {
    let server = Server::start().await;
    let mut health = HealthClient::new(server.channel().await);
    for service in ["", "temporal.api.workflowservice.v1.WorkflowService"] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let answer = health.check(request).await.expect("health").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
    }
    let unknown = HealthCheckRequest {
        service: "foo".to_owned(),
    };
    assert_eq!(
        health.check(unknown).await.expect_err("unknown").code(),
        Code::NotFound
    );

    // A poll that waits is answered empty, and then the server is gone.
    let mut client = server.client().await;
    let queue = Some(TaskQueue {
        name: "q".to_owned(),
        ..Default::default()
    });
    let poll = PollWorkflowTaskQueueRequest {
        namespace: NAMESPACE.to_owned(),
        task_queue: queue.clone(),
        ..Default::default()
    };
    let waiting = tokio::spawn(async move { client.poll_workflow_task_queue(within(60, poll)).await });
    let mut other = server.client().await;
    polled(&mut other, queue).await;
    server.stop.send_replace(true);
    let answer = waiting.await.expect("poll").expect("empty answer").into_inner();
    assert!(answer.task_token.is_empty());
    server.served.await.expect("server").expect("served");
    assert!(server.frontend.is_draining());
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_requests_are_read() {
    let server = Server::start().await;
    let gzip = tonic::codec::CompressionEncoding::Gzip;
    let mut client = server.client().await.send_compressed(gzip);
    let mut health = HealthClient::new(server.channel().await).send_compressed(gzip);
    let rows = [
        (
            outcome(client.get_system_info(GetSystemInfoRequest {}).await),
            "ok",
        ),
        (outcome(health.check(HealthCheckRequest::default()).await), "ok"),
    ];
    check(&rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_the_limit_wait_for_room() {
    let server = Server::start_with(Config {
        connections_max: NonZeroU32::new(2).expect("number"),
        ..Config::default()
    })
    .await;
    let mut first = server.client().await;
    let mut second = server.client().await;
    let address = server.address.clone();
    let third = tokio::spawn(async move {
        let endpoint = tonic::transport::Channel::from_shared(address).expect("address");
        let mut client = WorkflowServiceClient::new(endpoint.connect().await.expect("connection"));
        client.get_system_info(GetSystemInfoRequest {}).await
    });
    // The others are served, the third is not, however often they ask.
    for _ in 0..200 {
        for client in [&mut first, &mut second] {
            client
                .get_system_info(GetSystemInfoRequest {})
                .await
                .expect("served");
        }
        assert!(!third.is_finished());
    }
    drop(second);
    third.await.expect("no panic").expect("served");
}
