//! Asks the server itself, after the load: are as many workflows completed as the ledger says, and are these?
//!
//! Runs outside the measured window. The count comes from visibility, which may lag, so it is asked until it
//! agrees or patience ends; a sample is described one by one from the runs' own state.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use proto::temporal::{
    common::v1::WorkflowExecution,
    enums::v1::WorkflowExecutionStatus,
    workflowservice::v1::{
        CountWorkflowExecutionsRequest, DescribeWorkflowExecutionRequest, TerminateWorkflowExecutionRequest,
    },
};
use serde::Serialize;
use tonic::Code;

use crate::{
    client::{Failure, Service, within},
    flow::Flow,
    rpc::{Rpc, code_name},
};

const COUNT_PAUSE: Duration = Duration::from_millis(500);
const COUNT_PATIENCE: Duration = Duration::from_secs(30);
/// Missing workflows that are asked after.
const MISSING_DESCRIBED_MAX: usize = 200;

/// What the server says.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Verification {
    /// The status that workflows are to have.
    pub status: String,
    /// By `CountWorkflowExecutions`; `None` when it cannot be asked.
    pub counted: Option<u64>,
    pub expected: u64,
    /// How long the count took to agree.
    pub counted_after_ms: u64,
    pub described: u64,
    pub described_wrong: u64,
    /// Status of the workflows that never ended, as far as asked.
    pub missing: BTreeMap<String, u64>,
}

impl Verification {
    pub(crate) fn is_clean(&self) -> bool {
        self.counted.is_none_or(|counted| counted == self.expected)
            && self.described_wrong == 0
            && self.missing.is_empty()
    }
}

/// Checks that `expected` workflows of the run (children included) have the `status`, and describes a sample.
pub(crate) async fn verify(
    flow: &Flow,
    status: WorkflowExecutionStatus,
    expected: u64,
    sample: usize,
) -> Verification {
    let status_name = query_name(status);
    let mut verification = Verification {
        status: status_name.to_owned(),
        expected,
        ..Default::default()
    };
    for number in flow.ledger.missing().into_iter().take(MISSING_DESCRIBED_MAX) {
        *verification
            .missing
            .entry(describe(flow, number).await)
            .or_default() += 1;
    }
    for number in flow.ledger.ended_sample(sample) {
        verification.described += 1;
        verification.described_wrong += u64::from(describe(flow, number).await != status.as_str_name());
    }
    let began = Instant::now();
    loop {
        verification.counted = count(flow, status_name).await.ok();
        verification.counted_after_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let agrees = verification.counted.is_none_or(|counted| counted == expected);
        if agrees || began.elapsed() > COUNT_PATIENCE {
            return verification;
        }
        tokio::time::sleep(COUNT_PAUSE).await;
    }
}

/// Ends workflows that a run leaves behind on purpose.
pub(crate) async fn terminate(flow: &Flow, number: u64) -> Result<(), Failure> {
    let terminate = |mut service: Service, deadline| {
        let request = TerminateWorkflowExecutionRequest {
            namespace: flow.namespace(number).to_owned(),
            workflow_execution: Some(execution(flow, number)),
            reason: "end of load".to_owned(),
            ..Default::default()
        };
        async move {
            service
                .terminate_workflow_execution(within(deadline, request))
                .await
        }
    };
    flow.api
        .call(Rpc::TerminateWorkflowExecution, terminate)
        .await
        .map(|_| ())
}

/// The status of a workflow by its enum name, or the error's code.
async fn describe(flow: &Flow, number: u64) -> String {
    let describe = |mut service: Service, deadline| {
        let request = DescribeWorkflowExecutionRequest {
            namespace: flow.namespace(number).to_owned(),
            execution: Some(execution(flow, number)),
        };
        async move {
            service
                .describe_workflow_execution(within(deadline, request))
                .await
        }
    };
    match flow.api.call(Rpc::DescribeWorkflowExecution, describe).await {
        Ok(answer) => {
            let status = answer.workflow_execution_info.map_or(0, |info| info.status);
            WorkflowExecutionStatus::try_from(status)
                .unwrap_or_default()
                .as_str_name()
                .to_owned()
        }
        Err(failure) if failure.status.code() == Code::NotFound => "NOT_FOUND".to_owned(),
        Err(failure) => code_name(failure.status.code()).to_owned(),
    }
}

async fn count(flow: &Flow, status: &str) -> Result<u64, Failure> {
    let queues: Vec<String> = flow.queues.iter().map(|queue| format!("'{queue}'")).collect();
    // The queues are this run's own, so they select its workflows and nothing else.
    let query = format!(
        "TaskQueue IN ({}) AND ExecutionStatus = '{status}'",
        queues.join(", ")
    );
    let mut counted = 0;
    for namespace in &flow.namespaces {
        let count = |mut service: Service, deadline| {
            let request = CountWorkflowExecutionsRequest {
                namespace: namespace.clone(),
                query: query.clone(),
            };
            async move { service.count_workflow_executions(within(deadline, request)).await }
        };
        let answer = flow.api.call(Rpc::CountWorkflowExecutions, count).await?;
        counted += u64::try_from(answer.count).unwrap_or(0);
    }
    Ok(counted)
}

fn execution(flow: &Flow, number: u64) -> WorkflowExecution {
    WorkflowExecution {
        workflow_id: flow.ledger.workflow_id(number),
        run_id: String::new(),
    }
}

/// The status as a list filter spells it.
fn query_name(status: WorkflowExecutionStatus) -> &'static str {
    match status {
        WorkflowExecutionStatus::Running => "Running",
        _ => "Completed",
    }
}
