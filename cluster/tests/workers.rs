//! Worker processes in a cluster: what they say to any node is known at every node, also after nodes came and went.

#[path = "stand/mod.rs"]
mod stand;

use std::time::Duration;

use perdure_cluster::{router::Router, workers::Query};
use proto::{
    ids::NamespaceId,
    temporal::{enums::v1::WorkerStatus, worker::v1::WorkerHeartbeat},
};
use stand::cluster::Cluster;

const NAMESPACE: NamespaceId = NamespaceId::from_bytes([3; 16]);
const WORKERS: usize = 40;

fn heartbeat(number: usize, status: WorkerStatus) -> WorkerHeartbeat {
    WorkerHeartbeat {
        worker_instance_key: format!("worker-{number:02}"),
        task_queue: format!("queue-{}", number % 2),
        status: status.into(),
        ..Default::default()
    }
}

async fn keys(router: &Router, query: &str, size: usize) -> Vec<String> {
    let query = Query::parse(query).expect("a condition");
    let mut keys: Vec<String> = Vec::new();
    loop {
        let after = keys.last().cloned();
        let page = router.list_workers(NAMESPACE, &query, after.as_deref(), size);
        let (page, more) = page.await.expect("all nodes answer");
        assert!(page.len() <= size);
        keys.extend(page.into_iter().map(|worker| worker.worker_instance_key));
        if !more {
            return keys;
        }
    }
}

/// Waits until every node knows exactly these.
async fn known_everywhere(cluster: &Cluster, numbers: &[usize]) {
    let expected: Vec<_> = numbers
        .iter()
        .map(|number| format!("worker-{number:02}"))
        .collect();
    for name in cluster.names() {
        let router = cluster.router(&name);
        while keys(router, "", 7).await != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for key in &expected {
            let found = router.find_worker(NAMESPACE, key).await.expect("an answer");
            assert!(found.is_some(), "{key} at {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_knows_all_workers() {
    let mut cluster = Cluster::start(&["a", "b", "c"]).await;
    let doors = cluster.doors();
    for number in 0..WORKERS {
        let heartbeats = vec![heartbeat(number, WorkerStatus::Running)];
        doors
            .door(number)
            .router
            .hear_workers(NAMESPACE, heartbeats)
            .await;
    }
    let all: Vec<_> = (0..WORKERS).collect();
    known_everywhere(&cluster, &all).await;
    let even = Query::parse("TaskQueue = 'queue-0'").expect("a condition");
    for name in cluster.names() {
        let count = cluster.router(&name).count_workers(NAMESPACE, &even).await;
        assert_eq!(count.expect("an answer"), WORKERS / 2);
    }
    cluster.add("d").await;
    known_everywhere(&cluster, &all).await;
    cluster.drain("a").await;
    known_everywhere(&cluster, &all).await;
    // Said to whoever: it is gone for all.
    let gone = vec![heartbeat(0, WorkerStatus::Shutdown)];
    cluster.router("b").hear_workers(NAMESPACE, gone).await;
    known_everywhere(&cluster, &all[1..]).await;
    cluster.stop().await;
}
