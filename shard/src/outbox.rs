//! Outbox: visibility records that the index has not confirmed, one row per run.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use engine::run::Run;
use proto::{
    ids::{RunKey, WorkflowId, WorkflowKey},
    time::Timestamp,
};
use storage::visibility::{
    Update,
    attributes::{Schema, SearchAttributes},
    record::{Close, Execution, Record},
};

const UPSERT: u8 = 1;
const DELETE: u8 = 2;

/// Returns the run as lists show it.
pub(crate) fn record(key: &RunKey, run: &Run, schema: &Schema) -> Option<Record> {
    let state = run.state();
    let close = (!run.is_open()).then(|| Close {
        time: Timestamp::from_nanos(state.close_time),
        history_length: state.next_event_id - 1,
        history_size_bytes: state.history_bytes,
        state_transition_count: state.transitions,
        execution_duration: Duration::from_nanos(
            u64::try_from(state.close_time.saturating_sub(state.execution_time)).unwrap_or(0),
        ),
    });
    let parent = state
        .parent
        .as_ref()
        .and_then(|parent| execution(&parent.workflow_id, &parent.run_id));
    let root = execution(&state.root_workflow_id, &state.root_run_id).unwrap_or_else(|| Execution {
        workflow_id: key.workflow.workflow_id.clone(),
        run_id: key.run_id,
    });
    let attributes = state.search_attributes.as_ref();
    Some(Record {
        namespace_id: key.workflow.namespace_id,
        workflow_id: key.workflow.workflow_id.clone(),
        run_id: key.run_id,
        version: u64::try_from(state.transitions).ok()?,
        workflow_type: state.workflow_type.clone(),
        task_queue: state.task_queue.clone(),
        status: run.status(),
        start_time: Timestamp::from_nanos(state.start_time),
        execution_time: Timestamp::from_nanos(state.execution_time),
        close,
        parent,
        root,
        memo: state
            .memo
            .as_ref()
            .map(prost::Message::encode_to_vec)
            .unwrap_or_default()
            .into(),
        search_attributes: attributes
            .map(|attributes| SearchAttributes::from_checked(attributes, schema))
            .unwrap_or_default(),
    })
}

/// Returns the record's end, one version later: what lists no longer show is not needed to find the run there.
pub(crate) fn gone(last: Record) -> Update {
    Update::Delete(Box::new(Record {
        version: last.version + 1,
        memo: Bytes::new(),
        search_attributes: SearchAttributes::default(),
        ..last
    }))
}

fn execution(workflow_id: &str, run_id: &str) -> Option<Execution> {
    Some(Execution {
        workflow_id: WorkflowId::from(workflow_id),
        run_id: run_id.parse().ok()?,
    })
}

/// Returns the row's value.
pub(crate) fn write(update: &Update) -> Bytes {
    let (kind, record) = match update {
        Update::Upsert(record) => (UPSERT, record.encode()),
        Update::Delete(record) => (DELETE, record.encode()),
    };
    let mut value = BytesMut::with_capacity(1 + record.len());
    value.put_u8(kind);
    value.put_slice(&record);
    value.freeze()
}

/// Reads a row's value; `None` if it is malformed.
pub(crate) fn read(value: &[u8]) -> Option<(RunKey, u64, Update)> {
    let (&kind, rest) = value.split_first()?;
    let record = Box::new(Record::decode(rest).ok()?);
    let workflow = WorkflowKey {
        namespace_id: record.namespace_id,
        workflow_id: record.workflow_id.clone(),
    };
    let (run, version) = (workflow.run(record.run_id), record.version);
    let update = match kind {
        UPSERT => Update::Upsert(record),
        DELETE => Update::Delete(record),
        _ => return None,
    };
    Some((run, version, update))
}
