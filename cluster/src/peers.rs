//! Peers: the other nodes that this one has talked to.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use futures::future::join_all;
use membership::view::Member;
use proto::ids::NodeId;
use tokio::runtime::Handle;

use crate::{
    placement::Placement,
    rpc::{
        Hint,
        metrics::{Calls, Counts},
        peer::{Peer, Returned},
    },
};

/// The other nodes, each with its connections.
pub(crate) struct Peers {
    known: RwLock<HashMap<NodeId, Arc<Peer>>>,
    returned: Returned,
    counts: Arc<Counts>,
    /// Connections live here, whoever asks first: shards do so on their own threads.
    runtime: Handle,
}

impl Peers {
    /// Must be called within the runtime that connections are to run on.
    pub(crate) fn new(returned: Returned, calls: Arc<Calls>) -> Self {
        Self {
            known: RwLock::default(),
            returned,
            counts: Arc::new(Counts::new(calls)),
            runtime: Handle::current(),
        }
    }

    /// Returns the way to a node, which connects when it is first asked something.
    pub(crate) fn get(&self, node: &Member) -> Arc<Peer> {
        let id = &node.profile.id;
        if let Some(peer) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(id) {
            return Arc::clone(peer);
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let peer = known.entry(id.clone()).or_insert_with(|| {
            let _runtime = self.runtime.enter();
            let (returned, counts) = (Arc::clone(&self.returned), Arc::clone(&self.counts));
            Peer::new(id.clone(), node.profile.peer, returned, counts)
        });
        Arc::clone(peer)
    }

    /// Lets those go that are no longer in the cluster: calls that wait for them end.
    pub(crate) fn keep(&self, placement: &Placement) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|id, peer| {
            let stays = placement.node(id).is_some();
            if !stays {
                peer.close();
            }
            stays
        });
    }

    /// Returns a node that has shown that it does not know words of this version. Who does not answer is not counted.
    pub(crate) async fn older_than(&self, placement: &Placement, version: u32) -> Option<NodeId> {
        let others = placement.others().map(|node| self.get(node));
        let asked = others.map(|peer| async move { (peer.id.clone(), peer.version().await) });
        let shown = join_all(asked).await.into_iter();
        let mut older = shown.filter(|(_, shown)| shown.as_ref().is_ok_and(|shown| *shown < version));
        older.next().map(|(node, _)| node)
    }

    /// Says something to all nodes.
    pub(crate) fn hint_all(&self, placement: &Placement, hint: &Hint) {
        for node in placement.others() {
            // Whoever does not hear it reads it later by itself.
            drop(self.get(node).hint(hint.clone()));
        }
    }
}
