//! ListOpenWorkflowExecutions and ListClosedWorkflowExecutions (reference 1.3): what there was before queries.

use std::ops::RangeInclusive;

use proto::{
    temporal::{
        enums::v1::WorkflowExecutionStatus as Status,
        filter::v1::StartTimeFilter,
        workflowservice::v1::{
            ListClosedWorkflowExecutionsRequest, ListClosedWorkflowExecutionsResponse,
            ListOpenWorkflowExecutionsRequest, ListOpenWorkflowExecutionsResponse,
            list_closed_workflow_executions_request::Filters as ClosedFilters,
            list_open_workflow_executions_request::Filters as OpenFilters,
        },
    },
    time::Timestamp,
};
use storage::visibility::query::{ListQuery, Only};

use super::{Listed, list};
use crate::{call::Call, error::Error, frontend::Frontend};

pub(crate) async fn handle_open(
    frontend: &Frontend,
    _: &Call,
    request: ListOpenWorkflowExecutionsRequest,
) -> Result<ListOpenWorkflowExecutionsResponse, Error> {
    let namespace = frontend.namespaces.searchable(&request.namespace).await?;
    let only = match request.filters {
        Some(OpenFilters::ExecutionFilter(filter)) => Only::WorkflowId(filter.workflow_id),
        Some(OpenFilters::TypeFilter(filter)) => Only::WorkflowType(filter.name),
        None => Only::Anything,
    };
    let query = ListQuery::open(window(request.start_time_filter.as_ref())?, only);
    let (size, token) = (request.maximum_page_size, request.next_page_token);
    let Listed {
        executions,
        next_page_token,
    } = list(frontend, &namespace, query, size, token).await?;
    Ok(ListOpenWorkflowExecutionsResponse {
        executions,
        next_page_token,
    })
}

pub(crate) async fn handle_closed(
    frontend: &Frontend,
    _: &Call,
    request: ListClosedWorkflowExecutionsRequest,
) -> Result<ListClosedWorkflowExecutionsResponse, Error> {
    let namespace = frontend.namespaces.searchable(&request.namespace).await?;
    let only = match request.filters {
        Some(ClosedFilters::ExecutionFilter(filter)) => Only::WorkflowId(filter.workflow_id),
        Some(ClosedFilters::TypeFilter(filter)) => Only::WorkflowType(filter.name),
        Some(ClosedFilters::StatusFilter(filter)) if Status::try_from(filter.status).is_err() => {
            return Err(Error::invalid(format!(
                "invalid query: invalid expression: invalid ExecutionStatus value '{}'",
                filter.status
            )));
        }
        Some(ClosedFilters::StatusFilter(filter)) => match filter.status() {
            Status::Unspecified | Status::Running => {
                return Err(Error::invalid(
                    "StatusFilter must be specified and must be not Running.",
                ));
            }
            status => Only::Status(status),
        },
        None => Only::Anything,
    };
    let query = ListQuery::closed(window(request.start_time_filter.as_ref())?, only);
    let (size, token) = (request.maximum_page_size, request.next_page_token);
    let Listed {
        executions,
        next_page_token,
    } = list(frontend, &namespace, query, size, token).await?;
    Ok(ListClosedWorkflowExecutionsResponse {
        executions,
        next_page_token,
    })
}

/// Reads a window of time; it is open where the filter says nothing.
fn window(filter: Option<&StartTimeFilter>) -> Result<RangeInclusive<Timestamp>, Error> {
    let earliest = filter.and_then(|filter| filter.earliest_time.as_ref());
    let latest = filter.and_then(|filter| filter.latest_time.as_ref());
    let earliest = earliest.map_or(Timestamp::EPOCH, Timestamp::from_proto);
    let latest = latest.map_or(Timestamp::MAX, Timestamp::from_proto);
    if earliest > latest {
        return Err(Error::invalid(
            "EarliestTime in StartTimeFilter should not be larger than LatestTime.",
        ));
    }
    Ok(earliest..=latest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_must_not_be_turned_around() {
        let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let filter = StartTimeFilter {
            earliest_time: time(5),
            latest_time: time(1),
        };
        let error = window(Some(&filter)).expect_err("turned around");
        assert_eq!(
            error.to_string(),
            "EarliestTime in StartTimeFilter should not be larger than LatestTime."
        );
        assert_eq!(window(None), Ok(Timestamp::EPOCH..=Timestamp::MAX));
    }
}
