//! A run as lists show it.

use prost::Message;
use proto::{
    temporal::{
        common::v1::{Memo, WorkflowExecution},
        workflow::v1::WorkflowExecutionInfo,
    },
    time::duration_to_proto,
};
use storage::visibility::{
    attributes::Schema,
    record::{Execution, Record},
};

use super::workflow_type;

pub(crate) fn listed(record: Record, schema: &Schema) -> WorkflowExecutionInfo {
    let close = record.close;
    WorkflowExecutionInfo {
        execution: Some(WorkflowExecution {
            workflow_id: record.workflow_id.as_str().to_owned(),
            run_id: record.run_id.to_string(),
        }),
        r#type: workflow_type(record.workflow_type),
        start_time: Some(record.start_time.to_proto()),
        close_time: close.map(|close| close.time.to_proto()),
        status: record.status.into(),
        history_length: close.map_or(0, |close| close.history_length),
        parent_execution: record.parent.as_ref().map(execution),
        execution_time: Some(record.execution_time.to_proto()),
        // A memo that cannot be read is not shown: the list must not fail for it.
        memo: Some(Memo::decode(record.memo).unwrap_or_default()),
        search_attributes: Some(record.search_attributes.to_api(schema)),
        task_queue: record.task_queue,
        state_transition_count: close.map_or(0, |close| close.state_transition_count),
        history_size_bytes: close.map_or(0, |close| close.history_size_bytes),
        execution_duration: close.map(|close| duration_to_proto(close.execution_duration)),
        root_execution: Some(execution(&record.root)),
        ..Default::default()
    }
}

fn execution(execution: &Execution) -> WorkflowExecution {
    WorkflowExecution {
        workflow_id: execution.workflow_id.as_str().to_owned(),
        run_id: execution.run_id.to_string(),
    }
}
