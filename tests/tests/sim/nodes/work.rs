//! Clients and workers of the simulated cluster. They talk to any node and ask again what was not acknowledged.

use std::time::Duration;

use engine::outcome::{Reply, StartedActivity, StartedWorkflowTask};
use matching::{input::PollToken, ticket::Ticket};
use proto::ids::TaskKind;
use shard::{
    input::{Request, RunTarget, Token},
    output::AskError,
};

use super::{
    node::Origin,
    world::{Event, World},
};
use crate::{
    records,
    requests::{self, newest},
    worker::{SIGNALS, decide, history},
    world::Waiting,
};

pub(crate) const WORKFLOWS: usize = 6;
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_secs(20);
/// Polls of each kind that wait at the same time.
const POLLS: usize = 4;

/// A call that is not answered.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) waiting: Waiting,
    /// Sent again if no answer comes.
    again: Option<(RunTarget, Request)>,
}

impl World {
    fn pause(&mut self, most: usize) -> Duration {
        Duration::from_millis(10 + self.random.below(most) as u64)
    }

    /// Sends a request through any node.
    pub(crate) fn call(&mut self, target: RunTarget, request: Request, waiting: Waiting) {
        let running = self.running();
        if running.is_empty() {
            return;
        }
        let node = running[self.random.below(running.len())];
        let token = Token(self.number());
        let repeats = matches!(waiting, Waiting::Complete { .. } | Waiting::Activity);
        let again = repeats.then(|| (target.clone(), request.clone()));
        self.calls.insert(token, Call { waiting, again });
        self.after(PATIENCE, Event::CallEnds(token));
        if self.seats[node].paused <= self.now {
            self.route(node, token, target, request, Origin::Client);
            self.arm(node);
        }
    }

    /// Asks one thing that was not acknowledged, and comes again.
    pub(crate) fn client(&mut self) {
        let wait = self.pause(400);
        self.after(wait, Event::Client);
        let n = self.random.below(WORKFLOWS);
        let id = format!("order-{n}");
        let open = |other: &Waiting| match other {
            Waiting::Start(other) | Waiting::Signal(other, _) => *other == id,
            _ => false,
        };
        if self.calls.values().any(|call| open(&call.waiting)) {
            return;
        }
        if !self.model.runs.contains_key(&id) {
            return self.call(newest(&id), requests::start(&id), Waiting::Start(id));
        }
        let missing = self.missing_signal(n);
        if let Some(request) = missing.filter(|_| !self.model.ended.contains(&id)) {
            let signal = requests::signal(&request);
            self.call(newest(&id), signal, Waiting::Signal(id, request));
        }
    }

    fn missing_signal(&self, n: usize) -> Option<String> {
        let known = self.model.signals.get(&format!("order-{n}"));
        (0..SIGNALS)
            .map(|signal| format!("signal-{n}-{signal}"))
            .find(|request| known.is_none_or(|known| !known.contains(request)))
    }

    /// Keeps some polls open.
    pub(crate) fn workers(&mut self, kind: TaskKind) {
        let wait = self.pause(300);
        self.after(wait, Event::Workers(kind));
        let open = self.polls.values().filter(|(other, _)| *other == kind);
        let running = self.running();
        if open.count() >= POLLS || running.is_empty() {
            return;
        }
        let node = running[self.random.below(running.len())];
        let Some(peer) = self.peer(node).filter(|_| self.seats[node].paused <= self.now) else {
            return;
        };
        let token = PollToken(self.number());
        self.polls.insert(token, (kind, peer));
        self.after(POLL + Duration::from_secs(5), Event::PollEnds(token));
        self.poll(node, requests::queue(kind), token, POLL);
        self.arm(node);
    }

    /// A worker has a ticket: it takes the task.
    pub(crate) fn given(&mut self, token: PollToken, ticket: Ticket) {
        let Some((kind, _)) = self.polls.remove(&token) else {
            return;
        };
        let request = requests::begin(kind, &ticket, format!("poll-{}", token.0));
        let target = RunTarget {
            workflow: ticket.run.workflow,
            run_id: Some(ticket.run.run_id),
        };
        self.call(target.clone(), request, Waiting::Begin(target));
    }

    /// An answer has come: what it acknowledges must be durable (P3).
    pub(crate) fn answered(&mut self, token: Token, reply: Result<Reply, AskError>) {
        let Some(call) = self.calls.remove(&token) else {
            return;
        };
        match (call.waiting, reply) {
            (Waiting::Begin(target), Ok(Reply::WorkflowTask(task))) => self.work(target, &task),
            (Waiting::Begin(target), Ok(Reply::Activity(activity))) => self.act(target, &activity),
            (waiting, Ok(reply)) => {
                let shard = waiting
                    .workflow()
                    .map(|id| self.map.shard(requests::key(id).position()));
                if let Some(shard) = shard {
                    self.model.acknowledge(&self.store, shard, waiting, &reply);
                }
            }
            (waiting, Err(AskError::Unavailable(_) | AskError::Busy(_) | AskError::Moved)) => {
                if let Some((target, request)) = call.again {
                    let wait = self.pause(500);
                    self.after(
                        wait,
                        Event::Respond {
                            target,
                            request,
                            waiting,
                        },
                    );
                }
            }
            (_, Err(AskError::Rejected(_))) => {}
            (waiting, Err(error @ AskError::Broken(_))) => panic!("{waiting:?}: {error}"),
        }
    }

    fn work(&mut self, target: RunTarget, task: &StartedWorkflowTask) {
        let Some(run_id) = target.run_id else { return };
        let stored = records::history(&self.store, run_id, task.next_event_id);
        let commands = decide(&history(stored, task));
        if self.faulty && self.random.one_in(12) {
            return; // The worker dies: the task times out.
        }
        let ends = requests::is_end(&commands);
        let workflow = target.workflow.workflow_id.to_string();
        // Its start may not have been acknowledged to its client: a ticket comes only of what is durable.
        self.model.started(&workflow, &run_id.to_string());
        let request = requests::complete(task, commands);
        let waiting = Waiting::Complete { workflow, ends };
        self.respond(target, request, waiting);
    }

    fn act(&mut self, target: RunTarget, activity: &StartedActivity) {
        if self.faulty && self.random.one_in(12) {
            return;
        }
        self.respond(target, requests::activity_done(activity), Waiting::Activity);
    }

    fn respond(&mut self, target: RunTarget, request: Request, waiting: Waiting) {
        let wait = self.pause(500);
        self.after(
            wait,
            Event::Respond {
                target,
                request,
                waiting,
            },
        );
    }
}
