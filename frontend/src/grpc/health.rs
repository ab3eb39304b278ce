//! Health: what balancers and clients are told of this node. It serves unless it goes soon, or lacks what it needs to
//! answer: then calls to it fail, and those to other nodes do not.

use cluster::reach::Reach;
use tokio::sync::watch;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::frontend::Stage;

/// What tools ask the health of; the empty name is the server as a whole.
const HEALTH_NAMES: [&str; 3] = [
    "",
    "temporal.api.workflowservice.v1.WorkflowService",
    "temporal.api.operatorservice.v1.OperatorService",
];

/// Tells how the node is, now and whenever that changes, until its future is dropped.
pub(super) async fn follow(
    reporter: &HealthReporter,
    mut stage: watch::Receiver<Stage>,
    mut reach: watch::Receiver<Reach>,
) {
    loop {
        let goes = *stage.borrow_and_update() != Stage::Serving;
        let lacks = reach.borrow_and_update().lacks().is_some();
        let status = if goes || lacks {
            ServingStatus::NotServing
        } else {
            ServingStatus::Serving
        };
        report(reporter, status).await;
        // Their senders live as long as the server.
        tokio::select! {
            _ = stage.changed() => {}
            _ = reach.changed() => {}
        }
    }
}

pub(super) async fn report(reporter: &HealthReporter, status: ServingStatus) {
    for name in HEALTH_NAMES {
        reporter.set_service_status(name, status).await;
    }
}

#[cfg(test)]
mod tests {
    use tonic_health::pb::{
        HealthCheckRequest, health_check_response::ServingStatus as Told, health_client::HealthClient,
    };

    use super::*;

    #[tokio::test]
    async fn a_node_that_lacks_something_does_not_serve_until_it_has_it_again() {
        let (stage, reach) = (watch::Sender::new(Stage::Serving), watch::Sender::new(Reach::ALL));
        let (reporter, service) = tonic_health::server::health_reporter();
        let (stages, reaches) = (stage.subscribe(), reach.subscribe());
        tokio::spawn(async move { follow(&reporter, stages, reaches).await });
        let mut client = HealthClient::new(service);
        for name in HEALTH_NAMES {
            let request = HealthCheckRequest {
                service: name.to_owned(),
            };
            let mut told = loop {
                // Not known before it is said for the first time.
                if let Ok(told) = client.watch(request.clone()).await {
                    break told.into_inner();
                }
                tokio::task::yield_now().await;
            };
            let alone = Reach {
                others: false,
                ..Reach::ALL
            };
            let storeless = Reach {
                store: false,
                ..Reach::ALL
            };
            for (reached, wanted) in [
                (Reach::ALL, Told::Serving),
                (alone, Told::NotServing),
                (Reach::ALL, Told::Serving),
                (storeless, Told::NotServing),
                (Reach::ALL, Told::Serving),
            ] {
                reach.send_replace(reached);
                while told.message().await.expect("told").expect("goes on").status() != wanted {}
            }
        }
        stage.send_replace(Stage::Leaving);
        let mut told = client
            .watch(HealthCheckRequest::default())
            .await
            .expect("known")
            .into_inner();
        while told.message().await.expect("told").expect("goes on").status() != Told::NotServing {}
    }
}
