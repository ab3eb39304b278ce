//! SignalWithStartWorkflowExecution (reference 1.2, 2.18).

use engine::{
    outcome::Reply,
    trigger::{Signal, Start, StartWith, StartWorkflow},
};
use proto::temporal::{
    enums::v1::{EventType, WorkflowIdConflictPolicy},
    workflowservice::v1::{
        SignalWithStartWorkflowExecutionRequest, SignalWithStartWorkflowExecutionResponse,
    },
};

use crate::{
    call::Call,
    config::Sizes,
    error::Error,
    frontend::{Frontend, id_or_fresh},
    namespace::Namespace,
    render::links,
    validate::{self, start},
};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: SignalWithStartWorkflowExecutionRequest,
) -> Result<SignalWithStartWorkflowExecutionResponse, Error> {
    let namespace = frontend.namespaces.startable(&request.namespace).await?;
    let (workflow, signal) = parse(&namespace, request)?;
    let key = validate::workflow(&namespace, workflow.workflow_id.clone());
    let start = Start {
        workflow: Box::new(workflow),
        with: StartWith::Signal(Box::new(signal)),
    };
    match frontend.start(&key, start).await? {
        Reply::Signaled {
            request_id,
            run_id,
            started,
            ..
        } => {
            let kind = EventType::WorkflowExecutionSignaled;
            let (name, workflow_id) = (namespace.name(), key.workflow_id.as_str());
            let signal_link = Some(links::to_request(name, workflow_id, &run_id, request_id, kind));
            let first_execution_run_id = started
                .as_ref()
                .map(|s| s.first_run_id.clone())
                .unwrap_or_default();
            let started = started.is_some_and(|started| started.started);
            Ok(SignalWithStartWorkflowExecutionResponse {
                run_id,
                first_execution_run_id,
                started,
                signal_link,
            })
        }
        _ => Err(Error::unexpected_reply()),
    }
}

fn parse(
    namespace: &Namespace,
    request: SignalWithStartWorkflowExecutionRequest,
) -> Result<(StartWorkflow, Signal), Error> {
    check_names(&namespace.sizes, &request)?;
    let (reuse, conflict) = policies(&request)?;
    let workflow_type = request.workflow_type.unwrap_or_default().name;
    let task_queue = validate::user_queue(&namespace.sizes, request.task_queue)?;
    let timeouts = start::timeouts(
        &namespace.sizes,
        request.workflow_execution_timeout.as_ref(),
        request.workflow_run_timeout.as_ref(),
        request.workflow_task_timeout.as_ref(),
    )?;
    let retry_policy = validate::retry::policy(request.retry_policy)?;
    let start_delay = start::delay(request.workflow_start_delay.as_ref(), &request.cron_schedule)?;
    start::time_skipping(request.time_skipping_config.is_some())?;
    validate::priority::check(request.priority.as_ref())?;
    validate::links::check(&request.links)?;
    validate::versioning::check(request.versioning_override.as_ref(), &task_queue)?;
    validate::attributes::check(namespace, request.search_attributes.as_ref())?;
    start::memo(namespace, request.memo.as_ref())?;
    validate::blob(namespace, request.input.as_ref())?;
    validate::blob(namespace, request.signal_input.as_ref())?;
    let request_id = id_or_fresh(request.request_id)?;
    let signal = Signal {
        name: request.signal_name,
        input: request.signal_input,
        header: request.header.clone(),
        identity: request.identity.clone(),
        request_id: request_id.clone(),
        links: request.links.clone(),
        ..Default::default()
    };
    let workflow = StartWorkflow {
        namespace_id: namespace.id.to_string(),
        workflow_id: request.workflow_id,
        workflow_type,
        task_queue,
        input: request.input,
        header: request.header,
        execution_timeout: timeouts.execution,
        run_timeout: timeouts.run,
        task_timeout: timeouts.task,
        identity: request.identity,
        request_id,
        reuse,
        conflict,
        retry_policy,
        cron_schedule: request.cron_schedule,
        start_delay,
        memo: request.memo.filter(|memo| !memo.fields.is_empty()),
        search_attributes: request
            .search_attributes
            .filter(|attributes| !attributes.indexed_fields.is_empty()),
        user_metadata: request.user_metadata,
        links: request.links,
        priority: request.priority,
        versioning_override: request.versioning_override,
        ..Default::default()
    };
    Ok((workflow, signal))
}

fn check_names(sizes: &Sizes, request: &SignalWithStartWorkflowExecutionRequest) -> Result<(), Error> {
    validate::required(&request.workflow_id, "WorkflowId is not set on request.")?;
    start::bounded(sizes, &request.workflow_id, "WorkflowId")?;
    validate::required(&request.signal_name, "signal not set")?;
    start::bounded(sizes, &request.signal_name, "signal name")?;
    let workflow_type = request
        .workflow_type
        .as_ref()
        .map_or("", |workflow_type| &workflow_type.name);
    validate::required(workflow_type, "workflow type not set")?;
    start::bounded(sizes, workflow_type, "workflow type name")?;
    start::bounded(sizes, &request.request_id, "Request ID")
}

fn policies(
    request: &SignalWithStartWorkflowExecutionRequest,
) -> Result<
    (
        proto::temporal::enums::v1::WorkflowIdReusePolicy,
        WorkflowIdConflictPolicy,
    ),
    Error,
> {
    let default = WorkflowIdConflictPolicy::UseExisting;
    let policies = start::policies(
        request.workflow_id_reuse_policy,
        request.workflow_id_conflict_policy,
        default,
    )?;
    if request.workflow_id_conflict_policy() == WorkflowIdConflictPolicy::Fail {
        return Err(Error::invalid(
            "Invalid WorkflowIDConflictPolicy: WORKFLOW_ID_CONFLICT_POLICY_FAIL is not supported for this operation.",
        ));
    }
    Ok(policies)
}
