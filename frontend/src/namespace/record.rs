//! Record: what is stored of a namespace, and what clients are shown of it (reference 6.1).

use std::{collections::BTreeMap, time::Duration};

use prost::Message;
use proto::{
    ids::NamespaceId,
    temporal::{
        enums::v1::{ArchivalState, IndexedValueType, NamespaceState, ReplicationState},
        namespace::v1::{
            BadBinaries, NamespaceConfig, NamespaceInfo,
            namespace_info::{Capabilities, Limits},
        },
        replication::v1::{ClusterReplicationConfig, NamespaceReplicationConfig},
        workflowservice::v1::DescribeNamespaceResponse,
    },
    time::duration_to_proto,
};
use storage::visibility::attributes::{Schema, ValueType};

use crate::{config::Sizes, limits};

/// The version that this release writes.
const VERSION: u32 = 1;

/// What is stored of one namespace. Tags are part of the stored format: never reuse one.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Record {
    #[prost(uint32, tag = "1")]
    pub(crate) version: u32,
    #[prost(string, tag = "2")]
    pub(crate) id: String,
    #[prost(string, tag = "3")]
    pub(crate) name: String,
    #[prost(enumeration = "NamespaceState", tag = "4")]
    pub(crate) state: i32,
    #[prost(string, tag = "5")]
    pub(crate) description: String,
    #[prost(string, tag = "6")]
    pub(crate) owner_email: String,
    #[prost(btree_map = "string, string", tag = "7")]
    pub(crate) data: BTreeMap<String, String>,
    /// Nanoseconds that closed runs are kept.
    #[prost(int64, tag = "8")]
    pub(crate) retention: i64,
    #[prost(message, optional, tag = "9")]
    pub(crate) bad_binaries: Option<BadBinaries>,
    /// Custom search attributes by name.
    #[prost(btree_map = "string, enumeration(IndexedValueType)", tag = "10")]
    pub(crate) search_attributes: BTreeMap<String, i32>,
    /// Its runs are being removed, and then the record itself.
    #[prost(bool, tag = "11")]
    pub(crate) reclaiming: bool,
    /// A client made it, rather than the server at its first start.
    #[prost(bool, tag = "12")]
    pub(crate) registered: bool,
}

/// The stored bytes are not a record of a version that this release reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stored namespace is malformed or of a newer release")]
pub(crate) struct Malformed;

impl Record {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        Self {
            version: VERSION,
            ..self.clone()
        }
        .encode_to_vec()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let record = Self::decode(bytes).map_err(|_| Malformed)?;
        if record.version == VERSION {
            Ok(record)
        } else {
            Err(Malformed)
        }
    }

    pub(crate) fn namespace_id(&self) -> Result<NamespaceId, Malformed> {
        self.id.parse().map_err(|_| Malformed)
    }

    pub(crate) fn retention(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.retention).unwrap_or(0))
    }

    pub(crate) fn set_retention(&mut self, retention: Duration) {
        self.retention = i64::try_from(retention.as_nanos()).unwrap_or(i64::MAX);
    }

    /// Returns the types of the search attributes that clients made.
    pub(crate) fn schema(&self) -> Schema {
        let attributes = self.search_attributes.iter().filter_map(|(name, value_type)| {
            let value_type = IndexedValueType::try_from(*value_type).ok()?;
            Some((name.clone(), ValueType::from_api(value_type)?))
        });
        Schema::new(&self.name, attributes.collect())
    }

    pub(crate) fn info(&self, sizes: &Sizes) -> NamespaceInfo {
        NamespaceInfo {
            name: self.name.clone(),
            state: self.state,
            description: self.description.clone(),
            owner_email: self.owner_email.clone(),
            data: self.data.clone().into_iter().collect(),
            id: self.id.clone(),
            capabilities: Some(capabilities()),
            limits: Some(Limits {
                blob_size_limit_error: i64::try_from(sizes.blob_bytes_max).unwrap_or(i64::MAX),
                memo_size_limit_error: i64::try_from(sizes.memo_bytes_max).unwrap_or(i64::MAX),
                workflow_task_completion_size_limit_error: i64::try_from(limits::TASK_COMPLETION_BYTES_MAX)
                    .unwrap_or(i64::MAX),
            }),
            supports_schedules: false,
        }
    }

    pub(crate) fn config(&self) -> NamespaceConfig {
        NamespaceConfig {
            workflow_execution_retention_ttl: Some(duration_to_proto(self.retention())),
            bad_binaries: Some(self.bad_binaries.clone().unwrap_or_default()),
            history_archival_state: ArchivalState::Disabled.into(),
            visibility_archival_state: ArchivalState::Disabled.into(),
            ..Default::default()
        }
    }

    pub(crate) fn replication(&self, cluster: &str) -> NamespaceReplicationConfig {
        let state = if self.registered {
            ReplicationState::Normal
        } else {
            ReplicationState::Unspecified
        };
        NamespaceReplicationConfig {
            active_cluster_name: cluster.to_owned(),
            clusters: vec![ClusterReplicationConfig {
                cluster_name: cluster.to_owned(),
                ..Default::default()
            }],
            state: state.into(),
        }
    }

    pub(crate) fn describe(&self, cluster: &str, sizes: &Sizes) -> DescribeNamespaceResponse {
        DescribeNamespaceResponse {
            namespace_info: Some(self.info(sizes)),
            config: Some(self.config()),
            replication_config: Some(self.replication(cluster)),
            ..Default::default()
        }
    }
}

/// What clients may use in every namespace: only what works here.
fn capabilities() -> Capabilities {
    Capabilities {
        eager_workflow_start: true,
        sync_update: true,
        async_update: true,
        worker_heartbeats: true,
        poller_autoscaling: true,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_reads_what_it_writes() {
        let mut record = Record {
            name: "orders".to_owned(),
            ..Default::default()
        };
        record.set_retention(Duration::from_secs(3_600));
        record
            .search_attributes
            .insert("Customer".to_owned(), IndexedValueType::Keyword.into());
        let read = Record::from_bytes(&record.to_bytes()).expect("own record");
        assert_eq!(read.retention(), Duration::from_secs(3_600));
        assert_eq!(read.schema().stored_type("Customer"), Some(ValueType::Keyword));
    }

    #[test]
    fn other_bytes_are_no_record() {
        assert_eq!(Record::from_bytes(b""), Err(Malformed));
        assert_eq!(Record::from_bytes(b"\xff"), Err(Malformed));
    }
}
