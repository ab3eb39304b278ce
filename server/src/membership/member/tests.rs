use std::time::Instant;

use membership::config::{Config, Seed, Timing};
use storage::memory::MemoryStore;

use super::*;
use crate::membership::settings::{Advertised, Rpc};

fn settings(seeds: Vec<Seed>) -> Settings {
    Settings {
        node: "unused".to_owned(),
        gossip: Config {
            bind: "127.0.0.1:0".parse().expect("address"),
            seeds,
            timing: Timing::fast(),
            ..Config::default()
        },
        rpc: Rpc::default(),
        frontend: Advertised::default(),
        max_join_duration: Duration::from_secs(20),
        drain_max: Duration::from_secs(1),
    }
}

async fn member(name: &str, settings: Settings) -> Member {
    let id = NodeId {
        name: name.into(),
        generation: 1,
    };
    let doors = Doors {
        client: "127.0.0.1:1".parse().expect("address"),
        peer: "127.0.0.1:2".parse().expect("address"),
    };
    Member::join(settings, id, doors).await.expect("joined")
}

fn seed(member: &Member) -> Seed {
    Seed::Address(member.agent().local_address())
}

#[tokio::test]
async fn joining_waits_for_another_node() {
    let first = member("a", settings(Vec::new())).await;
    let second = member("b", settings(vec![seed(&first)])).await;
    assert_eq!(second.watch().borrow().members().len(), 2);
    second.leave().await;
    let mut views = first.watch();
    let alone = views.wait_for(|view| view.members().len() == 1);
    tokio::time::timeout(Duration::from_secs(10), alone)
        .await
        .expect("in time")
        .expect("runs");
}

#[tokio::test]
async fn seeds_that_are_silent_hold_the_start_up_only_so_long() {
    let began = Instant::now();
    let alone = settings(vec!["127.0.0.1:9".parse().expect("seed")]);
    let limit = Duration::from_millis(300);
    let node = member(
        "a",
        Settings {
            max_join_duration: limit,
            ..alone
        },
    )
    .await;
    assert!(began.elapsed() >= limit);
    assert_eq!(node.watch().borrow().members().len(), 1);
}

#[tokio::test]
async fn a_generation_grows_with_each_start() {
    let store = MemoryStore::new();
    let first = next_generation(&store, "a").await.expect("counted");
    let second = next_generation(&store, "a").await.expect("counted");
    assert!(second > first);
}

#[tokio::test]
async fn a_generation_grows_though_the_clock_went_back() {
    let store = MemoryStore::new();
    let future = u64::MAX - 10;
    let write = RegistryWrite {
        table: RegistryTable::Cluster,
        key: Bytes::from_static(b"node/a"),
        value: Some(Bytes::from(future.to_string())),
        expected: 0,
    };
    store.write(vec![write]).await.expect("written");
    assert_eq!(next_generation(&store, "a").await.expect("counted"), future + 1);
}
