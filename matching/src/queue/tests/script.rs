//! Runs a script of inputs and prints what the queue does.
//!
//! The first line may set the queue up: `queue activity tickets_max=3`. Each further line is an input, at the time
//! where the script stands; `+1s` in front of it moves on first. `run +1m` ticks at each deadline until then.

use std::{fmt::Write, sync::Arc, time::Duration};

use expect_test::Expect;
use proto::{
    ids::{NamespaceId, QueueKey, RunId, RunKey, ShardId, TaskKind, WorkflowId, WorkflowKey},
    temporal::query::v1::WorkflowQuery,
    time::Timestamp,
};

use crate::{
    config::Config,
    input::{Input, PollToken, PollerInfo, QueryId, QueryTask},
    output::{Give, Given, Output},
    queue::Queue,
    ticket::{Priority, Ticket},
};

/// When scripts begin; on a boundary of the rate windows.
pub(super) const START: Timestamp = Timestamp::from_seconds(1_700_000_000);

/// Compares what the script prints with what is expected; `UPDATE_EXPECT=1` rewrites it.
pub(super) fn check(script: &str, expect: &Expect) {
    let mut lines = script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .peekable();
    let setup = lines
        .next_if(|line| line.starts_with("queue"))
        .unwrap_or("queue workflow");
    let mut run = Run::new(setup);
    for line in lines {
        run.line(line);
    }
    expect.assert_eq(&run.printed);
}

struct Run {
    queue: Queue,
    now: Timestamp,
    printed: String,
}

impl Run {
    fn new(setup: &str) -> Self {
        let mut config = Config {
            rehome_grace: Duration::ZERO,
            ..Config::default()
        };
        let (mut kind, mut sticky) = (TaskKind::Workflow, false);
        for word in setup.split_whitespace().skip(1) {
            match word.split_once('=') {
                None if word == "activity" => kind = TaskKind::Activity,
                None => sticky = word == "sticky",
                Some(("tickets_max", max)) => config.tickets_max = max.parse().expect("number"),
                Some(("ticket_bytes_max", max)) => config.ticket_bytes_max = max.parse().expect("number"),
                Some(("polls_max", max)) => config.polls_max = max.parse().expect("number"),
                Some(("queries_max", max)) => config.queries_max = max.parse().expect("number"),
                Some(("grace", span)) => config.rehome_grace = duration(span),
                Some(other) => panic!("setting {other:?}"),
            }
        }
        Self {
            queue: Queue::new(&key(kind, sticky), Arc::new(config), START),
            now: START,
            printed: String::new(),
        }
    }

    fn line(&mut self, line: &str) {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        if words.first().is_some_and(|word| word.starts_with('+')) {
            self.now = self.now + duration(&words.remove(0)[1..]);
        }
        match words[0] {
            "run" => return self.run_until(self.now + duration(&words[1][1..])),
            "deadline" => return self.print_deadline(),
            "stats" => return self.print_stats(),
            _ => {}
        }
        self.print(&words.join(" "));
        let input = self.input(&words);
        self.handle(input);
    }

    fn handle(&mut self, input: Input) {
        let mut out = Vec::new();
        self.queue.handle(input, self.now, &mut out);
        for output in out {
            writeln!(self.printed, "  {}", show(&output)).expect("string");
        }
    }

    /// Ticks exactly when the queue wants it.
    fn run_until(&mut self, end: Timestamp) {
        while let Some((at, why)) = self.queue.next_deadline().filter(|(at, _)| *at <= end) {
            assert!(
                at > self.now || why == crate::output::Why::Idle,
                "deadline {why:?} does not move on"
            );
            self.now = at;
            self.print(&format!("tick for {why:?}"));
            self.handle(Input::Tick);
        }
        self.now = end;
    }

    fn input(&self, words: &[&str]) -> Input {
        let name = words.get(1).copied().unwrap_or_default();
        match words[0] {
            "announce" => Input::Announce(self.ticket(&words[1..])),
            "withdraw" => Input::Withdraw(self.ticket(&words[1..]).id()),
            "undelivered" => Input::Undelivered(Given::Ticket(self.ticket(&words[1..]))),
            "undelivered_query" => Input::Undelivered(query(name)),
            "poll" => self.poll(&words[1..]),
            "gone" => Input::PollerGone(PollToken(number(name))),
            "query" => match query(name) {
                Given::Query { id, task } => Input::AddQuery {
                    id,
                    task,
                    deadline: self.now + duration(words[2]),
                },
                Given::Ticket(_) => unreachable!(),
            },
            "query_gone" => Input::QueryGone(QueryId(number(name))),
            "held_back" => Input::HeldBack {
                shard: ShardId(u32::try_from(number(name)).expect("shard")),
                count: number(words[2]),
                oldest: self.now - duration(words[3]),
            },
            "missed" => Input::Missed {
                shard: ShardId(u32::try_from(number(name)).expect("shard")),
                count: number(words[2]),
                oldest: self.now - duration(words[3]),
            },
            "shutdown" => Input::WorkerShutdown {
                worker_instance_key: name.into(),
            },
            "rate" => Input::SetRate(name.parse().ok()),
            "drain" => Input::Drain,
            "tick" => Input::Tick,
            other => panic!("input {other:?}"),
        }
    }

    /// `a p1 shard=2 age=5s attempt=2`
    fn ticket(&self, words: &[&str]) -> Ticket {
        let mut ticket = ticket(words[0], self.now);
        for word in &words[1..] {
            match word.split_once('=') {
                None => ticket.priority = Priority::from_key(word[1..].parse().expect("priority")),
                Some(("shard", shard)) => ticket.shard = ShardId(shard.parse().expect("shard")),
                Some(("age", age)) => ticket.scheduled_time = self.now - duration(age),
                Some(("attempt", attempt)) => ticket.attempt = attempt.parse().expect("attempt"),
                Some(other) => panic!("ticket's {other:?}"),
            }
        }
        ticket
    }

    /// `1 60s worker=w key=k rate=5`
    fn poll(&self, words: &[&str]) -> Input {
        let mut poller = PollerInfo {
            identity: "worker".into(),
            ..PollerInfo::default()
        };
        for word in &words[2..] {
            match word.split_once('=').expect("name=value") {
                ("worker", identity) => poller.identity = identity.into(),
                ("key", key) => poller.worker_instance_key = key.into(),
                ("rate", rate) => poller.max_tasks_per_second = Some(rate.parse().expect("rate")),
                other => panic!("poll's {other:?}"),
            }
        }
        Input::Poll {
            token: PollToken(number(words[0])),
            poller,
            deadline: self.now + duration(words[1]),
        }
    }

    fn print(&mut self, what: &str) {
        let at = self.now.since(START).as_secs_f64();
        writeln!(self.printed, "{at:.3} {what}").expect("string");
    }

    fn print_deadline(&mut self) {
        let deadline = self
            .queue
            .next_deadline()
            .map_or("no deadline".to_owned(), |(at, why)| {
                format!("deadline in {:?} for {why:?}", at.since(self.now))
            });
        self.print(&deadline);
    }

    fn print_stats(&mut self) {
        let view = serde_json::to_value(self.queue.view(self.now)).expect("view is JSON");
        self.print(&format!("stats {}", view["stats"]));
        for level in view["stats_by_priority"].as_array().expect("levels") {
            writeln!(self.printed, "  priority {} {}", level[0], level[1]).expect("string");
        }
        for poller in view["pollers"].as_array().expect("pollers") {
            writeln!(self.printed, "  poller {poller}").expect("string");
        }
    }
}

pub(super) fn key(kind: TaskKind, sticky: bool) -> QueueKey {
    QueueKey {
        namespace_id: NamespaceId::from_bytes([1; 16]),
        kind,
        sticky,
        name: "orders".into(),
    }
}

/// Makes a ticket whose run is told from others by its name alone.
pub(super) fn ticket(name: &str, scheduled_time: Timestamp) -> Ticket {
    Ticket {
        run: run(name),
        scheduled_event_id: 2,
        attempt: 1,
        shard: ShardId(1),
        scheduled_time,
        durable: scheduled_time,
        priority: Priority::default(),
    }
}

fn run(name: &str) -> RunKey {
    let mut id = [0; 16];
    id[..name.len()].copy_from_slice(name.as_bytes());
    WorkflowKey {
        namespace_id: NamespaceId::from_bytes([1; 16]),
        workflow_id: WorkflowId::from(name),
    }
    .run(RunId::from_bytes(id))
}

pub(super) fn query(id: &str) -> Given {
    let query = WorkflowQuery {
        query_type: "state".into(),
        ..WorkflowQuery::default()
    };
    Given::Query {
        id: QueryId(number(id)),
        task: Box::new(QueryTask {
            run: run("asked"),
            workflow_type: "order".to_owned(),
            task_queue: "orders".to_owned(),
            next_event_id: 5,
            previous_started_event_id: 3,
            query,
        }),
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("number {text:?}"))
}

fn duration(text: &str) -> Duration {
    let (digits, ms) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1),
        None if text.ends_with('m') => (&text[..text.len() - 1], 60_000),
        None => (text.strip_suffix('s').expect("span"), 1_000),
    };
    Duration::from_millis(number(digits) * ms)
}

fn show(output: &Output) -> String {
    match output {
        Output::Give { token, give } => format!("give {} to {}", show_give(give), token.0),
        Output::Empty(token) => format!("empty {}", token.0),
        Output::PollRefused(token) => format!("refuse poll {}", token.0),
        Output::Refuse { ticket, why } => format!("refuse {}: {why:?}", name(ticket)),
        Output::Credit { shard, free } => format!("credit shard {shard} with {free}"),
        Output::QueryEnded { id, why } => format!("query {} ends: {why:?}", id.0),
        Output::Idle => "idle".to_owned(),
    }
}

fn show_give(give: &Give) -> String {
    let mut text = match &give.task {
        Given::Ticket(ticket) => name(ticket),
        Given::Query { id, .. } => format!("query {}", id.0),
    };
    if give.sync {
        text += " at once";
    }
    if !give.waited.is_zero() {
        write!(text, " after {:?}", give.waited).expect("string");
    }
    if give.backlog_hint > 0 {
        write!(text, " of {} more", give.backlog_hint).expect("string");
    }
    if let Some(scaling) = give.scaling {
        write!(text, " scale {scaling:+}").expect("string");
    }
    text
}

fn name(ticket: &Ticket) -> String {
    let attempt = if ticket.attempt == 1 {
        String::new()
    } else {
        format!("#{}", ticket.attempt)
    };
    format!("{}{attempt}", ticket.run.workflow.workflow_id)
}
