//! Registry: small tables that the whole cluster shares, such as namespaces and the shard map.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::StoreError;

/// The registry's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RegistryTable {
    /// Namespace records, by id.
    Namespace = 1,
    /// Namespace ids, by name.
    NamespaceName = 2,
    /// The shard map and the cluster's identity.
    Cluster = 3,
    /// Settings of task queues, by namespace and name.
    TaskQueue = 4,
}

/// A stored value and its version, which grows by one with each write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: Bytes,
    pub value: Bytes,
    pub version: u64,
}

/// One conditional write: applied only if the entry's version is `expected`; 0 means that it must not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryWrite {
    pub table: RegistryTable,
    pub key: Bytes,
    /// `None` removes the entry.
    pub value: Option<Bytes>,
    pub expected: u64,
}

/// The versions that writes of one commit have decided and the store does not show yet.
#[derive(Debug, Default)]
pub(crate) struct Versions(BTreeMap<(RegistryTable, Bytes), u64>);

impl Versions {
    /// Checks all of `writes`, in order, and takes down what they make of the versions; or takes down nothing.
    ///
    /// `stored` returns an entry's version, 0 if it does not exist. A write makes it `expected + 1`.
    pub(crate) fn check(
        &mut self,
        writes: &[RegistryWrite],
        mut stored: impl FnMut(RegistryTable, &[u8]) -> Result<u64, StoreError>,
    ) -> Result<(), RegistryError> {
        let mut decided = BTreeMap::new();
        for write in writes {
            let entry = (write.table, write.key.clone());
            let version = match decided.get(&entry).or_else(|| self.0.get(&entry)) {
                Some(version) => *version,
                None => stored(write.table, &write.key)?,
            };
            if version != write.expected {
                return Err(RegistryError::Conflict);
            }
            decided.insert(entry, if write.value.is_some() { version + 1 } else { 0 });
        }
        self.0.append(&mut decided);
        Ok(())
    }
}

/// A registry write was not applied.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RegistryError {
    /// An entry's version is not the expected one: read again and decide again. Nothing was written.
    #[error("registry entry changed")]
    Conflict,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps small shared tables with compare-and-set on each entry's version.
#[async_trait]
pub trait Registry: Send + Sync + 'static {
    async fn get(&self, table: RegistryTable, key: &[u8]) -> Result<Option<Entry>, StoreError>;

    /// Returns the entries in key order; `after` is the last key of the page before, exclusive.
    async fn list(
        &self,
        table: RegistryTable,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError>;

    /// Applies all writes or none, durably.
    async fn write(&self, writes: Vec<RegistryWrite>) -> Result<(), RegistryError>;
}
