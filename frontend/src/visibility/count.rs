//! CountWorkflowExecutions (reference 1.3).

use proto::temporal::workflowservice::v1::{
    CountWorkflowExecutionsRequest, CountWorkflowExecutionsResponse,
    count_workflow_executions_response::AggregationGroup,
};
use storage::visibility::{
    Group,
    query::{CountQuery, Division},
};

use crate::{call::Call, error::Error, frontend::Frontend};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: CountWorkflowExecutionsRequest,
) -> Result<CountWorkflowExecutionsResponse, Error> {
    let namespace = frontend.namespaces.searchable(&request.namespace).await?;
    let query = CountQuery::parse(&request.query, &namespace.schema, Division::Workflows)?;
    let count = frontend.router.visibility().count(namespace.id, query).await?;
    Ok(CountWorkflowExecutionsResponse {
        count: signed(count.total),
        groups: count.groups.into_iter().map(group).collect(),
    })
}

fn group(group: Group) -> AggregationGroup {
    AggregationGroup {
        group_values: vec![group.value.to_payload()],
        count: signed(group.count),
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
