//! One node on a memory store: a workflow goes from start to end through router, shard and queue.

use std::{sync::Arc, time::Duration};

use engine::{
    outcome::{Rejection, Reply, StartedWorkflowTask},
    trigger::{
        BeginTask, CompleteWorkflowTask, Namespace, Start, StartWith, StartWorkflow, TaskRef, Trigger,
    },
};
use matching::{handle::Polled, input::PollerInfo, output::Given};
use perdure_cluster::{
    config::Config,
    host::{self, Host, Parts},
    router::{AskError, RunTarget},
};
use proto::{
    ids::{NamespaceId, NodeId, QueueKey, RunId, TaskKind, WorkflowKey},
    temporal::{
        command::v1::{Command, StartTimerCommandAttributes, command::Attributes},
        enums::v1::CommandType,
    },
    time::Timestamp,
};
use shard::namespaces::{Entry, Namespaces};
use storage::{
    memory::MemoryStore,
    visibility::{attributes::Schema, embedded::EmbeddedIndex},
};

const NAMESPACE: NamespaceId = NamespaceId::from_bytes([7; 16]);

async fn node() -> Host {
    let store = Arc::new(MemoryStore::new());
    let entry = Entry {
        namespace: Namespace {
            name: "default".to_owned(),
            retention: Duration::from_secs(3_600),
        },
        schema: Schema::new("default", [].into()),
    };
    let parts = Parts {
        node: NodeId {
            name: "node".into(),
            generation: 1,
        },
        store: store.clone(),
        registry: store,
        visibility: Arc::new(EmbeddedIndex::in_memory().expect("index")),
        config: Config::default(),
        namespaces: Namespaces::new([(NAMESPACE, entry)].into()),
        seed: Arc::new(|| [9; 16]),
    };
    host::start(parts).await.expect("node")
}

fn key(id: &str) -> WorkflowKey {
    WorkflowKey {
        namespace_id: NAMESPACE,
        workflow_id: id.into(),
    }
}

fn begin(id: &str) -> Start {
    let workflow = StartWorkflow {
        namespace_id: NAMESPACE.to_string(),
        workflow_id: id.to_owned(),
        workflow_type: "order".to_owned(),
        task_queue: "orders".to_owned(),
        task_timeout: Duration::from_secs(10),
        request_id: format!("start-{id}"),
        ..Default::default()
    };
    Start {
        workflow: Box::new(workflow),
        with: StartWith::Nothing,
    }
}

fn now() -> Timestamp {
    Timestamp::EPOCH
        + std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970")
}

async fn poll(host: &Host) -> (RunTarget, StartedWorkflowTask) {
    let queue = QueueKey {
        namespace_id: NAMESPACE,
        kind: TaskKind::Workflow,
        sticky: false,
        name: "orders".into(),
    };
    let handle = host.router().queue(&queue).expect("queue");
    loop {
        let polled = handle
            .poll(PollerInfo::default(), now() + Duration::from_secs(10))
            .await
            .expect("polled");
        let Polled::Task(give) = polled else {
            panic!("no task came")
        };
        let Given::Ticket(ticket) = give.task else {
            panic!("not a query")
        };
        let target = RunTarget {
            workflow: ticket.run.workflow,
            run_id: Some(ticket.run.run_id),
        };
        let redeem = BeginTask {
            scheduled_event_id: ticket.scheduled_event_id,
            attempt: ticket.attempt,
            queue: "orders".to_owned(),
            identity: "worker".to_owned(),
            request_id: "poll".to_owned(),
            ..Default::default()
        };
        match host
            .router()
            .ask(&target, Trigger::BeginWorkflowTask(Box::new(redeem)))
            .await
        {
            Ok(Reply::WorkflowTask(task)) => return (target, *task),
            Err(AskError::Rejected(Rejection::Stale)) => {}
            other => panic!("unexpected answer: {other:?}"),
        }
    }
}

async fn complete(host: &Host, target: &RunTarget, task: &StartedWorkflowTask, commands: Vec<Command>) {
    let done = CompleteWorkflowTask {
        task: TaskRef {
            scheduled_event_id: task.scheduled_event_id,
            started_event_id: task.started_event_id,
            started_time: task.started_time,
            attempt: task.attempt,
        },
        commands,
        ..Default::default()
    };
    let reply = host
        .router()
        .ask(target, Trigger::CompleteWorkflowTask(Box::new(done)))
        .await;
    assert!(matches!(reply, Ok(Reply::WorkflowTaskCompleted(_))), "{reply:?}");
}

fn end() -> Command {
    Command {
        command_type: CommandType::CompleteWorkflowExecution.into(),
        attributes: Some(Attributes::CompleteWorkflowExecutionCommandAttributes(
            Box::default(),
        )),
        ..Default::default()
    }
}

fn timer(id: &str, millis: i32) -> Command {
    Command {
        command_type: CommandType::StartTimer.into(),
        attributes: Some(Attributes::StartTimerCommandAttributes(Box::new(
            StartTimerCommandAttributes {
                timer_id: id.to_owned(),
                start_to_fire_timeout: Some(prost_types::Duration {
                    seconds: 0,
                    nanos: millis * 1_000_000,
                }),
            },
        ))),
        ..Default::default()
    }
}

async fn wait_closed(host: &Host, target: &RunTarget) -> i64 {
    let wait = Trigger::Position {
        wait_after: Some(i64::MAX),
    };
    match host.router().ask(target, wait).await.expect("position") {
        Reply::Position(position) => {
            assert!(!position.open);
            position.next_event_id
        }
        other => panic!("unexpected answer: {other:?}"),
    }
}

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
