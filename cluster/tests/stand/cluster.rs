//! A cluster of nodes in this process: one memory store, loopback ports, and views as the test has them.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::NonZeroU32,
    sync::{Arc, RwLock},
    time::Duration,
};

use membership::view::{Member, Profile, State, View};
use perdure_cluster::{
    config::Config,
    host::{self, Host, Parts},
    router::Router,
};
use proto::{ids::NodeId, time::Timestamp};
use storage::{memory::MemoryStore, shard::ShardStore, visibility::embedded::EmbeddedIndex};
use tokio::{net::TcpListener, sync::watch};

use crate::stand;

pub(crate) const SHARDS: u32 = 12;

pub(crate) struct Cluster {
    pub(crate) store: MemoryStore,
    shards: Arc<dyn ShardStore>,
    count: NonZeroU32,
    index: Arc<EmbeddedIndex>,
    nodes: BTreeMap<String, Node>,
    members: Vec<Member>,
    version: u64,
    /// Where clients call.
    open: Arc<RwLock<Vec<Door>>>,
}

struct Node {
    host: Host,
    view: watch::Sender<Arc<View>>,
}

/// A node as its clients see it. They hold `busy` while they wait for an answer.
#[derive(Clone)]
pub(crate) struct Door {
    name: String,
    pub(crate) router: Router,
    pub(crate) busy: Arc<tokio::sync::RwLock<()>>,
}

/// Where clients call.
#[derive(Clone)]
pub(crate) struct Doors(Arc<RwLock<Vec<Door>>>);

impl Doors {
    /// Returns the node of the number, of those that are open.
    pub(crate) fn door(&self, number: usize) -> Door {
        let open = self.0.read().expect("no panic");
        open[number % open.len()].clone()
    }
}

impl Cluster {
    pub(crate) async fn start(names: &[&str]) -> Self {
        let store = MemoryStore::new();
        Self::start_on(store.clone(), Arc::new(store), names).await
    }

    /// `shards` may watch over the store.
    pub(crate) async fn start_on(store: MemoryStore, shards: Arc<dyn ShardStore>, names: &[&str]) -> Self {
        let mut cluster = Self::empty(store, shards, SHARDS);
        for name in names {
            cluster.add(name).await;
        }
        cluster
    }

    /// A cluster of no nodes yet, with so many shards.
    pub(crate) fn empty(store: MemoryStore, shards: Arc<dyn ShardStore>, count: u32) -> Self {
        Self {
            store,
            shards,
            count: NonZeroU32::new(count).expect("some"),
            index: Arc::new(EmbeddedIndex::in_memory().expect("index")),
            nodes: BTreeMap::new(),
            members: Vec::new(),
            version: 1,
            open: Arc::default(),
        }
    }

    /// What the nodes store their shards in.
    pub(crate) fn shards(&self) -> &dyn ShardStore {
        &*self.shards
    }

    /// Starts a node, and tells the others.
    pub(crate) async fn add(&mut self, name: &str) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        self.version += 1;
        let member = member(name, self.version, address);
        let id = member.profile.id.clone();
        self.members.push(member);
        let view = watch::Sender::new(self.view(name));
        self.publish();
        let parts = Parts {
            node: id,
            store: Arc::clone(&self.shards),
            registry: Arc::new(self.store.clone()),
            visibility: self.index.clone(),
            config: Config {
                shards: self.count,
                ..Config::default()
            },
            namespaces: stand::namespaces(),
            view: view.subscribe(),
            gossip: Arc::default(),
            peers: Some(listener),
            seed: Arc::new(|| {
                let mut seed = [0; 16];
                getrandom::fill(&mut seed).expect("random bytes");
                seed
            }),
        };
        let host = host::start(parts).await.expect("node");
        self.open.write().expect("no panic").push(Door {
            name: name.to_owned(),
            router: host.router().clone(),
            busy: Arc::default(),
        });
        self.nodes.insert(name.to_owned(), Node { host, view });
    }

    /// Lets a node leave in good order, as the server does.
    pub(crate) async fn drain(&mut self, name: &str) {
        self.set_state(name, State::Leaving);
        let left = self.nodes[name].host.hand_over(Duration::from_secs(30)).await;
        assert_eq!(left, 0, "all shards have gone elsewhere");
        drop(self.close(name).await);
        let node = self.nodes.remove(name).expect("a node");
        node.host.stop().await;
        self.members.retain(|member| **member.name() != *name);
        self.publish();
    }

    /// Ends a node without a word; the others find out later.
    pub(crate) async fn kill(&mut self, name: &str) {
        let node = self.nodes.remove(name).expect("a node");
        node.host.halt().await;
        self.open
            .write()
            .expect("no panic")
            .retain(|door| door.name != name);
    }

    /// The others take a node for dead.
    pub(crate) fn forget(&mut self, name: &str) {
        self.members.retain(|member| **member.name() != *name);
        self.publish();
    }

    pub(crate) fn set_state(&mut self, name: &str, state: State) {
        for member in &mut self.members {
            if **member.name() == *name {
                member.state = state;
            }
        }
        self.publish();
    }

    /// Clients go elsewhere, and wait for the answers that they have not yet.
    pub(crate) async fn close(&self, name: &str) -> Door {
        let door = {
            let mut open = self.open.write().expect("no panic");
            let at = open.iter().position(|door| door.name == name).expect("a door");
            open.remove(at)
        };
        drop(door.busy.write().await);
        door
    }

    /// Clients may call there again.
    pub(crate) fn open(&self, door: Door) {
        self.open.write().expect("no panic").push(door);
    }

    /// All see all again.
    pub(crate) fn heal(&mut self) {
        self.publish();
    }

    /// Waits until these nodes have all shards between them and the others none.
    pub(crate) async fn all_held_by(&self, names: &[&str]) {
        loop {
            let mut held = (0, 0);
            for (name, node) in &self.nodes {
                let here = node.host.router().shard_views().await.len();
                if names.contains(&name.as_str()) {
                    held.0 += here;
                } else {
                    held.1 += here;
                }
            }
            if held == (SHARDS as usize, 0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn doors(&self) -> Doors {
        Doors(Arc::clone(&self.open))
    }

    pub(crate) fn router(&self, name: &str) -> &Router {
        self.nodes[name].host.router()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.nodes.keys().cloned().collect()
    }

    /// Tells one node that these are the members.
    pub(crate) fn show(&mut self, to: &str, names: &[&str], lost: usize) {
        self.version += 1;
        let members = self.members.iter();
        let seen = members
            .filter(|member| names.contains(&&**member.name()))
            .cloned()
            .collect();
        let view = View::new(self.version, to.into(), seen, lost);
        self.nodes[to].view.send_replace(Arc::new(view));
    }

    fn view(&self, me: &str) -> Arc<View> {
        Arc::new(View::new(self.version, me.into(), self.members.clone(), 0))
    }

    fn publish(&mut self) {
        self.version += 1;
        for (name, node) in &self.nodes {
            node.view.send_replace(self.view(name));
        }
    }

    /// Waits until each shard is where it belongs, and nowhere else.
    pub(crate) async fn settled(&self) {
        for name in self.names() {
            loop {
                let router = self.router(&name);
                let placement = router.placement();
                let mut mine: Vec<u32> = router
                    .map()
                    .shards()
                    .filter(|shard| **placement.shard_owner(*shard) == *name)
                    .map(|shard| shard.0)
                    .collect();
                mine.sort_unstable();
                let held: Vec<u32> = router.shard_views().await.iter().map(|view| view.shard).collect();
                if mine == held {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    pub(crate) async fn stop(self) {
        for (_, node) in self.nodes {
            node.host.stop().await;
        }
    }
}

fn member(name: &str, generation: u64, peer: SocketAddr) -> Member {
    let profile = Profile {
        id: NodeId {
            name: name.into(),
            generation,
        },
        gossip: peer,
        peer,
        client: peer,
        software: "test".into(),
        started: Timestamp::EPOCH,
    };
    Member {
        profile,
        state: State::Alive,
    }
}
