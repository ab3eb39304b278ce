//! ResetWorkflowExecution (reference 2.20): gathers the histories that the new run is made of.

use cluster::router::AskError;
use engine::{
    options::ChangeOptions,
    outcome::{Position, Rejection, Reply},
    trigger::{Reset, Signal},
};
use proto::temporal::{
    enums::v1::{ResetReapplyExcludeType as Exclude, ResetReapplyType as Reapply},
    history::v1::HistoryEvent,
    workflow::v1::{PostResetOperation, post_reset_operation::Variant},
    workflowservice::v1::{ResetWorkflowExecutionRequest, ResetWorkflowExecutionResponse},
};

use super::{get_history_reverse::position, update_options::check_override};
use crate::{
    call::Call,
    error::Error,
    frontend::{Frontend, fresh_id},
    history, limits,
    validate::{self, RunTarget, options},
};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: ResetWorkflowExecutionRequest,
) -> Result<ResetWorkflowExecutionResponse, Error> {
    let namespace = frontend.namespaces.usable(&request.namespace).await?;
    let target = validate::target(&namespace, request.workflow_execution.clone())?;
    validate::required(&request.request_id, "RequestId is not set on request.")?;
    validate::request_id(&namespace.sizes, &request.request_id)?;
    let after = after(
        frontend,
        &target,
        request.post_reset_operations.clone(),
        &request.identity,
    )
    .await?;
    for _ in 0..limits::RESET_ATTEMPTS_MAX {
        let (target, reset) = gather(frontend, &target, &request, after.clone()).await?;
        match frontend.router.reset(&target, reset).await {
            Ok(Reply::Reset { run_id }) => return Ok(ResetWorkflowExecutionResponse { run_id }),
            Ok(_) => return Err(Error::unexpected_reply()),
            // A run has gone on since its events were read.
            Err(AskError::Rejected(Rejection::Unavailable(_))) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Unavailable(
        "workflow goes on too fast to be reset".to_owned(),
    ))
}

/// Reads the base run, and the runs of its chain that came after it.
async fn gather(
    frontend: &Frontend,
    target: &RunTarget,
    request: &ResetWorkflowExecutionRequest,
    after: After,
) -> Result<(RunTarget, Reset), Error> {
    let base = position(frontend, target).await?;
    check_point(request.workflow_task_finish_event_id, &base)?;
    let target = RunTarget {
        workflow: target.workflow.clone(),
        run_id: validate::run_id(&base.run_id).ok().flatten(),
    };
    let base_events = read(frontend, &target, &base).await?;
    let (reapply_signals, reapply_updates) = reapplied(request)?;
    let later = later_runs(frontend, &target, base.successor_run_id).await?;
    let reset = Reset {
        base: base_events,
        later,
        workflow_task_finish_event_id: request.workflow_task_finish_event_id,
        reason: request.reason.clone(),
        request_id: request.request_id.clone(),
        identity: request.identity.clone(),
        reapply_signals,
        reapply_updates,
        post_signals: after.signals,
        post_options: after.options,
    };
    Ok((target, reset))
}

/// Refuses a point outside the history before all of it is read.
fn check_point(point: i64, base: &Position) -> Result<(), Error> {
    if point <= 1 || point >= base.next_event_id {
        return Err(Error::invalid(
            "Workflow task finish ID must be > 1 && <= workflow last event ID.",
        ));
    }
    Ok(())
}

async fn read(
    frontend: &Frontend,
    target: &RunTarget,
    position: &Position,
) -> Result<Vec<HistoryEvent>, Error> {
    let Some(run_id) = target.run_id else {
        return Err(Error::Internal("run id is malformed".to_owned()));
    };
    let run = target.workflow.run(run_id);
    history::all(frontend, &run, 1, position.next_event_id).await
}

/// Reads the runs that follow, oldest first, until one that is gone or has no follower.
async fn later_runs(
    frontend: &Frontend,
    target: &RunTarget,
    mut next: String,
) -> Result<Vec<HistoryEvent>, Error> {
    let mut events = Vec::new();
    for _ in 0..limits::RESET_CHAIN_MAX {
        let Some(run_id) = validate::run_id(&next).ok().flatten() else {
            break;
        };
        let target = RunTarget {
            workflow: target.workflow.clone(),
            run_id: Some(run_id),
        };
        let position = match position(frontend, &target).await {
            Ok(position) => position,
            Err(Error::NotFound(_)) => break,
            Err(error) => return Err(error),
        };
        events.extend(read(frontend, &target, &position).await?);
        next = position.successor_run_id;
    }
    Ok(events)
}

/// Returns whether signals and updates are applied again.
#[expect(deprecated, reason = "old clients choose this way what is applied again")]
fn reapplied(request: &ResetWorkflowExecutionRequest) -> Result<(bool, bool), Error> {
    let (mut signals, mut updates) = match Reapply::try_from(request.reset_reapply_type) {
        Ok(Reapply::Unspecified | Reapply::AllEligible) => (true, true),
        Ok(Reapply::Signal) => (true, false),
        Ok(Reapply::None) => (false, false),
        Err(_) => return Err(Error::invalid("unknown reset type")),
    };
    for exclude in request.reset_reapply_exclude_types() {
        match exclude {
            Exclude::Signal => signals = false,
            Exclude::Update => updates = false,
            _ => {}
        }
    }
    Ok((signals, updates))
}

/// What happens to the new run before its first workflow task.
#[derive(Clone, Default)]
struct After {
    signals: Vec<Signal>,
    options: Vec<ChangeOptions>,
}

/// Reads what is to happen to the new run.
async fn after(
    frontend: &Frontend,
    target: &RunTarget,
    operations: Vec<PostResetOperation>,
    identity: &str,
) -> Result<After, Error> {
    let mut after = After::default();
    for operation in operations {
        match operation.variant {
            Some(Variant::SignalWorkflow(signal)) => after.signals.push(Signal {
                name: signal.signal_name,
                input: signal.input,
                header: signal.header,
                links: signal.links,
                identity: identity.to_owned(),
                request_id: fresh_id()?,
                ..Default::default()
            }),
            Some(Variant::UpdateWorkflowOptions(update)) => {
                let given = update.workflow_execution_options.unwrap_or_default();
                validate::start::time_skipping(given.time_skipping_config.is_some())?;
                check_override(frontend, target, given.versioning_override.as_ref()).await?;
                let mask = options::required(update.update_mask)?;
                options::check_paths(&mask, "error applying update_options")?;
                // Nobody is named in the event, as the official server has it.
                after.options.push(options::change(given, &mask, String::new())?);
            }
            None => return Err(Error::invalid("unsupported post reset operation: <nil>")),
        }
    }
    Ok(after)
}
