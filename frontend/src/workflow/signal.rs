//! SignalWorkflowExecution (reference 1.2).

use engine::{
    outcome::Reply,
    trigger::{Signal, Trigger},
};
use proto::temporal::{
    enums::v1::EventType,
    workflowservice::v1::{SignalWorkflowExecutionRequest, SignalWorkflowExecutionResponse},
};

use crate::{call::Call, error::Error, frontend::Frontend, render::links, validate};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: SignalWorkflowExecutionRequest,
) -> Result<SignalWorkflowExecutionResponse, Error> {
    let namespace = frontend.namespaces.usable(&request.namespace).await?;
    let target = validate::target(&namespace, request.workflow_execution)?;
    validate::required(&request.signal_name, "SignalName is not set on request.")?;
    validate::short(
        &namespace.sizes,
        &request.signal_name,
        "SignalName length exceeds limit.",
    )?;
    validate::request_id(&namespace.sizes, &request.request_id)?;
    validate::links::check(&request.links)?;
    validate::blob(&namespace, request.input.as_ref())?;
    let signal = Signal {
        name: request.signal_name,
        input: request.input,
        header: request.header,
        identity: request.identity,
        request_id: request.request_id,
        links: request.links,
        ..Default::default()
    };
    match frontend.ask(&target, Trigger::Signal(Box::new(signal))).await? {
        Reply::Signaled {
            request_id, run_id, ..
        } => {
            let workflow_id = target.workflow.workflow_id.as_str();
            let kind = EventType::WorkflowExecutionSignaled;
            let link = links::to_request(namespace.name(), workflow_id, &run_id, request_id, kind);
            Ok(SignalWorkflowExecutionResponse { link: Some(link) })
        }
        _ => Err(Error::unexpected_reply()),
    }
}
