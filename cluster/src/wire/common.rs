//! What belongs to the API: messages go as they are, enums by their number.

use bytes::Bytes;
use engine::state::Parent;
use prost::Message;
use proto::temporal::{
    command::v1::Command,
    common::v1::{
        Callback, Header, Link, Memo, MeteringMetadata, Payloads, Priority, RetryPolicy, SearchAttributes,
        WorkerVersionCapabilities, WorkflowExecution,
    },
    deployment::v1::WorkerDeploymentOptions,
    enums::v1::{
        QueryRejectCondition, StartChildWorkflowExecutionFailedCause, WorkflowExecutionStatus,
        WorkflowIdConflictPolicy, WorkflowIdReusePolicy, WorkflowTaskFailedCause,
    },
    failure::v1::Failure,
    history::v1::HistoryEvent,
    protocol::v1::Message as ProtocolMessage,
    query::v1::{WorkflowQuery, WorkflowQueryResult},
    sdk::v1::{UserMetadata, WorkflowTaskCompletedMetadata},
    update::v1::{Outcome, Request as UpdateRequest},
    worker::v1::WorkerHeartbeat,
    workflow::v1::{VersioningOverride, WorkflowExecutionOptions},
    workflowservice::v1::DescribeWorkflowExecutionResponse,
};

use super::{Malformed, Wire, put_int, take_int};

macro_rules! wire_messages {
    ($($type:ty),* $(,)?) => { $(
        impl Wire for $type {
            fn put(&self, to: &mut Vec<u8>) {
                self.encode_raw(to);
            }

            fn take(from: Bytes) -> Result<Self, Malformed> {
                Self::decode(from).map_err(|_| Malformed(stringify!($type)))
            }

            fn absent() -> Option<Self> {
                Some(Self::default())
            }

            fn is_absent(&self) -> bool {
                self.encoded_len() == 0
            }
        }
    )* };
}

wire_messages!(
    Callback,
    Command,
    DescribeWorkflowExecutionResponse,
    Failure,
    Header,
    HistoryEvent,
    Link,
    Memo,
    MeteringMetadata,
    Outcome,
    Parent,
    Payloads,
    Priority,
    ProtocolMessage,
    RetryPolicy,
    SearchAttributes,
    UpdateRequest,
    UserMetadata,
    VersioningOverride,
    WorkerDeploymentOptions,
    WorkerHeartbeat,
    WorkerVersionCapabilities,
    WorkflowExecution,
    WorkflowExecutionOptions,
    WorkflowQuery,
    WorkflowQueryResult,
    WorkflowTaskCompletedMetadata,
);

macro_rules! wire_numbers_of_enums {
    ($($type:ty),* $(,)?) => { $(
        impl Wire for $type {
            fn put(&self, to: &mut Vec<u8>) {
                put_int(u64::try_from(*self as i32).unwrap_or(0), to);
            }

            fn take(from: Bytes) -> Result<Self, Malformed> {
                i32::try_from(take_int(from)?)
                    .ok()
                    .and_then(|number| Self::try_from(number).ok())
                    .ok_or(Malformed(stringify!($type)))
            }

            fn absent() -> Option<Self> {
                Self::try_from(0).ok()
            }

            fn is_absent(&self) -> bool {
                *self as i32 == 0
            }
        }
    )* };
}

wire_numbers_of_enums!(
    QueryRejectCondition,
    StartChildWorkflowExecutionFailedCause,
    WorkflowExecutionStatus,
    WorkflowIdConflictPolicy,
    WorkflowIdReusePolicy,
    WorkflowTaskFailedCause,
);
