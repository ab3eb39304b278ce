//! start: a workflow begins, or the one that runs under its id is used (reference 2.13, 2.14, 2.18, 2.19).

pub(crate) mod new_run;

use std::time::Duration;

use prost::Message;
use proto::{
    ids::RunId,
    temporal::{
        common::v1::{Callback, Payloads},
        enums::v1::{
            ContinueAsNewInitiator, EventType, WorkflowExecutionStatus, WorkflowIdConflictPolicy,
            WorkflowIdReusePolicy,
        },
        history::v1::{WorkflowExecutionOptionsUpdatedEventAttributes, history_event::Attributes},
    },
    time::Timestamp,
};

use self::new_run::{Lineage, new_run};
use crate::{
    close::{Closing, SERVER_IDENTITY},
    nesting,
    outcome::{Rejection, Reply, Started, Step},
    policy::cron,
    run::Run,
    state::{RequestId, State, nanos},
    step::{apply_signal, check_signal},
    trigger::{AdmitUpdate, Context, OnConflict, Signal, Start, StartWith, StartWorkflow, Terminate},
    tx::{Draft, Tx},
    update,
};

/// What is remembered of a workflow id's newest run, open or closed.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Last {
    #[prost(string, tag = "1")]
    pub run_id: String,
    #[prost(string, tag = "2")]
    pub first_run_id: String,
    #[prost(string, tag = "3")]
    pub create_request_id: String,
    #[prost(enumeration = "WorkflowExecutionStatus", tag = "4")]
    pub status: i32,
}

/// The newest run of the workflow id that is to start.
pub enum Current<'a> {
    None,
    Closed {
        last: &'a Last,
        /// Needed only where an update comes with the start: it may have completed before.
        run: Option<&'a mut Run>,
    },
    Open(&'a mut Run),
}

/// Starts the workflow, or uses the one that runs under its id.
pub fn start(current: Current<'_>, start: Start, ctx: &Context<'_>) -> Result<Step, Rejection> {
    let Start { workflow, with } = start;
    match current {
        Current::None => Ok(begin(None, *workflow, with, ctx)),
        Current::Closed { last, run } => start_after_closed(last, run, *workflow, with, ctx),
        Current::Open(run) => start_beside_open(run, *workflow, with, ctx),
    }
}

fn start_after_closed(
    last: &Last,
    run: Option<&mut Run>,
    workflow: StartWorkflow,
    with: StartWith,
    ctx: &Context<'_>,
) -> Result<Step, Rejection> {
    if last.create_request_id == workflow.request_id && !matches!(with, StartWith::Signal(_)) {
        let started = Started {
            run_id: last.run_id.clone(),
            first_run_id: last.first_run_id.clone(),
            started: true,
            status: last.status,
            ..Default::default()
        };
        return match (with, run) {
            (StartWith::Update(update), Some(run)) => with_update(run, *update, started, ctx),
            _ => Ok(Step {
                reply: Reply::Started(Box::new(started)),
                ..Step::default()
            }),
        };
    }
    if let (StartWith::Update(update), Some(run)) = (&with, run)
        && update::is_completed(run, update)
    {
        return with_update(run, (**update).clone(), used(run), ctx);
    }
    check_reuse(last, workflow.reuse, &workflow.workflow_id).map_err(|error| fail_with(&with, error))?;
    Ok(begin(None, workflow, with, ctx))
}

fn start_beside_open(
    run: &mut Run,
    workflow: StartWorkflow,
    with: StartWith,
    ctx: &Context<'_>,
) -> Result<Step, Rejection> {
    if let StartWith::Signal(signal) = with {
        return signal_with_start(run, workflow, *signal, ctx);
    }
    if run.state.create_request_id == workflow.request_id {
        let started = Started {
            started: true,
            ..used(run)
        };
        return match with {
            StartWith::Update(update) => with_update(run, *update, started, ctx),
            _ => repeated_start(run, &workflow, started, ctx),
        };
    }
    if run.state.request_ids.contains_key(&workflow.request_id) {
        let started = Started {
            attached: true,
            ..used(run)
        };
        return Ok(Step {
            reply: Reply::Started(Box::new(started)),
            ..Step::default()
        });
    }
    if let StartWith::Update(update) = &with
        && update::is_known(run, update)
    {
        return with_update(run, (**update).clone(), used(run), ctx);
    }
    match workflow.conflict {
        WorkflowIdConflictPolicy::UseExisting => match with {
            StartWith::Update(update) => with_update(run, *update, used(run), ctx),
            _ => use_existing(run, workflow, ctx),
        },
        WorkflowIdConflictPolicy::TerminateExisting => Ok(begin(Some(run), workflow, with, ctx)),
        WorkflowIdConflictPolicy::Unspecified | WorkflowIdConflictPolicy::Fail => {
            let state = &run.state;
            Err(fail_with(&with, already_running(state, &workflow.workflow_id)))
        }
    }
}

/// A start that the client sent again: an eager one gets its task once more, if no other has it.
fn repeated_start(
    run: &mut Run,
    workflow: &StartWorkflow,
    mut started: Started,
    ctx: &Context<'_>,
) -> Result<Step, Rejection> {
    if workflow.eager
        && let Some(task) = run.state.task.clone()
        && task.request_id == workflow.request_id
        && task.started_event_id != 0
        && run.state.last_completed_started_id == 0
    {
        started.eager = Some(Box::new(run.started_task(&task, false)));
    }
    Ok(Tx::new(run, ctx).finish(Reply::Started(Box::new(started))))
}

fn use_existing(run: &mut Run, workflow: StartWorkflow, ctx: &Context<'_>) -> Result<Step, Rejection> {
    let OnConflict {
        attach_request_id,
        attach_callbacks,
        attach_links,
    } = workflow.on_conflict;
    let mut started = used(run);
    if !attach_request_id && !attach_callbacks && !attach_links {
        return Ok(Step {
            reply: Reply::Started(Box::new(started)),
            ..Step::default()
        });
    }
    let mut tx = Tx::new(run, ctx);
    let callbacks = if attach_callbacks {
        workflow.callbacks
    } else {
        Vec::new()
    };
    let request_id = if attach_request_id {
        workflow.request_id
    } else {
        String::new()
    };
    let links = if attach_links { workflow.links } else { Vec::new() };
    started.attached = attach_request_id;
    attach(&mut tx, request_id, callbacks, links);
    Ok(tx.finish(Reply::Started(Box::new(started))))
}

fn attach(
    tx: &mut Tx<'_>,
    request_id: String,
    callbacks: Vec<Callback>,
    links: Vec<proto::temporal::common::v1::Link>,
) {
    let event = Attributes::WorkflowExecutionOptionsUpdatedEventAttributes(Box::new(
        WorkflowExecutionOptionsUpdatedEventAttributes {
            attached_request_id: request_id.clone(),
            attached_completion_callbacks: callbacks,
            ..Default::default()
        },
    ));
    let event_id = tx.emit_external(Draft {
        links,
        ..Draft::from(event)
    });
    if !request_id.is_empty() {
        let event_type = EventType::WorkflowExecutionOptionsUpdated.into();
        tx.note(|state| {
            state
                .request_ids
                .insert(request_id, RequestId { event_type, event_id });
        });
    }
}

fn signal_with_start(
    run: &mut Run,
    workflow: StartWorkflow,
    signal: Signal,
    ctx: &Context<'_>,
) -> Result<Step, Rejection> {
    if workflow.conflict == WorkflowIdConflictPolicy::TerminateExisting {
        return Ok(begin(
            Some(run),
            workflow,
            StartWith::Signal(Box::new(signal)),
            ctx,
        ));
    }
    check_signal(run, &signal, ctx)?;
    let request_id = signal.request_id.clone();
    let started = used(run);
    let mut tx = Tx::new(run, ctx);
    let event_id = apply_signal(&mut tx, signal);
    if tx.run.is_open() && tx.state().task.is_none() {
        // Unlike a plain signal this one ends the start delay (reference 2.15).
        tx.schedule_task(None);
    }
    let run_id = tx.state().run_id.clone();
    Ok(tx.finish(Reply::Signaled {
        event_id,
        request_id,
        run_id,
        started: Some(Box::new(started)),
    }))
}

fn with_update(
    run: &mut Run,
    update: AdmitUpdate,
    started: Started,
    ctx: &Context<'_>,
) -> Result<Step, Rejection> {
    let multi = |update: Rejection| Rejection::MultiOperation {
        start: Box::new(Rejection::Ok),
        update: Box::new(update),
    };
    let mut step = update::admit(Tx::new(run, ctx), update).map_err(multi)?;
    let update = match std::mem::take(&mut step.reply) {
        Reply::Update(status) => Some(status),
        _ => None,
    };
    step.reply = Reply::StartedAndUpdated {
        started: Box::new(started),
        update,
    };
    Ok(step)
}

/// Starts a new run; one that runs under the id is terminated in the same transaction.
fn begin(replaced: Option<&mut Run>, workflow: StartWorkflow, with: StartWith, ctx: &Context<'_>) -> Step {
    let run_id = RunId::at(ctx.now, ctx.seed).to_string();
    let backoff = first_backoff(&workflow, ctx.now);
    let lineage = Lineage {
        first_run_id: run_id.clone(),
        original_run_id: run_id.clone(),
        attempt: 1,
        backoff,
        initiator: if workflow.cron_schedule.is_empty() {
            ContinueAsNewInitiator::Unspecified
        } else {
            ContinueAsNewInitiator::CronSchedule
        },
        last_completion_result: workflow.last_completion_result.clone(),
        continued_failure: workflow.continued_failure.clone().map(nesting::bounded),
        ..Default::default()
    };
    let (new_run, reply) = new_run(workflow, lineage, run_id, with, ctx);
    let Some(run) = replaced else {
        return Step {
            successor: Some(Box::new(new_run)),
            reply,
            ..Step::default()
        };
    };
    let details = Payloads {
        payloads: vec![text_payload(&new_run.run.state.run_id, "terminated by new runID")],
    };
    let terminate = Terminate {
        reason: "TerminateIfRunning WorkflowIdReusePolicy".to_owned(),
        details: Some(details),
        identity: SERVER_IDENTITY.to_owned(),
        ..Default::default()
    };
    let mut tx = Tx::new(run, ctx);
    tx.terminate_with(
        terminate,
        Closing {
            successor: Some(new_run),
            ..Default::default()
        },
    );
    tx.finish(reply)
}

/// The detail that a terminated run names its successor by, as the official server writes it.
fn text_payload(run_id: &str, name: &str) -> proto::temporal::common::v1::Payload {
    proto::temporal::common::v1::Payload {
        metadata: [("encoding".to_owned(), b"json/plain".to_vec())].into(),
        data: format!("\"{name}: {run_id}\"").into(),
        ..Default::default()
    }
}

fn first_backoff(workflow: &StartWorkflow, now: Timestamp) -> Duration {
    if workflow.cron_schedule.is_empty() {
        return workflow.start_delay;
    }
    cron::backoff(&workflow.cron_schedule, now, now).unwrap_or_default()
}

fn used(run: &Run) -> Started {
    Started {
        run_id: run.state.run_id.clone(),
        first_run_id: run.state.first_run_id.clone(),
        started: false,
        status: run.state.status,
        ..Default::default()
    }
}

/// A start that fails makes the update beside it fail too.
fn fail_with(with: &StartWith, error: Rejection) -> Rejection {
    match with {
        StartWith::Update(_) => Rejection::MultiOperation {
            start: Box::new(error),
            update: Box::new(Rejection::Aborted),
        },
        StartWith::Nothing | StartWith::Signal(_) => error,
    }
}

fn already_running(state: &State, workflow_id: &str) -> Rejection {
    Rejection::AlreadyStarted {
        message: format!(
            "Workflow execution is already running. WorkflowId: {workflow_id}, RunId: {}.",
            state.run_id
        ),
        start_request_id: state.create_request_id.clone(),
        run_id: state.run_id.clone(),
        first_run_id: state.first_run_id.clone(),
    }
}

#[expect(
    deprecated,
    reason = "the frontend turns it into a conflict policy; it restricts nothing here"
)]
fn check_reuse(last: &Last, reuse: WorkflowIdReusePolicy, workflow_id: &str) -> Result<(), Rejection> {
    let finished = |what: &str, policy: &str| Rejection::AlreadyStarted {
        message: format!(
            "Workflow execution already {what}. WorkflowId: {workflow_id}, RunId: {}. Workflow Id reuse policy: \
             {policy}.",
            last.run_id
        ),
        start_request_id: last.create_request_id.clone(),
        run_id: last.run_id.clone(),
        first_run_id: last.first_run_id.clone(),
    };
    match reuse {
        WorkflowIdReusePolicy::RejectDuplicate => Err(finished("finished", "reject duplicate workflow Id")),
        WorkflowIdReusePolicy::AllowDuplicateFailedOnly
            if matches!(
                last.status(),
                WorkflowExecutionStatus::Completed | WorkflowExecutionStatus::ContinuedAsNew
            ) =>
        {
            Err(finished(
                "finished successfully",
                "allow duplicate workflow Id if last run failed",
            ))
        }
        WorkflowIdReusePolicy::Unspecified
        | WorkflowIdReusePolicy::AllowDuplicate
        | WorkflowIdReusePolicy::AllowDuplicateFailedOnly
        | WorkflowIdReusePolicy::TerminateIfRunning => Ok(()),
    }
}

impl Run {
    /// Returns what is remembered of the run under its workflow id.
    #[must_use]
    pub fn last(&self) -> Last {
        Last {
            run_id: self.state.run_id.clone(),
            first_run_id: self.state.first_run_id.clone(),
            create_request_id: self.state.create_request_id.clone(),
            status: self.state.status,
        }
    }

    /// The task time-out that a run without one has.
    pub(crate) fn task_timeout(&self) -> i64 {
        if self.state.task_timeout > 0 {
            self.state.task_timeout
        } else {
            nanos(Duration::from_secs(10))
        }
    }
}
