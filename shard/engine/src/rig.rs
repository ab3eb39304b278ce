//! Rig: one run under test. Moves it by triggers, lets time pass, and prints what happened.

mod show;

use std::time::Duration;

use proto::{
    ids::{NamespaceId, derive},
    temporal::{
        command::v1::{Command, command::Attributes as CommandAttributes},
        common::v1::{Payload, Payloads},
        enums::v1::CommandType,
        history::v1::HistoryEvent,
    },
    time::{Timestamp, duration_to_proto},
};

use crate::{
    close::{is_waiting, ready_activity},
    effect::{Effect, ReadyTask, Waiter},
    invariants,
    limits::Limits,
    outcome::{Rejection, Reply, StartedActivity, StartedWorkflowTask, WorkflowTaskCompleted},
    run::Run,
    start::{Current, start},
    step,
    task::ready_task,
    trigger::{
        BeginTask, CompleteWorkflowTask, Context, Namespace, Start, StartWith, StartWorkflow, TaskRef,
        Trigger,
    },
};

/// When every test begins.
const EPOCH: Timestamp = Timestamp::from_seconds(1_000);

/// One run under test.
pub(crate) struct Rig {
    pub(crate) run: Run,
    pub(crate) now: Timestamp,
    pub(crate) limits: Limits,
    namespace: Namespace,
    steps: u32,
    /// Whether the last step's reply may leave early.
    pub(crate) early: bool,
    pub(crate) events: Vec<HistoryEvent>,
    pub(crate) effects: Vec<Effect>,
    /// What the effects so far say is ready.
    ready: Vec<ReadyTask>,
    shown: usize,
}

pub(crate) fn namespace_id() -> String {
    NamespaceId::from_random([7; 16]).to_string()
}

/// A workflow that may be started as it is.
pub(crate) fn workflow() -> StartWorkflow {
    StartWorkflow {
        namespace_id: namespace_id(),
        workflow_id: "wf".to_owned(),
        workflow_type: "Workflow".to_owned(),
        task_queue: "queue".to_owned(),
        task_timeout: Duration::from_secs(10),
        request_id: "start".to_owned(),
        ..Default::default()
    }
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::start(workflow())
    }

    pub(crate) fn start(workflow: StartWorkflow) -> Self {
        let namespace = Namespace {
            name: "default".to_owned(),
            retention: Duration::from_secs(86_400),
        };
        let limits = Limits::default();
        let ctx = Context {
            now: EPOCH,
            seed: [1; 16],
            namespace: &namespace,
            limits: &limits,
            waiter: Waiter(0),
        };
        let start = start(
            Current::None,
            Start {
                workflow: Box::new(workflow),
                with: StartWith::Nothing,
            },
            &ctx,
        );
        let new = start.expect("start").successor.expect("new run");
        let mut rig = Self {
            run: new.run,
            now: EPOCH,
            limits,
            namespace,
            steps: 0,
            early: false,
            events: new.events,
            effects: new.effects,
            ready: Vec::new(),
            shown: 0,
        };
        rig.keep_ready(0);
        rig.check();
        rig
    }

    /// Moves the run.
    pub(crate) fn send(&mut self, trigger: Trigger) -> Result<Reply, Rejection> {
        self.steps += 1;
        let ctx = Context {
            now: self.now,
            seed: derive([2; 16], self.steps),
            namespace: &self.namespace,
            limits: &self.limits,
            waiter: Waiter(u64::from(self.steps)),
        };
        let before = self.run.state.clone();
        let step = match step(&mut self.run, trigger, &ctx) {
            Ok(step) => step,
            Err(rejection) => {
                assert!(before == self.run.state, "a rejection changes nothing");
                return Err(rejection);
            }
        };
        assert!(step.durable || before == self.run.state, "a change is durable");
        self.early = step.early;
        self.events.extend(step.events);
        let known = self.effects.len();
        self.effects.extend(step.effects);
        self.keep_ready(known);
        self.check();
        Ok(step.reply)
    }

    fn keep_ready(&mut self, from: usize) {
        for effect in &self.effects[from..] {
            match effect {
                Effect::Ready(task) => self.ready.push(task.clone()),
                Effect::Unready(task) => {
                    let at = self.ready.iter().position(|ready| ready == task);
                    self.ready.remove(at.expect("what is taken back was there"));
                }
                Effect::Deliver(_) | Effect::Resolve { .. } => {}
            }
        }
    }

    /// Rows of ready tasks are what state says is waiting.
    fn check_ready(&self) {
        let run = &self.run;
        let task = run
            .state
            .task
            .as_ref()
            .filter(|task| run.is_open() && task.started_event_id == 0);
        let activities = run
            .state
            .activities
            .values()
            .filter(|activity| is_waiting(activity));
        let mut waiting: Vec<_> = activities.map(|activity| ready_activity(run, activity)).collect();
        waiting.extend(task.map(|task| ready_task(run, task)));
        let mut ready = self.ready.clone();
        for tasks in [&mut waiting, &mut ready] {
            tasks.sort_by_key(|task| (task.kind, task.scheduled_event_id));
        }
        assert_eq!(ready, waiting);
    }

    fn check(&mut self) {
        self.check_ready();
        invariants::check(&self.run, &self.limits).expect("invariants");
        let stored = crate::state::State::from_bytes(&self.run.state.to_bytes()).expect("own bytes");
        assert!(stored == self.run.state, "state reads what it writes");
    }

    /// Lets so many seconds pass; the run is woken whenever something is due.
    pub(crate) fn pass(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        while let Some((at, _)) = self.run.next_deadline(false).filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.send(Trigger::Wake).expect("wake");
            let next = self.run.next_deadline(false);
            assert!(next.is_none_or(|(at, why)| at > self.now || why == crate::run::Why::Delivery));
        }
        self.now = end;
    }

    /// Puts the pending workflow task into a worker's hands.
    pub(crate) fn begin_task(&mut self) -> StartedWorkflowTask {
        let task = self.run.state.task.clone().expect("pending task");
        let begin = BeginTask {
            scheduled_event_id: task.scheduled_event_id,
            attempt: task.attempt,
            queue: task.queue,
            identity: "worker".to_owned(),
            request_id: "poll".to_owned(),
            ..Default::default()
        };
        match self
            .send(Trigger::BeginWorkflowTask(Box::new(begin)))
            .expect("begin task")
        {
            Reply::WorkflowTask(task) => *task,
            other => panic!("{other:?}"),
        }
    }

    /// Completes the started workflow task.
    pub(crate) fn end_task(
        &mut self,
        task: &StartedWorkflowTask,
        commands: Vec<CommandAttributes>,
    ) -> Result<Reply, Rejection> {
        let done = CompleteWorkflowTask {
            task: TaskRef {
                scheduled_event_id: task.scheduled_event_id,
                started_event_id: task.started_event_id,
                started_time: task.started_time,
                attempt: task.attempt,
            },
            identity: "worker".to_owned(),
            commands: commands.into_iter().map(command).collect(),
            ..Default::default()
        };
        self.send(Trigger::CompleteWorkflowTask(Box::new(done)))
    }

    /// Runs one workflow task with these commands.
    pub(crate) fn task(&mut self, commands: Vec<CommandAttributes>) -> WorkflowTaskCompleted {
        let task = self.begin_task();
        match self.end_task(&task, commands).expect("complete task") {
            Reply::WorkflowTaskCompleted(done) => *done,
            other => panic!("{other:?}"),
        }
    }

    /// Runs one workflow task whose commands are refused; tells how.
    pub(crate) fn refused(&mut self, commands: Vec<CommandAttributes>) -> String {
        let task = self.begin_task();
        match self.end_task(&task, commands) {
            Ok(Reply::Refused(rejection)) | Err(rejection) => rejection.to_string(),
            Ok(other) => panic!("{other:?}"),
        }
    }

    pub(crate) fn begin_activity(&mut self, scheduled_event_id: i64) -> Result<StartedActivity, Rejection> {
        let attempt = self
            .run
            .state
            .activities
            .get(&scheduled_event_id)
            .map_or(0, |activity| activity.attempt);
        let begin = BeginTask {
            scheduled_event_id,
            attempt,
            identity: "worker".to_owned(),
            request_id: format!("poll {attempt}"),
            ..Default::default()
        };
        match self.send(Trigger::BeginActivity(Box::new(begin)))? {
            Reply::Activity(activity) => Ok(*activity),
            other => panic!("{other:?}"),
        }
    }

    /// Prints the events since the last time, one a line.
    pub(crate) fn news(&mut self) -> String {
        let news = self.events[self.shown..]
            .iter()
            .map(show::event)
            .collect::<Vec<_>>()
            .join("\n");
        self.shown = self.events.len();
        news
    }

    /// Passes over the events so far.
    pub(crate) fn skip(&mut self) {
        self.shown = self.events.len();
        self.effects.clear();
    }

    /// Prints the effects since the last time, one a line.
    pub(crate) fn owed(&mut self) -> String {
        self.effects
            .drain(..)
            .map(|effect| show::effect(&effect))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

fn command(attributes: CommandAttributes) -> Command {
    use CommandAttributes as A;
    let kind = match &attributes {
        A::ScheduleActivityTaskCommandAttributes(_) => CommandType::ScheduleActivityTask,
        A::RequestCancelActivityTaskCommandAttributes(_) => CommandType::RequestCancelActivityTask,
        A::StartChildWorkflowExecutionCommandAttributes(_) => CommandType::StartChildWorkflowExecution,
        A::SignalExternalWorkflowExecutionCommandAttributes(_) => {
            CommandType::SignalExternalWorkflowExecution
        }
        A::RequestCancelExternalWorkflowExecutionCommandAttributes(_) => {
            CommandType::RequestCancelExternalWorkflowExecution
        }
        A::CompleteWorkflowExecutionCommandAttributes(_) => CommandType::CompleteWorkflowExecution,
        other => panic!("no type for {other:?}"),
    };
    Command {
        command_type: kind.into(),
        attributes: Some(attributes),
        ..Default::default()
    }
}

pub(crate) fn complete_workflow() -> CommandAttributes {
    CommandAttributes::CompleteWorkflowExecutionCommandAttributes(Box::default())
}

pub(crate) fn seconds(seconds: f64) -> Option<prost_types::Duration> {
    let span = duration_to_proto(Duration::from_secs_f64(seconds.abs()));
    Some(if seconds < 0.0 {
        prost_types::Duration {
            seconds: -span.seconds,
            nanos: -span.nanos,
        }
    } else {
        span
    })
}

pub(crate) fn payloads(text: &str) -> Option<Payloads> {
    let payload = Payload {
        data: text.to_owned().into(),
        ..Default::default()
    };
    Some(Payloads {
        payloads: vec![payload],
    })
}
