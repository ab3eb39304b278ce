//! ResetStickyTaskQueue (reference 1.4): the next workflow task goes to the workflow's own queue.

use engine::trigger::Trigger;
use proto::temporal::workflowservice::v1::{ResetStickyTaskQueueRequest, ResetStickyTaskQueueResponse};

use crate::{call::Call, error::Error, frontend::Frontend, validate};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: ResetStickyTaskQueueRequest,
) -> Result<ResetStickyTaskQueueResponse, Error> {
    let namespace = frontend.namespaces.usable(&request.namespace).await?;
    let target = validate::target(&namespace, request.execution)?;
    frontend.ask(&target, Trigger::ResetSticky).await?;
    Ok(ResetStickyTaskQueueResponse {})
}
