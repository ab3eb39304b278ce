//! One node on a memory store: a workflow goes from start to end through router, shard and queue.

#[path = "stand/mod.rs"]
mod stand;

use engine::{
    outcome::{Rejection, Reply},
    trigger::Trigger,
};
use perdure_cluster::router::{AskError, RunTarget};
use proto::ids::RunId;
use stand::{begin, complete, end, key, node, poll, timer, wait_closed};

#[tokio::test]
async fn workflow_runs_to_its_end() {
    let host = node().await;
    let started = host
        .router()
        .start(&key("order-1"), begin("order-1"))
        .await
        .expect("started");
    let Reply::Started(started) = started else {
        panic!("{started:?}")
    };
    let (target, task) = poll(&host).await;
    assert_eq!(target.run_id, started.run_id.parse::<RunId>().ok());
    assert_eq!((task.started_event_id, task.next_event_id), (3, 4));
    assert_eq!(task.recent.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 3]);
    complete(&host, &target, &task, vec![timer("t", 50)]).await;
    let (target, task) = poll(&host).await;
    complete(&host, &target, &task, vec![end()]).await;
    assert_eq!(wait_closed(&host, &target).await, 11);
    host.stop().await;
}

#[tokio::test]
async fn many_workflows_share_queue_and_shards() {
    let host = node().await;
    for n in 0..200 {
        let id = format!("order-{n}");
        host.router().start(&key(&id), begin(&id)).await.expect("started");
    }
    for _ in 0..200 {
        let (target, task) = poll(&host).await;
        complete(&host, &target, &task, vec![end()]).await;
    }
    for n in 0..200 {
        let target = RunTarget {
            workflow: key(&format!("order-{n}")),
            run_id: None,
        };
        wait_closed(&host, &target).await;
    }
    host.stop().await;
}

#[tokio::test]
async fn signal_to_nobody_is_not_found() {
    let host = node().await;
    let target = RunTarget {
        workflow: key("nobody"),
        run_id: None,
    };
    let answer = host.router().ask(&target, Trigger::Signal(Box::default())).await;
    assert!(
        matches!(answer, Err(AskError::Rejected(Rejection::NotFound(_)))),
        "{answer:?}"
    );
    host.stop().await;
}
