//! Namespaces: a cached view of the registry, and the changes to it.
//!
//! `record` is what is stored, `registry` how it is written, `reclaim` cleans up after a deletion. The files beside
//! them are the RPCs. Nothing here asks the registry while nobody asks for a namespace (P7).

pub(crate) mod deprecate;
pub(crate) mod describe;
pub(crate) mod list;
pub(crate) mod reclaim;
pub(crate) mod record;
pub(crate) mod register;
pub(crate) mod registry;
pub(crate) mod update;

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use cluster::router::Router;
use proto::{ids::NamespaceId, temporal::enums::v1::NamespaceState};
use shard::namespaces::Entry;
use storage::{registry::Registry, visibility::attributes::Schema};
use tokio::{
    sync::{Mutex, Semaphore},
    time::Instant,
};

use self::{record::Record, registry::Stored};
use crate::{
    config::{Config, Sizes},
    error::Error,
    frontend::OpenError,
    limits,
    rate::{CallKind, NamespaceRates},
};

/// The namespace of the official server's own workflows: listed, otherwise unused here.
pub(crate) const SYSTEM_NAME: &str = "temporal-system";
pub(crate) const SYSTEM_ID: &str = "32049b68-7872-4094-8e63-d0dd59896a83";

/// States in which a namespace takes calls.
const USABLE: &[NamespaceState] = &[NamespaceState::Registered, NamespaceState::Deprecated];
/// States in which workflows start.
const STARTABLE: &[NamespaceState] = &[NamespaceState::Registered];

/// A namespace as this node knows it.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) id: NamespaceId,
    pub(crate) record: Record,
    pub(crate) schema: Schema,
    /// What its requests may carry.
    pub(crate) sizes: Sizes,
    /// The registry's version of the record.
    version: u64,
    /// When the registry was asked last.
    read: Instant,
    /// What its calls use up, whatever becomes of the record.
    usage: Arc<Usage>,
}

/// What the calls of a namespace use up.
#[derive(Debug)]
struct Usage {
    waiting: [AtomicU32; WAITING_KINDS],
    waiting_max: u32,
    rates: NamespaceRates,
}

impl Usage {
    fn new(config: &Config) -> Self {
        Self {
            waiting: Default::default(),
            waiting_max: config.namespace_waiting_calls_max.get(),
            rates: NamespaceRates::new(config, Instant::now()),
        }
    }
}

impl Namespace {
    pub(crate) fn name(&self) -> &str {
        &self.record.name
    }

    fn check_state(&self, allowed: &'static [NamespaceState]) -> Result<(), Error> {
        let state = self.record.state();
        if allowed.contains(&state) {
            return Ok(());
        }
        Err(Error::NamespaceState {
            namespace: self.record.name.clone(),
            state,
            allowed,
        })
    }

    /// Counts a call that waits for something, until the guard is dropped.
    pub(crate) fn wait(&self, kind: Waiting) -> Result<WaitGuard, Error> {
        let count = self.usage.waiting[kind as usize].fetch_add(1, Relaxed);
        let guard = WaitGuard {
            usage: Arc::clone(&self.usage),
            kind,
        };
        if count >= self.usage.waiting_max {
            return Err(Error::concurrent_limit(
                "namespace concurrent poller limit exceeded",
            ));
        }
        Ok(guard)
    }
}

/// Calls that wait for something, each kind bounded for itself (reference 0.3).
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
pub(crate) enum Waiting {
    WorkflowTask,
    ActivityTask,
    Query,
    Update,
    History,
}

const WAITING_KINDS: usize = 5;

/// A call that waits.
#[derive(Debug)]
pub(crate) struct WaitGuard {
    usage: Arc<Usage>,
    kind: Waiting,
}

impl Drop for WaitGuard {
    fn drop(&mut self) {
        self.usage.waiting[self.kind as usize].fetch_sub(1, Relaxed);
    }
}

/// The namespaces that this node knows.
pub(crate) struct Namespaces {
    router: Router,
    config: Config,
    known: RwLock<Known>,
    /// Bounds the look-ups of names that nobody knows.
    lookups: Semaphore,
    /// One reader asks the registry about a namespace again; the others go on with what is known.
    refresh: Mutex<()>,
}

#[derive(Default)]
struct Known {
    by_name: HashMap<String, Arc<Namespace>>,
    by_id: HashMap<NamespaceId, Arc<Namespace>>,
}

impl Namespaces {
    pub(crate) fn new(router: Router, config: Config) -> Self {
        Self {
            router,
            config,
            known: RwLock::new(Known::default()),
            lookups: Semaphore::new(limits::NAMESPACE_LOOKUPS_MAX),
            refresh: Mutex::new(()),
        }
    }

    /// Reads all namespaces and tells the shards of them.
    pub(crate) async fn load(&self) -> Result<Vec<Arc<Namespace>>, Error> {
        let mut all = Vec::new();
        for stored in registry::read_all(&**self.router.registry()).await? {
            all.push(self.remember(stored)?);
        }
        self.publish();
        Ok(all)
    }

    /// Tells whether this node has heard of the namespace. Asks nobody.
    pub(crate) fn is_known(&self, name: &str) -> bool {
        self.known().by_name.contains_key(name)
    }

    /// Reads all again, since another node has changed some, and forgets those that are gone.
    pub(crate) async fn reload(&self) -> Result<(), Error> {
        let known = self.all();
        let stored = self.load().await?;
        for namespace in known {
            if !stored.iter().any(|stored| stored.id == namespace.id) {
                self.forget(&namespace);
            }
        }
        Ok(())
    }

    /// Returns the namespace that a call names, if it takes calls.
    pub(crate) async fn usable(&self, name: &str) -> Result<Arc<Namespace>, Error> {
        self.usable_for(CallKind::Usual, name).await
    }

    /// Returns the namespace that a call to visibility names.
    pub(crate) async fn searchable(&self, name: &str) -> Result<Arc<Namespace>, Error> {
        self.usable_for(CallKind::Visibility, name).await
    }

    async fn usable_for(&self, kind: CallKind, name: &str) -> Result<Arc<Namespace>, Error> {
        let namespace = self.find(name).await?;
        namespace.check_state(USABLE)?;
        namespace.usage.rates.take(kind, Instant::now())?;
        Ok(namespace)
    }

    /// Returns the namespace that a call names, if workflows start there.
    pub(crate) async fn startable(&self, name: &str) -> Result<Arc<Namespace>, Error> {
        let namespace = self.find(name).await?;
        namespace.check_state(STARTABLE)?;
        namespace.usage.rates.take(CallKind::Usual, Instant::now())?;
        Ok(namespace)
    }

    /// Returns the namespace that a token names.
    pub(crate) async fn by_id(&self, id: NamespaceId) -> Result<Arc<Namespace>, Error> {
        let known = self.known().by_id.get(&id).cloned();
        let namespace = match known {
            Some(namespace) => self.fresh(namespace).await?,
            None => self
                .look_up(self.stored_by_id(id))
                .await?
                .ok_or_else(|| unknown(&id.to_string()))?,
        };
        namespace.check_state(USABLE)?;
        namespace.usage.rates.take(CallKind::Usual, Instant::now())?;
        Ok(namespace)
    }

    /// Returns the namespace in whatever state it is.
    pub(crate) async fn find(&self, name: &str) -> Result<Arc<Namespace>, Error> {
        if name.is_empty() {
            return Err(Error::invalid("Namespace is empty."));
        }
        if name.len() > self.config.sizes.id_bytes_max {
            return Err(Error::invalid("Namespace length exceeds limit."));
        }
        let known = self.known().by_name.get(name).cloned();
        if let Some(namespace) = known {
            let namespace = self.fresh(namespace).await?;
            if namespace.name() == name {
                return Ok(namespace);
            }
        }
        self.look_up(self.stored_by_name(name))
            .await?
            .ok_or_else(|| unknown(name))
    }

    /// Asks the registry again if it was not asked for a while. Another node may have changed the namespace.
    async fn fresh(&self, namespace: Arc<Namespace>) -> Result<Arc<Namespace>, Error> {
        if namespace.read.elapsed() < limits::NAMESPACE_FRESH {
            return Ok(namespace);
        }
        let Ok(_one) = self.refresh.try_lock() else {
            return Ok(namespace);
        };
        match self.stored_by_id(namespace.id).await {
            Ok(Some(stored)) => {
                let changed = stored.version != namespace.version;
                let namespace = self.remember(stored)?;
                if changed {
                    self.publish();
                }
                Ok(namespace)
            }
            Ok(None) => {
                self.forget(&namespace);
                Err(unknown(namespace.name()))
            }
            // What is known still serves while the registry is away.
            Err(Error::Unavailable(_)) => Ok(namespace),
            Err(error) => Err(error),
        }
    }

    async fn look_up(
        &self,
        stored: impl Future<Output = Result<Option<Stored>, Error>>,
    ) -> Result<Option<Arc<Namespace>>, Error> {
        let _permit = self
            .lookups
            .acquire()
            .await
            .map_err(|_| Error::overloaded("too many unknown namespaces"))?;
        let Some(stored) = stored.await? else {
            return Ok(None);
        };
        let namespace = self.remember(stored)?;
        self.publish();
        Ok(Some(namespace))
    }

    /// Takes what the registry says.
    pub(crate) fn remember(&self, stored: Stored) -> Result<Arc<Namespace>, Error> {
        let id = stored
            .record
            .namespace_id()
            .map_err(|error| Error::Internal(error.to_string()))?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let before = known.by_id.get(&id).cloned();
        if let Some(before) = &before {
            if before.version > stored.version {
                return Ok(Arc::clone(before));
            }
            if before.record.name != stored.record.name {
                known.by_name.remove(&before.record.name);
            }
        }
        let namespace = Arc::new(Namespace {
            id,
            schema: stored.record.schema(),
            sizes: self.config.sizes,
            record: stored.record,
            version: stored.version,
            read: Instant::now(),
            usage: before.map_or_else(
                || Arc::new(Usage::new(&self.config)),
                |before| Arc::clone(&before.usage),
            ),
        });
        known
            .by_name
            .insert(namespace.record.name.clone(), Arc::clone(&namespace));
        known.by_id.insert(id, Arc::clone(&namespace));
        Ok(namespace)
    }

    pub(crate) fn forget(&self, namespace: &Namespace) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.by_id.remove(&namespace.id);
        if known
            .by_name
            .get(namespace.name())
            .is_some_and(|other| other.id == namespace.id)
        {
            known.by_name.remove(namespace.name());
        }
        drop(known);
        self.publish();
    }

    /// Tells the shards what they need to know of the namespaces.
    pub(crate) fn publish(&self) {
        let entries = self
            .known()
            .by_id
            .values()
            .map(|namespace| (namespace.id, entry(&namespace.record, namespace.schema.clone())))
            .collect();
        self.router
            .set_namespaces(shard::namespaces::Namespaces::new(entries));
    }

    /// Returns all namespaces that this node knows.
    pub(crate) fn all(&self) -> Vec<Arc<Namespace>> {
        self.known().by_id.values().cloned().collect()
    }

    fn known(&self) -> std::sync::RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads what shards need to know of all namespaces, for a node whose shards start before it serves calls.
pub async fn read(registry: &dyn Registry) -> Result<shard::namespaces::Namespaces, OpenError> {
    let all = registry::read_all(registry).await.map_err(OpenError::from)?;
    let entries = all.into_iter().map(|stored| {
        let id = stored
            .record
            .namespace_id()
            .map_err(|error| Error::Internal(error.to_string()))?;
        Ok((id, entry(&stored.record, stored.record.schema())))
    });
    let entries = entries.collect::<Result<_, Error>>().map_err(OpenError::from)?;
    Ok(shard::namespaces::Namespaces::new(entries))
}

fn entry(record: &Record, schema: Schema) -> Entry {
    let namespace = engine::trigger::Namespace {
        name: record.name.clone(),
        retention: record.retention(),
    };
    Entry { namespace, schema }
}

fn unknown(name: &str) -> Error {
    Error::NamespaceNotFound(name.to_owned())
}
