//! ListWorkflowExecutions and ScanWorkflowExecutions, which is the same (reference 1.3).

use proto::temporal::workflowservice::v1::{
    ListWorkflowExecutionsRequest, ListWorkflowExecutionsResponse, ScanWorkflowExecutionsRequest,
    ScanWorkflowExecutionsResponse,
};

use super::{Listed, list, parse};
use crate::{call::Call, error::Error, frontend::Frontend};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: ListWorkflowExecutionsRequest,
) -> Result<ListWorkflowExecutionsResponse, Error> {
    let namespace = frontend.namespaces.searchable(&request.namespace).await?;
    let query = parse(&namespace, &request.query)?;
    let Listed {
        executions,
        next_page_token,
    } = list(
        frontend,
        &namespace,
        query,
        request.page_size,
        request.next_page_token,
    )
    .await?;
    Ok(ListWorkflowExecutionsResponse {
        executions,
        next_page_token,
    })
}

pub(crate) async fn handle_scan(
    frontend: &Frontend,
    _: &Call,
    request: ScanWorkflowExecutionsRequest,
) -> Result<ScanWorkflowExecutionsResponse, Error> {
    let namespace = frontend.namespaces.searchable(&request.namespace).await?;
    let query = parse(&namespace, &request.query)?;
    let Listed {
        executions,
        next_page_token,
    } = list(
        frontend,
        &namespace,
        query,
        request.page_size,
        request.next_page_token,
    )
    .await?;
    Ok(ScanWorkflowExecutionsResponse {
        executions,
        next_page_token,
    })
}
