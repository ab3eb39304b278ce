//! History: pages of a run's events, read from the store. The store keeps one node for each transaction.

pub(crate) mod token;

use bytes::Bytes;
use prost::Message;
use proto::{
    ids::RunKey,
    temporal::history::v1::{History, HistoryEvent},
};
use storage::{batch::HistoryKey, shard::HistoryRange};

pub(crate) use self::token::HistoryToken;
use crate::{config::Sizes, error::Error, frontend::Frontend, limits};

/// Some events of a history, dense and in order.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) events: Vec<HistoryEvent>,
    /// The first event after them; of a reverse page the last one before them.
    pub(crate) next: i64,
}

/// Reads events `from..to`, as many transactions as fit on a page.
pub(crate) async fn page(
    frontend: &Frontend,
    run: &RunKey,
    from: i64,
    to: i64,
    max_nodes: usize,
) -> Result<Page, Error> {
    let events = read(frontend, run, from, to, max_nodes, false).await?;
    let next = events.last().map_or(from, |event| event.event_id + 1);
    Ok(Page { events, next })
}

/// Reads events `1..to` from the newest on, as many transactions as fit on a page.
pub(crate) async fn reverse_page(
    frontend: &Frontend,
    run: &RunKey,
    to: i64,
    max_nodes: usize,
) -> Result<Page, Error> {
    let events = read(frontend, run, 1, to, max_nodes, true).await?;
    let next = events.last().map_or(0, |event| event.event_id - 1);
    Ok(Page { events, next })
}

/// Reads events `from..to`, all of them. Only for what limits on histories bound, as a reset does.
pub(crate) async fn all(
    frontend: &Frontend,
    run: &RunKey,
    from: i64,
    to: i64,
) -> Result<Vec<HistoryEvent>, Error> {
    let mut events = Vec::new();
    let mut next = from;
    while next < to {
        let page = page(frontend, run, next, to, usize::MAX).await?;
        next = page.next;
        events.extend(page.events);
    }
    Ok(events)
}

async fn read(
    frontend: &Frontend,
    run: &RunKey,
    from: i64,
    to: i64,
    max_nodes: usize,
    reverse: bool,
) -> Result<Vec<HistoryEvent>, Error> {
    let range = HistoryRange {
        history: HistoryKey {
            namespace_id: run.workflow.namespace_id,
            run_id: run.run_id,
        },
        from_event_id: from,
        to_event_id: to,
        reverse,
        max_nodes: max_nodes.min(limits::HISTORY_PAGE_NODES_MAX),
        max_bytes: limits::HISTORY_PAGE_BYTES_MAX,
    };
    let mut events = Vec::new();
    for node in frontend.router.history(&run.workflow, range).await? {
        let mut node = decode(&node.events)?;
        if reverse {
            node.reverse();
        }
        events.extend(
            node.into_iter()
                .filter(|event| (from..to).contains(&event.event_id)),
        );
    }
    if events.is_empty() && from < to {
        // Deleted since the shard was asked, or not stored: there is nothing to show.
        return Err(Error::NotFound("workflow execution history not found".to_owned()));
    }
    Ok(events)
}

/// Reads a node.
pub(crate) fn decode(node: &Bytes) -> Result<Vec<HistoryEvent>, Error> {
    let history = History::decode(node.clone())
        .map_err(|error| Error::Internal(format!("stored history is malformed: {error}")))?;
    Ok(history.events)
}

/// Reads how many transactions a page may have.
pub(crate) fn page_size(size: i32, sizes: &Sizes) -> usize {
    match usize::try_from(size) {
        Ok(0) | Err(_) => sizes.history_page_default,
        Ok(size) => size.min(limits::HISTORY_PAGE_NODES_MAX),
    }
}
