//! Member: this process as one node of its cluster, from joining to leaving.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use membership::{
    agent::{Agent, Ended},
    error::StartError,
    view::{Change, Profile, State, View},
};
use proto::{ids::NodeId, time::Timestamp};
use storage::{
    error::StoreError,
    registry::{Registry, RegistryError, RegistryTable, RegistryWrite},
};
use tokio::{sync::watch, task::JoinHandle};

use super::settings::Settings;

/// Times that the write of a generation is tried again because another start of the same node came between.
const GENERATION_ATTEMPTS_MAX: u32 = 10;

/// This process could not become a node of a cluster.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("count start of node {0}: {1}")]
    Store(String, StoreError),
    #[error("count start of node {0}: other starts of it come between; is another process using its name?")]
    Contended(String),
    #[error("join the cluster: {0}")]
    Agent(#[from] StartError),
}

/// Where this node is called, as bound.
#[derive(Clone, Copy, Debug)]
pub struct Doors {
    pub client: SocketAddr,
    pub peer: SocketAddr,
}

/// A node among others. Dropping it is a crash as the others see it; [`Member::leave`] says goodbye.
pub struct Member {
    agent: Agent,
    settings: Settings,
    chronicle: JoinHandle<()>,
}

impl Member {
    /// Starts gossip and waits, bounded, until another node is seen; without seeds there is nobody to wait for.
    pub async fn join(settings: Settings, id: NodeId, doors: Doors) -> Result<Self, JoinError> {
        let profile = Profile {
            id,
            // The agent replaces it.
            gossip: settings.gossip.bind,
            peer: told(settings.rpc.advertise, doors.peer),
            client: told(settings.frontend.advertise, doors.client),
            software: env!("CARGO_PKG_VERSION").into(),
            started: now(),
        };
        let agent = Agent::start(settings.gossip.clone(), profile)?;
        let view = agent.view();
        tracing::info!(
            node = %view.me(), cluster = settings.gossip.cluster_name, gossip = %agent.local_address(),
            seeds = settings.gossip.seeds.len(), "looks for its cluster"
        );
        let mut views = agent.watch();
        if has_others(&settings, &agent) {
            let others = views.wait_for(|view| view.members().len() > 1);
            match tokio::time::timeout(settings.max_join_duration, others).await {
                Ok(_) => tracing::info!("joined the cluster"),
                Err(_) => tracing::warn!(
                    after = ?settings.max_join_duration,
                    "no seed answers: goes on alone, and joins when one does"
                ),
            }
        }
        let chronicle = tokio::spawn(chronicle(views, view));
        Ok(Self {
            agent,
            settings,
            chronicle,
        })
    }

    /// Returns all views from now on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.agent.watch()
    }

    #[must_use]
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// How long a stop may take to hand over.
    #[must_use]
    pub fn drain_max(&self) -> Duration {
        self.settings.drain_max
    }

    /// Tells all that this node goes soon and shall own nothing.
    pub async fn set_leaving(&self) {
        if self.agent.set_leaving(true).await.is_err() {
            tracing::warn!("gossip has ended: the others find this node dead");
        }
    }

    /// Says goodbye.
    pub async fn leave(self) {
        let how = self.agent.leave().await;
        self.chronicle.abort();
        tracing::info!(?how, "left the cluster");
    }

    /// Ends if this process must not go on as a node.
    pub async fn ended(&self) -> Ended {
        self.agent.ended().await
    }
}

/// Tells whether a seed may be another node.
fn has_others(settings: &Settings, agent: &Agent) -> bool {
    let me = agent
        .view()
        .member(&agent.view().me().clone())
        .map(|me| me.profile.gossip);
    settings
        .gossip
        .seeds
        .iter()
        .any(|seed| Some(seed.to_string()) != me.map(|me| me.to_string()))
}

/// Writes to the log what becomes of the others.
async fn chronicle(mut views: watch::Receiver<Arc<View>>, mut known: Arc<View>) {
    loop {
        let view = Arc::clone(&views.borrow_and_update());
        for change in view.changes_since(&known) {
            record(&change, &known);
        }
        known = view;
        if views.changed().await.is_err() {
            return;
        }
    }
}

fn record(change: &Change, known: &View) {
    match change {
        Change::Came(member) => {
            tracing::info!(node = %member.name(), generation = member.profile.id.generation, peer = %member.profile.peer, "node came");
        }
        Change::Restarted(member) => {
            tracing::info!(node = %member.name(), generation = member.profile.id.generation, peer = %member.profile.peer, "node started anew");
        }
        Change::Gone(member) if member.state == State::Leaving => {
            tracing::info!(node = %member.name(), "node left");
        }
        Change::Gone(member) => tracing::warn!(node = %member.name(), "node is dead"),
        Change::Altered(member) => match member.state {
            State::Alive => tracing::info!(node = %member.name(), "node is alive"),
            State::Suspect => tracing::warn!(node = %member.name(), "node does not answer"),
            // A refuted suspicion of one that leaves is no news.
            State::Leaving
                if known
                    .member(member.name())
                    .is_some_and(|was| was.state == State::Leaving) => {}
            State::Leaving => tracing::info!(node = %member.name(), "node is leaving"),
        },
    }
}

/// Counts a start of the node: each has a greater generation than those before, whatever clocks say.
pub async fn next_generation(registry: &dyn Registry, node: &str) -> Result<u64, JoinError> {
    let failed = |error| JoinError::Store(node.to_owned(), error);
    let key = Bytes::from(format!("node/{node}"));
    for _ in 0..GENERATION_ATTEMPTS_MAX {
        let entry = registry.get(RegistryTable::Cluster, &key).await.map_err(failed)?;
        let (last, version) = entry.map_or((0, 0), |entry| (read_generation(&entry.value), entry.version));
        // The clock too, so that a node whose store was made anew is not older than what others remember of it.
        let next = clock_millis().max(last.saturating_add(1));
        let write = RegistryWrite {
            table: RegistryTable::Cluster,
            key: key.clone(),
            value: Some(Bytes::from(next.to_string())),
            expected: version,
        };
        match registry.write(vec![write]).await {
            Ok(()) => return Ok(next),
            Err(RegistryError::Conflict) => {}
            Err(RegistryError::Store(error)) => return Err(failed(error)),
        }
    }
    Err(JoinError::Contended(node.to_owned()))
}

fn read_generation(value: &[u8]) -> u64 {
    std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// What others are told: an address that was set, with the bound port where it has none.
fn told(advertise: Option<SocketAddr>, bound: SocketAddr) -> SocketAddr {
    match advertise {
        Some(address) if address.port() == 0 => SocketAddr::new(address.ip(), bound.port()),
        Some(address) => address,
        None => bound,
    }
}

fn clock_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn now() -> Timestamp {
    Timestamp::EPOCH + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests;
