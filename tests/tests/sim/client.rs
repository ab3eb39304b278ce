//! The client and the workers of the simulated world: what they ask, and what they make of the answers.

use std::time::Duration;

use engine::outcome::{StartedActivity, StartedWorkflowTask};
use matching::{
    input::{Input as QueueInput, PollToken, PollerInfo},
    ticket::Ticket,
};
use proto::ids::{QueueKey, TaskKind};
use shard::input::RunTarget;

use crate::{
    records,
    requests::{self, newest},
    worker::{decide, history},
    world::{WORKFLOWS, Waiting, World},
};

impl World {
    pub(crate) fn start(&mut self) {
        let n = self.random.below(WORKFLOWS);
        self.start_one(n);
    }

    pub(crate) fn start_one(&mut self, n: usize) {
        let id = format!("order-{n}");
        self.ask(newest(&id), requests::start(&id), Waiting::Start(id));
    }

    pub(crate) fn signal(&mut self) {
        let (n, request) = (self.random.below(WORKFLOWS), self.random.below(3));
        self.signal_one(n, request);
    }

    pub(crate) fn signal_one(&mut self, n: usize, request: usize) {
        let (id, request_id) = (format!("order-{n}"), format!("signal-{n}-{request}"));
        let signal = requests::signal(&request_id);
        self.ask(newest(&id), signal, Waiting::Signal(id, request_id));
    }

    pub(crate) fn poll(&mut self, kind: TaskKind) {
        let queue = requests::queue(kind);
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

    pub(crate) fn redeem(&mut self, queue: &QueueKey, ticket: Ticket) {
        let begin = requests::begin(queue.kind, &ticket, format!("poll-{}", self.tokens));
        let target = RunTarget {
            workflow: ticket.run.workflow,
            run_id: Some(ticket.run.run_id),
        };
        self.ask(target.clone(), begin, Waiting::Begin(target));
    }

    pub(crate) fn work(&mut self, target: RunTarget, task: StartedWorkflowTask) {
        let Some(run_id) = target.run_id else {
            return;
        };
        let stored = records::history(&self.store, run_id, task.next_event_id);
        let commands = decide(&history(stored, &task));
        if self.faulty && self.random.one_in(8) {
            return; // The worker dies: the task times out.
        }
        let ends = requests::is_end(&commands);
        let workflow = target.workflow.workflow_id.to_string();
        // Its start may not have been acknowledged to its client: a ticket comes only of what is durable.
        self.model.started(&workflow, &run_id.to_string());
        self.ask(
            target,
            requests::complete(&task, commands),
            Waiting::Complete { workflow, ends },
        );
    }

    pub(crate) fn act(&mut self, target: RunTarget, activity: &StartedActivity) {
        if self.faulty && self.random.one_in(8) {
            return;
        }
        self.ask(target, requests::activity_done(activity), Waiting::Activity);
    }
}
