//! Makes triggers out of a script's words.

use perdure_engine::{
    effect::{ChildClosed, DeliveryId},
    outcome::UpdateStage,
    state::Parent,
    trigger::{
        ActivityRef, AdmitUpdate, BeginTask, CompleteWorkflowTask, ExternalFailure, FailActivity,
        FailWorkflowTask, OnConflict, RequestCancel, Signal, Start, StartWith, StartWorkflow, TaskRef,
        Terminate, Trigger,
    },
};
use proto::temporal::{
    common::v1::{Priority, WorkflowExecution},
    enums::v1::{
        QueryRejectCondition, QueryResultType, StartChildWorkflowExecutionFailedCause,
        WorkflowExecutionStatus, WorkflowIdConflictPolicy, WorkflowIdReusePolicy, WorkflowTaskFailedCause,
    },
    query::v1::{WorkflowQuery, WorkflowQueryResult},
};

use super::{
    super::{
        NAMESPACE_ID,
        build::{self, Words},
    },
    Player,
};

impl Player {
    pub(super) fn start(&mut self, words: &Words) -> Start {
        let with = if let Some(name) = words.get("with-signal") {
            StartWith::Signal(Box::new(self.signal(name, words)))
        } else if let Some(id) = words.get("with-update") {
            StartWith::Update(Box::new(update(id, words)))
        } else {
            StartWith::Nothing
        };
        let workflow = StartWorkflow {
            namespace_id: NAMESPACE_ID.to_owned(),
            workflow_id: "order".to_owned(),
            workflow_type: words.get("type").unwrap_or("Order").to_owned(),
            task_queue: words.get("queue").unwrap_or("main").to_owned(),
            input: build::payloads(&words.text("input")),
            execution_timeout: words.span("execution-timeout"),
            run_timeout: words.span("run-timeout"),
            task_timeout: words
                .get("task-timeout")
                .map_or(self.world.limits.task_timeout_default, build::span),
            identity: "client".to_owned(),
            request_id: self.request_id(words),
            reuse: match words.get("reuse") {
                Some("reject") => WorkflowIdReusePolicy::RejectDuplicate,
                Some("failed-only") => WorkflowIdReusePolicy::AllowDuplicateFailedOnly,
                _ => WorkflowIdReusePolicy::AllowDuplicate,
            },
            conflict: match words.get("conflict") {
                Some("use-existing") => WorkflowIdConflictPolicy::UseExisting,
                Some("terminate") => WorkflowIdConflictPolicy::TerminateExisting,
                _ => WorkflowIdConflictPolicy::Fail,
            },
            retry_policy: build::retry(words),
            cron_schedule: words.text("cron"),
            start_delay: words.span("delay"),
            memo: build::memo(&words.text("memo")),
            priority: words.get("priority").map(|key| Priority {
                priority_key: key.parse().expect("a priority is a number"),
                ..Priority::default()
            }),
            eager: words.has("eager"),
            on_conflict: OnConflict {
                attach_request_id: words.has("attach"),
                ..OnConflict::default()
            },
            parent: words.get("parent").map(|id| Parent {
                namespace_id: NAMESPACE_ID.to_owned(),
                namespace: "default".to_owned(),
                workflow_id: id.to_owned(),
                run_id: PARENT_RUN.to_owned(),
                initiated_event_id: 5,
            }),
            ..StartWorkflow::default()
        };
        Start {
            workflow: Box::new(workflow),
            with,
        }
    }

    pub(super) fn signal(&mut self, name: &str, words: &Words) -> Signal {
        Signal {
            name: name.to_owned(),
            input: build::payloads(&words.text("input")),
            identity: "client".to_owned(),
            request_id: self.request_id(words),
            child_only: words.has("from-parent"),
            from: words.has("from-parent").then(parent),
            ..Signal::default()
        }
    }

    pub(super) fn trigger(&mut self, index: usize, line: &str, words: &Words) -> Trigger {
        match words.word(0) {
            "signal" => Trigger::Signal(Box::new(self.signal(words.word(1), words))),
            "request-cancel" => Trigger::RequestCancel(Box::new(RequestCancel {
                reason: words.word(1).to_owned(),
                identity: "client".to_owned(),
                request_id: self.request_id(words),
                ..RequestCancel::default()
            })),
            "terminate" => Trigger::Terminate(Box::new(Terminate {
                reason: words.word(1).to_owned(),
                identity: "client".to_owned(),
                ..Terminate::default()
            })),
            "delete" => Trigger::Delete,
            "query" => Trigger::Query {
                query: Box::new(WorkflowQuery {
                    query_type: words.word(1).to_owned(),
                    ..WorkflowQuery::default()
                }),
                reject: match words.get("reject") {
                    Some("not-open") => QueryRejectCondition::NotOpen,
                    Some("not-completed-cleanly") => QueryRejectCondition::NotCompletedCleanly,
                    _ => QueryRejectCondition::None,
                },
            },
            "update" => Trigger::Update(Box::new(update(words.word(1), words))),
            "poll-update" => Trigger::PollUpdate {
                update_id: words.word(1).to_owned(),
                wait: stage(words),
            },
            "describe" => Trigger::Describe,
            "change-options" => Trigger::ChangeOptions(Box::new(build::options(words))),
            "position" => Trigger::Position { wait_after: None },
            "reset-sticky" => Trigger::ResetSticky,
            "begin" => Trigger::BeginWorkflowTask(Box::new(self.begin_task(index, words))),
            "complete" => Trigger::CompleteWorkflowTask(Box::new(self.complete(index, line, words))),
            "fail-task" => Trigger::FailWorkflowTask(Box::new(FailWorkflowTask {
                task: self.task_ref(index),
                cause: WorkflowTaskFailedCause::WorkflowWorkerUnhandledFailure,
                failure: Some(build::failure(words, "cannot")),
                identity: "worker".to_owned(),
                ..FailWorkflowTask::default()
            })),
            "wake" => Trigger::Wake,
            verb if verb.contains("activity") || verb == "heartbeat" => self.activity(index, words),
            _ => answer(words),
        }
    }

    fn begin_task(&mut self, index: usize, words: &Words) -> BeginTask {
        let task = self.world.runs[index]
            .run
            .state()
            .task
            .clone()
            .unwrap_or_default();
        BeginTask {
            scheduled_event_id: task.scheduled_event_id,
            attempt: task.attempt,
            queue: words.get("queue").map_or(task.queue, str::to_owned),
            sticky: task.sticky && words.get("queue").is_none(),
            identity: "worker".to_owned(),
            request_id: self.request_id(words),
            ..BeginTask::default()
        }
    }

    fn task_ref(&self, index: usize) -> TaskRef {
        let task = self.world.runs[index]
            .run
            .state()
            .task
            .clone()
            .unwrap_or_default();
        TaskRef {
            scheduled_event_id: task.scheduled_event_id,
            started_event_id: task.started_event_id,
            started_time: task.started_time,
            attempt: task.attempt,
        }
    }

    /// `complete [force] [return] [sticky=queue] [discard] [answer=text]: command; command; ..`
    fn complete(&mut self, index: usize, line: &str, words: &Words) -> CompleteWorkflowTask {
        let task = self.task_ref(index);
        let list = line.split_once(": ").map_or("", |(_, list)| list);
        let commands: Vec<_> = list
            .split("; ")
            .filter(|c| !c.is_empty())
            .map(Words::parse)
            .collect();
        let at = task.scheduled_event_id;
        let messages = commands
            .iter()
            .filter_map(|words| build::update_message(words, at));
        let query_results = words.get("answer").map(|text| {
            let result = WorkflowQueryResult {
                result_type: QueryResultType::Answered.into(),
                answer: build::payloads(text),
                ..WorkflowQueryResult::default()
            };
            (self.queries.first().cloned().unwrap_or_default(), result)
        });
        CompleteWorkflowTask {
            task,
            identity: "worker".to_owned(),
            messages: messages.collect(),
            commands: commands.iter().filter_map(build::command).collect(),
            query_results: query_results.into_iter().collect(),
            sticky: words
                .get("sticky")
                .map(|queue| (queue.to_owned(), build::span("5s"))),
            return_new_task: words.has("return"),
            force_new_task: words.has("force"),
            discard_speculative_with_events: words.has("discard"),
            request_id: self.request_id(words),
            ..CompleteWorkflowTask::default()
        }
    }

    /// Activities are named by the event that scheduled them.
    fn activity(&mut self, index: usize, words: &Words) -> Trigger {
        let scheduled_event_id = words.number(1);
        let known = self.world.runs[index]
            .run
            .state()
            .activities
            .get(&scheduled_event_id)
            .cloned()
            .unwrap_or_default();
        let activity = ActivityRef::Token {
            scheduled_event_id,
            attempt: known.attempt,
            started_time: known.started_time,
        };
        let identity = "worker".to_owned();
        match words.word(0) {
            "begin-activity" => Trigger::BeginActivity(Box::new(BeginTask {
                scheduled_event_id,
                attempt: known.attempt,
                queue: known.task_queue,
                identity,
                request_id: self.request_id(words),
                ..BeginTask::default()
            })),
            "complete-activity" => Trigger::CompleteActivity {
                activity,
                result: build::payloads(words.word(2)),
                identity,
            },
            "fail-activity" => Trigger::FailActivity(Box::new(FailActivity {
                activity,
                failure: Some(build::failure(words, words.word(2))),
                identity,
                last_heartbeat_details: None,
            })),
            "cancel-activity" => Trigger::CancelActivity {
                activity,
                details: build::payloads(words.word(2)),
                identity,
            },
            "heartbeat" => Trigger::Heartbeat {
                activity,
                details: build::payloads(words.word(2)),
                identity,
            },
            verb => panic!("no trigger is called {verb:?}"),
        }
    }
}

const PARENT_RUN: &str = "eeeeeeee-eeee-4eee-8eee-eeeeeeeeeeee";
const CHILD_RUN: &str = "cccccccc-cccc-4ccc-8ccc-cccccccccccc";

fn parent() -> WorkflowExecution {
    WorkflowExecution {
        workflow_id: "parent".to_owned(),
        run_id: PARENT_RUN.to_owned(),
    }
}

fn update(id: &str, words: &Words) -> AdmitUpdate {
    AdmitUpdate {
        request: build::update_request(id),
        wait: stage(words),
        first_run_id: words.text("chain"),
    }
}

fn stage(words: &Words) -> UpdateStage {
    match words.get("wait") {
        Some("accepted") => UpdateStage::Accepted,
        Some("completed") => UpdateStage::Completed,
        _ => UpdateStage::Unspecified,
    }
}

/// Answers and messages from other runs.
fn answer(words: &Words) -> Trigger {
    let initiated_event_id = words.bare.get(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    match words.word(0) {
        "child-started" => Trigger::ChildStarted {
            initiated_event_id,
            run_id: CHILD_RUN.to_owned(),
        },
        "child-start-failed" => Trigger::ChildStartFailed {
            initiated_event_id,
            cause: StartChildWorkflowExecutionFailedCause::WorkflowAlreadyExists,
        },
        "first-task-scheduled" => Trigger::FirstTaskScheduled { initiated_event_id },
        "schedule-first-task" => Trigger::ScheduleFirstTask { parent: parent() },
        "child-closed" => Trigger::ChildClosed(Box::new(ChildClosed {
            initiated_event_id,
            child: WorkflowExecution {
                workflow_id: words.get("id").unwrap_or("child").to_owned(),
                run_id: CHILD_RUN.to_owned(),
            },
            first_run_id: CHILD_RUN.to_owned(),
            workflow_type: "Child".to_owned(),
            status: match words.word(2) {
                "failed" => WorkflowExecutionStatus::Failed,
                "canceled" => WorkflowExecutionStatus::Canceled,
                "terminated" => WorkflowExecutionStatus::Terminated,
                "timed-out" => WorkflowExecutionStatus::TimedOut,
                _ => WorkflowExecutionStatus::Completed,
            },
            result: build::payloads(words.word(3)),
            failure: None,
            retry_state: 0,
        })),
        "policy-applied" => Trigger::ClosePolicyApplied { initiated_event_id },
        "report-delivered" => Trigger::ReportDelivered,
        "signal-done" => Trigger::ExternalSignalDone {
            initiated_event_id,
            result: outcome(words),
        },
        "cancel-done" => Trigger::ExternalCancelDone {
            initiated_event_id,
            result: outcome(words),
        },
        "delivery-failed" => Trigger::DeliveryFailed {
            id: match words.word(2) {
                "start-child" => DeliveryId::StartChild(initiated_event_id),
                "signal" => DeliveryId::Signal(initiated_event_id),
                "cancel" => DeliveryId::Cancel(initiated_event_id),
                what => panic!("{what:?} is nothing that is delivered here"),
            },
        },
        verb => panic!("no trigger is called {verb:?}"),
    }
}

fn outcome(words: &Words) -> Result<(), ExternalFailure> {
    match words.word(2) {
        "not-found" => Err(ExternalFailure::WorkflowNotFound),
        "no-namespace" => Err(ExternalFailure::NamespaceNotFound),
        _ => Ok(()),
    }
}
