//! Callers: each brings one workflow after the other into being, does what its kind asks for, and sees its end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use proto::temporal::{
    enums::v1::{EventType, UpdateWorkflowExecutionLifecycleStage},
    history::v1::history_event::Attributes,
    update::v1::{Input, Meta, Outcome, Request as UpdateRequest, WaitPolicy},
    workflowservice::v1::{
        RequestCancelWorkflowExecutionRequest, SignalWithStartWorkflowExecutionRequest,
        SignalWorkflowExecutionRequest, StartWorkflowExecutionRequest, TerminateWorkflowExecutionRequest,
        UpdateWorkflowExecutionRequest,
    },
};
use tonic::{Code, Status};

use crate::{
    client::{Api, NAMESPACE, execution, payloads},
    command,
    decide::{FINISH, STEP, child_id},
    kind::{Kind, SIGNALS, STARTED, UPDATES},
    model::{Model, Record},
    random::{Random, number_of},
};

/// Longest pause of a caller between two calls for one workflow.
const PAUSE_MAX: Duration = Duration::from_millis(60);

/// What every caller needs.
pub(crate) struct Caller {
    pub api: Arc<Api>,
    pub model: Arc<Model>,
    pub seed: u64,
    pub next: AtomicU64,
    pub stop: AtomicBool,
}

/// One workflow in its caller's hands.
struct Play<'a> {
    caller: &'a Caller,
    kind: Kind,
    workflow_id: String,
    random: Random,
}

impl Caller {
    /// Plays workflows until told to stop; the last one is played to its end.
    pub(crate) async fn play(self: Arc<Self>, number: u64) {
        let mut random = Random::new(self.seed, number_of("callers") ^ number);
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let at = usize::try_from(number).unwrap_or_default() % STARTED.len();
            let kind = STARTED[at];
            let mut play = Play {
                caller: &self,
                kind,
                workflow_id: format!("{}-{number}", kind.name()),
                random: Random::new(random.next(), number),
            };
            if let Err(problem) = play.through().await {
                self.api.violation(format!("{}: {problem}", play.workflow_id));
                return;
            }
        }
    }
}

impl Play<'_> {
    async fn through(&mut self) -> Result<(), String> {
        let run_id = if self.kind == Kind::SignalStarts {
            self.signal_starts().await?
        } else {
            self.start().await?
        };
        match self.kind {
            Kind::Signals => {
                for at in 0..SIGNALS {
                    self.pause().await;
                    self.signal(STEP, &format!("{}-signal-{at}", self.workflow_id), "")
                        .await?;
                }
                self.finish(&run_id).await?;
            }
            Kind::Updates => {
                for at in 0..UPDATES {
                    self.pause().await;
                    self.update(at).await?;
                }
                self.finish(&run_id).await?;
            }
            Kind::SignalStarts | Kind::Chain => self.finish(&run_id).await?,
            Kind::Canceled => self.cancel(&run_id).await?,
            Kind::Terminated => self.terminate(&run_id).await?,
            _ => {}
        }
        self.see_end(run_id).await
    }

    async fn start(&self) -> Result<String, String> {
        let request = StartWorkflowExecutionRequest {
            namespace: NAMESPACE.to_owned(),
            workflow_id: self.workflow_id.clone(),
            workflow_type: Some(command::workflow_type(self.kind)),
            task_queue: Some(command::queue()),
            workflow_task_timeout: Some(command::wire(command::WORKFLOW_TASK_TIMEOUT)),
            input: Some(payloads("0")),
            identity: "chaos".to_owned(),
            request_id: format!("{}-start", self.workflow_id),
            ..Default::default()
        };
        let answer = self.caller.api.call(&request, |mut service, request| async move {
            service.start_workflow_execution(request).await
        });
        let run_id = answer.await.map_err(|status| told("start", &status))?.run_id;
        self.note(|record| record.run_id = Some(run_id.clone()));
        Ok(run_id)
    }

    /// The first call starts the workflow, the others find it running.
    async fn signal_starts(&mut self) -> Result<String, String> {
        let mut first: Option<String> = None;
        for at in 0..SIGNALS {
            let run_id = self.signal_with_start(at).await?;
            let first = first.get_or_insert_with(|| run_id.clone());
            if *first != run_id {
                return Err(format!(
                    "signal-with-start {at} found run {run_id} instead of {first}"
                ));
            }
            self.pause().await;
        }
        first.ok_or_else(|| "no signal-with-start was made".to_owned())
    }

    async fn signal_with_start(&self, at: usize) -> Result<String, String> {
        let request_id = format!("{}-start-{at}", self.workflow_id);
        let request = SignalWithStartWorkflowExecutionRequest {
            namespace: NAMESPACE.to_owned(),
            workflow_id: self.workflow_id.clone(),
            workflow_type: Some(command::workflow_type(self.kind)),
            task_queue: Some(command::queue()),
            workflow_task_timeout: Some(command::wire(command::WORKFLOW_TASK_TIMEOUT)),
            identity: "chaos".to_owned(),
            request_id: request_id.clone(),
            signal_name: STEP.to_owned(),
            signal_input: Some(payloads(&request_id)),
            ..Default::default()
        };
        self.note(|record| {
            record.signals.insert(request_id.clone(), false);
        });
        let answer = self.caller.api.call(&request, |mut service, request| async move {
            service.signal_with_start_workflow_execution(request).await
        });
        let run_id = answer
            .await
            .map_err(|status| told("signal with start", &status))?
            .run_id;
        self.note(|record| {
            record.run_id = Some(run_id.clone());
            record.signals.insert(request_id, true);
        });
        Ok(run_id)
    }

    async fn signal(&self, name: &str, request_id: &str, run_id: &str) -> Result<(), String> {
        let sent = self.send_signal(name, request_id, run_id).await;
        sent.map_err(|status| told("signal", &status))
    }

    /// The last signal: made again after a broken connection, it may find the workflow closed by its first
    /// attempt. Whether it was there at all is told by the end.
    async fn finish(&self, run_id: &str) -> Result<(), String> {
        let request_id = format!("{}-finish", self.workflow_id);
        let sent = self.send_signal(FINISH, &request_id, run_id).await;
        closed_is_fine(sent).map_err(|status| told("signal the end", &status))
    }

    async fn send_signal(&self, name: &str, request_id: &str, run_id: &str) -> Result<(), Status> {
        let request = SignalWorkflowExecutionRequest {
            namespace: NAMESPACE.to_owned(),
            workflow_execution: Some(execution(&self.workflow_id, run_id)),
            signal_name: name.to_owned(),
            input: Some(payloads(request_id)),
            identity: "chaos".to_owned(),
            request_id: request_id.to_owned(),
            ..Default::default()
        };
        self.note(|record| {
            record.signals.insert(request_id.to_owned(), false);
        });
        let answer = self.caller.api.call(&request, |mut service, request| async move {
            service.signal_workflow_execution(request).await
        });
        answer.await?;
        self.note(|record| {
            record.signals.insert(request_id.to_owned(), true);
        });
        Ok(())
    }

    /// Asks until there is an outcome.
    async fn update(&self, at: usize) -> Result<(), String> {
        let update_id = format!("{}-update-{at}", self.workflow_id);
        let request = UpdateWorkflowExecutionRequest {
            namespace: NAMESPACE.to_owned(),
            workflow_execution: Some(execution(&self.workflow_id, "")),
            wait_policy: Some(WaitPolicy {
                lifecycle_stage: UpdateWorkflowExecutionLifecycleStage::Completed.into(),
            }),
            request: Some(UpdateRequest {
                meta: Some(Meta {
                    update_id: update_id.clone(),
                    identity: "chaos".to_owned(),
                }),
                input: Some(Input {
                    name: "step".to_owned(),
                    args: Some(payloads(&update_id)),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        loop {
            let answer = self.caller.api.call(&request, |mut service, request| async move {
                service.update_workflow_execution(request).await
            });
            match answer.await {
                Ok(answer) => {
                    if let Some(outcome) = answer.outcome {
                        return self.updated(update_id, outcome);
                    }
                }
                // Three attempts of its workflow task were lost with the nodes that had them in hand: the server takes
                // no update until one is answered, and the client asks again.
                Err(status) if tasks_fail(&status) => {
                    self.caller.api.lost(&request, &status);
                    tokio::time::sleep(PAUSE_MAX).await;
                }
                Err(status) => return Err(told("update", &status)),
            }
        }
    }

    fn updated(&self, update_id: String, outcome: Outcome) -> Result<(), String> {
        let wrong = format!("update {update_id} was answered with {outcome:?}");
        let value = outcome.value.as_ref();
        let success = matches!(
            value,
            Some(proto::temporal::update::v1::outcome::Value::Success(_))
        );
        self.note(|record| {
            record.updates.insert(update_id, outcome);
        });
        success.then_some(()).ok_or(wrong)
    }

    async fn cancel(&mut self, run_id: &str) -> Result<(), String> {
        self.pause().await;
        let request = RequestCancelWorkflowExecutionRequest {
            namespace: NAMESPACE.to_owned(),
            workflow_execution: Some(execution(&self.workflow_id, run_id)),
            identity: "chaos".to_owned(),
            request_id: format!("{}-cancel", self.workflow_id),
            ..Default::default()
        };
        let answer = self.caller.api.call(&request, |mut service, request| async move {
            service.request_cancel_workflow_execution(request).await
        });
        match answer.await {
            Ok(_) => self.note(|record| record.cancel_acknowledged = true),
            Err(status) => closed_is_fine(Err(status)).map_err(|status| told("cancel", &status))?,
        }
        Ok(())
    }

    async fn terminate(&mut self, run_id: &str) -> Result<(), String> {
        self.pause().await;
        let request = TerminateWorkflowExecutionRequest {
            namespace: NAMESPACE.to_owned(),
            workflow_execution: Some(execution(&self.workflow_id, run_id)),
            identity: "chaos".to_owned(),
            ..Default::default()
        };
        let answer = self.caller.api.call(&request, |mut service, request| async move {
            service.terminate_workflow_execution(request).await
        });
        match answer.await {
            Ok(_) => self.note(|record| record.terminate_acknowledged = true),
            Err(status) => closed_is_fine(Err(status)).map_err(|status| told("terminate", &status))?,
        }
        Ok(())
    }

    /// Follows the runs to the last one's end, over all restarts.
    async fn see_end(&self, mut run_id: String) -> Result<(), String> {
        for _ in 0..self.kind.runs() {
            let event = self.caller.api.end_of(&self.workflow_id, &run_id).await;
            let event =
                event.map_err(|status| told(&format!("wait for the end of run {run_id}"), &status))?;
            if let Some(Attributes::WorkflowExecutionContinuedAsNewEventAttributes(continued)) =
                event.attributes.as_ref()
            {
                run_id.clone_from(&continued.new_execution_run_id);
                continue;
            }
            if event.event_type() != self.kind.end() {
                let wanted: EventType = self.kind.end();
                return Err(format!("run {run_id} ended with {event:?} instead of {wanted:?}"));
            }
            self.note(|record| record.ended = true);
            // A parent ends after its children, so that their ends were shown too.
            for at in 0..self.kind.children() {
                let child = child_id(&self.workflow_id, at);
                self.caller
                    .model
                    .note(&child, Kind::Leaf, |record| record.ended = true);
            }
            return Ok(());
        }
        Err(format!(
            "continued as new more than {} times",
            self.kind.runs() - 1
        ))
    }

    async fn pause(&mut self) {
        tokio::time::sleep(self.random.duration(PAUSE_MAX)).await;
    }

    fn note(&self, change: impl FnOnce(&mut Record)) {
        self.caller.model.note(&self.workflow_id, self.kind, change);
    }
}

fn closed_is_fine(answer: Result<(), Status>) -> Result<(), Status> {
    answer.or_else(|status| {
        if status.code() == Code::NotFound {
            Ok(())
        } else {
            Err(status)
        }
    })
}

/// Whether the server refuses an update since the workflow's task has failed or timed out again and again.
fn tasks_fail(status: &Status) -> bool {
    status.code() == Code::FailedPrecondition && status.message().contains("Workflow Task in failed state")
}

fn told(what: &str, status: &Status) -> String {
    format!("{what}: {:?} {:?}", status.code(), status.message())
}
