//! GetWorkflowExecutionHistoryReverse (reference 1.2): the newest events first, without waiting.

use engine::{
    outcome::{Position, Reply},
    trigger::Trigger,
};
use proto::temporal::{
    history::v1::History,
    workflowservice::v1::{
        GetWorkflowExecutionHistoryReverseRequest, GetWorkflowExecutionHistoryReverseResponse,
    },
};

use crate::{
    call::Call,
    error::Error,
    frontend::Frontend,
    history::{self, HistoryToken},
    render::events,
    validate::{self, RunTarget},
};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: GetWorkflowExecutionHistoryReverseRequest,
) -> Result<GetWorkflowExecutionHistoryReverseResponse, Error> {
    let namespace = frontend.namespaces.usable(&request.namespace).await?;
    let mut target = validate::target(&namespace, request.execution)?;
    let token = match request.next_page_token.as_slice() {
        [] => None,
        bytes => {
            let (token, run_id) = HistoryToken::read(bytes, target.run_id)?;
            target.run_id = Some(run_id);
            Some(token)
        }
    };
    let position = position(frontend, &target).await?;
    let run_id = position
        .run_id
        .parse()
        .map_err(|_| Error::Internal("run id is malformed".to_owned()))?;
    let to = token.map_or(position.next_event_id, |token| {
        token.next.min(position.next_event_id)
    });
    let run = target.workflow.run(run_id);
    let size = history::page_size(request.maximum_page_size, frontend.sizes());
    let mut page = history::reverse_page(frontend, &run, to, size).await?;
    events::complete(&mut page.events, &namespace.schema);
    let next_page_token = if page.next < 1 {
        Vec::new()
    } else {
        HistoryToken::new(
            &position.run_id,
            page.next + 1,
            position.next_event_id,
            position.open,
        )
        .to_bytes()
    };
    Ok(GetWorkflowExecutionHistoryReverseResponse {
        history: Some(History { events: page.events }),
        next_page_token,
    })
}

/// Asks how far the run's history goes. Whatever is behind the answer is in the store.
pub(super) async fn position(frontend: &Frontend, target: &RunTarget) -> Result<Position, Error> {
    match frontend
        .ask(target, Trigger::Position { wait_after: None })
        .await?
    {
        Reply::Position(position) => Ok(*position),
        _ => Err(Error::unexpected_reply()),
    }
}
