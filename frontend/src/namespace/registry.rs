//! How namespaces are kept in the registry: the record by id, the id by name, both written together.

use bytes::Bytes;
use cluster::router::News;
use proto::ids::NamespaceId;
use storage::registry::{Entry, Registry, RegistryError, RegistryTable, RegistryWrite};

use super::{Namespaces, record::Record};
use crate::{error::Error, limits};

/// A record and the registry's version of it.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) record: Record,
    pub(crate) version: u64,
}

impl Namespaces {
    pub(crate) async fn stored_by_id(&self, id: NamespaceId) -> Result<Option<Stored>, Error> {
        let entry = self
            .router
            .registry()
            .get(RegistryTable::Namespace, id.as_bytes())
            .await?;
        entry.map(stored).transpose()
    }

    pub(crate) async fn stored_by_name(&self, name: &str) -> Result<Option<Stored>, Error> {
        let entry = self
            .router
            .registry()
            .get(RegistryTable::NamespaceName, name.as_bytes())
            .await?;
        let Some(entry) = entry else { return Ok(None) };
        self.stored_by_id(read_id(&entry.value)?).await
    }

    pub(super) async fn stored_page(
        &self,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Stored)>, Error> {
        read_page(&**self.router.registry(), after, limit).await
    }

    pub(crate) async fn is_taken(&self, name: &str) -> Result<bool, Error> {
        Ok(self.name_row(name).await?.is_some())
    }

    /// Stores a new namespace. Its name must be free.
    pub(crate) async fn create(&self, record: Record) -> Result<Stored, Error> {
        let id = record
            .namespace_id()
            .map_err(|error| Error::Internal(error.to_string()))?;
        let writes = vec![
            put(RegistryTable::Namespace, id.as_bytes(), record.to_bytes(), 0),
            put(
                RegistryTable::NamespaceName,
                record.name.as_bytes(),
                id.as_bytes().to_vec(),
                0,
            ),
        ];
        match self.router.registry().write(writes).await {
            Ok(()) => {
                self.router.tell_news(&News::Namespaces);
                Ok(Stored { record, version: 1 })
            }
            Err(RegistryError::Conflict) => Err(Error::NamespaceExists(record.name)),
            Err(RegistryError::Store(error)) => Err(error.into()),
        }
    }

    /// Changes the namespace as it is at the moment of the write; `change` may be called more than once.
    pub(crate) async fn change(
        &self,
        id: NamespaceId,
        name: &str,
        change: impl Fn(&mut Record) -> Result<(), Error> + Send,
    ) -> Result<Stored, Error> {
        for _ in 0..limits::REGISTRY_ATTEMPTS_MAX {
            let before = self
                .stored_by_id(id)
                .await?
                .ok_or_else(|| Error::NamespaceNotFound(name.to_owned()))?;
            let mut record = before.record.clone();
            change(&mut record)?;
            if record == before.record {
                return Ok(before);
            }
            if let Some(stored) = self.replace(id, before, record).await? {
                self.remember(stored.clone())?;
                self.publish();
                return Ok(stored);
            }
        }
        Err(Error::FailedPrecondition(
            "namespace was changed by others at the same time".to_owned(),
        ))
    }

    /// Writes the changed record; `None` if others have written since it was read.
    async fn replace(
        &self,
        id: NamespaceId,
        before: Stored,
        record: Record,
    ) -> Result<Option<Stored>, Error> {
        let version = before.version + 1;
        let mut writes = vec![put(
            RegistryTable::Namespace,
            id.as_bytes(),
            record.to_bytes(),
            before.version,
        )];
        if record.name != before.record.name {
            let Some(freed) = self.name_row(&before.record.name).await? else {
                return Ok(None);
            };
            writes.push(RegistryWrite {
                table: RegistryTable::NamespaceName,
                key: Bytes::from(before.record.name),
                value: None,
                expected: freed.version,
            });
            let name = record.name.as_bytes();
            writes.push(put(RegistryTable::NamespaceName, name, id.as_bytes().to_vec(), 0));
        }
        Ok(self.write(writes).await?.then_some(Stored { record, version }))
    }

    /// Removes the record and the name of a namespace; one that is gone is no error.
    pub(super) async fn remove(&self, id: NamespaceId) -> Result<(), Error> {
        for _ in 0..limits::REGISTRY_ATTEMPTS_MAX {
            let Some(stored) = self.stored_by_id(id).await? else {
                return Ok(());
            };
            let mut writes = vec![RegistryWrite {
                table: RegistryTable::Namespace,
                key: Bytes::copy_from_slice(id.as_bytes()),
                value: None,
                expected: stored.version,
            }];
            if let Some(name) = self.name_row(&stored.record.name).await? {
                writes.push(RegistryWrite {
                    table: RegistryTable::NamespaceName,
                    key: name.key,
                    value: None,
                    expected: name.version,
                });
            }
            if self.write(writes).await? {
                return Ok(());
            }
        }
        Err(Error::Unavailable(
            "namespace is being changed by others".to_owned(),
        ))
    }

    async fn name_row(&self, name: &str) -> Result<Option<Entry>, Error> {
        Ok(self
            .router
            .registry()
            .get(RegistryTable::NamespaceName, name.as_bytes())
            .await?)
    }

    /// Says whether the writes were applied, rather than met by others.
    async fn write(&self, writes: Vec<RegistryWrite>) -> Result<bool, Error> {
        match self.router.registry().write(writes).await {
            Ok(()) => {
                self.router.tell_news(&News::Namespaces);
                Ok(true)
            }
            Err(RegistryError::Conflict) => Ok(false),
            Err(RegistryError::Store(error)) => Err(error.into()),
        }
    }
}

/// Reads all namespaces.
pub(super) async fn read_all(registry: &dyn Registry) -> Result<Vec<Stored>, Error> {
    let mut all = Vec::new();
    let mut after: Option<Bytes> = None;
    loop {
        let page = read_page(registry, after.as_deref(), limits::NAMESPACE_PAGE_MAX).await?;
        let full = page.len() == limits::NAMESPACE_PAGE_MAX;
        after = page.last().map(|(key, _)| key.clone());
        all.extend(page.into_iter().map(|(_, stored)| stored));
        if !full {
            return Ok(all);
        }
    }
}

async fn read_page(
    registry: &dyn Registry,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<(Bytes, Stored)>, Error> {
    let entries = registry.list(RegistryTable::Namespace, after, limit).await?;
    entries
        .into_iter()
        .map(|entry| Ok((entry.key.clone(), stored(entry)?)))
        .collect()
}

fn put(table: RegistryTable, key: &[u8], value: Vec<u8>, expected: u64) -> RegistryWrite {
    RegistryWrite {
        table,
        key: Bytes::copy_from_slice(key),
        value: Some(value.into()),
        expected,
    }
}

fn stored(entry: Entry) -> Result<Stored, Error> {
    let record = Record::from_bytes(&entry.value).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(Stored {
        record,
        version: entry.version,
    })
}

fn read_id(bytes: &[u8]) -> Result<NamespaceId, Error> {
    let bytes = bytes
        .try_into()
        .map_err(|_| Error::Internal("stored namespace id is malformed".to_owned()))?;
    Ok(NamespaceId::from_bytes(bytes))
}
