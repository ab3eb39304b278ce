//! The stored form of a record: protobuf with a version.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use proto::{
    ids::{NamespaceId, RunId, WorkflowId},
    temporal::enums::v1::WorkflowExecutionStatus,
    time::Timestamp,
};

use super::{BrokenRecord, Close, Execution, Record};
use crate::visibility::attributes::{Datetime, SearchAttributes, SearchValue};

/// The version that this release writes.
const VERSION: u32 = 1;

#[derive(Clone, PartialEq, Message)]
struct StoredRecord {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(bytes = "bytes", tag = "2")]
    namespace_id: Bytes,
    #[prost(string, tag = "3")]
    workflow_id: String,
    #[prost(bytes = "bytes", tag = "4")]
    run_id: Bytes,
    #[prost(uint64, tag = "5")]
    version: u64,
    #[prost(string, tag = "6")]
    workflow_type: String,
    #[prost(string, tag = "7")]
    task_queue: String,
    #[prost(int32, tag = "8")]
    status: i32,
    #[prost(sfixed64, tag = "9")]
    start_time: i64,
    #[prost(sfixed64, tag = "10")]
    execution_time: i64,
    #[prost(message, optional, tag = "11")]
    close: Option<StoredClose>,
    #[prost(message, optional, tag = "12")]
    parent: Option<StoredExecution>,
    /// Absent if the run is its own root.
    #[prost(message, optional, tag = "13")]
    root: Option<StoredExecution>,
    #[prost(bytes = "bytes", tag = "14")]
    memo: Bytes,
    #[prost(message, repeated, tag = "15")]
    attributes: Vec<StoredAttribute>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredClose {
    #[prost(sfixed64, tag = "1")]
    time: i64,
    #[prost(int64, tag = "2")]
    history_length: i64,
    #[prost(int64, tag = "3")]
    history_size_bytes: i64,
    #[prost(int64, tag = "4")]
    state_transition_count: i64,
    #[prost(int64, tag = "5")]
    execution_duration: i64,
}

#[derive(Clone, PartialEq, Message)]
struct StoredExecution {
    #[prost(string, tag = "1")]
    workflow_id: String,
    #[prost(bytes = "bytes", tag = "2")]
    run_id: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct StoredAttribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(oneof = "StoredValue", tags = "2, 3, 4, 5, 6, 7, 8")]
    value: Option<StoredValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum StoredValue {
    #[prost(string, tag = "2")]
    Text(String),
    #[prost(string, tag = "3")]
    Keyword(String),
    #[prost(sint64, tag = "4")]
    Int(i64),
    #[prost(double, tag = "5")]
    Double(f64),
    #[prost(bool, tag = "6")]
    Bool(bool),
    #[prost(message, tag = "7")]
    Datetime(StoredDatetime),
    #[prost(message, tag = "8")]
    KeywordList(StoredList),
}

#[derive(Clone, PartialEq, Message)]
struct StoredDatetime {
    #[prost(sfixed64, tag = "1")]
    nanos: i64,
    /// Empty if the time alone tells it.
    #[prost(string, tag = "2")]
    written: String,
}

#[derive(Clone, PartialEq, Message)]
struct StoredList {
    #[prost(string, repeated, tag = "1")]
    items: Vec<String>,
}

pub(super) fn encode(record: &Record) -> Bytes {
    let own_root = record.root.run_id == record.run_id && record.root.workflow_id == record.workflow_id;
    let stored = StoredRecord {
        format: VERSION,
        namespace_id: Bytes::copy_from_slice(record.namespace_id.as_bytes()),
        workflow_id: record.workflow_id.as_str().to_owned(),
        run_id: Bytes::copy_from_slice(record.run_id.as_bytes()),
        version: record.version,
        workflow_type: record.workflow_type.clone(),
        task_queue: record.task_queue.clone(),
        status: record.status.into(),
        start_time: record.start_time.nanos(),
        execution_time: record.execution_time.nanos(),
        close: record.close.as_ref().map(store_close),
        parent: record.parent.as_ref().map(store_execution),
        root: (!own_root).then(|| store_execution(&record.root)),
        memo: record.memo.clone(),
        attributes: record.search_attributes.iter().map(store_attribute).collect(),
    };
    stored.encode_to_vec().into()
}

fn store_close(close: &Close) -> StoredClose {
    StoredClose {
        time: close.time.nanos(),
        history_length: close.history_length,
        history_size_bytes: close.history_size_bytes,
        state_transition_count: close.state_transition_count,
        execution_duration: close.execution_duration_nanos(),
    }
}

fn store_execution(execution: &Execution) -> StoredExecution {
    StoredExecution {
        workflow_id: execution.workflow_id.as_str().to_owned(),
        run_id: Bytes::copy_from_slice(execution.run_id.as_bytes()),
    }
}

fn store_attribute((name, value): (&str, &SearchValue)) -> StoredAttribute {
    let value = match value {
        SearchValue::Text(text) => StoredValue::Text(text.clone()),
        SearchValue::Keyword(text) => StoredValue::Keyword(text.clone()),
        SearchValue::Int(number) => StoredValue::Int(*number),
        SearchValue::Double(number) => StoredValue::Double(*number),
        SearchValue::Bool(flag) => StoredValue::Bool(*flag),
        SearchValue::Datetime(datetime) => StoredValue::Datetime(StoredDatetime {
            nanos: datetime.time().nanos(),
            written: datetime.written().unwrap_or_default().to_owned(),
        }),
        SearchValue::KeywordList(items) => StoredValue::KeywordList(StoredList { items: items.clone() }),
    };
    StoredAttribute {
        name: name.to_owned(),
        value: Some(value),
    }
}

pub(super) fn decode(bytes: &[u8]) -> Result<Record, BrokenRecord> {
    let stored = StoredRecord::decode(bytes).map_err(|_| BrokenRecord("not protobuf"))?;
    if stored.format != VERSION {
        return Err(BrokenRecord("unknown format"));
    }
    let workflow_id = WorkflowId::from(stored.workflow_id);
    let run_id = RunId::from_bytes(id_bytes(&stored.run_id)?);
    let root = match stored.root {
        Some(root) => load_execution(root)?,
        None => Execution {
            workflow_id: workflow_id.clone(),
            run_id,
        },
    };
    Ok(Record {
        namespace_id: NamespaceId::from_bytes(id_bytes(&stored.namespace_id)?),
        workflow_id,
        run_id,
        version: stored.version,
        workflow_type: stored.workflow_type,
        task_queue: stored.task_queue,
        status: WorkflowExecutionStatus::try_from(stored.status).map_err(|_| BrokenRecord("status"))?,
        start_time: Timestamp::from_nanos(stored.start_time),
        execution_time: Timestamp::from_nanos(stored.execution_time),
        close: stored.close.as_ref().map(load_close),
        parent: stored.parent.map(load_execution).transpose()?,
        root,
        memo: stored.memo,
        search_attributes: load_attributes(stored.attributes)?,
    })
}

fn id_bytes(bytes: &[u8]) -> Result<[u8; 16], BrokenRecord> {
    bytes.try_into().map_err(|_| BrokenRecord("id"))
}

fn load_close(close: &StoredClose) -> Close {
    Close {
        time: Timestamp::from_nanos(close.time),
        history_length: close.history_length,
        history_size_bytes: close.history_size_bytes,
        state_transition_count: close.state_transition_count,
        execution_duration: Duration::from_nanos(u64::try_from(close.execution_duration).unwrap_or(0)),
    }
}

fn load_execution(execution: StoredExecution) -> Result<Execution, BrokenRecord> {
    Ok(Execution {
        workflow_id: WorkflowId::from(execution.workflow_id),
        run_id: RunId::from_bytes(id_bytes(&execution.run_id)?),
    })
}

fn load_attributes(stored: Vec<StoredAttribute>) -> Result<SearchAttributes, BrokenRecord> {
    let mut attributes = SearchAttributes::default();
    for attribute in stored {
        let value = match attribute.value.ok_or(BrokenRecord("search attribute"))? {
            StoredValue::Text(text) => SearchValue::Text(text),
            StoredValue::Keyword(text) => SearchValue::Keyword(text),
            StoredValue::Int(number) => SearchValue::Int(number),
            StoredValue::Double(number) => SearchValue::Double(number),
            StoredValue::Bool(flag) => SearchValue::Bool(flag),
            StoredValue::Datetime(StoredDatetime { nanos, written }) => {
                let written = (!written.is_empty()).then(|| written.into_boxed_str());
                SearchValue::Datetime(Datetime::from_parts(Timestamp::from_nanos(nanos), written))
            }
            StoredValue::KeywordList(list) => SearchValue::KeywordList(list.items),
        };
        attributes.insert(attribute.name, value);
    }
    Ok(attributes)
}
