//! Placement: which node a shard or queue belongs to, as one node believes. A hint; the lease is the truth.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, OnceLock},
};

use membership::{
    ring::Ring,
    view::{Member, Profile, View},
};
use proto::{
    ids::{NamespaceId, NodeId, QueueKey, ShardId, TaskKind},
    time::Timestamp,
};
use tokio::sync::watch;

use crate::map::ShardMap;

/// Whose something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner<'a> {
    Me,
    Other(&'a Member),
}

/// What belongs to whom; the same on every node that sees the same members and the same map.
#[derive(Clone)]
pub struct Placement {
    view: Arc<View>,
    map: Arc<ShardMap>,
    ring: Ring,
    /// Somebody else may own something, so that a look at the ring is worth it.
    shared: bool,
    /// The ring with those on it that leave.
    with_leaving: OnceLock<Ring>,
}

impl Placement {
    #[must_use]
    pub fn new(view: Arc<View>, map: Arc<ShardMap>) -> Self {
        let ring = Ring::of(&view);
        let shared = ring.names().iter().any(|name| name != view.me());
        Self {
            view,
            map,
            ring,
            shared,
            with_leaving: OnceLock::new(),
        }
    }

    #[must_use]
    pub fn map(&self) -> &Arc<ShardMap> {
        &self.map
    }

    #[must_use]
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Returns the name of the node that the shard belongs to.
    #[must_use]
    pub fn shard_owner(&self, shard: ShardId) -> &Arc<str> {
        let home = self.map.home(shard);
        self.ring.owner_of_shard(home).unwrap_or(self.view.me())
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
        self.named(self.ring.owner_of_shard(self.map.home(shard)))
    }

    /// Tells whether there is such a shard and it belongs to this node.
    pub(crate) fn is_mine(&self, shard: ShardId) -> bool {
        self.map.range(shard).is_some() && self.shard(shard) == Owner::Me
    }

    /// Returns who owned the shard before this node did: whoever leaves, or who would own it without this node.
    pub(crate) fn before(&self, shard: ShardId) -> Option<&Member> {
        let members = self.view.members();
        let names = || members.iter().map(|member| Arc::clone(member.name()));
        let ring = self.with_leaving.get_or_init(|| Ring::new(names()));
        let owners = ring.owners_of_shard(shard, 2).into_iter();
        let mut others = owners.filter(|name| *name != self.view.me());
        self.view.member(others.next()?)
    }

    pub(crate) fn queue(&self, queue: &QueueKey) -> Owner<'_> {
        if !self.shared {
            return Owner::Me;
        }
        self.named(self.ring.owner(&queue_key(queue)))
    }

    /// Returns who knows of the worker process.
    pub(crate) fn worker(&self, namespace: NamespaceId, key: &str) -> Owner<'_> {
        if !self.shared {
            return Owner::Me;
        }
        let key = [b"worker/", namespace.as_bytes().as_slice(), key.as_bytes()].concat();
        self.named(self.ring.owner(&key))
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
        let view = View::new(1, me.into(), members, 0);
        Placement::new(Arc::new(view), Arc::new(ShardMap::even(4)))
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
    fn who_comes_finds_those_who_own_its_shards_until_then() {
        let names = [("a", State::Alive), ("b", State::Alive)];
        let before = placement("a", &names);
        let with_c = [names[0], names[1], ("c", State::Alive)];
        let came = placement("c", &with_c);
        for shard in (0..50).map(ShardId) {
            let owner = came.before(shard).expect("somebody").name();
            assert_eq!(owner, before.shard_owner(shard));
        }
    }

    #[test]
    fn who_takes_over_finds_who_leaves() {
        let members = [("a", State::Alive), ("b", State::Alive), ("c", State::Leaving)];
        let (before, after) = (
            placement("a", &[members[0], members[1], ("c", State::Alive)]),
            placement("a", &members),
        );
        let came = (0..50)
            .map(ShardId)
            .filter(|shard| after.shard(*shard) == Owner::Me && before.shard(*shard) != Owner::Me);
        let owners: Vec<_> = came
            .map(|shard| &**after.before(shard).expect("somebody").name())
            .collect();
        assert!(
            !owners.is_empty() && owners.iter().all(|owner| *owner == "c"),
            "{owners:?}"
        );
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
