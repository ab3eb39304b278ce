//! DescribeWorkflowExecution (reference 1.2).

use engine::{outcome::Reply, trigger::Trigger};
use proto::temporal::workflowservice::v1::{
    DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse,
};

use crate::{call::Call, error::Error, frontend::Frontend, validate};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: DescribeWorkflowExecutionRequest,
) -> Result<DescribeWorkflowExecutionResponse, Error> {
    let namespace = frontend.namespaces.usable(&request.namespace).await?;
    let target = validate::target(&namespace, request.execution)?;
    let Reply::Description(mut description) = frontend.ask(&target, Trigger::Describe).await? else {
        return Err(Error::unexpected_reply());
    };
    let info = description.workflow_execution_info.as_mut();
    if let Some(attributes) = info.and_then(|info| info.search_attributes.as_mut()) {
        namespace.schema.complete(attributes);
    }
    Ok(*description)
}
