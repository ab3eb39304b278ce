//! The queue against a naive model of it, with random inputs.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use proto::{
    ids::{ShardId, TaskKind},
    time::Timestamp,
};

use super::{
    model::{Model, POLLS_MAX, QUERIES_MAX, TICKETS_MAX, event},
    script::{START, key, query, ticket},
};
use crate::{
    config::Config,
    input::{Input, PollToken, PollerInfo, QueryId},
    output::{Given, Output},
    queue::Queue,
    ticket::Priority,
};

#[derive(Clone, Debug)]
enum Op {
    Announce {
        name: u8,
        priority: i32,
        age_s: u64,
        shard: u32,
    },
    Withdraw {
        name: u8,
    },
    Poll {
        for_s: u64,
    },
    Gone {
        nth: usize,
    },
    Undelivered {
        nth: usize,
    },
    Query {
        for_s: u64,
    },
    QueryGone {
        nth: usize,
    },
    HeldBack {
        shard: u32,
        count: u64,
    },
    Shutdown,
    Drain,
    Pass {
        ms: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (0..12_u8, 1..6_i32, 0..3_u64, 0..3_u32)
            .prop_map(|(name, priority, age_s, shard)| Op::Announce { name, priority, age_s, shard }),
        2 => (0..12_u8).prop_map(|name| Op::Withdraw { name }),
        10 => (0..9_u64).prop_map(|for_s| Op::Poll { for_s }),
        2 => (0..8_usize).prop_map(|nth| Op::Gone { nth }),
        2 => (0..8_usize).prop_map(|nth| Op::Undelivered { nth }),
        3 => (0..9_u64).prop_map(|for_s| Op::Query { for_s }),
        1 => (0..8_usize).prop_map(|nth| Op::QueryGone { nth }),
        1 => (0..3_u32, 0..5_u64).prop_map(|(shard, count)| Op::HeldBack { shard, count }),
        1 => Just(Op::Shutdown),
        6 => (0..12_000_u64).prop_map(|ms| Op::Pass { ms }),
    ]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    (
        prop::collection::vec(op(), 0..120),
        prop::option::weighted(0.2, 0..120_usize),
    )
        .prop_map(|(mut ops, drain)| {
            if let Some(at) = drain {
                ops.insert(at.min(ops.len()), Op::Drain);
            }
            ops
        })
}

/// The queue and its model, fed alike.
struct Twins {
    queue: Queue,
    model: Model,
    now: Timestamp,
    next: u64,
    given: Vec<Given>,
}

impl Twins {
    fn new(sticky: bool) -> Self {
        let config = Config {
            tickets_max: TICKETS_MAX.try_into().expect("some"),
            polls_max: POLLS_MAX.try_into().expect("some"),
            queries_max: QUERIES_MAX.try_into().expect("some"),
            rehome_grace: Duration::ZERO,
            ..Config::default()
        };
        let queue = Queue::new(&key(TaskKind::Workflow, sticky), Arc::new(config), START);
        Self {
            queue,
            model: Model::new(sticky),
            now: START,
            next: 0,
            given: Vec::new(),
        }
    }

    fn apply(&mut self, op: &Op) {
        let now = self.now;
        self.next += 1;
        let input = match *op {
            Op::Announce {
                name,
                priority,
                age_s,
                shard,
            } => {
                let mut ticket = ticket(&name.to_string(), now - Duration::from_secs(age_s));
                ticket.priority = Priority::from_key(priority);
                ticket.shard = ShardId(shard);
                Input::Announce(ticket)
            }
            Op::Withdraw { name } => Input::Withdraw(ticket(&name.to_string(), now).id()),
            Op::Poll { for_s } => Input::Poll {
                token: PollToken(self.next),
                poller: PollerInfo::default(),
                deadline: now + Duration::from_secs(for_s),
            },
            Op::Gone { nth } => {
                Input::PollerGone(PollToken(self.model.polls.get(nth).map_or(0, |poll| poll.0)))
            }
            Op::Undelivered { nth } if nth < self.given.len() => {
                Input::Undelivered(self.given.swap_remove(nth))
            }
            Op::Undelivered { .. } => Input::Tick,
            Op::Query { for_s } => match query(&self.next.to_string()) {
                Given::Query { id, task } => Input::AddQuery {
                    id,
                    task,
                    deadline: now + Duration::from_secs(for_s),
                },
                Given::Ticket(_) => unreachable!(),
            },
            Op::QueryGone { nth } => {
                Input::QueryGone(QueryId(self.model.queries.get(nth).map_or(0, |query| query.0)))
            }
            Op::HeldBack { shard, count } => Input::HeldBack {
                shard: ShardId(shard),
                count,
                oldest: now,
            },
            Op::Shutdown => Input::WorkerShutdown {
                worker_instance_key: "other".into(),
            },
            Op::Drain => Input::Drain,
            Op::Pass { ms } => return self.pass(Duration::from_millis(ms)),
        };
        self.feed(input);
    }

    /// Lets time pass, ticking when the queue wants it.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some((at, _)) = self.queue.next_deadline().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.feed(Input::Tick);
            assert!(
                self.queue.next_deadline().is_none_or(|(next, _)| next > self.now),
                "the deadline stays"
            );
        }
        self.now = end;
    }

    fn feed(&mut self, input: Input) {
        let now = self.now;
        let expected = self.model.feed(input.clone(), now);
        let mut out = Vec::new();
        self.queue.handle(input, now, &mut out);
        assert_eq!(out.iter().filter_map(event).collect::<Vec<_>>(), expected);
        self.given
            .extend(out.into_iter().filter_map(|output| match output {
                Output::Give { give, .. } => Some(give.task),
                _ => None,
            }));
        self.check_bounds();
    }

    fn check_bounds(&self) {
        let view = self.queue.view(self.now);
        // A ticket that came back has its place already.
        let returned = usize::try_from(-self.model.returns).expect("count");
        assert!(view.tickets <= TICKETS_MAX + returned);
        assert!(self.queue.shards.promised() <= TICKETS_MAX);
        assert!(self.queue.backlog.is_consistent());
        assert_eq!(view.tickets, self.model.tickets.len());
        assert_eq!(view.polls, self.model.polls.len());
        assert_eq!(
            view.queries_waiting + view.queries_given,
            self.model.queries.len()
        );
        assert!(view.polls == 0 || (view.tickets == 0 && view.queries_waiting == 0));
        if self.queue.is_idle(self.now) {
            assert_eq!(
                (view.tickets, view.polls, view.queries_given, view.held_back),
                (0, 0, 0, 0)
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each ticket that was taken is given, withdrawn, refused later or still waits; each poll and query ends.
    #[test]
    fn the_queue_does_what_the_model_does(sticky: bool, ops in ops()) {
        let mut twins = Twins::new(sticky);
        for op in &ops {
            twins.apply(op);
        }
        twins.pass(Duration::from_secs(60));
        prop_assert_eq!(twins.queue.polls(), 0);
        prop_assert_eq!(twins.queue.queries.len(), 0);
    }

    /// In any span no more tasks go than the rate allows, and none that may go stays.
    #[test]
    fn the_rate_holds(
        rate in prop_oneof![0.3..50.0_f64, Just(1.0)],
        ops in prop::collection::vec((0..4_u8, 0..900_u64), 1..200),
    ) {
        let mut queue = Queue::new(&key(TaskKind::Activity, false), Arc::new(Config::default()), START);
        let (mut now, mut given, mut out) = (START, Vec::new(), Vec::new());
        queue.handle(Input::SetRate(Some(rate)), now, &mut out);
        for (n, (what, ms)) in (0_u64..).zip(ops) {
            let input = match what {
                0 => Input::Poll {
                    token: PollToken(n),
                    poller: PollerInfo::default(),
                    deadline: now + Duration::from_secs(60),
                },
                1 => Input::Announce(ticket(&n.to_string(), now)),
                _ => Input::Tick,
            };
            queue.handle(input, now, &mut out);
            let end = now + Duration::from_millis(if what == 3 { ms } else { 0 });
            while let Some((at, _)) = queue.next_deadline().filter(|(at, _)| *at <= end) {
                prop_assert!(at > now);
                now = at;
                queue.handle(Input::Tick, now, &mut out);
            }
            now = end;
            given.extend(out.drain(..).filter(|output| matches!(output, Output::Give { .. })).map(|_| now));
        }
        for (first, start) in given.iter().enumerate() {
            for (last, end) in given.iter().enumerate().skip(first) {
                #[expect(clippy::cast_precision_loss, reason = "small")]
                let count = (last - first + 1) as f64;
                // Gives are noted at the end of a step, which is up to 900 ms late.
                let span = end.since(*start).as_secs_f64() + 0.9;
                prop_assert!(count <= rate.max(1.0) + rate * span + 1e-6, "{} in {} s at {}", count, span, rate);
            }
        }
    }
}
