//! What the fake server remembers: runs with their histories, and tasks that wait for a worker.

use std::{collections::VecDeque, time::Instant};

use proto::temporal::{
    command::v1::command::Attributes as Command,
    common::v1::{Payloads, WorkflowExecution, WorkflowType},
    history::v1::{
        ActivityTaskCompletedEventAttributes, ActivityTaskScheduledEventAttributes, History, HistoryEvent,
        history_event::Attributes as Event,
    },
    taskqueue::v1::TaskQueue,
    workflowservice::v1::{
        PollActivityTaskQueueResponse, PollWorkflowTaskQueueResponse, RespondActivityTaskCompletedRequest,
        RespondWorkflowTaskCompletedRequest, StartWorkflowExecutionRequest,
    },
};
use tonic::Status;

#[derive(Default)]
pub(super) struct State {
    pub starts: usize,
    pub first_start: Option<Instant>,
    runs: Vec<Run>,
    workflow_tasks: VecDeque<usize>,
    activity_tasks: VecDeque<(usize, Payloads)>,
}

struct Run {
    workflow_id: String,
    request_id: String,
    type_name: String,
    queue: String,
    events: Vec<HistoryEvent>,
    /// Handed out and not answered.
    started: bool,
    /// Something happened while a task was handed out.
    again: bool,
    closed: bool,
}

impl State {
    /// Gives the run id; the same request gives the same run.
    pub(super) fn start(&mut self, request: &StartWorkflowExecutionRequest, lost: bool) -> String {
        let known = self
            .runs
            .iter()
            .position(|run| run.request_id == request.request_id);
        let run = known.unwrap_or(self.runs.len());
        if known.is_none() {
            self.runs.push(Run {
                workflow_id: request.workflow_id.clone(),
                request_id: request.request_id.clone(),
                type_name: request.workflow_type.clone().unwrap_or_default().name,
                queue: request.task_queue.clone().unwrap_or_default().name,
                events: vec![event(1, None)],
                started: false,
                again: false,
                closed: false,
            });
            if !lost {
                self.workflow_tasks.push_back(run);
            }
        }
        run.to_string()
    }

    pub(super) fn next_workflow_task(&mut self, queue: &str) -> Option<PollWorkflowTaskQueueResponse> {
        let at = self
            .workflow_tasks
            .iter()
            .position(|run| self.runs[*run].queue == queue)?;
        let number = self.workflow_tasks.remove(at)?;
        let run = &mut self.runs[number];
        run.started = true;
        let execution = WorkflowExecution {
            workflow_id: run.workflow_id.clone(),
            run_id: number.to_string(),
        };
        Some(PollWorkflowTaskQueueResponse {
            task_token: number.to_string().into(),
            workflow_execution: Some(execution),
            workflow_type: Some(WorkflowType {
                name: run.type_name.clone(),
            }),
            started_event_id: run.events.len() as i64,
            history: Some(History {
                events: run.events.clone(),
            }),
            workflow_execution_task_queue: Some(TaskQueue {
                name: queue.to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        })
    }

    pub(super) fn next_activity_task(&mut self, queue: &str) -> Option<PollActivityTaskQueueResponse> {
        let at = self
            .activity_tasks
            .iter()
            .position(|(run, _)| self.runs[*run].queue == queue)?;
        let (run, input) = self.activity_tasks.remove(at)?;
        Some(PollActivityTaskQueueResponse {
            task_token: run.to_string().into(),
            input: Some(input),
            ..Default::default()
        })
    }

    /// The run and whether this closed it.
    pub(super) fn complete_workflow_task(
        &mut self,
        request: &RespondWorkflowTaskCompletedRequest,
    ) -> Result<(usize, bool), Status> {
        let number = self.run_of(&request.task_token)?;
        let run = &mut self.runs[number];
        if !run.started {
            return Err(Status::not_found("Workflow task not found."));
        }
        run.started = false;
        for command in &request.commands {
            match &command.attributes {
                Some(Command::ScheduleActivityTaskCommandAttributes(activity)) => {
                    let scheduled = ActivityTaskScheduledEventAttributes::default();
                    run.push(Event::ActivityTaskScheduledEventAttributes(Box::new(scheduled)));
                    self.activity_tasks
                        .push_back((number, activity.input.clone().unwrap_or_default()));
                }
                Some(Command::CompleteWorkflowExecutionCommandAttributes(_)) => run.closed = true,
                _ => return Err(Status::invalid_argument("this command is not known here")),
            }
        }
        if run.again && !run.closed {
            run.again = false;
            self.workflow_tasks.push_back(number);
        }
        Ok((number, run.closed))
    }

    /// `mixed` is the run whose results are replaced.
    pub(super) fn complete_activity(
        &mut self,
        request: RespondActivityTaskCompletedRequest,
        mixed: Option<usize>,
    ) -> Result<(), Status> {
        let number = self.run_of(&request.task_token)?;
        let result = if mixed == Some(number) {
            None
        } else {
            request.result
        };
        let run = &mut self.runs[number];
        let completed = ActivityTaskCompletedEventAttributes {
            result,
            ..Default::default()
        };
        run.push(Event::ActivityTaskCompletedEventAttributes(Box::new(completed)));
        if run.started {
            run.again = true;
        } else if !self.workflow_tasks.contains(&number) {
            self.workflow_tasks.push_back(number);
        }
        Ok(())
    }

    /// Offers a closed run's task once more.
    pub(super) fn repeat(&mut self, run: usize) {
        let times = self.runs[run].events.len();
        // Only once: an event marks that it happened.
        if times == 1 {
            self.runs[run].events.push(event(2, None));
            self.workflow_tasks.push_back(run);
        }
    }

    pub(super) fn is_closed(&self, workflow_id: &str) -> Option<bool> {
        self.runs
            .iter()
            .find(|run| run.workflow_id == workflow_id)
            .map(|run| run.closed)
    }

    pub(super) fn closed(&self) -> i64 {
        self.runs.iter().filter(|run| run.closed).count() as i64
    }

    fn run_of(&self, token: &[u8]) -> Result<usize, Status> {
        let number = std::str::from_utf8(token)
            .ok()
            .and_then(|token| token.parse::<usize>().ok());
        number
            .filter(|run| *run < self.runs.len())
            .ok_or_else(|| Status::not_found("no such task"))
    }
}

impl Run {
    fn push(&mut self, attributes: Event) {
        self.events
            .push(event(self.events.len() as i64 + 1, Some(attributes)));
    }
}

fn event(event_id: i64, attributes: Option<Event>) -> HistoryEvent {
    HistoryEvent {
        event_id,
        attributes,
        ..Default::default()
    }
}
