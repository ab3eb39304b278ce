//! Placement: which node a shard or queue belongs to, as one node believes. A hint; the lease is the truth.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use membership::{
    ring::Ring,
    view::{Member, Profile, View},
};
use proto::{
    ids::{NodeId, QueueKey, ShardId, TaskKind},
    time::Timestamp,
};
use tokio::sync::watch;

/// Whose something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner<'a> {
    Me,
    Other(&'a Member),
}

/// What belongs to whom; the same on every node that sees the same members.
#[derive(Clone)]
pub struct Placement {
    view: Arc<View>,
    ring: Ring,
    /// Somebody else may own something, so that a look at the ring is worth it.
    shared: bool,
}

impl Placement {
    #[must_use]
    pub fn new(view: Arc<View>) -> Self {
        let ring = Ring::of(&view);
        let shared = ring.names().iter().any(|name| name != view.me());
        Self { view, ring, shared }
    }

    #[must_use]
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Returns the name of the node that the shard belongs to.
    #[must_use]
    pub fn shard_owner(&self, shard: ShardId) -> &Arc<str> {
        self.ring.owner_of_shard(shard).unwrap_or(self.view.me())
    }

    /// Tells whether some other node may own something: it takes what this one gives.
    #[must_use]
    pub fn has_takers(&self) -> bool {
        self.shared
    }

    /// Returns the nodes but this one.
    pub(crate) fn others(&self) -> impl Iterator<Item = &Member> {
        self.view
            .members()
            .iter()
            .filter(|member| member.name() != self.view.me())
    }

    pub(crate) fn node(&self, id: &NodeId) -> Option<&Member> {
        self.view
            .member(&id.name)
            .filter(|member| member.profile.id == *id)
    }

    pub(crate) fn shard(&self, shard: ShardId) -> Owner<'_> {
        if !self.shared {
            return Owner::Me;
        }
        self.named(self.ring.owner_of_shard(shard))
    }

    pub(crate) fn queue(&self, queue: &QueueKey) -> Owner<'_> {
        if !self.shared {
            return Owner::Me;
        }
        self.named(self.ring.owner(&queue_key(queue)))
    }

    /// When everybody leaves each keeps what it has until it ends.
    fn named(&self, name: Option<&Arc<str>>) -> Owner<'_> {
        match name.and_then(|name| self.view.member(name)) {
            Some(member) if member.name() != self.view.me() => Owner::Other(member),
            Some(_) | None => Owner::Me,
        }
    }
}

/// Returns the views of a node that has no cluster: one, for ever.
#[must_use]
pub fn alone(node: &NodeId) -> watch::Receiver<Arc<View>> {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let view = View::solo(Profile {
        id: node.clone(),
        gossip: nowhere,
        peer: nowhere,
        client: nowhere,
        software: env!("CARGO_PKG_VERSION").into(),
        started: Timestamp::EPOCH,
    });
    watch::channel(Arc::new(view)).1
}

/// Part of what nodes must agree on: two releases that run side by side place a queue alike.
fn queue_key(queue: &QueueKey) -> Vec<u8> {
    let kind = match queue.kind {
        TaskKind::Workflow => 1,
        TaskKind::Activity => 2,
    };
    let mut key = b"queue/".to_vec();
    key.extend_from_slice(queue.namespace_id.as_bytes());
    key.extend_from_slice(&[kind, u8::from(queue.sticky)]);
    key.extend_from_slice(queue.name.as_bytes());
    key
}

#[cfg(test)]
mod tests {
    use membership::view::State;
    use proto::ids::NamespaceId;

    use super::*;

    fn member(name: &str, state: State) -> Member {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 7_235));
        let id = NodeId {
            name: name.into(),
            generation: 1,
        };
        Member {
            profile: Profile {
                id,
                gossip: address,
                peer: address,
                client: address,
                software: "0".into(),
                started: Timestamp::EPOCH,
            },
            state,
        }
    }

    fn placement(me: &str, members: &[(&str, State)]) -> Placement {
        let members = members.iter().map(|(name, state)| member(name, *state)).collect();
        Placement::new(Arc::new(View::new(1, me.into(), members, 0)))
    }

    fn queue(name: &str) -> QueueKey {
        QueueKey {
            namespace_id: NamespaceId::from_bytes([7; 16]),
            kind: TaskKind::Activity,
            sticky: false,
            name: name.into(),
        }
    }

    fn owner<'a>(of: &'a Placement, queue: &QueueKey) -> &'a str {
        match of.queue(queue) {
            Owner::Me => of.view.me(),
            Owner::Other(member) => member.name(),
        }
    }

    #[test]
    fn nodes_agree_on_queues_and_each_has_some() {
        let names = [("a", State::Alive), ("b", State::Suspect), ("c", State::Alive)];
        let (a, b) = (placement("a", &names), placement("b", &names));
        let queues: Vec<_> = (0..60).map(|n| queue(&format!("orders-{n}"))).collect();
        let by_a: Vec<_> = queues.iter().map(|queue| owner(&a, queue)).collect();
        let by_b: Vec<_> = queues.iter().map(|queue| owner(&b, queue)).collect();
        assert_eq!(by_a, by_b);
        assert!(["a", "b", "c"].iter().all(|name| by_a.contains(name)), "{by_a:?}");
    }

    #[test]
    fn who_leaves_gives_all_and_takes_nothing() {
        let leaving = placement("a", &[("a", State::Leaving), ("b", State::Alive)]);
        assert!((0..50).all(|shard| matches!(leaving.shard(ShardId(shard)), Owner::Other(_))));
        assert!(leaving.has_takers());
        let staying = placement("b", &[("a", State::Leaving), ("b", State::Alive)]);
        assert!((0..50).all(|shard| staying.shard(ShardId(shard)) == Owner::Me));
        assert!(!staying.has_takers());
    }

    #[test]
    fn when_all_leave_each_keeps_what_it_has() {
        let last = placement("a", &[("a", State::Leaving), ("b", State::Leaving)]);
        assert!((0..50).all(|shard| last.shard(ShardId(shard)) == Owner::Me));
        assert!(!last.has_takers());
    }

    #[test]
    fn the_place_of_a_queue_stays_as_it_is() {
        let names = [("a", State::Alive), ("b", State::Alive), ("c", State::Alive)];
        let placement = placement("a", &names);
        let owners: String = (0..12)
            .map(|n| owner(&placement, &queue(&format!("q{n}"))))
            .collect();
        assert_eq!(owners, "ccbcacaacbca", "two releases must agree");
    }
}
