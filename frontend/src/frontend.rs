//! Frontend: what every call uses. Owns the view of the namespaces and the switch that ends polls; keeps nothing of
//! a workflow.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use cluster::router::{AskError, Router, RunTarget};
use engine::{
    outcome::Reply,
    trigger::{Start, Trigger},
};
use proto::{
    ids::{NamespaceId, RunId, WorkflowKey},
    temporal::enums::v1::NamespaceState,
    time::Timestamp,
};
use storage::{
    registry::{Registry, RegistryError, RegistryTable, RegistryWrite},
    visibility::attributes::ValueType,
};
use tokio::{sync::watch, time::Instant};

use crate::{
    config::{Config, Sizes},
    error::Error,
    limits,
    metrics::{Counted, Metrics},
    namespace::{Namespaces, SYSTEM_ID, SYSTEM_NAME, reclaim::Reclaims, record::Record},
    rate::NodeRate,
};

/// What clients are told of the server, and what it makes at its first start.
#[derive(Clone, Debug)]
pub struct Options {
    pub cluster_name: String,
    /// Made at the first start and kept, if it is empty here.
    pub cluster_id: String,
    pub shard_count: u32,
    /// What clients are told where data is kept, such as "embedded".
    pub store: String,
    /// Where clients connect, as ListClusters shows it.
    pub address: String,
    /// Namespaces that are there from the first start on.
    pub namespaces: Vec<DefaultNamespace>,
    pub calls: Config,
}

/// A namespace that is there from the first start on.
#[derive(Clone, Debug)]
pub struct DefaultNamespace {
    pub name: String,
    pub retention: Duration,
}

/// The server could not read or make what it needs to answer calls.
#[derive(Debug, thiserror::Error)]
#[error("open frontend: {0}")]
pub struct OpenError(String);

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

/// What every call uses.
pub struct Frontend {
    pub(crate) router: Router,
    pub(crate) namespaces: Namespaces,
    pub(crate) reclaims: Reclaims,
    pub(crate) rate: NodeRate,
    pub(crate) options: Options,
    pub(crate) metrics: Metrics,
    stage: watch::Sender<Stage>,
}

/// What a node tells of how it takes calls. It only goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Serving,
    /// It goes soon: it takes calls, but new clients should go elsewhere.
    Leaving,
    /// Polls are answered empty.
    Draining,
}

impl Stage {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Leaving => "leaving",
            Self::Draining => "draining",
        }
    }
}

impl Frontend {
    /// Reads the namespaces, makes those that are there from the start, and tells the shards of all.
    pub async fn open(router: Router, mut options: Options) -> Result<Arc<Self>, OpenError> {
        if options.cluster_id.is_empty() {
            options.cluster_id = cluster_id(&**router.registry()).await?;
        }
        let namespaces = Namespaces::new(router.clone(), options.calls.clone());
        let rate = NodeRate::new(&options.calls, Instant::now());
        let frontend = Self {
            router,
            namespaces,
            reclaims: Reclaims::default(),
            rate,
            options,
            metrics: Metrics::default(),
            stage: watch::Sender::new(Stage::Serving),
        };
        let news = frontend.router.news();
        frontend.prepare().await?;
        let frontend = Arc::new(frontend);
        // Ends with the frontend.
        tokio::spawn(crate::news::follow(Arc::downgrade(&frontend), news));
        Ok(frontend)
    }

    /// Counts a call that begins, until the returned value is dropped.
    pub(crate) fn count(&self, operation: &'static str, namespace: &str) -> Counted<'_> {
        // Names of namespaces that are not there are as many as clients think of.
        self.metrics
            .begin(operation, namespace, || self.namespaces.is_known(namespace))
    }

    async fn prepare(&self) -> Result<(), Error> {
        let mut first = vec![system_namespace()];
        first.extend(self.options.namespaces.iter().map(default_namespace));
        for record in first {
            match self.namespaces.create(record).await {
                Ok(_) | Err(Error::NamespaceExists(_)) => {}
                Err(error) => return Err(error),
            }
        }
        for namespace in self.namespaces.load().await? {
            if namespace.record.reclaiming {
                self.reclaims.add(namespace.id);
            }
        }
        crate::queue::settings::load(self).await
    }

    /// Adds search attributes, by name and name of the type, to a namespace; those that are there stay as they are.
    pub async fn add_search_attributes(
        &self,
        namespace: &str,
        attributes: &[(String, String)],
    ) -> Result<(), OpenError> {
        let mut typed = HashMap::new();
        for (name, value_type) in attributes {
            let value_type = ValueType::from_name(value_type)
                .ok_or_else(|| OpenError(format!("search attribute {name}: unknown type {value_type}")))?;
            typed.insert(name.clone(), value_type.to_api().into());
        }
        let namespace = self.namespaces.find(namespace).await?;
        crate::operator::add_search_attributes::add(self, &namespace, &typed).await?;
        Ok(())
    }

    /// What requests may carry.
    pub(crate) fn sizes(&self) -> &Sizes {
        &self.options.calls.sizes
    }

    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Asks a run. Whatever it refuses is an error, also what it wrote something about.
    pub(crate) async fn ask(&self, target: &RunTarget, trigger: Trigger) -> Result<Reply, Error> {
        accepted(self.router.ask(target, trigger).await)
    }

    /// Starts a workflow, or uses the one that runs under its id.
    pub(crate) async fn start(&self, workflow: &WorkflowKey, start: Start) -> Result<Reply, Error> {
        accepted(self.router.start(workflow, start).await)
    }

    /// Returns the time of this node.
    pub(crate) fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::EPOCH + since
    }

    /// Returns a point of the runtime's clock as this node's time.
    pub(crate) fn at(&self, instant: Instant) -> Timestamp {
        self.now() + instant.saturating_duration_since(Instant::now())
    }

    /// Says to balancers and probes that this node goes soon. Calls and polls go on.
    pub fn leave(&self) {
        self.advance(Stage::Leaving);
    }

    /// Ends all polls: they are answered empty, and so are those that still come.
    pub fn drain(&self) {
        self.advance(Stage::Draining);
    }

    fn advance(&self, to: Stage) {
        self.stage.send_if_modified(|stage| {
            let goes_on = *stage < to;
            if goes_on {
                *stage = to;
            }
            goes_on
        });
    }

    #[must_use]
    pub fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.stage() == Stage::Draining
    }

    /// Hears of the stages that the node goes through.
    pub(crate) fn stages(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// Waits until the node is at this stage or beyond.
    async fn reached(&self, wanted: Stage) {
        let mut stage = self.stage.subscribe();
        // The sender lives as long as `self`: the wait cannot fail.
        drop(stage.wait_for(|stage| *stage >= wanted).await);
    }

    /// Waits until polls are to end.
    pub(crate) async fn drained(&self) {
        self.reached(Stage::Draining).await;
    }

    /// Cleans up after deleted namespaces until its future is dropped.
    pub async fn reclaim(&self) {
        crate::namespace::reclaim::run(self).await;
    }
}

fn accepted(reply: Result<Reply, AskError>) -> Result<Reply, Error> {
    match reply? {
        Reply::Refused(rejection) => Err(rejection.into()),
        reply => Ok(reply),
    }
}

/// Reads the cluster's id, or makes it when the cluster is new.
async fn cluster_id(registry: &dyn Registry) -> Result<String, Error> {
    const KEY: &[u8] = b"cluster-id";
    for _ in 0..limits::REGISTRY_ATTEMPTS_MAX {
        if let Some(entry) = registry.get(RegistryTable::Cluster, KEY).await? {
            return Ok(String::from_utf8_lossy(&entry.value).into_owned());
        }
        let id = fresh_id()?;
        let write = RegistryWrite {
            table: RegistryTable::Cluster,
            key: Bytes::from_static(KEY),
            value: Some(Bytes::from(id.clone())),
            expected: 0,
        };
        match registry.write(vec![write]).await {
            Ok(()) => return Ok(id),
            // Another node was first: read what it made.
            Err(RegistryError::Conflict) => {}
            Err(RegistryError::Store(error)) => return Err(error.into()),
        }
    }
    Err(Error::Unavailable("the cluster's id cannot be read".to_owned()))
}

/// Returns a fresh id in the form of a UUID.
pub(crate) fn fresh_id() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Error::Internal(format!("draw random bytes: {error}")))?;
    Ok(RunId::from_random(bytes).to_string())
}

/// Returns the client's id, or a fresh one where it sent none.
pub(crate) fn id_or_fresh(id: String) -> Result<String, Error> {
    if id.is_empty() { fresh_id() } else { Ok(id) }
}

fn system_namespace() -> Record {
    const RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);
    let mut record = Record {
        id: SYSTEM_ID.to_owned(),
        name: SYSTEM_NAME.to_owned(),
        state: NamespaceState::Registered.into(),
        description: "Temporal internal system namespace".to_owned(),
        owner_email: "temporal-core@temporal.io".to_owned(),
        ..Default::default()
    };
    record.set_retention(RETENTION);
    record
}

/// The id is made of the name, so that nodes that start at the same time make the same namespace.
fn default_namespace(default: &DefaultNamespace) -> Record {
    let mut record = Record {
        id: NamespaceId::from_random(proto::ids::fingerprint(&default.name)).to_string(),
        name: default.name.clone(),
        state: NamespaceState::Registered.into(),
        ..Default::default()
    };
    record.set_retention(default.retention.max(limits::RETENTION_MIN));
    record
}
