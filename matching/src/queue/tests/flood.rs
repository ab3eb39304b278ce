//! A flood of tickets: counts work and memory, not time.

use std::{collections::VecDeque, num::NonZeroUsize, sync::Arc, time::Duration};

use proto::ids::{ShardId, TaskKind};

use super::script::{START, key, ticket};
use crate::{
    config::Config,
    input::{Input, PollToken, PollerInfo},
    limits,
    output::{Given, Output},
    queue::Queue,
    ticket::Ticket,
};

/// A shard that keeps what is refused and announces it again on credit, oldest first.
#[derive(Default)]
struct Shard {
    kept: VecDeque<u64>,
}

struct Flood {
    queue: Queue,
    shards: Vec<Shard>,
    given: Vec<u64>,
    announced: u64,
    refused: u64,
    credits: u64,
    tickets_peak: usize,
    bytes_peak: usize,
}

impl Flood {
    fn announce(&mut self, n: u64, out: &mut Vec<Output>) {
        let mut ticket = ticket(&n.to_string(), START + Duration::from_millis(n));
        ticket.shard = ShardId(u32::try_from(n % self.shards.len() as u64).expect("small"));
        self.announced += 1;
        self.handle(Input::Announce(ticket), out);
    }

    fn poll(&mut self, n: u64, out: &mut Vec<Output>) {
        let poll = Input::Poll {
            token: PollToken(n),
            poller: PollerInfo::default(),
            deadline: START,
        };
        self.handle(poll, out);
    }

    fn handle(&mut self, input: Input, out: &mut Vec<Output>) {
        self.queue.handle(input, START, out);
        self.tickets_peak = self.tickets_peak.max(self.queue.backlog.len());
        self.bytes_peak = self.bytes_peak.max(self.queue.backlog.bytes());
    }

    /// Does what a courier and the shards do with the queue's outputs.
    fn carry_out(&mut self, out: &mut Vec<Output>) {
        let mut more = Vec::new();
        for output in out.drain(..) {
            match output {
                Output::Give { give, .. } => match give.task {
                    Given::Ticket(ticket) => self.given.push(number(&ticket)),
                    Given::Query { .. } => unreachable!(),
                },
                Output::Refuse { ticket, .. } => {
                    self.refused += 1;
                    self.shards[ticket.shard.0 as usize]
                        .kept
                        .push_back(number(&ticket));
                }
                Output::Credit { shard, free } => {
                    self.credits += 1;
                    let kept = &mut self.shards[shard.0 as usize].kept;
                    let announced: Vec<u64> = kept.drain(..free.min(kept.len())).collect();
                    for n in announced {
                        self.announce(n, &mut more);
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        *out = more;
    }
}

fn number(ticket: &Ticket) -> u64 {
    ticket.run.workflow.workflow_id.as_str().parse().expect("number")
}

const SHARDS: usize = 64;

/// Announces so many tickets and takes so many, with everything that follows.
fn flood(tickets: u64, taken: u64) -> Flood {
    let queue = Queue::new(
        &key(TaskKind::Workflow, false),
        Arc::new(Config::default()),
        START,
    );
    let shards = (0..SHARDS).map(|_| Shard::default()).collect();
    let mut flood = Flood {
        queue,
        shards,
        given: Vec::new(),
        announced: 0,
        refused: 0,
        credits: 0,
        tickets_peak: 0,
        bytes_peak: 0,
    };
    let mut out = Vec::new();
    for n in 0..tickets {
        flood.announce(n, &mut out);
        flood.carry_out(&mut out);
    }
    for n in 0..taken {
        flood.poll(n, &mut out);
        while !out.is_empty() {
            flood.carry_out(&mut out);
        }
    }
    flood
}

impl Flood {
    fn check(&self, tickets: u64) {
        assert!(self.tickets_peak <= limits::TICKETS_MAX, "{}", self.tickets_peak);
        assert!(self.bytes_peak <= limits::TICKET_BYTES_MAX, "{}", self.bytes_peak);
        // Credit never promises what is not there: nothing is refused a second time.
        assert_eq!(self.refused, tickets - limits::TICKETS_MAX as u64);
        // It comes in large portions.
        let again = self.announced - tickets;
        let credits_max = 2 * again / limits::CREDIT_PORTION_MIN as u64 + SHARDS as u64;
        assert!(self.credits <= credits_max, "{} for {again}", self.credits);
        // Each goes once and about in its turn: none comes later than what the queue holds.
        let late = self
            .given
            .iter()
            .zip(0..)
            .map(|(n, place)| n.abs_diff(place))
            .max();
        assert!(late <= Some(limits::TICKETS_MAX as u64), "{late:?}");
        let left = tickets - self.given.len() as u64;
        assert_eq!(self.queue.backlog(), i64::try_from(left).expect("small"));
    }
}

/// Counts what a backlog costs: a bounded number of tickets in memory, two announcements and one poll for each.
#[test]
fn a_backlog_rests_in_its_shards_and_all_of_it_goes() {
    let mut flood = flood(150_000, 150_000);
    flood.check(150_000);
    assert_eq!(flood.announced, 2 * 150_000 - limits::TICKETS_MAX as u64);
    flood.given.sort_unstable();
    assert!(flood.given.iter().copied().eq(0..150_000));
}

/// The head of a backlog of a million costs what that of a small one costs.
#[test]
fn the_head_of_a_million_is_that_of_a_few() {
    let million = flood(1_000_000, 50_000);
    million.check(1_000_000);
    let few = flood(100_000, 50_000);
    few.check(100_000);
    assert_eq!(million.given, few.given);
    assert_eq!(million.announced - 1_000_000, few.announced - 100_000);
    assert_eq!(million.credits, few.credits);
}

/// Four of five credits are lost on their way, and still all tickets go.
#[test]
fn credit_that_is_lost_is_offered_again() {
    const TICKETS: u64 = 200;
    let config = Config {
        tickets_max: NonZeroUsize::new(8).expect("some"),
        ..Config::default()
    };
    let mut queue = Queue::new(&key(TaskKind::Workflow, false), Arc::new(config), START);
    let mut shards = [const { VecDeque::new() }; 4];
    let mut credits = [0; 4];
    let (mut given, mut now, mut polls) = (Vec::new(), START, 0);
    let mut inputs: VecDeque<Input> = (0..TICKETS)
        .map(|n| Input::Announce(of_shard(n, n % 4)))
        .collect();
    while given.len() < usize::try_from(TICKETS).expect("small") {
        let input = inputs.pop_front().unwrap_or_else(|| {
            now = queue.next_deadline().map_or(now, |(at, _)| at);
            Input::Tick
        });
        polls += 1;
        assert!(polls < 100 * TICKETS, "{} of {TICKETS} went", given.len());
        let poll = Input::Poll {
            token: PollToken(polls),
            poller: PollerInfo::default(),
            deadline: now,
        };
        let mut out = Vec::new();
        queue.handle(input, now, &mut out);
        if inputs.is_empty() {
            queue.handle(poll, now, &mut out);
        }
        for output in out {
            match output {
                Output::Give { give, .. } => given.push(give.task),
                Output::Refuse { ticket, .. } => shards[ticket.shard.0 as usize].push_back(ticket),
                Output::Credit { shard, free } => {
                    credits[shard.0 as usize] += 1;
                    let kept = &mut shards[shard.0 as usize];
                    if credits[shard.0 as usize] % 5 == 0 {
                        inputs.extend(kept.drain(..free.min(kept.len())).map(Input::Announce));
                    }
                }
                Output::Empty(_) | Output::Idle => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(queue.backlog(), 0);
}

fn of_shard(n: u64, shard: u64) -> Ticket {
    let mut ticket = ticket(&n.to_string(), START);
    ticket.shard = ShardId(u32::try_from(shard).expect("small"));
    ticket
}
