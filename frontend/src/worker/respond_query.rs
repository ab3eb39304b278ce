//! RespondQueryTaskCompleted (reference 1.4): hands a worker's answer to the caller that waits for it.

use matching::{error::AnswerError, handle::QueryAnswer, input::QueryId};
use prost::Message;
use proto::{
    ids::{NamespaceId, QueueKey, TaskKind},
    temporal::{
        enums::v1::QueryResultType,
        workflowservice::v1::{RespondQueryTaskCompletedRequest, RespondQueryTaskCompletedResponse},
    },
    token::QueryToken,
};

use super::query_task::read_queue;
use crate::{call::Call, config::Sizes, error::Error, frontend::Frontend};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: RespondQueryTaskCompletedRequest,
) -> Result<RespondQueryTaskCompletedResponse, Error> {
    if request.task_token.is_empty() {
        return Err(Error::invalid("Task token not set on request."));
    }
    let malformed = || Error::invalid("Error deserializing task token.");
    let token = QueryToken::from_bytes(&request.task_token).map_err(|_| malformed())?;
    let namespace_id: NamespaceId = token.namespace_id.parse().map_err(|_| malformed())?;
    if !request.namespace.is_empty() {
        let namespace = frontend.namespaces.usable(&request.namespace).await?;
        if namespace.id != namespace_id {
            return Err(Error::invalid(
                "Operation requested with a token from a different namespace.",
            ));
        }
    }
    let (sticky, name) = read_queue(&token).ok_or_else(malformed)?;
    let key = QueueKey {
        namespace_id,
        kind: TaskKind::Workflow,
        sticky,
        name: name.into(),
    };
    let id = QueryId(token.query);
    let Some(answer) = answer(&frontend.options.calls.sizes, request) else {
        return Ok(RespondQueryTaskCompletedResponse {});
    };
    match frontend.router.queue(&key).answer(id, answer).await {
        Ok(()) => Ok(RespondQueryTaskCompletedResponse {}),
        Err(AnswerError::Busy) => Err(Error::overloaded(AnswerError::Busy.to_string())),
        Err(AnswerError::Expired | AnswerError::Gone) => Err(Error::NotFound(
            "query task not found, or already expired".to_owned(),
        )),
    }
}

/// Reads the answer; one that is neither a result nor a failure is none.
fn answer(sizes: &Sizes, request: RespondQueryTaskCompletedRequest) -> Option<QueryAnswer> {
    let result_bytes = request.query_result.as_ref().map_or(0, Message::encoded_len);
    match request.completed_type() {
        QueryResultType::Unspecified => None,
        QueryResultType::Answered if result_bytes > sizes.blob_bytes_max => Some(QueryAnswer::Failed {
            message: "Blob data size exceeds limit.".to_owned(),
            failure: None,
        }),
        QueryResultType::Answered => Some(QueryAnswer::Completed(request.query_result)),
        QueryResultType::Failed => Some(QueryAnswer::Failed {
            message: request.error_message,
            failure: request.failure.map(Box::new),
        }),
    }
}
