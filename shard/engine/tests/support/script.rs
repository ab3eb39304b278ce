//! Golden scripts: triggers in a few words each, and below each one what it gave.
//!
//! A script is a heading of `#` lines, a line `---`, and then triggers: lines that begin with `> `. Everything else
//! below the `---` is what the engine gave, as is the list of events at the end of the heading. `tests/golden.rs`
//! says what the words mean.

mod triggers;

use std::fmt::Write;

use perdure_engine::{
    outcome::{Rejection, Reply, Step},
    run::Why,
    trigger::{Reset, Trigger},
};
use proto::time::Timestamp;

use super::{
    World,
    build::{self, Words},
    render::{self, Names},
};

/// Runs the script and returns it with what the engine gives today, and the world that it leaves.
pub fn play(script: &str) -> (String, World) {
    let (heading, body) = script.split_once("---\n").unwrap_or((script, ""));
    let mut player = Player::default();
    for line in body.lines().filter_map(|line| line.strip_prefix("> ")) {
        player.play(line);
    }
    let mut text: String = heading
        .lines()
        .take_while(|line| *line != "#")
        .map(|line| format!("{line}\n"))
        .collect();
    for known in &player.world.runs {
        let _ = writeln!(text, "#\n# {}", known.run.state().run_id);
        for event in &known.history {
            let _ = writeln!(text, "# {:>3} {}", event.event_id, render::event_name(event));
        }
    }
    text.push_str("---\n");
    text.push_str(&player.out);
    (player.names.shorten(&text), player.world)
}

#[derive(Default)]
pub struct Player {
    pub world: World,
    names: Names,
    pub out: String,
    deadline: Option<(Timestamp, Why)>,
    requests: u32,
    /// The queries that the last workflow task brought.
    queries: Vec<String>,
}

impl Player {
    /// Plays one line, without its mark.
    pub fn play(&mut self, line: &str) {
        let _ = writeln!(self.out, "> {line}");
        let (index, rest) = match line.strip_prefix("run-").and_then(|rest| rest.split_once(": ")) {
            Some((number, rest)) => (number.parse::<usize>().expect("run-N names a run") - 1, rest),
            None => (self.world.newest(), line),
        };
        let rest = &self.fill_in(index, rest);
        // A worker's commands follow a colon and have words of their own.
        let words = Words::parse(rest.split_once(": ").map_or(rest, |(head, _)| head));
        match words.word(0) {
            "start" => {
                let request = self.start(&words);
                let result = self.world.start(request);
                self.show(index, result);
            }
            "wait" => {
                self.world.now = self.world.now + build::span(words.word(1));
                self.act(index, Trigger::Wake);
            }
            "sleep" => self.world.now = self.world.now + build::span(words.word(1)),
            "reload" => self.world.reload(index),
            "hand-over" => {
                let step = self.world.hand_over(index);
                self.show(index, step);
                self.world.reload(index);
            }
            "forget" => self.world.forget(index),
            "limit" => self.limit(&words),
            "reset" => self.reset(index, &words),
            _ => {
                let trigger = self.trigger(index, rest, &words);
                self.act(index, trigger);
            }
        }
        self.show_deadline();
        self.out.push('\n');
    }

    /// Puts ids for `$activity0`, `$child1`, `$signal0` and `$cancel0`: the pending ones, by their order.
    fn fill_in(&self, index: usize, line: &str) -> String {
        let Some(known) = self.world.runs.get(index) else {
            return line.to_owned();
        };
        let state = known.run.state();
        let mut line = line.to_owned();
        let pending: [(&str, Vec<i64>); 4] = [
            ("activity", state.activities.keys().copied().collect()),
            ("child", state.children.keys().copied().collect()),
            ("signal", state.signals_out.keys().copied().collect()),
            ("cancel", state.cancels_out.keys().copied().collect()),
        ];
        for (name, ids) in pending {
            for at in 0..3 {
                let id = ids.get(at).copied().unwrap_or(99);
                line = line.replace(&format!("${name}{at}"), &id.to_string());
            }
        }
        line
    }

    fn act(&mut self, index: usize, trigger: Trigger) {
        let result = self.world.step(index, trigger);
        self.show(index, result);
    }

    fn reset(&mut self, index: usize, words: &Words) {
        let request = Reset {
            workflow_task_finish_event_id: words.number(1),
            reason: words.get("reason").unwrap_or("try again").to_owned(),
            request_id: self.request_id(words),
            reapply_signals: !words.has("no-signals"),
            reapply_updates: !words.has("no-updates"),
            post_options: words
                .get("options")
                .map(|_| build::options(words))
                .into_iter()
                .collect(),
            post_signals: words
                .get("signal")
                .map(|name| self.signal(name, words))
                .into_iter()
                .collect(),
            ..Reset::default()
        };
        match self.world.reset(index, request) {
            Ok(steps) => {
                for (index, step) in steps {
                    self.show(index, Ok(step));
                }
            }
            Err(error) => self.line(&format!("= {}", render::rejection(&error))),
        }
    }

    /// Prints what a step gave.
    fn show(&mut self, index: usize, result: Result<Step, Rejection>) {
        let step = match result {
            Ok(step) => step,
            Err(error) => return self.line(&format!("= {}", render::rejection(&error))),
        };
        for (at, known) in self.world.runs.iter().enumerate() {
            self.names
                .name(&known.run.state().run_id, format!("run-{}", at + 1));
        }
        if !step.events.is_empty() && index != self.world.newest() {
            self.line(&format!("run-{}", index + 1));
        }
        for event in &step.events {
            self.line(&render::event(event));
        }
        if step.durable && step.events.is_empty() {
            self.line("* state changed");
        }
        for effect in &step.effects {
            self.line(&render::effect(effect));
        }
        if let Some(new) = &step.successor {
            self.line(&format!("run-{} begins", self.world.runs.len()));
            for event in &new.events {
                self.line(&render::event(event));
            }
            for effect in &new.effects {
                self.line(&render::effect(effect));
            }
        }
        if let Reply::WorkflowTask(task) = &step.reply {
            self.queries = task.queries.keys().cloned().collect();
        }
        let early = if step.early { " (may leave early)" } else { "" };
        let index = if step.index { " (indexed)" } else { "" };
        let waiter = self.world.waiter().0;
        let reply = match &step.reply {
            Reply::Deferred => format!("waits as w{waiter}"),
            reply => render::reply(reply),
        };
        self.line(&format!("= {reply}{early}{index}"));
    }

    fn show_deadline(&mut self) {
        let next = self
            .world
            .runs
            .last()
            .and_then(|known| known.run.next_deadline(false));
        if next != self.deadline {
            self.deadline = next;
            self.line(&format!("@ {}", render::deadline(next)));
        }
    }

    fn line(&mut self, line: &str) {
        let _ = writeln!(self.out, "  {line}");
    }

    fn request_id(&mut self, words: &Words) -> String {
        self.requests += 1;
        words
            .get("request")
            .map_or_else(|| format!("request-{}", self.requests), str::to_owned)
    }

    fn limit(&mut self, words: &Words) {
        let limits = &mut self.world.limits;
        for (name, value) in &words.named {
            let number: usize = value.parse().expect("a limit is a number");
            match name.as_str() {
                "updates-in-flight" => limits.updates_in_flight = number,
                "updates-in-flight-bytes" => limits.updates_in_flight_bytes = number,
                "updates-total" => limits.updates_total = number,
                "buffered-events" => limits.buffered_events = number,
                "buffered-queries" => limits.buffered_queries = number,
                "blob-bytes" => limits.blob_bytes = number,
                "pending-activities" => limits.pending_activities = number,
                "history-events" => limits.history_events = i64::try_from(number).unwrap_or(i64::MAX),
                "history-bytes" => limits.history_bytes = i64::try_from(number).unwrap_or(i64::MAX),
                "state-bytes" => limits.state_bytes = number,
                "signals" => limits.signals = i64::try_from(number).unwrap_or(i64::MAX),
                name => panic!("no limit is called {name:?}"),
            }
        }
    }
}
