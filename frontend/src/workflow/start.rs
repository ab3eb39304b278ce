//! StartWorkflowExecution (reference 1.2, 2.13, 2.21).

use engine::{
    outcome::{Reply, Started},
    trigger::{OnConflict, Start, StartWith, StartWorkflow},
};
use proto::temporal::{
    enums::v1::{EventType, WorkflowIdConflictPolicy},
    workflowservice::v1::{StartWorkflowExecutionRequest, StartWorkflowExecutionResponse},
};

use crate::{
    call::Call,
    error::Error,
    frontend::{Frontend, id_or_fresh},
    namespace::Namespace,
    render::{links, workflow_task::workflow_task},
    validate::{self, start},
};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: StartWorkflowExecutionRequest,
) -> Result<StartWorkflowExecutionResponse, Error> {
    let namespace = frontend.namespaces.startable(&request.namespace).await?;
    let workflow = parse(&namespace, request)?;
    let key = validate::workflow(&namespace, workflow.workflow_id.clone());
    let request_id = workflow.request_id.clone();
    let start = Start {
        workflow: Box::new(workflow),
        with: StartWith::Nothing,
    };
    match frontend.start(&key, start).await? {
        Reply::Started(started) => {
            render(
                frontend,
                &namespace,
                key.workflow_id.as_str(),
                request_id,
                *started,
            )
            .await
        }
        _ => Err(Error::unexpected_reply()),
    }
}

/// Reads the request: what comes out of here can be started.
pub(super) fn parse(
    namespace: &Namespace,
    request: StartWorkflowExecutionRequest,
) -> Result<StartWorkflow, Error> {
    validate::required(&request.workflow_id, "WorkflowId is not set on request.")?;
    start::bounded(&namespace.sizes, &request.workflow_id, "WorkflowId")?;
    let retry_policy = validate::retry::policy(request.retry_policy)?;
    let timeouts = start::timeouts(
        &namespace.sizes,
        request.workflow_execution_timeout.as_ref(),
        request.workflow_run_timeout.as_ref(),
        request.workflow_task_timeout.as_ref(),
    )?;
    let start_delay = start::delay(request.workflow_start_delay.as_ref(), &request.cron_schedule)?;
    validate::request_id(&namespace.sizes, &request.request_id)?;
    let workflow_type = request.workflow_type.unwrap_or_default().name;
    validate::required(&workflow_type, "WorkflowType is not set on request.")?;
    validate::short(
        &namespace.sizes,
        &workflow_type,
        "WorkflowType length exceeds limit.",
    )?;
    let task_queue = validate::user_queue(&namespace.sizes, request.task_queue)?;
    let (reuse, conflict) = start::policies(
        request.workflow_id_reuse_policy,
        request.workflow_id_conflict_policy,
        WorkflowIdConflictPolicy::Fail,
    )?;
    let on_conflict = on_conflict(request.on_conflict_options.unwrap_or_default())?;
    start::time_skipping(request.time_skipping_config.is_some())?;
    validate::priority::check(request.priority.as_ref())?;
    validate::links::check_all(&request.links, &request.completion_callbacks)?;
    validate::callbacks::check(&request.completion_callbacks)?;
    validate::versioning::check(request.versioning_override.as_ref(), &task_queue)?;
    validate::attributes::check(namespace, request.search_attributes.as_ref())?;
    start::memo(namespace, request.memo.as_ref())?;
    validate::blob(namespace, request.input.as_ref())?;
    Ok(StartWorkflow {
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
        request_id: id_or_fresh(request.request_id)?,
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
        callbacks: request.completion_callbacks,
        priority: request.priority,
        versioning_override: request.versioning_override,
        last_completion_result: request.last_completion_result,
        continued_failure: request.continued_failure,
        eager: request.request_eager_execution,
        on_conflict,
        ..Default::default()
    })
}

fn on_conflict(options: proto::temporal::workflow::v1::OnConflictOptions) -> Result<OnConflict, Error> {
    if options.attach_completion_callbacks && !options.attach_request_id {
        return Err(Error::invalid(
            "attaching request ID is required for attaching completion callbacks",
        ));
    }
    Ok(OnConflict {
        attach_request_id: options.attach_request_id,
        attach_callbacks: options.attach_completion_callbacks,
        attach_links: options.attach_links,
    })
}

/// Renders the answer; a first workflow task that was asked for comes with it.
pub(super) async fn render(
    frontend: &Frontend,
    namespace: &Namespace,
    workflow_id: &str,
    request_id: String,
    started: Started,
) -> Result<StartWorkflowExecutionResponse, Error> {
    let (name, run_id) = (namespace.name(), &started.run_id);
    let link = if started.attached {
        let kind = EventType::WorkflowExecutionOptionsUpdated;
        links::to_request(name, workflow_id, run_id, request_id, kind)
    } else {
        links::to_event(name, workflow_id, run_id, 1, EventType::WorkflowExecutionStarted)
    };
    let eager_workflow_task = match started.eager {
        Some(task) => {
            let run_id = run_id
                .parse()
                .map_err(|_| Error::Internal("run id is malformed".to_owned()))?;
            let run = validate::workflow(namespace, workflow_id.to_owned()).run(run_id);
            Some(workflow_task(frontend, namespace, &run, *task).await?)
        }
        None => None,
    };
    Ok(StartWorkflowExecutionResponse {
        run_id: started.run_id,
        first_execution_run_id: started.first_run_id,
        started: started.started,
        status: started.status,
        eager_workflow_task,
        link: Some(link),
    })
}
