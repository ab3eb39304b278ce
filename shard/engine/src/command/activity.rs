//! ScheduleActivityTask and RequestCancelActivityTask (reference 2.7).

use std::time::Duration;

use proto::{
    temporal::{
        command::v1::{RequestCancelActivityTaskCommandAttributes, ScheduleActivityTaskCommandAttributes},
        common::v1::{Payload, Payloads},
        enums::v1::{TaskQueueKind, WorkflowExecutionStatus, WorkflowTaskFailedCause as Cause},
        history::v1::{
            ActivityTaskCancelRequestedEventAttributes, ActivityTaskCanceledEventAttributes,
            ActivityTaskScheduledEventAttributes, history_event::Attributes,
        },
        taskqueue::v1::TaskQueue,
    },
    time::{duration_from_proto, duration_to_proto},
};

use super::{Applied, Invalid, Origin, Seen, check_blob, payloads_size};
use crate::{
    outcome::ActivityInput,
    policy::{priority, retry},
    run::Run,
    state::span,
    trigger::Context,
    tx::{Draft, Tx},
};

/// Names that begin so are the server's own.
const RESERVED_QUEUES: &str = "/_sys/";
/// The queue of the server's own workers of a namespace.
const INTERNAL_QUEUE: &str = "temporal-sys-per-ns-tq";
/// What a workflow is told of an activity that was canceled before anybody picked it up.
const NOT_STARTED: &str = "\"ACTIVITY_ID_NOT_STARTED\"";

pub(super) fn check_schedule(
    run: &Run,
    ctx: &Context<'_>,
    a: &ScheduleActivityTaskCommandAttributes,
    seen: &mut Seen,
) -> Result<(), Invalid> {
    let bad = |message: String| Invalid::new(Cause::BadScheduleActivityAttributes, message);
    let queue = a
        .task_queue
        .as_ref()
        .ok_or_else(|| bad("taskQueue is not set".to_owned()))?;
    check_queue(run, ctx, &queue.name).map_err(bad)?;
    check_names(ctx, a).map_err(bad)?;
    check_timeouts(a).map_err(bad)?;
    check_build(run, a, &queue.name).map_err(bad)?;
    if let Some(policy) = &a.retry_policy {
        retry::check(policy).map_err(bad)?;
    }
    priority::check(a.priority.as_ref()).map_err(|error| bad(format!("invalid priorities: {error}")))?;
    check_blob(
        ctx,
        payloads_size(a.input.as_ref()),
        Cause::BadScheduleActivityAttributes,
        "ScheduleActivityTaskCommandAttributes.Input exceeds size limit.",
    )?;
    let most = ctx.limits.pending_activities;
    let pending = pending_count(run, seen);
    if pending >= most {
        let message = format!(
            "the number of pending activities, {pending}, has reached the per-workflow limit of {most}"
        );
        return Err(Invalid::new(Cause::PendingActivitiesLimitExceeded, message));
    }
    let id = &a.activity_id;
    if is_pending(run, seen, id) || !seen.activities.insert(id.clone()) {
        let message = format!(
            "invalid history builder state for action: add-activitytask-scheduled-event, ActivityID: {id}"
        );
        return Err(Invalid::new(Cause::ScheduleActivityDuplicateId, message));
    }
    Ok(())
}

/// The workflow's build is known in its own queue only.
fn check_build(run: &Run, a: &ScheduleActivityTaskCommandAttributes, queue: &str) -> Result<(), String> {
    if a.use_workflow_build_id && queue != run.state.task_queue {
        return Err("Activity with UseCompatibleVersion cannot run on different task queue.".to_owned());
    }
    Ok(())
}

fn check_names(ctx: &Context<'_>, a: &ScheduleActivityTaskCommandAttributes) -> Result<(), String> {
    let most = ctx.limits.id_bytes;
    let kind = a.activity_type.as_ref().map_or("", |kind| kind.name.as_str());
    for (name, text) in [("activityId", a.activity_id.as_str()), ("activityType", kind)] {
        if text.is_empty() {
            return Err(format!("{name} is not set"));
        }
        if text.len() > most {
            return Err(format!(
                "{name} exceeds length limit. Length={} Limit={most}",
                text.len()
            ));
        }
    }
    Ok(())
}

fn check_timeouts(a: &ScheduleActivityTaskCommandAttributes) -> Result<(), String> {
    let timeouts = [
        ("ScheduleToCloseTimeout", &a.schedule_to_close_timeout),
        ("ScheduleToStartTimeout", &a.schedule_to_start_timeout),
        ("StartToCloseTimeout", &a.start_to_close_timeout),
        ("HeartbeatTimeout", &a.heartbeat_timeout),
    ];
    for (name, timeout) in timeouts {
        if let Some(why) = retry::span_error(timeout.as_ref()) {
            return Err(format!("invalid {name}: {why}"));
        }
    }
    let is_set = |timeout: &Option<prost_types::Duration>| !duration_from_proto(timeout.as_ref()).is_zero();
    if is_set(&a.schedule_to_close_timeout) || is_set(&a.start_to_close_timeout) {
        return Ok(());
    }
    Err(format!(
        "a valid StartToCloseTimeout or ScheduleToCloseTimeout must be set on the activity. ActivityId={} \
         ActivityType={}",
        a.activity_id,
        a.activity_type.as_ref().map_or("", |kind| kind.name.as_str()),
    ))
}

/// Refuses a queue that an activity or a child of the run may not use, with the official server's words.
pub(super) fn check_queue(run: &Run, ctx: &Context<'_>, name: &str) -> Result<(), String> {
    let own = run.state.task_queue.as_str();
    if name.is_empty() {
        Err("missing task queue name".to_owned())
    } else if name.len() > ctx.limits.id_bytes {
        Err("taskQueue length exceeds limit".to_owned())
    } else if name.starts_with(RESERVED_QUEUES) {
        Err(format!(
            "task queue name cannot start with reserved prefix {RESERVED_QUEUES}"
        ))
    } else if name == INTERNAL_QUEUE && own != INTERNAL_QUEUE {
        Err(format!(
            "cannot use internal per-namespace task queue:{name} (in parent component task queue: {own})"
        ))
    } else {
        Ok(())
    }
}

/// Whether a command before canceled the pending activity before it started: then it is gone.
fn will_be_gone(run: &Run, seen: &Seen, scheduled_event_id: i64) -> bool {
    seen.activities_canceled.contains(&scheduled_event_id)
        && run
            .state
            .activities
            .get(&scheduled_event_id)
            .is_some_and(|activity| activity.started_time == 0)
}

fn pending_count(run: &Run, seen: &Seen) -> usize {
    let gone = seen
        .activities_canceled
        .iter()
        .filter(|id| will_be_gone(run, seen, **id))
        .count();
    run.state.activities.len() - gone + seen.activities.len()
}

fn is_pending(run: &Run, seen: &Seen, activity_id: &str) -> bool {
    run.state.activities.values().any(|activity| {
        activity.activity_id == activity_id && !will_be_gone(run, seen, activity.scheduled_event_id)
    })
}

pub(super) fn check_cancel(
    run: &Run,
    a: &RequestCancelActivityTaskCommandAttributes,
    seen: &mut Seen,
) -> Result<(), Invalid> {
    let bad = |message: String| Invalid::new(Cause::BadRequestCancelActivityAttributes, message);
    let id = a.scheduled_event_id;
    if id <= 0 {
        return Err(bad(
            "ScheduledEventId is not set on RequestCancelActivityTaskCommand.".to_owned(),
        ));
    }
    let pending = run
        .state
        .activities
        .get(&id)
        .is_some_and(|activity| !activity.cancel_requested);
    // Which id an activity of this batch gets is not known here.
    let may_come = id >= run.state.next_event_id && !seen.activities.is_empty();
    let is_known = pending || may_come || ends_buffered(run, id);
    if !is_known || !seen.activities_canceled.insert(id) {
        return Err(bad(format!(
            "invalid history builder state for action: add-activitytask-cancel-requested-event, \
             ScheduledEventID: {id}"
        )));
    }
    Ok(())
}

/// Whether the end of the activity waits in the buffer, so that the worker could not know of it.
fn ends_buffered(run: &Run, scheduled_event_id: i64) -> bool {
    run.state.buffered.iter().any(|event| match &event.attributes {
        Some(Attributes::ActivityTaskCompletedEventAttributes(a)) => {
            a.scheduled_event_id == scheduled_event_id
        }
        Some(Attributes::ActivityTaskFailedEventAttributes(a)) => a.scheduled_event_id == scheduled_event_id,
        Some(Attributes::ActivityTaskTimedOutEventAttributes(a)) => {
            a.scheduled_event_id == scheduled_event_id
        }
        Some(Attributes::ActivityTaskCanceledEventAttributes(a)) => {
            a.scheduled_event_id == scheduled_event_id
        }
        _ => false,
    })
}

/// The timeouts that an activity ends up with; zero for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Timeouts {
    schedule_to_close: Duration,
    schedule_to_start: Duration,
    start_to_close: Duration,
    heartbeat: Duration,
}

impl Timeouts {
    /// Derives the timeouts that the command leaves open, and caps all by the run's.
    fn resolve(a: &ScheduleActivityTaskCommandAttributes, run_timeout: Duration) -> Self {
        let given = |timeout: &Option<prost_types::Duration>| duration_from_proto(timeout.as_ref());
        let schedule_to_close = cap(given(&a.schedule_to_close_timeout), run_timeout);
        // Without a limit in all, only what is given limits the parts.
        let part = |timeout: Duration| match (timeout.is_zero(), schedule_to_close.is_zero()) {
            (true, _) => schedule_to_close,
            (false, true) => timeout,
            (false, false) => timeout.min(schedule_to_close),
        };
        let start_to_close = part(given(&a.start_to_close_timeout));
        Self {
            schedule_to_close,
            schedule_to_start: part(given(&a.schedule_to_start_timeout)),
            start_to_close,
            heartbeat: given(&a.heartbeat_timeout).min(start_to_close),
        }
    }
}

/// Returns the shorter one, where zero is no limit.
fn cap(timeout: Duration, limit: Duration) -> Duration {
    if timeout.is_zero() || limit.is_zero() {
        timeout.max(limit)
    } else {
        timeout.min(limit)
    }
}

pub(super) fn schedule(
    tx: &mut Tx<'_>,
    a: ScheduleActivityTaskCommandAttributes,
    origin: Origin,
    applied: &mut Applied,
) {
    let eager = (a.request_eager_execution && !tx.is_status(WorkflowExecutionStatus::Paused)).then(|| {
        Box::new(ActivityInput {
            input: a.input.clone(),
            header: a.header.clone(),
        })
    });
    let timeouts = Timeouts::resolve(&a, span(tx.state().run_timeout));
    let event = scheduled_attributes(a, timeouts, origin.completed_event_id);
    let id = tx.emit(Draft {
        user_metadata: origin.metadata,
        ..Draft::from(event)
    });
    let Some(input) = eager else {
        return tx.offer_activity(id);
    };
    let request_id = tx.fresh_id();
    tx.start_activity(id, origin.identity, request_id);
    let activity = tx.state().activities.get(&id);
    applied
        .eager
        .extend(activity.map(|activity| tx.run.started_activity(activity, Some(input))));
}

#[expect(deprecated, reason = "old SDKs set use_workflow_build_id and read it back")]
fn scheduled_attributes(
    a: ScheduleActivityTaskCommandAttributes,
    timeouts: Timeouts,
    completed_event_id: i64,
) -> Attributes {
    Attributes::ActivityTaskScheduledEventAttributes(Box::new(ActivityTaskScheduledEventAttributes {
        activity_id: a.activity_id,
        activity_type: a.activity_type,
        task_queue: a.task_queue.map(with_kind),
        header: a.header,
        input: a.input,
        schedule_to_close_timeout: Some(duration_to_proto(timeouts.schedule_to_close)),
        schedule_to_start_timeout: Some(duration_to_proto(timeouts.schedule_to_start)),
        start_to_close_timeout: Some(duration_to_proto(timeouts.start_to_close)),
        heartbeat_timeout: Some(duration_to_proto(timeouts.heartbeat)),
        workflow_task_completed_event_id: completed_event_id,
        retry_policy: Some(retry::with_defaults(a.retry_policy.unwrap_or_default())),
        use_workflow_build_id: a.use_workflow_build_id,
        priority: a.priority,
    }))
}

/// Returns the queue as an event names it.
pub(super) fn with_kind(mut queue: TaskQueue) -> TaskQueue {
    if queue.kind() == TaskQueueKind::Unspecified {
        queue.set_kind(TaskQueueKind::Normal);
    }
    queue
}

pub(super) fn cancel(
    tx: &mut Tx<'_>,
    a: &RequestCancelActivityTaskCommandAttributes,
    origin: &Origin,
    applied: &mut Applied,
) {
    let id = a.scheduled_event_id;
    if !tx.state().activities.contains_key(&id) && !ends_buffered(tx.run, id) {
        return;
    }
    let event = Attributes::ActivityTaskCancelRequestedEventAttributes(Box::new(
        ActivityTaskCancelRequestedEventAttributes {
            scheduled_event_id: id,
            workflow_task_completed_event_id: origin.completed_event_id,
        },
    ));
    let requested = tx.emit(Draft {
        user_metadata: origin.metadata.clone(),
        ..Draft::from(event)
    });
    let kept = applied.eager.len();
    applied.eager.retain(|started| started.scheduled_event_id != id);
    let was_eager = applied.eager.len() < kept;
    if was_eager
        || tx
            .state()
            .activities
            .get(&id)
            .is_some_and(|activity| activity.started_time == 0)
    {
        tx.withdraw_activity(id);
        // After the events of all commands, as everything that no command makes.
        tx.emit_later(not_started(id, requested, &origin.identity));
        applied.needs_task = true;
    }
}

fn not_started(id: i64, requested: i64, identity: &str) -> Attributes {
    let details = Payload {
        metadata: [("encoding".to_owned(), b"json/plain".to_vec())].into(),
        data: NOT_STARTED.into(),
        ..Default::default()
    };
    Attributes::ActivityTaskCanceledEventAttributes(Box::new(ActivityTaskCanceledEventAttributes {
        details: Some(Payloads {
            payloads: vec![details],
        }),
        latest_cancel_requested_event_id: requested,
        scheduled_event_id: id,
        identity: identity.to_owned(),
        ..Default::default()
    }))
}

#[cfg(test)]
mod tests;
