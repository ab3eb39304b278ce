//! A run as its stored rows show it: what it waits for, and the rows that will move it.

#[path = "stand/mod.rs"]
mod stand;

use perdure_cluster::{host::Host, router::RunTarget};
use shard::report::{RunReport, report};
use stand::{begin, complete, key, node, poll, timer};

async fn shown(host: &Host, id: &str) -> Option<RunReport> {
    let target = RunTarget {
        workflow: key(id),
        run_id: None,
    };
    let shard = host.router().map().shard(target.workflow.position());
    report(&**host.router().store(), shard, &target)
        .await
        .expect("read")
}

#[tokio::test]
async fn a_run_shows_what_it_waits_for() {
    let host = node().await;
    host.router()
        .start(&key("order"), begin("order"))
        .await
        .expect("started");
    let run = shown(&host, "order").await.expect("a run");
    assert_eq!(
        (run.status, run.timers.len()),
        ("WORKFLOW_EXECUTION_STATUS_RUNNING", 0)
    );
    assert_eq!(run.workflow_type, "order");
    assert!(run.ready_tasks.len() == 1 && run.ready_tasks[0].stored, "{run:?}");

    let (target, task) = poll(&host).await;
    complete(&host, &target, &task, vec![timer("t", 900)]).await;
    let run = shown(&host, "order").await.expect("a run");
    assert!(
        run.ready_tasks.is_empty() && run.workflow_task.is_none(),
        "{run:?}"
    );
    assert_eq!(run.timers.len(), 1);
    assert!(run.wakeup.sound && run.wakeup.stored_ms.is_some(), "{run:?}");
    assert_eq!(run.wakeup.due_ms, Some(run.timers[0].fires_ms));
    assert_eq!(run.wakeup.why.as_deref(), Some("Timer"));
    host.stop().await;
}

#[tokio::test]
async fn a_workflow_that_is_not_there_shows_nothing() {
    let host = node().await;
    assert!(shown(&host, "order").await.is_none());
    host.stop().await;
}
