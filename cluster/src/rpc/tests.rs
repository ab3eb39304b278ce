//! Nodes of two releases side by side.

use std::{
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
};

use membership::view::{Member, Profile, State, View};
use proto::{
    ids::{NodeId, ShardId},
    node::{
        Frame,
        node_server::{Node, NodeServer},
    },
    time::Timestamp,
};
use tokio::{net::TcpListener, sync::mpsc};
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

use super::*;
use crate::{
    map::ShardMap,
    peers::Peers,
    placement::Placement,
    wire::{Wire, encode},
};

/// A node of a release that knows the words of this version. It tells what it hears.
struct Release {
    version: u32,
    heard: mpsc::Sender<Hint>,
}

#[tonic::async_trait]
impl Node for Release {
    async fn call(&self, request: Request<Frame>) -> Result<Response<Frame>, Status> {
        let call =
            Call::take(request.into_inner().body).map_err(|error| Status::internal(error.to_string()))?;
        assert!(call.since() <= self.version, "would not understand {call:?}");
        if let Call::Hints { hints } = call {
            for hint in hints {
                assert!(hint.since() <= self.version, "would not understand {hint:?}");
                self.heard.send(hint).await.expect("the test listens");
            }
        }
        let body = encode(&());
        Ok(Response::new(Frame {
            version: self.version,
            body,
        }))
    }
}

async fn start(version: u32) -> (Member, mpsc::Receiver<Hint>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (heard, hears) = mpsc::channel(16);
    let node = NodeServer::new(Release { version, heard });
    let server = tonic::transport::Server::builder().add_service(node);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    (member(&format!("release-{version}"), address), hears)
}

fn member(name: &str, address: SocketAddr) -> Member {
    Member {
        profile: Profile {
            id: NodeId {
                name: name.into(),
                generation: 1,
            },
            gossip: address,
            peer: address,
            client: address,
            software: "test".into(),
            started: Timestamp::EPOCH,
        },
        state: State::Alive,
    }
}

fn peers() -> (Peers, Arc<RwLock<Vec<Hint>>>) {
    let returned: Arc<RwLock<Vec<Hint>>> = Arc::default();
    let back = Arc::clone(&returned);
    let returned_to = Arc::new(move |hints: Vec<Hint>| {
        back.write().unwrap_or_else(PoisonError::into_inner).extend(hints);
    });
    (Peers::new(returned_to, Arc::default()), returned)
}

fn placement(members: Vec<Member>) -> Placement {
    let view = View::new(1, "me".into(), members, 0);
    Placement::new(Arc::new(view), Arc::new(ShardMap::even(4)))
}

#[tokio::test]
async fn who_does_not_know_a_word_is_not_told_it_and_hears_the_rest() {
    let freed = Hint::Freed { shard: ShardId(1) };
    for (version, wanted) in [
        (SPLITS - 1, vec![Hint::News(News::Namespaces), freed.clone()]),
        (
            SPLITS,
            vec![
                Hint::News(News::Namespaces),
                Hint::News(News::ShardMap),
                freed.clone(),
            ],
        ),
    ] {
        let (member, mut hears) = start(version).await;
        let (peers, returned) = peers();
        let peer = peers.get(&member);
        for hint in [
            Hint::News(News::Namespaces),
            Hint::News(News::ShardMap),
            freed.clone(),
        ] {
            peer.hint(hint).expect("there is room");
        }
        let mut heard = Vec::new();
        while heard.last() != Some(&freed) {
            heard.push(hears.recv().await.expect("more"));
        }
        assert_eq!(heard, wanted, "version {version}");
        assert!(returned.read().unwrap_or_else(PoisonError::into_inner).is_empty());
    }
}

#[tokio::test]
async fn who_does_not_know_a_call_is_not_asked() {
    let call = Call::Workers {
        question: Question::Hear {
            namespace: proto::ids::NamespaceId::from_bytes([1; 16]),
            workers: Vec::new(),
        },
    };
    for (version, wanted) in [(SPLITS - 1, false), (SPLITS, true)] {
        let (member, _hears) = start(version).await;
        let (peers, _) = peers();
        let peer = peers.get(&member);
        assert!(peer.knows(WORKERS), "it has shown nothing yet");
        let answer = peer.call::<()>(&call).await;
        assert_eq!(answer.is_ok(), wanted, "version {version}: {answer:?}");
        assert_eq!(peer.knows(WORKERS), wanted, "version {version}");
    }
}

#[tokio::test]
async fn an_older_node_is_found() {
    let (old, _old) = start(SPLITS - 1).await;
    let (new, _new) = start(SPLITS).await;
    let me = member("me", "127.0.0.1:1".parse().expect("an address"));
    let (peers, _) = peers();
    let both = placement(vec![me.clone(), old.clone(), new.clone()]);
    let older = peers.older_than(&both, SPLITS).await;
    assert_eq!(older, Some(old.profile.id));
    assert_eq!(peers.older_than(&placement(vec![me, new]), SPLITS).await, None);
}
