//! ListNamespaces: pages of the registry, deleted ones on request.

use proto::temporal::{
    enums::v1::NamespaceState,
    workflowservice::v1::{ListNamespacesRequest, ListNamespacesResponse},
};

use crate::{call::Call, error::Error, frontend::Frontend, limits};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: ListNamespacesRequest,
) -> Result<ListNamespacesResponse, Error> {
    let include_deleted = request
        .namespace_filter
        .is_some_and(|filter| filter.include_deleted);
    let size = match usize::try_from(request.page_size) {
        Ok(0) | Err(_) => limits::NAMESPACE_PAGE_DEFAULT,
        Ok(size) => size.min(limits::NAMESPACE_PAGE_MAX),
    };
    // The token is the last key of the page before.
    let mut after = request.next_page_token;
    let mut namespaces = Vec::new();
    loop {
        let position = (!after.is_empty()).then_some(after.as_slice());
        let page = frontend.namespaces.stored_page(position, size).await?;
        let is_last = page.len() < size;
        for (key, stored) in page {
            after = key.to_vec();
            if include_deleted || stored.record.state() != NamespaceState::Deleted {
                namespaces.push(
                    stored
                        .record
                        .describe(&frontend.options.cluster_name, &frontend.options.calls.sizes),
                );
            }
            if namespaces.len() == size {
                return Ok(ListNamespacesResponse {
                    namespaces,
                    next_page_token: after,
                });
            }
        }
        if is_last {
            return Ok(ListNamespacesResponse {
                namespaces,
                next_page_token: Vec::new(),
            });
        }
    }
}
