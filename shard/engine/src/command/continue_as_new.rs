//! ContinueAsNewWorkflowExecution: the workflow goes on as a new run (reference 2.11).

use std::time::Duration;

use prost::Message;
use proto::{
    temporal::{
        command::v1::ContinueAsNewWorkflowExecutionCommandAttributes,
        common::v1::{WorkflowExecution, WorkflowType},
        enums::v1::{ContinueAsNewInitiator, TaskQueueKind, WorkflowTaskFailedCause as Cause},
        history::v1::{WorkflowExecutionContinuedAsNewEventAttributes, history_event::Attributes},
        taskqueue::v1::TaskQueue,
    },
    time::{duration_from_proto, duration_to_proto},
};

use super::{Invalid, Origin, payloads_size};
use crate::{
    close::Closing,
    nesting,
    policy::{chain::carried_reset_points, cron, retry},
    run::Run,
    start::new_run::{Lineage, new_run},
    state::span,
    trigger::{Context, StartWith, StartWorkflow},
    tx::{Draft, Tx},
};

const COMMAND: &str = "ContinueAsNewWorkflowExecutionCommand";

pub(super) fn check(
    run: &Run,
    ctx: &Context<'_>,
    a: &ContinueAsNewWorkflowExecutionCommandAttributes,
) -> Result<(), Invalid> {
    check_fields(run, ctx, a).map_err(|message| Invalid::new(Cause::BadContinueAsNewAttributes, message))?;
    if payloads_size(a.input.as_ref()) > ctx.limits.blob_bytes {
        return Err(Invalid {
            cause: Cause::BadContinueAsNewAttributes,
            message: "ContinueAsNewWorkflowExecutionCommandAttributes. Input exceeds size limit.".to_owned(),
            terminate: true,
        });
    }
    if a.memo.as_ref().map_or(0, Message::encoded_len) > ctx.limits.memo_bytes {
        return Err(Invalid {
            cause: Cause::BadContinueAsNewAttributes,
            message: "ContinueAsNewWorkflowExecutionCommandAttributes. Memo exceeds size limit.".to_owned(),
            terminate: true,
        });
    }
    Ok(())
}

/// Checks what the next run is to be, with the official server's words. Search attributes are checked before the step.
#[expect(deprecated, reason = "old SDKs ask for the run's build this way")]
fn check_fields(
    run: &Run,
    ctx: &Context<'_>,
    a: &ContinueAsNewWorkflowExecutionCommandAttributes,
) -> Result<(), String> {
    let most = ctx.limits.id_bytes;
    let given = |given: &str, kept: &str| if given.is_empty() { kept } else { given }.to_owned();
    let kind = given(
        a.workflow_type.as_ref().map_or("", |kind| &kind.name),
        &run.state.workflow_type,
    );
    let queue = given(
        a.task_queue.as_ref().map_or("", |queue| &queue.name),
        &run.state.task_queue,
    );
    if kind.is_empty() {
        return Err(format!("WorkflowType is not set on {COMMAND}."));
    }
    let length = kind.len();
    if length > most {
        return Err(format!(
            "WorkflowType on {COMMAND} exceeds length limit. WorkflowType={kind} Length={length} Limit={most}"
        ));
    }
    let at = format!("WorkflowType={kind} TaskQueue=name:\"{queue}\"  kind:TASK_QUEUE_KIND_NORMAL");
    if queue.len() > most {
        return Err(format!(
            "error validating {COMMAND} TaskQueue: taskQueue length exceeds limit. {at}"
        ));
    }
    let spans = [
        ("WorkflowRunTimeout", &a.workflow_run_timeout),
        ("WorkflowTaskTimeout", &a.workflow_task_timeout),
        ("BackoffStartInterval", &a.backoff_start_interval),
    ];
    for (name, span) in spans {
        if let Some(why) = retry::span_error(span.as_ref()) {
            return Err(format!("Invalid {name} on {COMMAND}: {why}. {at}"));
        }
    }
    if let Some(policy) = &a.retry_policy {
        retry::check(policy)
            .map_err(|why| format!("invalid WorkflowRetryPolicy on {COMMAND}: {why}. {at}"))?;
    }
    if !a.cron_schedule.is_empty() && cron::parse(&a.cron_schedule).is_err() {
        return Err(format!("Invalid CronSchedule on {COMMAND}. {at}"));
    }
    if a.inherit_build_id && queue != run.state.task_queue {
        return Err("ContinueAsNew with UseCompatibleVersion cannot run on different task queue.".to_owned());
    }
    Ok(())
}

pub(super) fn continue_as_new(
    tx: &mut Tx<'_>,
    mut a: ContinueAsNewWorkflowExecutionCommandAttributes,
    origin: Origin,
) {
    a.failure = a.failure.map(nesting::bounded);
    let run_id = tx.fresh_run_id();
    let backoff = backoff(tx, &a);
    let mut workflow = successor(tx, &a);
    workflow.request_id = tx.fresh_id();
    let initiator = match a.initiator() {
        ContinueAsNewInitiator::Unspecified => ContinueAsNewInitiator::Workflow,
        given => given,
    };
    let reset_points = carried_reset_points(tx);
    let state = tx.state();
    let lineage = Lineage {
        continued_run_id: state.run_id.clone(),
        first_run_id: state.first_run_id.clone(),
        original_run_id: run_id.clone(),
        initiator,
        continued_failure: a.failure.clone(),
        last_completion_result: a.last_completion_result.clone(),
        attempt: 1,
        backoff,
        execution_expiration: state.execution_expiration,
        reset_points,
    };
    let event = continued_attributes(&a, &workflow, &run_id, origin.completed_event_id);
    let (run, _) = new_run(workflow, lineage, run_id, StartWith::Nothing, tx.ctx);
    let closing = Closing {
        successor: Some(run),
        chain_goes_on: true,
        ..Default::default()
    };
    tx.close(
        Draft {
            user_metadata: origin.metadata,
            ..Draft::from(event)
        },
        closing,
    );
}

/// Runs of a chain get to work at least a second apart, so that a tight loop cannot flood the server.
fn backoff(tx: &Tx<'_>, a: &ContinueAsNewWorkflowExecutionCommandAttributes) -> Duration {
    let asked = duration_from_proto(a.backoff_start_interval.as_ref());
    let lived = span(tx.now().saturating_sub(tx.state().execution_time));
    let wait = tx.ctx.limits.continue_interval.saturating_sub(lived);
    if a.cron_schedule.is_empty() || !asked.is_zero() {
        return asked.max(wait);
    }
    cron::backoff(&a.cron_schedule, tx.ctx.now, tx.ctx.now)
        .unwrap_or_default()
        .max(wait)
}

fn successor(tx: &Tx<'_>, a: &ContinueAsNewWorkflowExecutionCommandAttributes) -> StartWorkflow {
    let state = tx.state();
    let or = |given: &str, kept: &str| {
        if given.is_empty() {
            kept.to_owned()
        } else {
            given.to_owned()
        }
    };
    let or_span = |given: Option<&prost_types::Duration>, kept: i64| {
        let given = duration_from_proto(given);
        if given.is_zero() { span(kept) } else { given }
    };
    StartWorkflow {
        namespace_id: state.namespace_id.clone(),
        workflow_id: state.workflow_id.clone(),
        workflow_type: or(
            a.workflow_type.as_ref().map_or("", |k| &k.name),
            &state.workflow_type,
        ),
        task_queue: or(a.task_queue.as_ref().map_or("", |q| &q.name), &state.task_queue),
        input: a.input.clone(),
        header: a.header.clone(),
        execution_timeout: span(state.execution_timeout),
        run_timeout: or_span(a.workflow_run_timeout.as_ref(), state.run_timeout),
        task_timeout: or_span(a.workflow_task_timeout.as_ref(), tx.run.task_timeout()),
        retry_policy: a.retry_policy.clone(),
        cron_schedule: a.cron_schedule.clone(),
        memo: a.memo.clone(),
        search_attributes: a.search_attributes.clone(),
        user_metadata: state.user_metadata.clone(),
        priority: state.priority.clone(),
        versioning_override: state.versioning_override.clone(),
        parent: state.parent.clone(),
        root: state.parent.is_some().then(|| WorkflowExecution {
            workflow_id: state.root_workflow_id.clone(),
            run_id: state.root_run_id.clone(),
        }),
        ..Default::default()
    }
}

#[expect(deprecated, reason = "old SDKs still set the failure and read it back")]
fn continued_attributes(
    a: &ContinueAsNewWorkflowExecutionCommandAttributes,
    workflow: &StartWorkflow,
    run_id: &str,
    completed_event_id: i64,
) -> Attributes {
    Attributes::WorkflowExecutionContinuedAsNewEventAttributes(Box::new(
        WorkflowExecutionContinuedAsNewEventAttributes {
            new_execution_run_id: run_id.to_owned(),
            workflow_type: Some(WorkflowType {
                name: workflow.workflow_type.clone(),
            }),
            task_queue: Some(TaskQueue {
                name: workflow.task_queue.clone(),
                kind: TaskQueueKind::Normal.into(),
                ..Default::default()
            }),
            input: a.input.clone(),
            workflow_run_timeout: Some(duration_to_proto(workflow.run_timeout)),
            workflow_task_timeout: Some(duration_to_proto(workflow.task_timeout)),
            workflow_task_completed_event_id: completed_event_id,
            backoff_start_interval: a.backoff_start_interval,
            initiator: a.initiator,
            failure: a.failure.clone(),
            inherit_build_id: a.inherit_build_id,
            last_completion_result: a.last_completion_result.clone(),
            header: a.header.clone(),
            memo: a.memo.clone(),
            search_attributes: a.search_attributes.clone(),
            ..Default::default()
        },
    ))
}
