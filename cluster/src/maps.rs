//! Maps: the shard map as this node knows it, how it hears of a newer one, and how it changes it.
//!
//! What a node knows may be old: it finds calls' ways by it and nothing else. Whoever takes up a shard asks the
//! registry ([`Router::may_serve`]).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use prost::Message;
use proto::ids::ShardId;
use storage::{
    error::StoreError,
    registry::{Registry, RegistryError, RegistryTable, RegistryWrite},
};
use tokio::{
    sync::{broadcast::error::RecvError, watch},
    time::{MissedTickBehavior, interval},
};

use crate::{
    map::{ShardMap, change::Serve},
    router::Router,
    rpc::{Hint, News},
};

/// Where the shard map stands in the registry.
const MAP_KEY: &[u8] = b"shard-map";
/// How often a node looks for a newer map because somebody else does not have what it should.
const DOUBT_EVERY: Duration = Duration::from_millis(500);
/// How often a node reads the map although nobody says that it has changed: what is said may get lost, and the wish for
/// a split may be all that has changed.
const READ_EVERY: Duration = Duration::from_secs(10);

/// A map as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) map: Arc<ShardMap>,
    /// Of the registry's entry: a change is conditional on it.
    version: u64,
}

impl Stored {
    pub(crate) fn version(&self) -> u64 {
        self.version
    }
}

/// The newest map that this node has seen.
pub(crate) struct Maps {
    known: watch::Sender<Stored>,
    doubted: Mutex<Option<Instant>>,
}

impl Maps {
    pub(crate) fn new(stored: Stored) -> Self {
        Self {
            known: watch::Sender::new(stored),
            doubted: Mutex::default(),
        }
    }

    pub(crate) fn map(&self) -> Arc<ShardMap> {
        Arc::clone(&self.known.borrow().map)
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Stored> {
        self.known.subscribe()
    }

    fn learn(&self, stored: &Stored) {
        self.known.send_if_modified(|known| {
            let is_newer = stored.version > known.version;
            if is_newer {
                known.clone_from(stored);
            }
            is_newer
        });
    }

    /// Tells whether it is time to look again.
    fn doubts(&self) -> bool {
        let mut doubted = self.doubted.lock().unwrap_or_else(PoisonError::into_inner);
        let due = doubted.is_none_or(|at| at.elapsed() >= DOUBT_EVERY);
        if due {
            *doubted = Some(Instant::now());
        }
        due
    }
}

/// Reads the stored map; `None` if there is none.
pub(crate) async fn read(registry: &dyn Registry) -> Result<Option<Stored>, StoreError> {
    let Some(entry) = registry.get(RegistryTable::Cluster, MAP_KEY).await? else {
        return Ok(None);
    };
    let map = ShardMap::decode(entry.value)
        .ok()
        .filter(ShardMap::is_sound)
        .ok_or_else(|| StoreError::Broken("shard map is malformed".to_owned()))?;
    Ok(Some(Stored {
        map: Arc::new(map),
        version: entry.version,
    }))
}

/// Writes a map in the place of the one of that version.
pub(crate) async fn write(
    registry: &dyn Registry,
    map: ShardMap,
    expected: u64,
) -> Result<Stored, RegistryError> {
    let write = RegistryWrite {
        table: RegistryTable::Cluster,
        key: Bytes::from_static(MAP_KEY),
        value: Some(map.encode_to_vec().into()),
        expected,
    };
    registry.write(vec![write]).await?;
    Ok(Stored {
        map: Arc::new(map),
        version: expected + 1,
    })
}

/// Reads the stored map, or makes it when the cluster is new.
pub(crate) async fn read_or_make(registry: &dyn Registry, shards: u32) -> Result<Stored, RegistryError> {
    loop {
        if let Some(stored) = read(registry).await? {
            return Ok(stored);
        }
        match write(registry, ShardMap::even(shards), 0).await {
            // Another node was first: read what it made.
            Err(RegistryError::Conflict) => {}
            made => return made,
        }
    }
}

impl Router {
    /// Reads the map anew.
    pub(crate) async fn read_map(&self) -> Result<Stored, StoreError> {
        let missing = || StoreError::Broken("shard map is missing".to_owned());
        let stored = read(&**self.registry()).await?.ok_or_else(missing)?;
        self.0.maps.learn(&stored);
        Ok(stored)
    }

    /// Puts a map in the place of the one that was read, unless somebody else has changed that, and tells all nodes.
    pub(crate) async fn change_map(&self, from: &Stored, to: ShardMap) -> Result<Stored, RegistryError> {
        let stored = write(&**self.registry(), to, from.version()).await?;
        self.0.maps.learn(&stored);
        let placement = self.placement();
        self.0.peers.hint_all(&placement, &Hint::News(News::ShardMap));
        Ok(stored)
    }

    /// Tells whether a shard whose lease was just taken may be served. If somebody may be filling shards that are to
    /// replace it, they cannot finish from here on: what is committed under the new lease would be missing there.
    pub(crate) async fn may_serve(&self, shard: ShardId) -> Result<bool, StoreError> {
        loop {
            let stored = self.read_map().await?;
            let withdrawn = match stored.map.serve(shard) {
                Serve::No => return Ok(false),
                Serve::Yes => return Ok(true),
                Serve::After(withdrawn) => withdrawn,
            };
            match self.change_map(&stored, withdrawn).await {
                Ok(_) => {
                    tracing::info!(%shard, "shard is taken up: a split or merge of it begins anew");
                    return Ok(true);
                }
                // They were quicker, or somebody else.
                Err(RegistryError::Conflict) => {}
                Err(RegistryError::Store(error)) => return Err(error),
            }
        }
    }

    /// Looks for a newer map, as somebody does not have what it should by this one.
    pub(crate) async fn doubt_map(&self) {
        if self.0.maps.doubts()
            && let Err(error) = self.read_map().await
        {
            tracing::debug!(%error, "shard map not read");
        }
    }

    /// Another node knows a map of this version.
    pub(crate) async fn heard_of_map(&self, version: u64) {
        if version > self.map().version {
            self.doubt_map().await;
        }
    }
}

/// Reads the map when others say that it has changed, and now and then, for as long as the node runs.
pub(crate) async fn follow(router: Router) {
    let mut news = router.news();
    let is_shared = router.store().is_shared();
    let mut unasked = interval(READ_EVERY);
    unasked.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            news = news.recv() => match news {
                Ok(News::ShardMap | News::Anything) | Err(RecvError::Lagged(_)) => {}
                Ok(News::Namespaces | News::QueueSettings(_)) => continue,
                Err(RecvError::Closed) => return,
            },
            // Nobody else changes what only this node has.
            _ = unasked.tick(), if is_shared => {}
        }
        if let Err(error) = router.read_map().await {
            tracing::warn!(%error, "shard map not read");
        }
    }
}
