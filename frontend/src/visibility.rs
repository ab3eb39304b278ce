//! Which workflows there are: one file for each RPC over the visibility index.

pub(crate) mod count;
pub(crate) mod list;
pub(crate) mod list_archived;
pub(crate) mod list_by_filter;
pub(crate) mod search_attributes;

use proto::temporal::workflow::v1::WorkflowExecutionInfo;
use storage::visibility::query::{Division, ListQuery};

use crate::{error::Error, frontend::Frontend, namespace::Namespace, render::execution::listed};

/// One page of a list.
struct Listed {
    executions: Vec<WorkflowExecutionInfo>,
    next_page_token: Vec<u8>,
}

/// Reads a query.
fn parse(namespace: &Namespace, query: &str) -> Result<ListQuery, Error> {
    Ok(ListQuery::parse(query, &namespace.schema, Division::Workflows)?)
}

/// Reads one page; a size that is not set, or too large, is the largest.
async fn list(
    frontend: &Frontend,
    namespace: &Namespace,
    query: ListQuery,
    size: i32,
    token: Vec<u8>,
) -> Result<Listed, Error> {
    let most = frontend.sizes().list_page_max;
    let size = match usize::try_from(size) {
        Ok(0) | Err(_) => most,
        Ok(size) => size.min(most),
    };
    let page = frontend
        .router
        .visibility()
        .list(namespace.id, query, size, token.into())
        .await?;
    Ok(Listed {
        executions: page
            .records
            .into_iter()
            .map(|record| listed(record, &namespace.schema))
            .collect(),
        next_page_token: page.next_page_token.to_vec(),
    })
}
