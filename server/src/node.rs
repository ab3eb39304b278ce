//! Node: the host and, in a cluster, its membership: started and stopped together, in order.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use cluster::{
    host::{self, Host, Parts},
    placement::alone,
};
use membership::agent::Ended;
use proto::ids::NodeId;

use crate::{
    config::Config,
    membership::{
        member::{Doors, Member, next_generation},
        settings::Settings,
    },
    run::{RunError, Stores, listen},
};

/// A running node.
pub(crate) struct Node {
    pub(crate) host: Host,
    member: Option<Member>,
}

/// Joins the cluster, if there is one, and takes up what belongs to this node. `client` is where clients call.
pub(crate) async fn start(config: &Config, stores: &Stores, client: SocketAddr) -> Result<Node, RunError> {
    // Fails here if it ever does, not within a shard.
    seed().map_err(|error| RunError::Random(error.to_string()))?;
    // Read before others count on this node.
    let namespaces = frontend::namespace::read(&*stores.registry).await?;
    let (id, member, view, gossip, peers) = match &config.membership {
        Some(settings) => {
            let peers = listen(settings.rpc.bind).await?;
            let peer = peers.local_addr().unwrap_or(settings.rpc.bind);
            let (id, member) = join(settings, stores, Doors { client, peer }).await?;
            let (view, gossip) = (member.watch(), Arc::clone(member.agent().metrics()));
            (id, Some(member), view, gossip, Some(peers))
        }
        None => {
            let id = only_node();
            let view = alone(&id);
            (id, None, view, Arc::default(), None)
        }
    };
    let parts = Parts {
        node: id,
        store: Arc::clone(&stores.shards),
        registry: Arc::clone(&stores.registry),
        visibility: Arc::clone(&stores.visibility),
        config: config.cluster.clone(),
        namespaces,
        view,
        gossip,
        peers,
        seed: Arc::new(|| seed().unwrap_or_default()),
    };
    let host = host::start(parts).await?;
    Ok(Node { host, member })
}

async fn join(settings: &Settings, stores: &Stores, doors: Doors) -> Result<(NodeId, Member), RunError> {
    let id = NodeId {
        name: settings.node.as_str().into(),
        generation: next_generation(&*stores.registry, &settings.node).await?,
    };
    let member = Member::join(settings.clone(), id.clone(), doors).await?;
    Ok((id, member))
}

fn only_node() -> NodeId {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    NodeId {
        name: "perdure".into(),
        generation: since.as_secs(),
    }
}

fn seed() -> Result<[u8; 16], getrandom::Error> {
    let mut seed = [0; 16];
    getrandom::fill(&mut seed)?;
    Ok(seed)
}

impl Node {
    /// Gives all shards to the other nodes, bounded in time. Calls go on meanwhile.
    pub(crate) async fn hand_over(&self) {
        let Some(member) = &self.member else { return };
        let shards = self.host.router().shard_views().await.len();
        tracing::info!(shards, within = ?member.drain_max(), "hands over its shards");
        member.set_leaving().await;
        match self.host.hand_over(member.drain_max()).await {
            0 => tracing::info!("has handed over all shards"),
            left => tracing::warn!(left, "has not handed over all shards: gives up their leases"),
        }
    }

    /// Ends if this process must not go on: its name was started elsewhere, or membership has failed.
    pub(crate) async fn expelled(&self) -> RunError {
        match &self.member {
            None => std::future::pending().await,
            Some(member) => match member.ended().await {
                Ended::Superseded { generation } => RunError::Superseded { generation },
                Ended::Left | Ended::Stopped | Ended::Panicked => RunError::MembershipEnded,
            },
        }
    }

    /// Finishes batches, gives leases back, and says goodbye.
    pub(crate) async fn stop(self) {
        self.host.stop().await;
        if let Some(member) = self.member {
            member.leave().await;
        }
    }

    /// Ends at once: others have what this node had.
    pub(crate) async fn halt(self) {
        self.host.halt().await;
    }
}
