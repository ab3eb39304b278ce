//! Stand: a node on a memory store, and what a client and a worker do with it.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use engine::{
    outcome::{Rejection, Reply, StartedWorkflowTask},
    trigger::{
        BeginTask, CompleteWorkflowTask, Namespace, Start, StartWith, StartWorkflow, TaskRef, Trigger,
    },
};
use matching::{error::AskError as QueueError, handle::Polled, input::PollerInfo, output::Given};
use perdure_cluster::{
    config::Config,
    host::{self, Host, Parts},
    router::{AskError, Router, RunTarget},
};
use proto::{
    ids::{NamespaceId, NodeId, QueueKey, TaskKind, WorkflowKey},
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

pub(crate) mod cluster;
pub(crate) mod load;
pub(crate) mod watched;

pub(crate) const NAMESPACE: NamespaceId = NamespaceId::from_bytes([7; 16]);

pub(crate) async fn node() -> Host {
    node_on(MemoryStore::new(), Config::default()).await
}

pub(crate) fn namespaces() -> Namespaces {
    let entry = Entry {
        namespace: Namespace {
            name: "default".to_owned(),
            retention: Duration::from_secs(3_600),
        },
        schema: Schema::new("default", [].into()),
    };
    Namespaces::new([(NAMESPACE, entry)].into())
}

pub(crate) async fn node_on(store: MemoryStore, config: Config) -> Host {
    let store = Arc::new(store);
    let node = NodeId {
        name: "node".into(),
        generation: 1,
    };
    let parts = Parts {
        view: perdure_cluster::placement::alone(&node),
        gossip: Arc::default(),
        peers: None,
        node,
        store: store.clone(),
        registry: store,
        visibility: Arc::new(EmbeddedIndex::in_memory().expect("index")),
        config,
        namespaces: namespaces(),
        seed: Arc::new(|| [9; 16]),
    };
    host::start(parts).await.expect("node")
}

pub(crate) fn key(id: &str) -> WorkflowKey {
    WorkflowKey {
        namespace_id: NAMESPACE,
        workflow_id: id.into(),
    }
}

pub(crate) fn begin(id: &str) -> Start {
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

pub(crate) fn now() -> Timestamp {
    Timestamp::EPOCH
        + std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970")
}

pub(crate) fn orders() -> QueueKey {
    QueueKey {
        namespace_id: NAMESPACE,
        kind: TaskKind::Workflow,
        sticky: false,
        name: "orders".into(),
    }
}

pub(crate) async fn poll(host: &Host) -> (RunTarget, StartedWorkflowTask) {
    poll_by(host.router(), Duration::from_secs(10))
        .await
        .expect("a task comes")
}

/// Each begin has an id of its own: one that a ticket was given twice for is stale.
static BEGUN: AtomicUsize = AtomicUsize::new(0);

/// Polls until there is a task, or the time is over.
pub(crate) async fn poll_by(router: &Router, wait: Duration) -> Option<(RunTarget, StartedWorkflowTask)> {
    let deadline = now() + wait;
    loop {
        let polled = router
            .queue(&orders())
            .poll(PollerInfo::default(), deadline)
            .await;
        let give = match polled {
            Ok(Polled::Task(give)) => give,
            Ok(Polled::Empty) => return None,
            // It went elsewhere.
            Err(QueueError::Gone) => {
                tokio::task::yield_now().await;
                continue;
            }
            Err(error) => panic!("poll: {error}"),
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
            request_id: format!("poll-{}", BEGUN.fetch_add(1, Relaxed)),
            ..Default::default()
        };
        match router
            .ask(&target, Trigger::BeginWorkflowTask(Box::new(redeem)))
            .await
        {
            Ok(Reply::WorkflowTask(task)) => return Some((target, *task)),
            // Its shard announces it again.
            Err(AskError::Rejected(Rejection::Stale) | AskError::Unavailable(_)) => {}
            other => panic!("unexpected answer: {other:?}"),
        }
    }
}

pub(crate) async fn complete(
    host: &Host,
    target: &RunTarget,
    task: &StartedWorkflowTask,
    commands: Vec<Command>,
) {
    let reply = complete_by(host.router(), target, task, commands).await;
    assert!(matches!(reply, Ok(Reply::WorkflowTaskCompleted(_))), "{reply:?}");
}

pub(crate) async fn complete_by(
    router: &Router,
    target: &RunTarget,
    task: &StartedWorkflowTask,
    commands: Vec<Command>,
) -> Result<Reply, AskError> {
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
    router
        .ask(target, Trigger::CompleteWorkflowTask(Box::new(done)))
        .await
}

pub(crate) fn end() -> Command {
    Command {
        command_type: CommandType::CompleteWorkflowExecution.into(),
        attributes: Some(Attributes::CompleteWorkflowExecutionCommandAttributes(
            Box::default(),
        )),
        ..Default::default()
    }
}

pub(crate) fn timer(id: &str, millis: i32) -> Command {
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

pub(crate) async fn wait_closed(host: &Host, target: &RunTarget) -> i64 {
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
