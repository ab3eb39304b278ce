//! StartChildWorkflowExecution (reference 2.9).

use std::time::Duration;

use prost::Message;
use proto::{
    temporal::{
        command::v1::StartChildWorkflowExecutionCommandAttributes,
        enums::v1::{
            ParentClosePolicy, TaskQueueKind, WorkflowIdReusePolicy, WorkflowTaskFailedCause as Cause,
        },
        history::v1::{StartChildWorkflowExecutionInitiatedEventAttributes, history_event::Attributes},
        taskqueue::v1::TaskQueue,
    },
    time::{duration_from_proto, duration_to_proto},
};

use super::{
    Invalid, Origin, Seen,
    activity::{check_queue, with_kind},
    check_blob,
    external::check_namespace,
    payloads_size,
};
use crate::{
    limits::Limits,
    policy::{cron, priority, retry, versioning},
    run::Run,
    trigger::Context,
    tx::{Draft, Tx},
};

const COMMAND: &str = "StartChildWorkflowExecutionCommand";

#[expect(deprecated, reason = "SDKs still name the namespace")]
pub(super) fn check(
    run: &Run,
    ctx: &Context<'_>,
    a: &StartChildWorkflowExecutionCommandAttributes,
    seen: &mut Seen,
) -> Result<(), Invalid> {
    let cause = Cause::BadStartChildExecutionAttributes;
    let bad = |message: String| Invalid::new(cause, message);
    check_namespace(ctx, &a.namespace).map_err(bad)?;
    check_names(ctx, a).map_err(bad)?;
    check_rules(run, ctx, a).map_err(bad)?;
    let message = "StartChildWorkflowExecutionCommandAttributes. Input exceeds size limit.";
    check_blob(ctx, payloads_size(a.input.as_ref()), cause, message)?;
    if a.memo.as_ref().map_or(0, Message::encoded_len) > ctx.limits.memo_bytes {
        let message = "StartChildWorkflowExecutionCommandAttributes.Memo exceeds size limit.".to_owned();
        return Err(Invalid {
            cause,
            message,
            terminate: true,
        });
    }
    let (pending, most) = (
        run.state.children.len() + seen.children_started,
        ctx.limits.pending_children,
    );
    if pending >= most {
        let message = format!(
            "the number of pending child workflow executions, {pending}, has reached the per-workflow limit of \
             {most}"
        );
        return Err(Invalid::new(Cause::PendingChildWorkflowsLimitExceeded, message));
    }
    seen.children_started += 1;
    seen.children.insert(a.workflow_id.clone());
    Ok(())
}

fn check_names(ctx: &Context<'_>, a: &StartChildWorkflowExecutionCommandAttributes) -> Result<(), String> {
    let (id, kind, namespace) = (&a.workflow_id, type_name(a), &ctx.namespace.name);
    if id.is_empty() {
        return Err(format!(
            "Required field WorkflowId is not set on {COMMAND}. WorkflowType={kind} Namespace={namespace}"
        ));
    }
    if kind.is_empty() {
        return Err(format!(
            "Required field WorkflowType is not set on {COMMAND}. WorkflowId={id} Namespace={namespace}"
        ));
    }
    let most = ctx.limits.id_bytes;
    if id.len() > most {
        return Err(format!(
            "WorkflowId on {COMMAND} exceeds length limit. WorkflowId={id} Length={} Limit={most} \
             WorkflowType={kind} Namespace={namespace}",
            id.len(),
        ));
    }
    if kind.len() > most {
        return Err(format!(
            "WorkflowType on {COMMAND} exceeds length limit. WorkflowId={id} WorkflowType={kind} Length={} \
             Limit={most} Namespace={namespace}",
            kind.len(),
        ));
    }
    Ok(())
}

/// The parent's build is known in its own queue only.
#[expect(deprecated, reason = "old SDKs ask for the parent's build this way")]
fn check_build(
    run: &Run,
    a: &StartChildWorkflowExecutionCommandAttributes,
    queue: &str,
) -> Result<(), String> {
    if a.inherit_build_id && queue != run.state.task_queue {
        return Err(
            "StartChildWorkflowExecution with UseCompatibleVersion cannot run on different task queue."
                .to_owned(),
        );
    }
    Ok(())
}

/// Checks what limits and steers the child. Search attributes are checked before the step.
fn check_rules(
    run: &Run,
    ctx: &Context<'_>,
    a: &StartChildWorkflowExecutionCommandAttributes,
) -> Result<(), String> {
    let at = format!(
        "WorkflowId={} WorkflowType={} Namespace={}",
        a.workflow_id,
        type_name(a),
        ctx.namespace.name
    );
    let timeouts = [
        ("WorkflowExecutionTimeout", &a.workflow_execution_timeout),
        ("WorkflowRunTimeout", &a.workflow_run_timeout),
        ("WorkflowTaskTimeout", &a.workflow_task_timeout),
    ];
    for (name, timeout) in timeouts {
        if let Some(why) = retry::span_error(timeout.as_ref()) {
            return Err(format!("Invalid {name} on {COMMAND}: {why}. {at}"));
        }
    }
    if let Some(policy) = &a.retry_policy {
        retry::check(policy)
            .map_err(|error| format!("invalid WorkflowRetryPolicy on {COMMAND}: {error}. {at}"))?;
    }
    if !a.cron_schedule.is_empty()
        && let Err(why) = cron::check(&a.cron_schedule)
    {
        return Err(format!("invalid CronSchedule on {COMMAND}: {why}. {at}"));
    }
    let name = queue(run, a).name;
    check_queue(run, ctx, &name).map_err(|error| {
        format!(
            "invalid TaskQueue on {COMMAND}: {error}. {at} TaskQueue=name:\"{name}\"  kind:TASK_QUEUE_KIND_NORMAL"
        )
    })?;
    check_build(run, a, &name)?;
    priority::check(a.priority.as_ref())?;
    versioning::check(a.versioning_override.as_ref(), &name).map_err(String::from)
}

fn type_name(a: &StartChildWorkflowExecutionCommandAttributes) -> &str {
    a.workflow_type.as_ref().map_or("", |kind| kind.name.as_str())
}

/// Returns the child's queue: the parent's if the command names none.
fn queue(run: &Run, a: &StartChildWorkflowExecutionCommandAttributes) -> TaskQueue {
    match &a.task_queue {
        Some(queue) if !queue.name.is_empty() => with_kind(queue.clone()),
        _ => TaskQueue {
            name: run.state.task_queue.clone(),
            kind: TaskQueueKind::Normal.into(),
            ..Default::default()
        },
    }
}

/// Asks for the child: the debt to start it is in the state that the event makes.
#[expect(
    deprecated,
    reason = "old SDKs set inherit_build_id and control, and read them back"
)]
pub(super) fn start(tx: &mut Tx<'_>, a: StartChildWorkflowExecutionCommandAttributes, origin: Origin) {
    let timeouts = Timeouts::resolve(&a, tx.ctx.limits);
    let parent_close_policy = match a.parent_close_policy() {
        ParentClosePolicy::Unspecified => ParentClosePolicy::Terminate,
        given => given,
    };
    let reuse = match a.workflow_id_reuse_policy() {
        WorkflowIdReusePolicy::Unspecified => WorkflowIdReusePolicy::AllowDuplicate,
        given => given,
    };
    let event = Attributes::StartChildWorkflowExecutionInitiatedEventAttributes(Box::new(
        StartChildWorkflowExecutionInitiatedEventAttributes {
            namespace: tx.ctx.namespace.name.clone(),
            namespace_id: tx.state().namespace_id.clone(),
            task_queue: Some(queue(tx.run, &a)),
            workflow_execution_timeout: (!timeouts.execution.is_zero())
                .then(|| duration_to_proto(timeouts.execution)),
            workflow_run_timeout: Some(duration_to_proto(timeouts.run)),
            workflow_task_timeout: Some(duration_to_proto(timeouts.task)),
            parent_close_policy: parent_close_policy.into(),
            workflow_id_reuse_policy: reuse.into(),
            workflow_task_completed_event_id: origin.completed_event_id,
            workflow_id: a.workflow_id,
            workflow_type: a.workflow_type,
            input: a.input,
            control: a.control,
            retry_policy: a.retry_policy.map(retry::with_defaults),
            cron_schedule: a.cron_schedule,
            header: a.header,
            memo: a.memo.filter(|memo| !memo.fields.is_empty()),
            search_attributes: a
                .search_attributes
                .filter(|attributes| !attributes.indexed_fields.is_empty()),
            inherit_build_id: a.inherit_build_id,
            priority: a.priority,
            versioning_override: a.versioning_override,
            ..Default::default()
        },
    ));
    tx.emit(Draft {
        user_metadata: origin.metadata,
        ..Draft::from(event)
    });
}

/// The timeouts that a child ends up with; zero for none.
struct Timeouts {
    execution: Duration,
    run: Duration,
    task: Duration,
}

impl Timeouts {
    fn resolve(a: &StartChildWorkflowExecutionCommandAttributes, limits: &Limits) -> Self {
        let or = |timeout: &Option<prost_types::Duration>, default: Duration| {
            let given = duration_from_proto(timeout.as_ref());
            if given.is_zero() { default } else { given }
        };
        let within = |timeout: Duration, limit: Duration| {
            if limit.is_zero() {
                timeout
            } else {
                timeout.min(limit)
            }
        };
        let execution = duration_from_proto(a.workflow_execution_timeout.as_ref());
        let run = within(or(&a.workflow_run_timeout, execution), execution);
        let task = or(&a.workflow_task_timeout, limits.task_timeout_default).min(limits.task_timeout_max);
        Self {
            execution,
            run,
            task: within(task, run),
        }
    }
}

#[cfg(test)]
mod tests;
