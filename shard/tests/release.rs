//! P3 at the core: no answer leaves before the batch that it speaks of is durable.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use engine::outcome::Reply;
use engine::trigger::{Namespace, Signal, Start, StartWith, StartWorkflow, Trigger};
use perdure_shard::{
    input::{Input, Request, RunTarget, Token},
    namespaces::{Entry, Namespaces},
    output::Output,
    reads,
    shard::{Setup, Shard},
};
use proto::{
    ids::{NamespaceId, NodeId, RunId, ShardId, WorkflowKey},
    time::Timestamp,
};
use storage::{
    memory::MemoryStore,
    shard::{Lease, ShardStore},
    visibility::attributes::Schema,
};

const NAMESPACE: NamespaceId = NamespaceId::from_bytes([7; 16]);
const SHARD: ShardId = ShardId(0);
const NOW: Timestamp = Timestamp::from_seconds(1_000);

/// A shard over a memory store; reads are made at once, a commit only when the test says so.
struct Stand {
    store: MemoryStore,
    lease: Lease,
    shard: Shard,
    batch: Option<storage::batch::Batch>,
    answered: Vec<(u64, bool)>,
    started: Option<RunId>,
}

impl Stand {
    fn new() -> Self {
        let store = MemoryStore::new();
        let node = NodeId {
            name: "node".into(),
            generation: 1,
        };
        let lease = ready(store.acquire(SHARD, &node)).expect("lease");
        let entry = Entry {
            namespace: Namespace {
                name: "default".to_owned(),
                retention: Duration::from_secs(3_600),
            },
            schema: Schema::new("default", BTreeMap::new()),
        };
        let setup = Setup {
            id: SHARD,
            batch: lease.batch,
            seed: [1; 16],
            config: Arc::default(),
            limits: Arc::default(),
            namespaces: Namespaces::new([(NAMESPACE, entry)].into()),
        };
        let mut out = Vec::new();
        let shard = Shard::new(setup, NOW, &mut out);
        let mut stand = Self {
            store,
            lease,
            shard,
            batch: None,
            answered: Vec::new(),
            started: None,
        };
        stand.take(out);
        stand
    }

    fn feed(&mut self, input: Input) {
        let mut out = Vec::new();
        self.shard.handle(input, NOW, &mut out);
        self.take(out);
    }

    fn take(&mut self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Reply { token, reply } => {
                    if let Ok(Reply::Started(started)) = &reply {
                        self.started = started.run_id.parse().ok();
                    }
                    self.answered.push((token.0, reply.is_ok()));
                }
                Output::Load(key) => {
                    let value = ready(reads::load(&self.store, SHARD, &key));
                    self.feed(Input::Loaded { key, value });
                }
                Output::Scan(scan) => {
                    let rows = ready(reads::scan(&self.store, SHARD, &scan));
                    self.feed(Input::Scanned { scan, rows });
                }
                Output::Commit(batch) => self.batch = Some(batch),
                _ => {}
            }
        }
    }

    fn ask(&mut self, token: u64, request: Request) {
        let workflow = WorkflowKey {
            namespace_id: NAMESPACE,
            workflow_id: "order".into(),
        };
        let target = RunTarget {
            workflow,
            run_id: None,
        };
        self.feed(Input::Ask {
            token: Some(Token(token)),
            target,
            request,
        });
        self.feed(Input::Flush);
    }

    /// Makes the batch that is on its way durable.
    fn commit(&mut self) {
        let batch = self.batch.take().expect("a batch is on its way");
        let number = batch.number;
        ready(self.store.commit(&self.lease, batch)).expect("committed");
        self.feed(Input::Committed { batch: number });
        self.feed(Input::Flush);
    }

    fn run_id(&self) -> RunId {
        self.started.expect("a run was started")
    }

    fn start(&mut self, token: u64) {
        let workflow = StartWorkflow {
            namespace_id: NAMESPACE.to_string(),
            workflow_id: "order".to_owned(),
            workflow_type: "order".to_owned(),
            task_queue: "orders".to_owned(),
            task_timeout: Duration::from_secs(10),
            request_id: "start".to_owned(),
            ..Default::default()
        };
        self.ask(
            token,
            Request::Start(Start {
                workflow: Box::new(workflow),
                with: StartWith::Nothing,
            }),
        );
    }
}

fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the memory store waits for nothing"),
    }
}

fn signal(id: &str) -> Request {
    let signal = Signal {
        name: "go".to_owned(),
        request_id: id.to_owned(),
        ..Default::default()
    };
    Request::Step(Trigger::Signal(Box::new(signal)))
}

#[test]
fn start_signal_and_read_wait_for_their_batch() {
    let mut stand = Stand::new();
    stand.start(1);
    stand.ask(2, signal("a"));
    stand.ask(3, Request::Step(Trigger::Describe));
    assert_eq!(stand.answered, [], "nothing is durable yet");
    stand.commit();
    assert_eq!(stand.answered, [(1, true)], "the signal rides in the next batch");
    stand.commit();
    assert_eq!(stand.answered, [(1, true), (2, true), (3, true)]);
    stand.ask(4, Request::Step(Trigger::Describe));
    assert_eq!(
        stand.answered.last(),
        Some(&(4, true)),
        "a read of what is durable waits for nothing"
    );
}

#[test]
fn delete_waits_for_its_batch() {
    for closed in [false, true] {
        let mut stand = Stand::new();
        stand.start(1);
        stand.commit();
        if closed {
            stand.ask(2, Request::Step(Trigger::Terminate(Box::default())));
            stand.commit();
        }
        stand.answered.clear();
        stand.ask(3, Request::Step(Trigger::Delete));
        assert_eq!(
            stand.answered,
            [],
            "the deletion is not durable yet (closed: {closed})"
        );
        stand.commit();
        assert_eq!(stand.answered, [(3, true)]);
        stand.ask(4, Request::Step(Trigger::Describe));
        assert_eq!(stand.answered.last(), Some(&(4, false)), "the run is gone");
    }
}

#[test]
fn deleted_run_is_not_read_back_before_its_batch() {
    let mut stand = Stand::new();
    stand.start(1);
    stand.commit();
    let run_id = stand.run_id();
    stand.ask(2, Request::Step(Trigger::Delete));
    for token in [3, 4] {
        let workflow = WorkflowKey {
            namespace_id: NAMESPACE,
            workflow_id: "order".into(),
        };
        let target = RunTarget {
            workflow,
            run_id: Some(run_id),
        };
        let request = Request::Step(Trigger::Describe);
        stand.feed(Input::Ask {
            token: Some(Token(token)),
            target,
            request,
        });
        stand.feed(Input::Flush);
        while stand.batch.is_some() {
            stand.commit();
        }
    }
    stand.answered.sort_unstable();
    assert_eq!(stand.answered, [(1, true), (2, true), (3, false), (4, false)]);
}
