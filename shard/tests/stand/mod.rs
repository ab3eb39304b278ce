//! Stand: a shard over a memory store; reads are made at once, a commit only when the test says so.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use engine::{
    outcome::Reply,
    trigger::{Namespace, Signal, Start, StartWith, StartWorkflow, Trigger},
};
use perdure_shard::{
    auditor::Place,
    input::{Input, Request, RunTarget, Token},
    namespaces::{Entry, Namespaces},
    output::{AskError, Output},
    reads,
    shard::{Setup, Shard},
};
use proto::{
    ids::{NamespaceId, NodeId, RunId, RunKey, ShardId, WorkflowKey},
    temporal::common::v1::{Payload, Payloads},
    time::Timestamp,
};
use storage::{
    batch::{Batch, Table, Write},
    memory::MemoryStore,
    shard::{BatchLimits, Lease, ShardStore},
    visibility::attributes::Schema,
};

pub(crate) const NAMESPACE: NamespaceId = NamespaceId::from_bytes([7; 16]);
pub(crate) const SHARD: ShardId = ShardId(0);

pub(crate) struct Stand {
    pub(crate) store: MemoryStore,
    pub(crate) lease: Lease,
    pub(crate) shard: Shard,
    pub(crate) now: Timestamp,
    /// The batch on its way.
    pub(crate) batch: Option<Batch>,
    pub(crate) replies: Vec<(u64, Result<Reply, AskError>)>,
    /// All other outputs that are not reads.
    pub(crate) outputs: Vec<Output>,
    /// Loads are not made: they stay among the outputs.
    pub(crate) holds_loads: bool,
    /// As loads.
    pub(crate) holds_audits: bool,
}

impl Stand {
    pub(crate) fn new() -> Self {
        Self::with_limits(BatchLimits::default())
    }

    pub(crate) fn with_limits(limits: BatchLimits) -> Self {
        Self::over(MemoryStore::with_limits(limits), Timestamp::from_seconds(1_000))
    }

    /// Takes the shard's lease and starts it.
    pub(crate) fn over(store: MemoryStore, now: Timestamp) -> Self {
        Self::beside(store, now, BTreeSet::new())
    }

    /// As [`Self::over`], leaving the runs in quarantine alone.
    pub(crate) fn beside(store: MemoryStore, now: Timestamp, quarantine: BTreeSet<RunKey>) -> Self {
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
            batch_limits: store.limits(),
            leased_at: Timestamp::EPOCH,
            lease_trust: None,
            seed: [1; 16],
            config: Arc::default(),
            limits: Arc::default(),
            namespaces: Namespaces::new([(NAMESPACE, entry)].into()),
            quarantine: Arc::new(quarantine),
        };
        let mut out = Vec::new();
        let shard = Shard::new(setup, now, &mut out);
        let mut stand = Self {
            store,
            lease,
            shard,
            now,
            batch: None,
            replies: Vec::new(),
            outputs: Vec::new(),
            holds_loads: false,
            holds_audits: false,
        };
        stand.take(out);
        stand
    }

    pub(crate) fn feed(&mut self, input: Input) {
        let mut out = Vec::new();
        self.shard.handle(input, self.now, &mut out);
        self.shard.check();
        self.take(out);
    }

    fn take(&mut self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Reply { token, reply } => self.replies.push((token.0, reply)),
                Output::Load(key) if !self.holds_loads => {
                    let value = ready(reads::load(&self.store, SHARD, &key));
                    self.feed(Input::Loaded { key, value });
                }
                Output::Scan(scan) => {
                    let rows = ready(reads::scan(&self.store, SHARD, &scan));
                    self.feed(Input::Scanned { scan, rows });
                }
                Output::Audit(place) if !self.holds_audits => self.audit(&place),
                Output::Commit(batch) => {
                    assert!(self.batch.is_none(), "one commit in flight");
                    self.batch = Some(batch);
                }
                other => self.outputs.push(other),
            }
        }
    }

    pub(crate) fn audit(&mut self, place: &Place) {
        let page = ready(reads::audit(&self.store, SHARD, place));
        self.feed(Input::Audited(page));
    }

    /// Asks the newest run of the workflow "order".
    pub(crate) fn ask(&mut self, token: u64, request: Request) {
        self.ask_of(token, "order", request);
    }

    pub(crate) fn ask_of(&mut self, token: u64, id: &str, request: Request) {
        self.put(token, id, None, request);
        self.feed(Input::Flush);
    }

    /// Asks without a flush after it, as when more messages wait.
    pub(crate) fn put(&mut self, token: u64, id: &str, run_id: Option<RunId>, request: Request) {
        let target = RunTarget {
            workflow: key(id),
            run_id,
        };
        self.feed(Input::Ask {
            token: Some(Token(token)),
            target,
            request,
            received: Timestamp::EPOCH,
        });
    }

    /// Makes the batch that is on its way durable. Returns it.
    pub(crate) fn commit(&mut self) -> Batch {
        self.commit_but(|_| false)
    }

    /// Commits, but loses some of the writes.
    pub(crate) fn commit_but(&mut self, lost: impl Fn(&Write) -> bool) -> Batch {
        let mut batch = self.batch.take().expect("a batch is on its way");
        batch.writes.retain(|write| !lost(write));
        ready(self.store.commit(&self.lease, batch.clone())).expect("committed");
        self.feed(Input::Committed { batch: batch.number });
        self.feed(Input::Flush);
        batch
    }

    /// Makes all that is staged durable. Returns the batches.
    pub(crate) fn settle(&mut self) -> Vec<Batch> {
        self.feed(Input::Flush);
        let mut batches = Vec::new();
        while self.batch.is_some() {
            batches.push(self.commit());
        }
        batches
    }

    /// Returns how many rows the table has.
    pub(crate) fn rows(&self, table: Table) -> usize {
        ready(self.store.scan(SHARD, table, &[], None, 1_000))
            .expect("rows")
            .len()
    }

    /// Lets time pass and everything happen that is due.
    pub(crate) fn pass(&mut self, span: Duration) {
        self.now = self.now + span;
        self.feed(Input::Tick);
        self.settle();
    }

    pub(crate) fn start(&mut self, token: u64) {
        self.ask(token, begin("order"));
    }

    /// Returns who was answered, and whether well.
    pub(crate) fn answered(&self) -> Vec<(u64, bool)> {
        self.replies
            .iter()
            .map(|(token, reply)| (*token, reply.is_ok()))
            .collect()
    }

    pub(crate) fn reply(&self, token: u64) -> Option<&Result<Reply, AskError>> {
        let mut all = self.replies.iter();
        all.find(|(other, _)| *other == token).map(|(_, reply)| reply)
    }

    /// Returns the run that was started.
    pub(crate) fn run_id(&self) -> RunId {
        let started = self.replies.iter().find_map(|(_, reply)| match reply {
            Ok(Reply::Started(started)) => started.run_id.parse().ok(),
            _ => None,
        });
        started.expect("a run was started")
    }
}

pub(crate) fn key(id: &str) -> WorkflowKey {
    WorkflowKey {
        namespace_id: NAMESPACE,
        workflow_id: id.into(),
    }
}

pub(crate) fn begin(id: &str) -> Request {
    let workflow = StartWorkflow {
        namespace_id: NAMESPACE.to_string(),
        workflow_id: id.to_owned(),
        workflow_type: "order".to_owned(),
        task_queue: "orders".to_owned(),
        task_timeout: Duration::from_secs(10),
        request_id: "start".to_owned(),
        ..Default::default()
    };
    Request::Start(Start {
        workflow: Box::new(workflow),
        with: StartWith::Nothing,
    })
}

pub(crate) fn signal(id: &str) -> Request {
    signal_with(id, 0)
}

/// A signal that carries this many bytes.
pub(crate) fn signal_with(id: &str, bytes: usize) -> Request {
    let payload = Payload {
        data: vec![b'x'; bytes].into(),
        ..Default::default()
    };
    let signal = Signal {
        name: "go".to_owned(),
        request_id: id.to_owned(),
        input: Some(Payloads {
            payloads: vec![payload],
        }),
        ..Default::default()
    };
    Request::Step(Trigger::Signal(Box::new(signal)))
}

pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the memory store waits for nothing"),
    }
}
