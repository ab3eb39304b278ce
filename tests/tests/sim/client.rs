//! The client and the workers of the simulated world: what they ask, and what they make of the answers.

use std::time::Duration;

use engine::{
    outcome::{StartedActivity, StartedWorkflowTask},
    trigger::{
        ActivityRef, BeginTask, CompleteWorkflowTask, Signal, Start, StartWith, StartWorkflow, TaskRef,
        Trigger,
    },
};
use matching::{
    input::{Input as QueueInput, PollToken, PollerInfo},
    ticket::Ticket,
};
use proto::ids::{QueueKey, TaskKind};
use shard::input::{Request, RunTarget};

use crate::{
    worker::{decide, history},
    world::{NAMESPACE, WORKFLOWS, Waiting, World, key},
};

impl World {
    pub(crate) fn start(&mut self) {
        let n = self.random.below(WORKFLOWS);
        self.start_one(n);
    }

    pub(crate) fn start_one(&mut self, n: usize) {
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

    pub(crate) fn signal(&mut self) {
        let (n, request) = (self.random.below(WORKFLOWS), self.random.below(3));
        self.signal_one(n, request);
    }

    pub(crate) fn signal_one(&mut self, n: usize, request: usize) {
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

    pub(crate) fn poll(&mut self, kind: TaskKind) {
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

    pub(crate) fn redeem(&mut self, queue: &QueueKey, ticket: Ticket) {
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

    pub(crate) fn work(&mut self, target: RunTarget, task: StartedWorkflowTask) {
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
        if let Some(run_id) = target.run_id {
            // Whose start was not acknowledged to its client: a ticket comes only of what is durable.
            self.model
                .runs
                .entry(workflow.clone())
                .or_insert_with(|| run_id.to_string());
        }
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

    pub(crate) fn act(&mut self, target: RunTarget, activity: &StartedActivity) {
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
}
