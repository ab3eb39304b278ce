//! new_run: a run with its first events, of a start or of the run before it in a chain.

use std::time::Duration;

use proto::{
    ids::derive,
    temporal::{
        common::v1::{Payloads, WorkflowExecution, WorkflowType},
        enums::v1::{ContinueAsNewInitiator, TaskQueueKind, WorkflowExecutionStatus},
        failure::v1::Failure,
        history::v1::{WorkflowExecutionStartedEventAttributes, history_event::Attributes},
        taskqueue::v1::TaskQueue,
        workflow::v1::ResetPoints,
    },
    time::{Timestamp, duration_to_proto},
};

use crate::{
    outcome::{NewRun, Reply, Started},
    run::Run,
    state::State,
    step::apply_signal,
    trigger::{BeginTask, Context, StartWith, StartWorkflow},
    tx::{Draft, Tx},
    update,
};

/// Where a run comes from, if not from a plain start.
#[derive(Default)]
pub(crate) struct Lineage {
    /// The run before it in the chain.
    pub(crate) continued_run_id: String,
    pub(crate) first_run_id: String,
    pub(crate) original_run_id: String,
    pub(crate) initiator: ContinueAsNewInitiator,
    pub(crate) continued_failure: Option<Failure>,
    pub(crate) last_completion_result: Option<Payloads>,
    pub(crate) attempt: i32,
    pub(crate) backoff: Duration,
    /// The chain's, where it has one already; nanoseconds.
    pub(crate) execution_expiration: i64,
    pub(crate) reset_points: Option<ResetPoints>,
}

/// Makes a run with its first events.
pub(crate) fn new_run(
    workflow: StartWorkflow,
    lineage: Lineage,
    run_id: String,
    with: StartWith,
    ctx: &Context<'_>,
) -> (NewRun, Reply) {
    // Ids of the new run come from a sequence of their own.
    let ctx = &Context {
        seed: derive(ctx.seed, u32::MAX),
        ..*ctx
    };
    let first_run_id = lineage.first_run_id.clone();
    let mut run = Run::load(State {
        namespace_id: workflow.namespace_id.clone(),
        workflow_id: workflow.workflow_id.clone(),
        run_id: run_id.clone(),
        create_request_id: workflow.request_id.clone(),
        next_event_id: 1,
        ..State::default()
    });
    let is_child = workflow.parent.is_some() && lineage.continued_run_id.is_empty();
    let eager = workflow.eager && lineage.backoff.is_zero() && !is_child;
    let begin = BeginTask {
        queue: workflow.task_queue.clone(),
        identity: workflow.identity.clone(),
        request_id: workflow.request_id.clone(),
        ..Default::default()
    };
    let mut tx = Tx::new(&mut run, ctx);
    tx.emit(started_draft(workflow, lineage, eager, ctx));
    tx.index();
    let mut started = Started {
        run_id: run_id.clone(),
        first_run_id,
        started: true,
        ..Default::default()
    };
    started.status = WorkflowExecutionStatus::Running.into();
    let mut reply = None;
    match with {
        StartWith::Nothing => {}
        StartWith::Signal(signal) => {
            let request_id = signal.request_id.clone();
            let event_id = apply_signal(&mut tx, *signal);
            let started = Some(Box::new(started.clone()));
            reply = Some(Reply::Signaled {
                event_id,
                request_id,
                run_id,
                started,
            });
        }
        StartWith::Update(request) => {
            update::admit_into(&mut tx, *request);
            reply = Some(Reply::StartedAndUpdated {
                started: Box::new(started.clone()),
                update: None,
            });
        }
    }
    if !is_child {
        tx.ensure_task();
    }
    if eager {
        started.eager = Some(Box::new(tx.start_task(&begin)));
    }
    let step = tx.finish(reply.unwrap_or(Reply::Started(Box::new(started))));
    (
        NewRun {
            run,
            events: step.events,
            effects: step.effects,
        },
        step.reply,
    )
}

fn started_draft(workflow: StartWorkflow, lineage: Lineage, eager: bool, ctx: &Context<'_>) -> Draft {
    let expiration = if lineage.execution_expiration != 0 {
        Some(Timestamp::from_nanos(lineage.execution_expiration))
    } else if workflow.execution_timeout.is_zero() {
        None
    } else {
        Some(ctx.now + lineage.backoff + workflow.execution_timeout)
    };
    let plain = workflow.parent.is_none() && lineage.initiator != ContinueAsNewInitiator::Workflow;
    let parent = workflow.parent.unwrap_or_default();
    let parent_execution = (!parent.workflow_id.is_empty()).then(|| WorkflowExecution {
        workflow_id: parent.workflow_id.clone(),
        run_id: parent.run_id.clone(),
    });
    let attributes = WorkflowExecutionStartedEventAttributes {
        workflow_type: Some(WorkflowType {
            name: workflow.workflow_type,
        }),
        parent_workflow_namespace: parent.namespace,
        parent_workflow_namespace_id: parent.namespace_id,
        parent_workflow_execution: parent_execution,
        parent_initiated_event_id: parent.initiated_event_id,
        task_queue: Some(TaskQueue {
            name: workflow.task_queue,
            kind: TaskQueueKind::Normal.into(),
            ..Default::default()
        }),
        input: workflow.input,
        workflow_execution_timeout: set_span(workflow.execution_timeout),
        workflow_run_timeout: if plain {
            set_span(workflow.run_timeout)
        } else {
            Some(duration_to_proto(workflow.run_timeout))
        },
        workflow_task_timeout: Some(duration_to_proto(workflow.task_timeout)),
        continued_execution_run_id: lineage.continued_run_id,
        initiator: lineage.initiator.into(),
        continued_failure: lineage.continued_failure,
        last_completion_result: lineage.last_completion_result,
        original_execution_run_id: lineage.original_run_id,
        identity: workflow.identity,
        first_execution_run_id: lineage.first_run_id,
        retry_policy: workflow.retry_policy,
        attempt: lineage.attempt.max(1),
        workflow_execution_expiration_time: expiration.map(Timestamp::to_proto),
        cron_schedule: workflow.cron_schedule,
        first_workflow_task_backoff: Some(duration_to_proto(lineage.backoff)),
        memo: workflow.memo,
        search_attributes: workflow.search_attributes,
        prev_auto_reset_points: lineage.reset_points,
        header: workflow.header,
        workflow_id: workflow.workflow_id,
        completion_callbacks: workflow.callbacks,
        root_workflow_execution: workflow.root,
        versioning_override: workflow.versioning_override,
        priority: workflow.priority,
        eager_execution_accepted: eager,
        ..Default::default()
    };
    Draft {
        user_metadata: workflow.user_metadata,
        links: workflow.links,
        ..Draft::from(Attributes::WorkflowExecutionStartedEventAttributes(Box::new(
            attributes,
        )))
    }
}

/// A time-out that is not set is left out of the started event, as the official server does.
fn set_span(span: Duration) -> Option<prost_types::Duration> {
    (!span.is_zero()).then(|| duration_to_proto(span))
}
