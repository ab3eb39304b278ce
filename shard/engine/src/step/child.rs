//! A child's life as its parent sees it, and what a child owes its parent (reference 2.9).
//!
//! Every delivery may come twice, or when it is too late: then it changes nothing.

use proto::temporal::{
    common::v1::{WorkflowExecution, WorkflowType},
    enums::v1::{StartChildWorkflowExecutionFailedCause, WorkflowExecutionStatus},
    history::v1::{
        ChildWorkflowExecutionCanceledEventAttributes, ChildWorkflowExecutionCompletedEventAttributes,
        ChildWorkflowExecutionFailedEventAttributes, ChildWorkflowExecutionStartedEventAttributes,
        ChildWorkflowExecutionTerminatedEventAttributes, ChildWorkflowExecutionTimedOutEventAttributes,
        StartChildWorkflowExecutionFailedEventAttributes, history_event::Attributes,
    },
};

use super::{closed as run_closed, signal::is_from_parent};
use crate::{
    close::server_terminate,
    effect::{ChildClosed, DeliveryId},
    outcome::{Rejection, Reply, Step},
    state::{Child, State},
    tx::Tx,
};

/// The child exists: the parent records it, and from then on owes it the first workflow task. A parent that has
/// closed meanwhile refuses the child.
pub(super) fn started(mut tx: Tx<'_>, initiated: i64, run_id: String) -> Result<Step, Rejection> {
    let child = tx.state().children.get(&initiated);
    if !tx.run.is_open() && child.is_none() {
        return Err(run_closed());
    }
    let is_new = tx.run.is_open() && child.is_some_and(|child| child.started_event_id == 0);
    tx.run.live.in_flight.remove(&DeliveryId::StartChild(initiated));
    if is_new {
        write_started(&mut tx, initiated, run_id);
        note_child(&mut tx, initiated, |child| child.first_task_owed = true);
        tx.ensure_task();
    }
    Ok(tx.finish(Reply::Done))
}

/// The child will not exist.
#[expect(deprecated, reason = "old SDKs set the control and read it back")]
pub(super) fn start_failed(
    mut tx: Tx<'_>,
    initiated: i64,
    cause: StartChildWorkflowExecutionFailedCause,
) -> Result<Step, Rejection> {
    tx.run.live.in_flight.remove(&DeliveryId::StartChild(initiated));
    let child = tx
        .state()
        .children
        .get(&initiated)
        .filter(|child| child.started_event_id == 0)
        .cloned();
    let Some(child) = child.filter(|_| tx.run.is_open()) else {
        return Ok(tx.finish(Reply::Done));
    };
    tx.emit_external(Attributes::StartChildWorkflowExecutionFailedEventAttributes(
        Box::new(StartChildWorkflowExecutionFailedEventAttributes {
            namespace: child.namespace,
            namespace_id: child.namespace_id,
            workflow_id: child.workflow_id,
            workflow_type: Some(WorkflowType {
                name: child.workflow_type,
            }),
            cause: cause.into(),
            control: child.control,
            initiated_event_id: initiated,
            ..Default::default()
        }),
    ));
    tx.ensure_task();
    Ok(tx.finish(Reply::Done))
}

/// The child has scheduled its first workflow task, or never will.
pub(super) fn first_task_scheduled(mut tx: Tx<'_>, initiated: i64) -> Result<Step, Rejection> {
    tx.run.live.in_flight.remove(&DeliveryId::FirstTask(initiated));
    if tx
        .state()
        .children
        .get(&initiated)
        .is_some_and(|child| child.first_task_owed)
    {
        note_child(&mut tx, initiated, |child| child.first_task_owed = false);
        forget_if_settled(&mut tx, initiated);
    }
    Ok(tx.finish(Reply::Done))
}

/// On the child: its parent has recorded it, so it may run. What waits for a backoff goes on to wait.
pub(super) fn schedule_first_task(mut tx: Tx<'_>, parent: &WorkflowExecution) -> Result<Step, Rejection> {
    check_parent(&tx, parent)?;
    if tx.run.is_open() && !tx.state().may_run {
        tx.note(|state| state.may_run = true);
        // A signal may have made it run before.
        if tx.state().last_completed_started_id == 0 {
            tx.ensure_task();
        }
    }
    Ok(tx.finish(Reply::Done))
}

/// On the child: its parent has closed and has no record of it. A child that was told to run was recorded once,
/// and stays as its parent's close policy left it; another one never runs.
pub(super) fn end_orphan(mut tx: Tx<'_>, parent: &WorkflowExecution) -> Result<Step, Rejection> {
    check_parent(&tx, parent)?;
    if tx.run.is_open() && !tx.state().may_run {
        tx.terminate(server_terminate("by parent close policy"));
    }
    Ok(tx.finish(Reply::Done))
}

fn check_parent(tx: &Tx<'_>, parent: &WorkflowExecution) -> Result<(), Rejection> {
    if is_from_parent(tx.run, Some(parent)) {
        return Ok(());
    }
    Err(Rejection::NotFound(
        "workflow execution is not a child of the sender".to_owned(),
    ))
}

/// The child's chain has ended: the parent is told how.
pub(super) fn closed(mut tx: Tx<'_>, report: ChildClosed) -> Result<Step, Rejection> {
    let initiated = report.initiated_event_id;
    if !tx.run.is_open() {
        return match tx.state().reset_run_id.clone() {
            run_id if run_id.is_empty() => Err(run_closed()),
            run_id => Ok(tx.finish(Reply::Forward { run_id })),
        };
    }
    let Some(child) = tx.state().children.get(&initiated) else {
        return Ok(tx.finish(Reply::Done));
    };
    let is_same = child.workflow_id == report.child.workflow_id
        && (child.started_event_id == 0 || child.started_run_id == report.first_run_id);
    if !is_same {
        return Err(Rejection::NotFound(
            "pending child workflow execution not found".to_owned(),
        ));
    }
    let is_recorded = child.started_event_id != 0;
    for debt in [
        DeliveryId::StartChild(initiated),
        DeliveryId::FirstTask(initiated),
    ] {
        tx.run.live.in_flight.remove(&debt);
    }
    if !is_recorded {
        write_started(&mut tx, initiated, report.first_run_id.clone());
    }
    if let Some(child) = tx.state().children.get(&initiated).cloned()
        && let Some(event) = closing_event(child, report)
    {
        tx.emit_external(event);
        tx.ensure_task();
    }
    Ok(tx.finish(Reply::Done))
}

/// The child has heard of its parent's end.
pub(super) fn close_policy_applied(mut tx: Tx<'_>, initiated: i64) -> Result<Step, Rejection> {
    tx.run.live.in_flight.remove(&DeliveryId::ClosePolicy(initiated));
    if tx
        .state()
        .children
        .get(&initiated)
        .is_some_and(|child| child.policy_owed)
    {
        note_child(&mut tx, initiated, |child| child.policy_owed = false);
        forget_if_settled(&mut tx, initiated);
    }
    Ok(tx.finish(Reply::Done))
}

/// On the child: its parent knows how it ended, or is gone.
pub(super) fn report_delivered(mut tx: Tx<'_>) -> Result<Step, Rejection> {
    tx.run.live.in_flight.remove(&DeliveryId::Report);
    if tx.state().report.is_some() {
        tx.note(|state| state.report = None);
    }
    Ok(tx.finish(Reply::Done))
}

fn note_child(tx: &mut Tx<'_>, initiated: i64, change: impl FnOnce(&mut Child)) {
    tx.note(|state| {
        if let Some(child) = state.children.get_mut(&initiated) {
            change(child);
        }
    });
}

/// A parent that has closed keeps only the children that it owes something.
fn forget_if_settled(tx: &mut Tx<'_>, initiated: i64) {
    let owes = |state: &State| {
        state
            .children
            .get(&initiated)
            .is_some_and(|child| child.first_task_owed || child.policy_owed)
    };
    if !tx.run.is_open() && !owes(tx.state()) {
        tx.note(|state| {
            state.children.remove(&initiated);
        });
    }
}

fn write_started(tx: &mut Tx<'_>, initiated: i64, run_id: String) {
    let Some(child) = tx.state().children.get(&initiated).cloned() else {
        return;
    };
    tx.emit_external(Attributes::ChildWorkflowExecutionStartedEventAttributes(
        Box::new(ChildWorkflowExecutionStartedEventAttributes {
            namespace: child.namespace,
            namespace_id: child.namespace_id,
            initiated_event_id: initiated,
            workflow_execution: Some(WorkflowExecution {
                workflow_id: child.workflow_id,
                run_id,
            }),
            workflow_type: Some(WorkflowType {
                name: child.workflow_type,
            }),
            header: child.header,
        }),
    ));
}

/// Returns the event of the child's end: it names the run that ended, and the type that was asked for.
fn closing_event(child: Child, report: ChildClosed) -> Option<Attributes> {
    let Child {
        namespace,
        namespace_id,
        initiated_event_id,
        started_event_id,
        ..
    } = child;
    let workflow_execution = Some(report.child);
    let workflow_type = Some(WorkflowType {
        name: child.workflow_type,
    });
    macro_rules! event {
        ($kind:ident { $($own:tt)* }) => {
            Attributes::$kind(Box::new($kind {
                namespace,
                namespace_id,
                workflow_execution,
                workflow_type,
                initiated_event_id,
                started_event_id,
                $($own)*
            }))
        };
    }
    let (result, failure, retry_state) = (report.result, report.failure, report.retry_state);
    Some(match report.status {
        WorkflowExecutionStatus::Completed => {
            event!(ChildWorkflowExecutionCompletedEventAttributes { result })
        }
        WorkflowExecutionStatus::Failed => {
            event!(ChildWorkflowExecutionFailedEventAttributes { failure, retry_state })
        }
        WorkflowExecutionStatus::Canceled => {
            event!(ChildWorkflowExecutionCanceledEventAttributes { details: result })
        }
        WorkflowExecutionStatus::TimedOut => {
            event!(ChildWorkflowExecutionTimedOutEventAttributes { retry_state })
        }
        WorkflowExecutionStatus::Terminated => event!(ChildWorkflowExecutionTerminatedEventAttributes {}),
        // A chain that goes on is no end.
        WorkflowExecutionStatus::Unspecified
        | WorkflowExecutionStatus::Running
        | WorkflowExecutionStatus::Paused
        | WorkflowExecutionStatus::ContinuedAsNew => return None,
    })
}

#[cfg(test)]
mod tests;
