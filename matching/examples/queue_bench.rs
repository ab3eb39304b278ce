//! Prints what an announcement and a poll cost, in the core and through the actor, with few and many waiting.
//!
//! `cargo run --release -p perdure-matching --example queue_bench`

#![expect(clippy::print_stdout, reason = "a program that prints")]

use std::{num::NonZeroUsize, sync::Arc, time::Instant};

use actix_rt::{Arbiter, System};
use perdure_matching::{
    actor,
    config::Config,
    handle::{Hooks, QueueHandle},
    input::{Input, PollToken, PollerInfo},
    metrics::Metrics,
    output::Output,
    queue::Queue,
    ticket::{Priority, Ticket},
};
use proto::{
    ids::{NamespaceId, QueueKey, RunId, ShardId, TaskKind, WorkflowId, WorkflowKey},
    time::Timestamp,
};
use tokio::sync::mpsc;

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
const DEADLINE: Timestamp = Timestamp::from_seconds(1_700_000_060);
const ROUNDS: u64 = 200_000;
const WAITING: [u64; 3] = [0, 100, 9_999];

fn main() {
    println!("core, ns for one announcement and one poll (medians of 9):");
    for waiting in WAITING {
        println!(
            "{waiting:>6} tickets wait  {:>6.0}",
            median(|| behind_tickets(waiting))
        );
    }
    for waiting in WAITING {
        println!(
            "{waiting:>6} polls wait    {:>6.0}",
            median(|| behind_polls(waiting))
        );
    }
    println!(
        "core, ns for one poll that is given up, one of 10000: {:.0}",
        median(given_up)
    );
    println!(
        "core, ns for one announcement that is refused, queue full: {:.0}",
        median(refused)
    );
    println!(
        "actor, ns for one announcement and one poll on its own thread: {:.0}",
        median(through_the_actor)
    );
}

fn median(measure: impl Fn() -> f64) -> f64 {
    let mut results: Vec<f64> = (0..9).map(|_| measure()).collect();
    results.sort_by(f64::total_cmp);
    results[4]
}

/// Runs the step for each of the rounds and returns the nanoseconds of one.
fn time(mut step: impl FnMut(u64)) -> f64 {
    let began = Instant::now();
    for n in 0..ROUNDS {
        step(n);
    }
    per_round(began)
}

#[expect(clippy::cast_precision_loss, reason = "a figure to read")]
fn per_round(began: Instant) -> f64 {
    began.elapsed().as_nanos() as f64 / ROUNDS as f64
}

/// A ticket waits behind so many, the poll takes the first.
fn behind_tickets(waiting: u64) -> f64 {
    let mut bench = Bench::new();
    let tickets = tickets(waiting + ROUNDS);
    let mut tickets = tickets.into_iter();
    for ticket in tickets.by_ref().take(usize::try_from(waiting).unwrap_or(0)) {
        bench.handle(Input::Announce(ticket));
    }
    time(|n| {
        if let Some(ticket) = tickets.next() {
            bench.handle(Input::Announce(ticket));
        }
        bench.poll(n);
    })
}

/// A poll waits behind so many, the ticket goes to the first.
fn behind_polls(waiting: u64) -> f64 {
    let mut bench = Bench::new();
    let mut tickets = tickets(ROUNDS).into_iter();
    for n in 0..waiting {
        bench.poll(n);
    }
    time(|n| {
        bench.poll(waiting + n);
        if let Some(ticket) = tickets.next() {
            bench.handle(Input::Announce(ticket));
        }
    })
}

fn given_up() -> f64 {
    let mut bench = Bench::new();
    for n in 0..10_000 {
        bench.poll(n);
    }
    time(|n| {
        bench.poll(10_000 + n);
        bench.handle(Input::PollerGone(PollToken(n)));
    })
}

fn refused() -> f64 {
    let mut bench = Bench::new();
    let mut tickets = tickets(10_000 + ROUNDS).into_iter();
    for ticket in tickets.by_ref().take(10_000) {
        bench.handle(Input::Announce(ticket));
    }
    time(|_| {
        if let Some(ticket) = tickets.next() {
            bench.handle(Input::Announce(ticket));
        }
    })
}

fn through_the_actor() -> f64 {
    System::new().block_on(async {
        let (notices, _receiver) = mpsc::channel(1);
        let hooks = Hooks {
            clock: Arc::new(|| NOW),
            notices,
            metrics: Arc::new(Metrics::default()),
            namespace: "default".into(),
            ended: Box::new(|_, _| {}),
        };
        let queue = actor::start(&Arbiter::current(), key(), &Arc::new(Config::default()), hooks);
        let tickets = tickets(ROUNDS);
        let began = Instant::now();
        for ticket in tickets {
            round(&queue, ticket).await;
        }
        per_round(began)
    })
}

async fn round(queue: &QueueHandle, ticket: Ticket) {
    let announced = queue.announce(ticket);
    let polled = queue.poll(poller(), DEADLINE).await;
    assert!(announced.is_ok() && polled.is_ok());
}

struct Bench {
    queue: Queue,
    out: Vec<Output>,
    poller: PollerInfo,
}

impl Bench {
    fn new() -> Self {
        let config = Config {
            polls_max: NonZeroUsize::MAX,
            ..Config::default()
        };
        Self {
            queue: Queue::new(&key(), Arc::new(config), NOW),
            out: Vec::new(),
            poller: poller(),
        }
    }

    fn poll(&mut self, n: u64) {
        let poller = self.poller.clone();
        self.handle(Input::Poll {
            token: PollToken(n),
            poller,
            deadline: DEADLINE,
        });
    }

    fn handle(&mut self, input: Input) {
        self.queue.handle(input, NOW, &mut self.out);
        self.out.clear();
    }
}

fn key() -> QueueKey {
    QueueKey {
        namespace_id: NamespaceId::from_bytes([1; 16]),
        kind: TaskKind::Workflow,
        sticky: false,
        name: "orders".into(),
    }
}

fn poller() -> PollerInfo {
    PollerInfo {
        identity: "1@worker".into(),
        worker_instance_key: "3f2c9a".into(),
        ..PollerInfo::default()
    }
}

fn tickets(count: u64) -> Vec<Ticket> {
    let namespace_id = NamespaceId::from_bytes([1; 16]);
    (0..count)
        .map(|n| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
            let workflow_id = WorkflowId::from(format!("order-{n}"));
            Ticket {
                run: WorkflowKey {
                    namespace_id,
                    workflow_id,
                }
                .run(RunId::from_bytes(id)),
                scheduled_event_id: 2,
                attempt: 1,
                shard: ShardId(1),
                scheduled_time: NOW,
                durable: NOW,
                priority: Priority::default(),
            }
        })
        .collect()
}
