//! What a task's token says, checked against the request that hands it back.

use std::sync::Arc;

use proto::{ids::WorkflowId, token::TaskToken};

use crate::{
    error::Error,
    frontend::Frontend,
    namespace::Namespace,
    validate::{self, RunTarget},
};

/// A token that fits its request.
pub(crate) struct Task {
    pub(crate) namespace: Arc<Namespace>,
    pub(crate) target: RunTarget,
    pub(crate) token: TaskToken,
}

/// Reads the token; a request without a namespace means the token's.
pub(crate) async fn read(frontend: &Frontend, namespace: &str, bytes: &[u8]) -> Result<Task, Error> {
    if bytes.is_empty() {
        return Err(Error::invalid("Task token not set on request."));
    }
    let malformed = || Error::invalid("Error deserializing task token.");
    let token = TaskToken::from_bytes(bytes).map_err(|_| malformed())?;
    let namespace_id = token.namespace_id.parse().map_err(|_| malformed())?;
    let namespace = if namespace.is_empty() {
        frontend.namespaces.by_id(namespace_id).await?
    } else {
        let namespace = frontend.namespaces.usable(namespace).await?;
        if namespace.id != namespace_id {
            return Err(Error::invalid(
                "Operation requested with a token from a different namespace.",
            ));
        }
        namespace
    };
    let run_id = validate::run_id(&token.run_id).map_err(|_| malformed())?;
    if token.workflow_id.is_empty() || run_id.is_none() {
        return Err(malformed());
    }
    let workflow_id = WorkflowId::from(token.workflow_id.as_str());
    let workflow = proto::ids::WorkflowKey {
        namespace_id,
        workflow_id,
    };
    Ok(Task {
        namespace,
        target: RunTarget { workflow, run_id },
        token,
    })
}
