//! What follows a run that closes: a retry, the next time of a cron schedule, or nothing (reference 2.12).

use proto::{
    temporal::{
        common::v1::{Payloads, WorkflowExecution},
        enums::v1::{ContinueAsNewInitiator, RetryState, TimeoutType},
        failure::v1::{Failure, TimeoutFailureInfo, failure::FailureInfo},
        history::v1::WorkflowExecutionStartedEventAttributes,
        workflow::v1::ResetPoints,
    },
    time::{Timestamp, duration_from_proto},
};

use crate::{
    outcome::NewRun,
    policy::{cron, retry},
    start::new_run::{Lineage, new_run},
    state::{span, time},
    trigger::{StartWith, StartWorkflow},
    tx::Tx,
};

/// How the run closes.
pub(crate) enum Outcome {
    Completed(Option<Payloads>),
    Failed(Failure),
    TimedOut,
}

/// What follows.
pub(crate) struct Next {
    pub(crate) retry_state: RetryState,
    /// Empty if nothing follows.
    pub(crate) run_id: String,
    pub(crate) run: Option<NewRun>,
}

impl Next {
    /// Nothing follows, for this reason.
    pub(crate) fn ends(retry_state: RetryState) -> Self {
        Self {
            retry_state,
            run_id: String::new(),
            run: None,
        }
    }
}

/// Decides what follows the run: a retry comes before the cron schedule.
pub(crate) fn next(tx: &mut Tx<'_>, outcome: &Outcome) -> Next {
    let retry_state = match retry_decision(tx, outcome) {
        retry::Decision::Retry(backoff) => {
            let lineage = Lineage {
                initiator: ContinueAsNewInitiator::Retry,
                attempt: tx.state().attempt + 1,
                backoff,
                continued_failure: failure_of(outcome),
                last_completion_result: tx.state().last_completion_result.clone(),
                ..Default::default()
            };
            return follow(tx, lineage, RetryState::InProgress);
        }
        retry::Decision::Stop(state) => state,
    };
    let state = tx.state();
    if state.cron_schedule.is_empty() {
        return Next::ends(retry_state);
    }
    let start = Timestamp::from_nanos(state.execution_time);
    let Some(backoff) = cron::backoff(&state.cron_schedule, start, tx.ctx.now) else {
        return Next::ends(retry_state);
    };
    if time(state.execution_expiration).is_some_and(|end| tx.ctx.now + backoff >= end) {
        return Next::ends(retry_state);
    }
    let last_completion_result = match outcome {
        Outcome::Completed(result) => result.clone(),
        Outcome::Failed(_) | Outcome::TimedOut => state.last_completion_result.clone(),
    };
    let lineage = Lineage {
        initiator: ContinueAsNewInitiator::CronSchedule,
        attempt: 1,
        backoff,
        continued_failure: failure_of(outcome),
        last_completion_result,
        ..Default::default()
    };
    follow(tx, lineage, retry_state)
}

fn retry_decision(tx: &Tx<'_>, outcome: &Outcome) -> retry::Decision {
    let state = tx.state();
    let Some(policy) = &state.retry_policy else {
        return retry::Decision::Stop(RetryState::RetryPolicyNotSet);
    };
    let failure = match outcome {
        Outcome::Completed(_) => return retry::Decision::Stop(RetryState::RetryPolicyNotSet),
        Outcome::Failed(failure) => Some(failure),
        Outcome::TimedOut => None,
    };
    retry::decide(
        policy,
        state.attempt,
        failure,
        tx.ctx.now,
        time(state.execution_expiration),
    )
}

fn failure_of(outcome: &Outcome) -> Option<Failure> {
    match outcome {
        Outcome::Failed(failure) => Some(failure.clone()),
        Outcome::TimedOut => Some(Failure {
            message: "workflow timeout".to_owned(),
            source: "Server".to_owned(),
            failure_info: Some(FailureInfo::TimeoutFailureInfo(TimeoutFailureInfo {
                timeout_type: TimeoutType::StartToClose.into(),
                ..Default::default()
            })),
            ..Default::default()
        }),
        Outcome::Completed(_) => None,
    }
}

/// Returns the reset points that the next run of the chain knows; this run's own end with its retention.
pub(crate) fn carried_reset_points(tx: &mut Tx<'_>) -> Option<ResetPoints> {
    let expires = (tx.ctx.now + tx.ctx.namespace.retention).to_proto();
    tx.note(|state| {
        for point in &mut state.reset_points.get_or_insert_default().points {
            point.expire_time.get_or_insert(expires);
        }
    });
    tx.state().reset_points.clone()
}

/// Starts the same again, as it was when it started.
fn follow(tx: &mut Tx<'_>, lineage: Lineage, retry_state: RetryState) -> Next {
    let Some(started) = tx.state().started.clone() else {
        return Next::ends(retry_state);
    };
    let run_id = tx.fresh_run_id();
    let mut workflow = again(tx, *started);
    workflow.request_id = tx.fresh_id();
    let reset_points = carried_reset_points(tx);
    let state = tx.state();
    let lineage = Lineage {
        continued_run_id: state.run_id.clone(),
        first_run_id: state.first_run_id.clone(),
        original_run_id: run_id.clone(),
        execution_expiration: state.execution_expiration,
        reset_points,
        ..lineage
    };
    let (run, _) = new_run(workflow, lineage, run_id.clone(), StartWith::Nothing, tx.ctx);
    Next {
        retry_state,
        run_id,
        run: Some(run),
    }
}

fn again(tx: &Tx<'_>, started: WorkflowExecutionStartedEventAttributes) -> StartWorkflow {
    let state = tx.state();
    StartWorkflow {
        namespace_id: state.namespace_id.clone(),
        workflow_id: state.workflow_id.clone(),
        workflow_type: state.workflow_type.clone(),
        task_queue: state.task_queue.clone(),
        input: started.input,
        header: started.header,
        execution_timeout: duration_from_proto(started.workflow_execution_timeout.as_ref()),
        run_timeout: span(state.run_timeout),
        task_timeout: span(state.task_timeout),
        retry_policy: started.retry_policy,
        cron_schedule: started.cron_schedule,
        memo: started.memo,
        search_attributes: started.search_attributes,
        user_metadata: state.user_metadata.clone(),
        callbacks: started.completion_callbacks,
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
