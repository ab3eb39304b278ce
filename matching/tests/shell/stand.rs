//! A queue's actor with everything around it, on a paused clock.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};

use actix_rt::{Arbiter, System};
use perdure_matching::{
    actor::start,
    config::Config,
    error::AskError,
    handle::{Ended, Hooks, Polled, QueueHandle, QueueNotice},
    input::{PollerInfo, QueryTask},
    metrics::Metrics,
    output::Given,
    ticket::{Priority, Ticket},
};
use proto::{
    ids::{NamespaceId, QueueKey, RunId, RunKey, ShardId, TaskKind, WorkflowId, WorkflowKey},
    temporal::query::v1::WorkflowQuery,
    time::Timestamp,
};
use tokio::sync::{mpsc, oneshot};

pub(super) const START: Timestamp = Timestamp::from_seconds(1_700_000_000);

/// A queue with everything around it.
pub(super) struct Stand {
    pub(super) queue: QueueHandle,
    pub(super) notices: mpsc::Receiver<QueueNotice>,
    pub(super) ended: oneshot::Receiver<Ended>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) began: tokio::time::Instant,
    /// Makes the actor panic at its next message.
    pub(super) broken: Arc<AtomicBool>,
}

impl Stand {
    pub(super) fn new(sticky: bool, config: Config, notices_max: usize) -> Self {
        Self::of(key(sticky), config, notices_max)
    }

    /// A queue of this key.
    pub(super) fn of(key: QueueKey, config: Config, notices_max: usize) -> Self {
        let (notices_tx, notices) = mpsc::channel(notices_max);
        let (ended_tx, ended) = oneshot::channel();
        let metrics = Arc::new(Metrics::default());
        let broken = Arc::new(AtomicBool::new(false));
        let began = tokio::time::Instant::now();
        let breaks = Arc::clone(&broken);
        let hooks = Hooks {
            clock: Arc::new(move || {
                assert!(!breaks.load(SeqCst), "broken on purpose");
                START + began.elapsed()
            }),
            notices: notices_tx,
            metrics: Arc::clone(&metrics),
            namespace: "default".into(),
            ended: Box::new(move |_, how| {
                let _ = ended_tx.send(how);
            }),
        };
        let queue = start(&Arbiter::current(), key, &Arc::new(config), hooks);
        Self {
            queue,
            notices,
            ended,
            metrics,
            began,
            broken,
        }
    }

    pub(super) fn after(&self, seconds: u64) -> Timestamp {
        START + self.began.elapsed() + Duration::from_secs(seconds)
    }

    pub(super) async fn poll(&self, seconds: u64) -> Result<Polled, AskError> {
        self.queue.poll(poller(), self.after(seconds)).await
    }

    /// Waits until the actor has handled all that was sent.
    pub(super) async fn settle(&self) {
        self.queue.view().await.expect("alive");
    }
}

/// Runs a test where the queue's actor shares its thread and its paused clock.
pub(super) fn run<F: Future>(test: impl FnOnce() -> F) -> F::Output {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("runtime")
    };
    System::with_tokio_rt(runtime).block_on(async { test().await })
}

pub(super) fn stand() -> Stand {
    Stand::new(false, Config::default(), 64)
}

pub(super) fn key(sticky: bool) -> QueueKey {
    let namespace_id = NamespaceId::from_bytes([1; 16]);
    QueueKey {
        namespace_id,
        kind: TaskKind::Workflow,
        sticky,
        name: "orders".into(),
    }
}

pub(super) fn poller() -> PollerInfo {
    PollerInfo {
        identity: "worker".into(),
        ..PollerInfo::default()
    }
}

pub(super) fn run_key(n: u8) -> RunKey {
    let workflow_id = WorkflowId::from(format!("order-{n}"));
    WorkflowKey {
        namespace_id: NamespaceId::from_bytes([1; 16]),
        workflow_id,
    }
    .run(RunId::from_bytes([n; 16]))
}

pub(super) fn ticket(n: u8) -> Ticket {
    Ticket {
        run: run_key(n),
        scheduled_event_id: 2,
        attempt: 1,
        shard: ShardId(1),
        scheduled_time: START,
        durable: START,
        priority: Priority::default(),
    }
}

pub(super) fn query() -> Box<QueryTask> {
    Box::new(QueryTask {
        run: run_key(9),
        workflow_type: "order".to_owned(),
        task_queue: "orders".to_owned(),
        next_event_id: 5,
        previous_started_event_id: 3,
        query: WorkflowQuery::default(),
    })
}

pub(super) fn ticket_of(polled: Result<Polled, AskError>) -> Ticket {
    match polled {
        Ok(Polled::Task(give)) => match give.task {
            Given::Ticket(ticket) => ticket,
            Given::Query { .. } => panic!("a query"),
        },
        other => panic!("{other:?}"),
    }
}

/// Lets a future begin.
pub(super) async fn begin<F: Future>(mut future: Pin<&mut F>) {
    poll_fn(|context| {
        assert!(future.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
}
