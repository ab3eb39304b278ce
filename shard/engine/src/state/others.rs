//! What is stored of a run's dealings with other runs: its parent, its children, and what it owes to workflows.

use prost::Message;
use proto::temporal::{
    common::v1::{Header, Payloads},
    enums::v1::{ParentClosePolicy, WorkflowExecutionStatus},
    failure::v1::Failure,
};

/// The workflow that started this one as a child.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Parent {
    #[prost(string, tag = "1")]
    pub namespace_id: String,
    #[prost(string, tag = "2")]
    pub namespace: String,
    #[prost(string, tag = "3")]
    pub workflow_id: String,
    #[prost(string, tag = "4")]
    pub run_id: String,
    #[prost(int64, tag = "5")]
    pub initiated_event_id: i64,
}

/// A pending child workflow.
#[derive(Clone, PartialEq, Message)]
pub struct Child {
    #[prost(int64, tag = "1")]
    pub initiated_event_id: i64,
    /// First event id of the node that holds the initiated event.
    #[prost(int64, tag = "2")]
    pub initiated_node: i64,
    /// Zero until the child's start is recorded; [`BUFFERED`](super::BUFFERED) while that record waits for its id.
    #[prost(int64, tag = "3")]
    pub started_event_id: i64,
    #[prost(string, tag = "4")]
    pub workflow_id: String,
    #[prost(string, tag = "5")]
    pub workflow_type: String,
    #[prost(string, tag = "6")]
    pub started_run_id: String,
    /// De-duplicates the child's start.
    #[prost(string, tag = "7")]
    pub request_id: String,
    #[prost(enumeration = "ParentClosePolicy", tag = "8")]
    pub parent_close_policy: i32,
    #[prost(string, tag = "9")]
    pub namespace: String,
    #[prost(string, tag = "10")]
    pub namespace_id: String,
    /// The child has its start recorded here but was not yet told to schedule its first workflow task.
    #[prost(bool, tag = "11")]
    pub first_task_owed: bool,
    /// This run has closed and the policy is still to be applied.
    #[prost(bool, tag = "12")]
    pub policy_owed: bool,
    /// What the answer to the start repeats of the initiated event; gone with it.
    #[prost(message, optional, tag = "13")]
    pub header: Option<Header>,
    #[prost(string, tag = "14")]
    pub control: String,
}

/// A signal that is on its way to another workflow.
#[derive(Clone, PartialEq, Message)]
pub struct ExternalSignal {
    #[prost(int64, tag = "1")]
    pub initiated_event_id: i64,
    #[prost(string, tag = "2")]
    pub request_id: String,
    #[prost(string, tag = "3")]
    pub namespace: String,
    #[prost(string, tag = "4")]
    pub namespace_id: String,
    #[prost(string, tag = "5")]
    pub workflow_id: String,
    #[prost(string, tag = "6")]
    pub run_id: String,
    #[prost(bool, tag = "7")]
    pub child_workflow_only: bool,
    #[prost(string, tag = "8")]
    pub signal_name: String,
    #[prost(message, optional, tag = "9")]
    pub input: Option<Payloads>,
    #[prost(message, optional, tag = "10")]
    pub header: Option<Header>,
    #[prost(string, tag = "11")]
    pub control: String,
}

/// A cancel request that is on its way to another workflow.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ExternalCancel {
    #[prost(int64, tag = "1")]
    pub initiated_event_id: i64,
    #[prost(string, tag = "2")]
    pub request_id: String,
    #[prost(string, tag = "3")]
    pub namespace: String,
    #[prost(string, tag = "4")]
    pub namespace_id: String,
    #[prost(string, tag = "5")]
    pub workflow_id: String,
    #[prost(string, tag = "6")]
    pub run_id: String,
    #[prost(bool, tag = "7")]
    pub child_workflow_only: bool,
    #[prost(string, tag = "8")]
    pub reason: String,
    #[prost(string, tag = "9")]
    pub control: String,
}

/// How a child ended, on its way to its parent.
#[derive(Clone, PartialEq, Message)]
pub struct Report {
    #[prost(enumeration = "WorkflowExecutionStatus", tag = "1")]
    pub status: i32,
    #[prost(message, optional, tag = "2")]
    pub result: Option<Payloads>,
    #[prost(message, optional, tag = "3")]
    pub failure: Option<Failure>,
    #[prost(int32, tag = "4")]
    pub retry_state: i32,
}
