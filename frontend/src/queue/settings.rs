//! What clients have set for task queues: kept in the registry, a row for each queue and kind of tasks.

use bytes::Bytes;
use cluster::router::News;
use prost::Message;
use proto::{
    ids::{NamespaceId, QueueKey, TaskKind},
    temporal::{
        enums::v1::TaskQueueType,
        taskqueue::v1::{RateLimitConfig, TaskQueueConfig},
    },
};
use storage::registry::{RegistryError, RegistryTable, RegistryWrite};

use crate::{error::Error, frontend::Frontend, limits};

/// The version that this release writes.
const VERSION: u32 = 1;
const ID_BYTES: usize = 16;

/// Whose settings they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) namespace_id: NamespaceId,
    pub(super) task_type: TaskQueueType,
    pub(super) name: String,
}

/// What is stored of one queue. Tags are part of the stored format: never reuse one.
#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(message, optional, tag = "2")]
    config: Option<TaskQueueConfig>,
}

impl Key {
    /// Namespace, kind, name.
    fn to_bytes(&self) -> Bytes {
        let mut bytes = self.namespace_id.as_bytes().to_vec();
        bytes.push(u8::try_from(i32::from(self.task_type)).unwrap_or(0));
        bytes.extend_from_slice(self.name.as_bytes());
        bytes.into()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (id, rest) = bytes.split_first_chunk::<ID_BYTES>()?;
        let (kind, name) = rest.split_first()?;
        Some(Self {
            namespace_id: NamespaceId::from_bytes(*id),
            task_type: TaskQueueType::try_from(i32::from(*kind)).ok()?,
            name: String::from_utf8(name.to_vec()).ok()?,
        })
    }
}

/// Reads what is set for the queue; nothing, if nothing ever was.
pub(super) async fn read(frontend: &Frontend, key: &Key) -> Result<Option<TaskQueueConfig>, Error> {
    let registry = frontend.router.registry();
    let entry = registry.get(RegistryTable::TaskQueue, &key.to_bytes()).await?;
    entry.map_or(Ok(None), |entry| decode(&entry.value))
}

/// Changes what is set for the queue, durably, and then lets the queue follow; `change` may be called more than once.
pub(super) async fn change(
    frontend: &Frontend,
    key: &Key,
    change: impl Fn(&mut TaskQueueConfig) -> Result<(), Error> + Send,
) -> Result<TaskQueueConfig, Error> {
    let registry = frontend.router.registry();
    let row = key.to_bytes();
    for _ in 0..limits::REGISTRY_ATTEMPTS_MAX {
        let entry = registry.get(RegistryTable::TaskQueue, &row).await?;
        let mut config = match &entry {
            Some(entry) => decode(&entry.value)?.unwrap_or_default(),
            None => TaskQueueConfig::default(),
        };
        change(&mut config)?;
        let record = Record {
            version: VERSION,
            config: Some(config.clone()),
        };
        let write = RegistryWrite {
            table: RegistryTable::TaskQueue,
            key: row.clone(),
            value: Some(record.encode_to_vec().into()),
            expected: entry.map_or(0, |entry| entry.version),
        };
        match registry.write(vec![write]).await {
            Ok(()) => {
                apply(frontend, key, &config);
                frontend.router.tell_news(&News::QueueSettings(row));
                return Ok(config);
            }
            // Others have written since it was read.
            Err(RegistryError::Conflict) => {}
            Err(RegistryError::Store(error)) => return Err(error.into()),
        }
    }
    Err(Error::Unavailable(
        "task queue is being changed by others".to_owned(),
    ))
}

/// Lets all queues follow what is set for them, before the first of them starts.
pub(crate) async fn load(frontend: &Frontend) -> Result<(), Error> {
    each(frontend, None, |key, config| {
        apply(frontend, key, config);
        None
    })
    .await
}

/// Lets a queue follow what another node has set for it.
pub(crate) async fn read_again(frontend: &Frontend, row: &Bytes) -> Result<(), Error> {
    let key = Key::from_bytes(row).ok_or_else(malformed)?;
    let config = read(frontend, &key).await?.unwrap_or_default();
    apply(frontend, &key, &config);
    Ok(())
}

/// Removes what is set for the queues of a namespace that goes away.
pub(crate) async fn forget(frontend: &Frontend, id: NamespaceId) -> Result<(), Error> {
    each(frontend, Some(id), |key, _| {
        (key.namespace_id == id).then(|| {
            apply(frontend, key, &TaskQueueConfig::default());
            key.to_bytes()
        })
    })
    .await
}

/// Walks over all rows, or those of one namespace, page by page; rows whose key is returned are removed.
async fn each(
    frontend: &Frontend,
    only: Option<NamespaceId>,
    visit: impl Fn(&Key, &TaskQueueConfig) -> Option<Bytes>,
) -> Result<(), Error> {
    let registry = frontend.router.registry();
    // No row has a key as short as an id, so this is where a namespace's rows begin.
    let mut after = only.map(|id| Bytes::copy_from_slice(id.as_bytes()));
    loop {
        let page = registry
            .list(
                RegistryTable::TaskQueue,
                after.as_deref(),
                limits::QUEUE_SETTINGS_PAGE,
            )
            .await?;
        let is_last = page.len() < limits::QUEUE_SETTINGS_PAGE;
        after = page.last().map(|entry| entry.key.clone());
        for entry in page {
            let key = Key::from_bytes(&entry.key).ok_or_else(malformed)?;
            if only.is_some_and(|id| key.namespace_id != id) {
                return Ok(());
            }
            let config = decode(&entry.value)?.unwrap_or_default();
            if let Some(row) = visit(&key, &config) {
                let write = RegistryWrite {
                    table: RegistryTable::TaskQueue,
                    key: row,
                    value: None,
                    expected: entry.version,
                };
                registry.write(vec![write]).await.map_err(|error| match error {
                    RegistryError::Conflict => Error::Unavailable(error.to_string()),
                    RegistryError::Store(error) => error.into(),
                })?;
            }
        }
        if is_last {
            return Ok(());
        }
    }
}

/// Tells the queue its rate. Fairness is kept and shown, and like the official server's default not acted upon.
fn apply(frontend: &Frontend, key: &Key, config: &TaskQueueConfig) {
    if key.task_type != TaskQueueType::Activity {
        return;
    }
    let queue = QueueKey {
        namespace_id: key.namespace_id,
        kind: TaskKind::Activity,
        sticky: false,
        name: key.name.as_str().into(),
    };
    frontend
        .router
        .set_queue_rate(&queue, rate(config.queue_rate_limit.as_ref()));
}

fn rate(limit: Option<&RateLimitConfig>) -> Option<f64> {
    Some(f64::from(limit?.rate_limit?.requests_per_second))
}

fn decode(bytes: &[u8]) -> Result<Option<TaskQueueConfig>, Error> {
    let record = Record::decode(bytes).map_err(|_| malformed())?;
    if record.version != VERSION {
        return Err(malformed());
    }
    Ok(record.config)
}

fn malformed() -> Error {
    Error::Internal("stored task queue settings are malformed or of a newer release".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back() {
        for name in ["", "queue", "a/b ü\n\0"] {
            let key = Key {
                namespace_id: NamespaceId::from_bytes([7; ID_BYTES]),
                task_type: TaskQueueType::Activity,
                name: name.to_owned(),
            };
            assert_eq!(Key::from_bytes(&key.to_bytes()), Some(key));
        }
        assert_eq!(Key::from_bytes(&[1; ID_BYTES]), None);
    }
}
