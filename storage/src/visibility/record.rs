//! Record: what the index keeps of one run, and its stored form, which also waits in the shard's outbox.

mod stored;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use proto::{
    ids::{NamespaceId, RunId, WorkflowId},
    temporal::enums::v1::WorkflowExecutionStatus,
    time::Timestamp,
};

use super::attributes::SearchAttributes;

/// One run as lists show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub namespace_id: NamespaceId,
    pub workflow_id: WorkflowId,
    pub run_id: RunId,
    /// Grows with each update of the run; the index ignores an update that is not newer than what it has.
    pub version: u64,
    pub workflow_type: String,
    pub task_queue: String,
    /// Running and Paused are the statuses of open runs, and of no others: queries for them look at open runs only.
    pub status: WorkflowExecutionStatus,
    pub start_time: Timestamp,
    /// When the first workflow task was or will be ready; later than `start_time` for a delayed start.
    pub execution_time: Timestamp,
    /// `None` while the run is open.
    pub close: Option<Close>,
    pub parent: Option<Execution>,
    /// The run itself if it has no parent.
    pub root: Execution,
    /// An encoded API `Memo`, never looked into.
    pub memo: Bytes,
    /// Custom and predefined ones. The namespace division is one of them.
    pub search_attributes: SearchAttributes,
}

impl Record {
    /// Returns about how many bytes the record takes in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        let parent = self
            .parent
            .as_ref()
            .map_or(0, |parent| parent.workflow_id.as_str().len());
        let names = self.workflow_id.as_str().len() + self.workflow_type.len() + self.task_queue.len();
        size_of::<Self>() + names + parent + self.memo.len() + self.search_attributes.size()
    }

    /// Returns the stored form. It carries its version, so that releases n and n+1 read each other's.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        stored::encode(self)
    }

    /// Reads the stored form of this release or an older one.
    pub fn decode(bytes: &[u8]) -> Result<Self, BrokenRecord> {
        stored::decode(bytes)
    }
}

/// The bytes are not a stored record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stored record is malformed: {0}")]
pub struct BrokenRecord(pub(super) &'static str);

/// What is known of a run once it has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    /// Not before the start, but for clocks that differ by less than an hour.
    pub time: Timestamp,
    pub history_length: i64,
    pub history_size_bytes: i64,
    pub state_transition_count: i64,
    /// Close time less execution time.
    pub execution_duration: Duration,
}

impl Close {
    pub(super) fn execution_duration_nanos(&self) -> i64 {
        i64::try_from(self.execution_duration.as_nanos()).unwrap_or(i64::MAX)
    }
}

/// A workflow id and one of its runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    pub workflow_id: WorkflowId,
    pub run_id: RunId,
}
