//! ListArchivedWorkflowExecutions (reference 1.3): nothing is archived.

use proto::temporal::workflowservice::v1::{
    ListArchivedWorkflowExecutionsRequest, ListArchivedWorkflowExecutionsResponse,
};

use crate::{call::Call, error::Error, frontend::Frontend, limits};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: ListArchivedWorkflowExecutionsRequest,
) -> Result<ListArchivedWorkflowExecutionsResponse, Error> {
    frontend.namespaces.searchable(&request.namespace).await?;
    let max = limits::ARCHIVED_PAGE_MAX;
    if request.page_size > max {
        return Err(Error::invalid(format!("PageSize is larger than allowed {max}.")));
    }
    Err(Error::invalid(
        "Cluster is not configured for visibility archival.",
    ))
}
