//! GetWorkflowExecutionHistory (reference 1.2): in pages, or only the closing event; on request it waits for news.

use engine::{
    outcome::{Position, Reply},
    trigger::Trigger,
};
use proto::{
    ids::RunKey,
    temporal::{
        enums::v1::HistoryEventFilterType,
        history::v1::{History, HistoryEvent},
        workflowservice::v1::{GetWorkflowExecutionHistoryRequest, GetWorkflowExecutionHistoryResponse},
    },
};

use super::get_history_reverse::position;
use crate::{
    call::Call,
    error::Error,
    frontend::Frontend,
    history::{self, HistoryToken},
    namespace::Waiting,
    render::events,
    validate::{self, RunTarget},
};

mod disguise;

/// What the caller wants.
#[derive(Clone, Copy)]
struct Wish {
    close_only: bool,
    wait: bool,
    page_size: usize,
}

pub(crate) async fn handle(
    frontend: &Frontend,
    call: &Call,
    request: GetWorkflowExecutionHistoryRequest,
) -> Result<GetWorkflowExecutionHistoryResponse, Error> {
    let namespace = frontend.namespaces.usable(&request.namespace).await?;
    let wish = Wish {
        close_only: request.history_event_filter_type() == HistoryEventFilterType::CloseEvent,
        wait: request.wait_new_event,
        page_size: history::page_size(request.maximum_page_size, frontend.sizes()),
    };
    let _waiting = if wish.wait || wish.close_only {
        Some(namespace.wait(Waiting::History)?)
    } else {
        None
    };
    let mut target = validate::target(&namespace, request.execution)?;
    let token = match request.next_page_token.as_slice() {
        [] => None,
        bytes => {
            let (token, run_id) = HistoryToken::read(bytes, target.run_id)?;
            target.run_id = Some(run_id);
            Some(token)
        }
    };
    let position = news(frontend, call, &target, wait_after(wish, token.as_ref())).await?;
    let run_id = position
        .run_id
        .parse()
        .map_err(|_| Error::Internal("run id is malformed".to_owned()))?;
    let run = target.workflow.run(run_id);
    let (mut events, token) = if wish.close_only {
        closing(frontend, &run, &position, wish).await?
    } else {
        let cursor = cursor(wish, token, &position);
        events(frontend, call, &run, &position, cursor, wish).await?
    };
    if wish.close_only && !call.follows_next_run_id {
        events.iter_mut().for_each(disguise::disguise);
    }
    events::complete(&mut events, &namespace.schema);
    Ok(GetWorkflowExecutionHistoryResponse {
        history: Some(History { events }),
        next_page_token: token.map(|token| token.to_bytes()).unwrap_or_default(),
        ..Default::default()
    })
}

/// Returns the event to wait for, if the caller has seen all that there was.
fn wait_after(wish: Wish, token: Option<&HistoryToken>) -> Option<i64> {
    match token {
        // Nothing but the close wakes up who waits for the last possible event: the official server lets those wait
        // for it who did not ask to, too.
        _ if wish.close_only => Some(i64::MAX),
        _ if !wish.wait => None,
        Some(token) if token.next >= token.end && token.open => Some(token.end),
        _ => None,
    }
}

/// Asks how far history goes, and waits for it to go further; in vain it answers how far it went.
async fn news(
    frontend: &Frontend,
    call: &Call,
    target: &RunTarget,
    wait_after: Option<i64>,
) -> Result<Position, Error> {
    if wait_after.is_none() {
        return position(frontend, target).await;
    }
    let asked = frontend.ask(target, Trigger::Position { wait_after });
    tokio::select! {
        answer = tokio::time::timeout_at(call.news_deadline(), asked) => match answer {
            Ok(reply) => match reply? {
                Reply::Position(position) => Ok(*position),
                _ => Err(Error::unexpected_reply()),
            },
            Err(_) => position(frontend, target).await,
        },
        () = frontend.drained() => position(frontend, target).await,
    }
}

/// Returns where to read from. A reading goes on to where history ended when it began; then it looks again.
fn cursor(wish: Wish, token: Option<HistoryToken>, position: &Position) -> HistoryToken {
    let fresh = |next| HistoryToken::new(&position.run_id, next, position.next_event_id, position.open);
    match token {
        None => fresh(1),
        Some(token) if wish.wait && token.next >= token.end && token.open => fresh(token.end),
        // What was not written after all is not there to be read.
        Some(mut token) => {
            token.end = token.end.min(position.next_event_id);
            token
        }
    }
}

async fn events(
    frontend: &Frontend,
    call: &Call,
    run: &RunKey,
    position: &Position,
    mut cursor: HistoryToken,
    wish: Wish,
) -> Result<(Vec<HistoryEvent>, Option<HistoryToken>), Error> {
    if cursor.next >= cursor.end {
        return Ok((Vec::new(), cursor.open.then_some(cursor).filter(|_| wish.wait)));
    }
    let page = history::page(frontend, run, cursor.next, cursor.end, wish.page_size).await?;
    cursor.next = page.next;
    if cursor.next < cursor.end || (cursor.open && wish.wait) {
        return Ok((page.events, Some(cursor)));
    }
    let mut events = page.events;
    if !call.is_viewer() && cursor.end == position.next_event_id {
        events.extend(position.transient.iter().cloned());
    }
    Ok((events, None))
}

/// Returns the event that closed the run, or nothing while it is open.
async fn closing(
    frontend: &Frontend,
    run: &RunKey,
    position: &Position,
    wish: Wish,
) -> Result<(Vec<HistoryEvent>, Option<HistoryToken>), Error> {
    let end = position.next_event_id;
    if position.open {
        let token = HistoryToken::new(&position.run_id, end, end, true);
        return Ok((Vec::new(), wish.wait.then_some(token)));
    }
    let mut page = history::page(frontend, run, position.close_node, end, 1).await?;
    Ok((page.events.pop().into_iter().collect(), None))
}
