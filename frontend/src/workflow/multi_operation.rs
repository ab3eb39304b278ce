//! ExecuteMultiOperation (reference 2.19): a start and an update that go in together, or not at all.

use engine::{
    outcome::{Reply, Started, UpdateStage, UpdateStatus},
    trigger::{AdmitUpdate, Start, StartWith, StartWorkflow},
};
use proto::{
    ids::WorkflowKey,
    temporal::workflowservice::v1::{
        ExecuteMultiOperationRequest, ExecuteMultiOperationResponse, StartWorkflowExecutionRequest,
        UpdateWorkflowExecutionRequest,
        execute_multi_operation_request::operation::Operation,
        execute_multi_operation_response::{Response, response::Response as OperationResponse},
    },
};

use super::{start, update};
use crate::{
    call::Call,
    error::Error,
    frontend::Frontend,
    namespace::{Namespace, Waiting},
    render::update as render,
    validate,
};

pub(crate) async fn handle(
    frontend: &Frontend,
    call: &Call,
    request: ExecuteMultiOperationRequest,
) -> Result<ExecuteMultiOperationResponse, Error> {
    let namespace = frontend.namespaces.startable(&request.namespace).await?;
    let (start, update) = split(request)?;
    let workflow = parse_start(&namespace, start).map_err(start_failed)?;
    let update = parse_update(&namespace, update, &workflow.workflow_id).map_err(update_failed)?;
    let _waiting = namespace.wait(Waiting::Update)?;
    let key = validate::workflow(&namespace, workflow.workflow_id.clone());
    let workflow_id = key.workflow_id.as_str();
    let start_request_id = workflow.request_id.clone();
    let update_request_id = update.request.request_id.clone();
    let (started, status) = execute(frontend, call, &key, workflow, update).await?;
    let is_new = started.started;
    let mut started = start::render(frontend, &namespace, workflow_id, start_request_id, started).await?;
    if !is_new {
        started.first_execution_run_id.clear();
    }
    let updated = render::response(namespace.name(), workflow_id, update_request_id, status);
    let responses = [
        OperationResponse::StartWorkflow(started),
        OperationResponse::UpdateWorkflow(updated),
    ];
    Ok(ExecuteMultiOperationResponse {
        responses: responses
            .into_iter()
            .map(|response| Response {
                response: Some(response),
            })
            .collect(),
    })
}

/// Starts and updates, and waits for the stage that the caller wants, but not for ever.
async fn execute(
    frontend: &Frontend,
    call: &Call,
    key: &WorkflowKey,
    workflow: StartWorkflow,
    update: AdmitUpdate,
) -> Result<(Started, UpdateStatus), Error> {
    let both = |wait| Start {
        workflow: Box::new(workflow.clone()),
        with: StartWith::Update(Box::new(AdmitUpdate {
            wait,
            ..update.clone()
        })),
    };
    let asked = frontend.start(key, both(update.wait));
    let reply = match tokio::time::timeout_at(call.news_limit(), asked).await {
        Ok(reply) => reply?,
        // Sent again, under the same request and update ids, it tells how far it got.
        Err(_) => frontend.start(key, both(UpdateStage::Admitted)).await?,
    };
    match reply {
        Reply::StartedAndUpdated {
            started,
            update: Some(status),
        } => Ok((*started, *status)),
        _ => Err(Error::unexpected_reply()),
    }
}

fn split(
    request: ExecuteMultiOperationRequest,
) -> Result<(StartWorkflowExecutionRequest, UpdateWorkflowExecutionRequest), Error> {
    let namespace = request.namespace;
    let mut operations = request
        .operations
        .into_iter()
        .map(|operation| operation.operation);
    let (Some(Some(Operation::StartWorkflow(start))), Some(Some(Operation::UpdateWorkflow(update))), None) =
        (operations.next(), operations.next(), operations.next())
    else {
        return Err(Error::invalid("Operations have to be exactly [Start, Update]."));
    };
    let differs = |other: &str| !other.is_empty() && other != namespace;
    let mismatch = || Error::invalid("Operation namespace did not match request's namespace.");
    match (differs(&start.namespace), differs(&update.namespace)) {
        (true, true) => Err(Error::MultiOperation {
            start: Box::new(mismatch()),
            update: Box::new(mismatch()),
        }),
        (true, false) => Err(start_failed(mismatch())),
        (false, true) => Err(update_failed(mismatch())),
        (false, false) => Ok((start, update)),
    }
}

fn parse_start(
    namespace: &Namespace,
    request: StartWorkflowExecutionRequest,
) -> Result<StartWorkflow, Error> {
    let is_eager = request.request_eager_execution;
    let is_unnamed = request.namespace.is_empty();
    let workflow = start::parse(namespace, request)?;
    if is_unnamed {
        // The update takes its namespace from the request, the start does not.
        return Err(Error::NamespaceNotFound(String::new()));
    }
    if !workflow.cron_schedule.is_empty() {
        return Err(Error::invalid("CronSchedule is not allowed."));
    }
    if is_eager {
        return Err(Error::invalid("RequestEagerExecution is not supported."));
    }
    if !workflow.start_delay.is_zero() {
        return Err(Error::invalid("WorkflowStartDelay is not supported."));
    }
    Ok(workflow)
}

fn parse_update(
    namespace: &Namespace,
    request: UpdateWorkflowExecutionRequest,
    workflow_id: &str,
) -> Result<AdmitUpdate, Error> {
    let target = validate::target(namespace, request.workflow_execution)?;
    if !request.first_execution_run_id.is_empty() {
        return Err(Error::invalid("FirstExecutionRunId is not allowed."));
    }
    if target.run_id.is_some() {
        return Err(Error::invalid("RunId is not allowed."));
    }
    if target.workflow.workflow_id.as_str() != workflow_id {
        return Err(Error::invalid(
            "WorkflowId is not consistent with previous operation(s).",
        ));
    }
    update::parse(
        &namespace.sizes,
        request.request,
        request.wait_policy,
        String::new(),
    )
}

fn start_failed(error: Error) -> Error {
    Error::MultiOperation {
        start: Box::new(error),
        update: Box::new(Error::Aborted),
    }
}

fn update_failed(error: Error) -> Error {
    Error::MultiOperation {
        start: Box::new(Error::Aborted),
        update: Box::new(error),
    }
}
