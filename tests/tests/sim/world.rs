//! The simulated world: a client, workers, queues, one shard and its store; what is acknowledged is remembered
//! and compared with what is there in the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use engine::{
    limits::Limits,
    outcome::{Reply, StartedActivity, StartedWorkflowTask},
    trigger::{
        ActivityRef, BeginTask, CompleteWorkflowTask, Namespace, Signal, Start, StartWith, StartWorkflow,
        TaskRef, Trigger,
    },
};
use matching::{
    input::{Input as QueueInput, PollToken, PollerInfo},
    output::{Given, Output as QueueOutput, Refusal as QueueRefusal},
    queue::Queue,
    ticket::{Priority, Ticket},
};
use proto::{
    ids::{NamespaceId, NodeId, QueueKey, RunKey, ShardId, TaskKind, WorkflowKey},
    temporal::{
        enums::v1::EventType,
        history::v1::{HistoryEvent, history_event::Attributes},
    },
    time::Timestamp,
};
use shard::{
    input::{Input, Refusal, Request, RunTarget, Token},
    namespaces::{Entry, Namespaces},
    output::{AskError, Output},
    reads,
    shard::{Setup, Shard},
};
use storage::{
    batch::{Batch, HistoryKey},
    error::CommitError,
    memory::MemoryStore,
    shard::{BatchLimits, HistoryRange, Lease, ShardStore},
    visibility::attributes::Schema,
};

use crate::{
    random::Random,
    worker::{SIGNALS, decide, history},
};

const NAMESPACE: NamespaceId = NamespaceId::from_bytes([7; 16]);
const SHARD: ShardId = ShardId(0);
const WORKFLOWS: usize = 4;
/// Steps with faults; then everything works and must come to its end.
const FAULTY_STEPS: usize = 150;
const HEALING_STEPS: usize = 600;

/// What the store takes in one commit: what a laptop's takes, what Cassandra's takes, and less than one step.
const LIMITS: [BatchLimits; 3] = [
    BatchLimits {
        bytes: 4 << 20,
        writes: 8192,
    },
    BatchLimits {
        bytes: 4_000,
        writes: 24,
    },
    BatchLimits { bytes: 1, writes: 1 },
];

/// A message on its way.
#[derive(Clone, Debug)]
enum Mail {
    ToQueue(QueueKey, QueueInput),
    ToShard(Message),
    /// A worker has been given a ticket.
    Redeem(QueueKey, Ticket),
}

#[derive(Clone, Debug)]
enum Message {
    Refused(QueueKey, Ticket, Refusal),
    Credit(QueueKey, usize),
    Indexed(RunKey, u64),
}

/// What an answer is waited for.
#[derive(Clone, Debug)]
enum Waiting {
    Start(String),
    Signal(String, String),
    Begin(RunTarget),
    Complete { workflow: String, ends: bool },
    Activity,
}

/// What was acknowledged.
#[derive(Debug, Default)]
struct Model {
    runs: BTreeMap<String, String>,
    signals: BTreeMap<String, BTreeSet<String>>,
    ended: BTreeSet<String>,
}

pub(crate) struct World {
    random: Random,
    now: Timestamp,
    store: MemoryStore,
    shard: Option<(Shard, Lease)>,
    last_lease: Option<Lease>,
    commit: Option<Batch>,
    queues: BTreeMap<QueueKey, Queue>,
    mail: Vec<Mail>,
    waiting: BTreeMap<Token, Waiting>,
    polls: BTreeMap<PollToken, QueueKey>,
    tokens: u64,
    faulty: bool,
    model: Model,
    trace: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let store = MemoryStore::with_limits(LIMITS[random.below(LIMITS.len())]);
        Self {
            random,
            now: Timestamp::from_seconds(1_000_000),
            store,
            shard: None,
            last_lease: None,
            commit: None,
            queues: BTreeMap::new(),
            mail: Vec::new(),
            waiting: BTreeMap::new(),
            polls: BTreeMap::new(),
            tokens: 0,
            faulty: true,
            model: Model::default(),
            trace: 0,
        }
    }

    /// Runs the world to its end. Returns a digest of all that happened.
    pub(crate) fn run(mut self) -> u64 {
        self.recover();
        for _ in 0..FAULTY_STEPS {
            self.step();
        }
        self.faulty = false;
        self.heal();
        self.check();
        self.trace
    }

    fn step(&mut self) {
        match self.random.below(14) {
            0 => self.start(),
            1 => self.signal(),
            2 | 3 => self.poll(TaskKind::Workflow),
            4 => self.poll(TaskKind::Activity),
            5..=8 => self.deliver(),
            9 | 10 => self.finish_commit(),
            11 => self.pass_time(),
            12 => self.flush(),
            _ if self.random.one_in(4) => self.crash(),
            _ => {}
        }
    }

    fn heal(&mut self) {
        for _ in 0..HEALING_STEPS {
            if self.shard.is_none() {
                self.recover();
            }
            for n in 0..WORKFLOWS {
                let id = format!("order-{n}");
                if !self.model.runs.contains_key(&id) && self.asked(&id) {
                    self.start_one(n);
                }
                let known = self.model.signals.get(&id).cloned().unwrap_or_default();
                let fresh = (0..SIGNALS).find(|request| !known.contains(&format!("signal-{n}-{request}")));
                if let Some(request) = fresh
                    && known.len() < SIGNALS
                    && self.model.runs.contains_key(&id)
                    && !self.model.ended.contains(&id)
                {
                    self.signal_one(n, request);
                }
            }
            self.flush();
            self.finish_commit();
            while !self.mail.is_empty() {
                self.deliver();
            }
            for kind in [TaskKind::Workflow, TaskKind::Activity] {
                if !self.polls.values().any(|queue| queue.kind == kind) {
                    self.poll(kind);
                }
            }
            if self.model.runs.keys().all(|id| self.is_closed(id)) && self.nothing_open() {
                return;
            }
            if self.mail.is_empty() && self.commit.is_none() {
                self.pass_time();
            }
        }
        panic!("stuck: {:?}", self.model);
    }

    /// Whether the client ever tried to start it.
    fn asked(&self, id: &str) -> bool {
        self.waiting
            .values()
            .all(|waiting| !matches!(waiting, Waiting::Start(other) if other == id))
    }

    fn nothing_open(&self) -> bool {
        self.model.runs.len() == WORKFLOWS && self.commit.is_none()
    }

    // The client.

    fn start(&mut self) {
        let n = self.random.below(WORKFLOWS);
        self.start_one(n);
    }

    fn start_one(&mut self, n: usize) {
        let id = format!("order-{n}");
        let workflow = StartWorkflow {
            namespace_id: NAMESPACE.to_string(),
            workflow_id: id.clone(),
            workflow_type: "order".to_owned(),
            task_queue: "orders".to_owned(),
            task_timeout: Duration::from_secs(10),
            request_id: format!("start-{id}"),
            ..Default::default()
        };
        let start = Start {
            workflow: Box::new(workflow),
            with: StartWith::Nothing,
        };
        let target = RunTarget {
            workflow: key(&id),
            run_id: None,
        };
        self.ask(target, Request::Start(start), Waiting::Start(id));
    }

    fn signal(&mut self) {
        let (n, request) = (self.random.below(WORKFLOWS), self.random.below(3));
        self.signal_one(n, request);
    }

    fn signal_one(&mut self, n: usize, request: usize) {
        let (id, request_id) = (format!("order-{n}"), format!("signal-{n}-{request}"));
        let signal = Signal {
            name: "go".to_owned(),
            request_id: request_id.clone(),
            ..Default::default()
        };
        let target = RunTarget {
            workflow: key(&id),
            run_id: None,
        };
        self.ask(
            target,
            Request::Step(Trigger::Signal(Box::new(signal))),
            Waiting::Signal(id, request_id),
        );
    }

    // The worker.

    fn poll(&mut self, kind: TaskKind) {
        let queue = QueueKey {
            namespace_id: NAMESPACE,
            kind,
            sticky: false,
            name: "orders".into(),
        };
        let token = PollToken(self.token());
        self.polls.insert(token, queue.clone());
        let deadline = self.now + Duration::from_secs(20);
        self.tell_queue(
            &queue,
            QueueInput::Poll {
                token,
                poller: PollerInfo::default(),
                deadline,
            },
        );
    }

    fn redeem(&mut self, queue: &QueueKey, ticket: Ticket) {
        let target = RunTarget {
            workflow: ticket.run.workflow,
            run_id: Some(ticket.run.run_id),
        };
        let begin = Box::new(BeginTask {
            scheduled_event_id: ticket.scheduled_event_id,
            attempt: ticket.attempt,
            queue: "orders".to_owned(),
            identity: "worker".to_owned(),
            request_id: format!("poll-{}", self.tokens),
            ..Default::default()
        });
        let trigger = match queue.kind {
            TaskKind::Workflow => Trigger::BeginWorkflowTask(begin),
            TaskKind::Activity => Trigger::BeginActivity(begin),
        };
        self.ask(target.clone(), Request::Step(trigger), Waiting::Begin(target));
    }

    fn work(&mut self, target: RunTarget, task: StartedWorkflowTask) {
        let events = history(self.stored(&target, task.next_event_id), &task);
        let commands = decide(&events);
        if self.faulty && self.random.one_in(8) {
            return; // The worker dies: the task times out.
        }
        let ends = commands.first().is_some_and(|command| {
            matches!(
                command.command_type(),
                proto::temporal::enums::v1::CommandType::CompleteWorkflowExecution
            )
        });
        let workflow = target.workflow.workflow_id.to_string();
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
        let trigger = Trigger::CompleteWorkflowTask(Box::new(done));
        self.ask(
            target,
            Request::Step(trigger),
            Waiting::Complete { workflow, ends },
        );
    }

    fn act(&mut self, target: RunTarget, activity: &StartedActivity) {
        if self.faulty && self.random.one_in(8) {
            return;
        }
        let trigger = Trigger::CompleteActivity {
            activity: ActivityRef::Token {
                scheduled_event_id: activity.scheduled_event_id,
                attempt: activity.attempt,
                started_time: activity.started_time,
            },
            result: None,
            identity: "worker".to_owned(),
        };
        self.ask(target, Request::Step(trigger), Waiting::Activity);
    }

    // The network, time and death.

    fn deliver(&mut self) {
        if self.mail.is_empty() {
            return;
        }
        let at = if self.faulty {
            self.random.below(self.mail.len())
        } else {
            0
        };
        let mail = self.mail.remove(at);
        let hint = matches!(mail, Mail::ToQueue(..) | Mail::Redeem(..));
        if self.faulty && hint && self.random.one_in(12) {
            return; // Lost.
        }
        if self.faulty && hint && self.random.one_in(12) {
            self.mail.push(mail.clone()); // Comes again.
        }
        match mail {
            Mail::ToQueue(queue, input) => self.tell_queue(&queue, input),
            Mail::Redeem(queue, ticket) => self.redeem(&queue, ticket),
            Mail::ToShard(Message::Refused(queue, ticket, why)) => {
                let task = engine::effect::ReadyTask {
                    kind: match queue.kind {
                        TaskKind::Workflow => engine::effect::ReadyKind::Workflow,
                        TaskKind::Activity => engine::effect::ReadyKind::Activity,
                    },
                    queue: queue.name.to_string(),
                    sticky: queue.sticky,
                    scheduled_event_id: ticket.scheduled_event_id,
                    attempt: ticket.attempt,
                    scheduled_time: ticket.scheduled_time.nanos(),
                    priority: ticket.priority.key(),
                    speculative: false,
                };
                self.feed(Input::Refused {
                    queue,
                    run: ticket.run,
                    task,
                    why,
                });
            }
            Mail::ToShard(Message::Credit(queue, free)) => self.feed(Input::Credit { queue, free }),
            Mail::ToShard(Message::Indexed(run, version)) => {
                self.feed(Input::Indexed {
                    runs: vec![(run, version)],
                });
            }
        }
    }

    fn pass_time(&mut self) {
        let due = self.shard.as_ref().and_then(|(shard, _)| shard.next_deadline());
        let queues = self
            .queues
            .values()
            .filter_map(|queue| queue.next_deadline())
            .map(|(at, _)| at);
        let next = queues
            .chain(due)
            .min()
            .unwrap_or(self.now + Duration::from_secs(1));
        let random = self.now + Duration::from_millis(self.random.below(2_000) as u64);
        self.now = if self.faulty { random } else { next.max(self.now) };
        self.feed(Input::Tick);
        let queues: Vec<_> = self.queues.keys().cloned().collect();
        for queue in queues {
            self.tell_queue(&queue, QueueInput::Tick);
        }
    }

    fn crash(&mut self) {
        self.shard = None;
        if let Some(batch) = self.commit.take()
            && self.random.one_in(2)
            && let Some(lease) = self.last_lease.clone()
        {
            // It had left before the crash.
            let _ = ready(self.store.commit(&lease, batch));
        }
        self.lost_everything();
        self.recover();
    }

    fn lost_everything(&mut self) {
        self.waiting.clear();
        self.queues.clear();
        self.polls.clear();
        self.mail.clear();
    }

    fn recover(&mut self) {
        let node = NodeId {
            name: "node".into(),
            generation: 1,
        };
        let lease = ready(self.store.acquire(SHARD, &node)).expect("lease");
        let entry = Entry {
            namespace: Namespace {
                name: "default".to_owned(),
                retention: Duration::from_secs(86_400),
            },
            schema: Schema::new("default", BTreeMap::new()),
        };
        let mut seed = [0; 16];
        seed[..8].copy_from_slice(&self.random.next().to_le_bytes());
        let setup = Setup {
            id: SHARD,
            batch: lease.batch,
            batch_limits: self.store.limits(),
            seed,
            config: Arc::default(),
            limits: Arc::new(Limits::default()),
            namespaces: Namespaces::new([(NAMESPACE, entry)].into()),
            quarantine: Arc::default(),
        };
        let mut out = Vec::new();
        let shard = Shard::new(setup, self.now, &mut out);
        self.last_lease = Some(lease.clone());
        self.shard = Some((shard, lease));
        self.outputs(out);
    }

    fn flush(&mut self) {
        self.feed(Input::Flush);
    }

    fn finish_commit(&mut self) {
        let Some(batch) = self.commit.take() else { return };
        let Some((_, lease)) = &self.shard else { return };
        let (lease, number) = (lease.clone(), batch.number);
        let gives_up = self.faulty && self.random.one_in(12);
        let lands = !gives_up || self.random.one_in(2);
        let result = if lands {
            ready(self.store.commit(&lease, batch))
        } else {
            Ok(())
        };
        result.expect("only one owner commits");
        if gives_up {
            let error = CommitError::GaveUp("simulated".to_owned());
            self.feed(Input::CommitFailed { batch: number, error });
        } else {
            self.feed(Input::Committed { batch: number });
        }
    }

    // Wiring.

    fn token(&mut self) -> u64 {
        self.tokens += 1;
        self.tokens
    }

    fn ask(&mut self, target: RunTarget, request: Request, waiting: Waiting) {
        let token = Token(self.token());
        self.waiting.insert(token, waiting);
        self.feed(Input::Ask {
            token: Some(token),
            target,
            request,
        });
    }

    fn feed(&mut self, input: Input) {
        let Some((shard, _)) = &mut self.shard else { return };
        let mut out = Vec::new();
        shard.handle(input, self.now, &mut out);
        shard.check();
        self.outputs(out);
    }

    fn outputs(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            self.note(&output);
            match output {
                Output::Reply { token, reply } => self.answered(token, reply),
                Output::Load(key) => {
                    let value = ready(reads::load(&self.store, SHARD, &key));
                    self.feed(Input::Loaded { key, value });
                }
                Output::Scan(scan) => {
                    let rows = ready(reads::scan(&self.store, SHARD, &scan));
                    self.feed(Input::Scanned { scan, rows });
                }
                Output::Audit(place) => {
                    let page = ready(reads::audit(&self.store, SHARD, &place));
                    self.feed(Input::Audited(page));
                }
                Output::Commit(batch) => {
                    assert!(self.commit.is_none(), "one commit in flight");
                    self.commit = Some(batch);
                }
                Output::Announce { queue, run, task } => {
                    let ticket = Ticket {
                        run,
                        scheduled_event_id: task.scheduled_event_id,
                        attempt: task.attempt,
                        shard: SHARD,
                        scheduled_time: Timestamp::from_nanos(task.scheduled_time),
                        priority: Priority::from_key(i32::from(task.priority)),
                    };
                    self.mail.push(Mail::ToQueue(queue, QueueInput::Announce(ticket)));
                }
                Output::HeldBack { queue, count, oldest } => {
                    let input = QueueInput::HeldBack {
                        shard: SHARD,
                        count,
                        oldest,
                    };
                    self.mail.push(Mail::ToQueue(queue, input));
                }
                Output::Index { run, update } => {
                    let storage::visibility::Update::Upsert(record) = *update else {
                        continue;
                    };
                    self.mail
                        .push(Mail::ToShard(Message::Indexed(run, record.version)));
                }
                Output::Stop(_) => {
                    self.shard = None;
                    self.commit = None;
                    self.lost_everything();
                    self.recover();
                    return;
                }
                Output::Drained | Output::GiveBack { .. } => {}
                Output::Deliver { .. } => panic!("nothing here talks to another workflow"),
            }
        }
    }

    fn tell_queue(&mut self, key: &QueueKey, input: QueueInput) {
        let now = self.now;
        let queue = self
            .queues
            .entry(key.clone())
            .or_insert_with(|| Queue::new(key, Arc::default(), now));
        let mut out = Vec::new();
        queue.handle(input, now, &mut out);
        for output in out {
            match output {
                QueueOutput::Give { token, give } => {
                    self.polls.remove(&token);
                    let Given::Ticket(ticket) = give.task else {
                        continue;
                    };
                    self.mail.push(Mail::Redeem(key.clone(), ticket));
                }
                QueueOutput::Empty(token) | QueueOutput::PollRefused(token) => {
                    self.polls.remove(&token);
                }
                QueueOutput::Refuse { ticket, why } => {
                    let why = match why {
                        QueueRefusal::Full => Refusal::Full,
                        QueueRefusal::StickyWorkerUnavailable => Refusal::StickyWorkerUnavailable,
                        QueueRefusal::Draining => Refusal::Draining,
                    };
                    self.mail
                        .push(Mail::ToShard(Message::Refused(key.clone(), ticket, why)));
                }
                QueueOutput::Credit { free, .. } => {
                    self.mail.push(Mail::ToShard(Message::Credit(key.clone(), free)));
                }
                QueueOutput::QueryEnded { .. } | QueueOutput::Idle => {}
            }
        }
    }

    fn answered(&mut self, token: Token, reply: Result<Reply, AskError>) {
        let Some(waiting) = self.waiting.remove(&token) else {
            return;
        };
        match (waiting, reply) {
            (Waiting::Start(id), Ok(Reply::Started(started))) => {
                let known = self
                    .model
                    .runs
                    .entry(id)
                    .or_insert_with(|| started.run_id.clone());
                assert_eq!(
                    *known, started.run_id,
                    "a start that is sent again gives the same run"
                );
            }
            (Waiting::Signal(id, request), Ok(Reply::Signaled { .. })) => {
                self.model.signals.entry(id).or_default().insert(request);
            }
            (Waiting::Begin(target), Ok(Reply::WorkflowTask(task))) => self.work(target, *task),
            (Waiting::Begin(target), Ok(Reply::Activity(activity))) => self.act(target, &activity),
            (Waiting::Complete { workflow, ends: true }, Ok(Reply::WorkflowTaskCompleted(_))) => {
                assert!(self.model.ended.insert(workflow), "a workflow ends once");
            }
            _ => {}
        }
    }

    // What is there.

    fn stored(&self, target: &RunTarget, to: i64) -> Vec<(i64, bytes::Bytes)> {
        let Some(run_id) = target.run_id else {
            return Vec::new();
        };
        let range = HistoryRange {
            history: HistoryKey {
                namespace_id: NAMESPACE,
                run_id,
            },
            from_event_id: 1,
            to_event_id: to,
            reverse: false,
            max_nodes: usize::MAX,
            max_bytes: usize::MAX,
        };
        let nodes = ready(self.store.history(range)).expect("history");
        nodes
            .into_iter()
            .map(|node| (node.first_event_id, node.events))
            .collect()
    }

    fn events(&self, id: &str) -> Vec<HistoryEvent> {
        let run_id = self.model.runs.get(id).and_then(|run| run.parse().ok());
        let target = RunTarget {
            workflow: key(id),
            run_id,
        };
        let nodes = self.stored(&target, i64::MAX);
        nodes
            .into_iter()
            .flat_map(|(_, bytes)| {
                let history: proto::temporal::history::v1::History =
                    prost::Message::decode(bytes).expect("own history");
                history.events
            })
            .collect()
    }

    fn is_closed(&self, id: &str) -> bool {
        self.events(id)
            .last()
            .is_some_and(|event| event.event_type() == EventType::WorkflowExecutionCompleted)
    }

    /// Compares what was acknowledged with what is stored.
    fn check(&self) {
        for id in self.model.runs.keys() {
            let events = self.events(id);
            for (index, event) in events.iter().enumerate() {
                assert_eq!(event.event_id, index as i64 + 1, "history is dense");
            }
            let ends = events
                .iter()
                .filter(|event| event.event_type() == EventType::WorkflowExecutionCompleted);
            assert_eq!(ends.count(), 1, "{id} ends once");
            for request in self.model.signals.get(id).into_iter().flatten() {
                let times = events.iter().filter(|event| is_signal(event, request)).count();
                assert_eq!(times, 1, "acknowledged signal {request} is in history once");
            }
        }
        assert!(self.model.ended.iter().all(|id| self.model.runs.contains_key(id)));
    }

    /// Takes the output into the digest.
    fn note(&mut self, output: &Output) {
        for byte in format!("{output:?}").bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }
}

fn is_signal(event: &HistoryEvent, request: &str) -> bool {
    matches!(&event.attributes,
        Some(Attributes::WorkflowExecutionSignaledEventAttributes(a)) if a.request_id == request)
}

fn key(id: &str) -> WorkflowKey {
    WorkflowKey {
        namespace_id: NAMESPACE,
        workflow_id: id.into(),
    }
}

/// Takes the result of a future that needs nothing to wait for.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the memory store waits for nothing"),
    }
}
