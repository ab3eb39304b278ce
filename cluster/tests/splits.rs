//! Shards split and merge while clients and workers go on, and nothing is lost.

#[path = "stand/mod.rs"]
mod stand;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use engine::outcome::Reply;
use perdure_cluster::{config::Config, map::ShardMap, router::Router};
use prost::Message;
use proto::ids::ShardId;
use stand::{
    begin,
    cluster::Cluster,
    complete_by, end, key,
    load::{Load, closed, signal},
    node_on, poll_by,
};
use storage::{
    batch::Table,
    memory::{
        MemoryStore,
        faults::{Fault, Gate, Kind, Outcome},
    },
    registry::{Registry, RegistryTable, RegistryWrite},
    shard::ShardStore,
};

const WAIT: Duration = Duration::from_secs(10);

/// Waits until a map is known that pleases.
async fn until(router: &Router, pleases: impl Fn(&ShardMap) -> bool) -> Arc<ShardMap> {
    loop {
        let map = router.map();
        if pleases(&map) {
            return map;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn made(router: &Router) -> Arc<ShardMap> {
    until(router, |map| map.change.is_none()).await
}

fn shards(map: &ShardMap) -> BTreeSet<u32> {
    map.shards().map(|shard| shard.0).collect()
}

async fn starts(router: &Router, ids: std::ops::Range<u32>) {
    for n in ids {
        let id = format!("order-{n}");
        router.start(&key(&id), begin(&id)).await.expect("started");
    }
}

async fn work(router: &Router, count: u32) {
    for _ in 0..count {
        let (run, task) = poll_by(router, WAIT).await.expect("a task");
        complete_by(router, &run, &task, vec![end()])
            .await
            .expect("completed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_splits_and_merges_what_it_has() {
    let store = MemoryStore::new();
    let config = Config {
        shards: 1.try_into().expect("some"),
        ..Config::default()
    };
    let host = node_on(store.clone(), config.clone()).await;
    let router = host.router();
    starts(router, 0..100).await;
    work(router, 40).await;
    router.want_split(ShardId(0), None).await.expect("wanted");
    let map = made(router).await;
    assert_eq!(shards(&map), [1, 2].into());
    // Open and closed ones are where they are looked for, and their tasks come again.
    starts(router, 100..120).await;
    work(router, 80).await;
    for n in 0..120 {
        let position = closed(router, &format!("order-{n}")).await;
        assert!(
            matches!(position, Ok(Reply::Position(position)) if !position.open),
            "order-{n}"
        );
    }
    router.want_merge(ShardId(1), ShardId(2)).await.expect("wanted");
    let map = made(router).await;
    assert_eq!(shards(&map), [3].into());
    starts(router, 120..130).await;
    work(router, 10).await;
    for n in 0..130 {
        let position = closed(router, &format!("order-{n}")).await;
        assert!(
            matches!(position, Ok(Reply::Position(position)) if !position.open),
            "order-{n}"
        );
    }
    // What nobody reads any more goes.
    until(router, |map| map.garbage.is_empty()).await;
    for shard in [0, 1, 2] {
        for table in Table::ALL {
            let rows = store
                .scan(ShardId(shard), table, b"", None, 1)
                .await
                .expect("rows");
            assert_eq!(rows, [], "shard {shard}");
        }
    }
    host.stop().await;
    // A process that starts anew finds all of it.
    let host = node_on(store, config).await;
    assert_eq!(shards(&host.router().map()), [3].into());
    signal(host.router(), "order-1", "s")
        .await
        .expect_err("it is closed");
    starts(host.router(), 130..131).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_fails_begins_anew_and_is_counted() {
    let store = MemoryStore::new();
    let config = Config {
        shards: 1.try_into().expect("some"),
        ..Config::default()
    };
    let host = node_on(store.clone(), config).await;
    let router = host.router();
    starts(router, 0..10).await;
    let gate = Gate::new();
    let second_time = Fault::held(&gate);
    store.faults().next_of(ShardId(1), Kind::Acquire, Outcome::Lost);
    store.faults().next_of(ShardId(3), Kind::Acquire, second_time);
    router.want_split(ShardId(0), None).await.expect("wanted");
    while gate.waiting() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let metrics = &router.metrics().node;
    assert_eq!(metrics.changes_failed.value(), 1);
    assert_eq!(metrics.changes_under_way.value(), 1);
    gate.open();
    let map = made(router).await;
    assert_eq!(shards(&map), [3, 4].into());
    work(router, 10).await;
    while metrics.changes_under_way.value() != 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_on_the_way_leaves_it_to_its_next_life() {
    let store = MemoryStore::new();
    let config = Config {
        shards: 1.try_into().expect("some"),
        ..Config::default()
    };
    let mut next = 0;
    // Each life ends a little later than the one before, until one is long enough.
    for life in 0.. {
        let host = node_on(store.clone(), config.clone()).await;
        let router = host.router();
        starts(router, next..next + 50).await;
        next += 50;
        if life == 0 {
            router.want_split(ShardId(0), None).await.expect("wanted");
        }
        let long = Duration::from_micros(300 << life);
        let done = tokio::time::timeout(long, made(router)).await.is_ok();
        host.halt().await;
        if done {
            break;
        }
    }
    let host = node_on(store.clone(), config).await;
    let map = made(host.router()).await;
    assert_eq!(map.ranges.len(), 2);
    work(host.router(), next).await;
    for n in 0..next {
        let position = closed(host.router(), &format!("order-{n}")).await;
        assert!(
            matches!(position, Ok(Reply::Position(position)) if !position.open),
            "order-{n}"
        );
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_on_while_shards_split_and_merge() {
    let cluster = Cluster::start(&["a", "b", "c"]).await;
    cluster.settled().await;
    let load = Load::start(&cluster.doors());
    load.more(100).await;
    let mut known = cluster.router("a").map();
    for (round, asked) in ["a", "b", "c", "a", "b", "c"].into_iter().enumerate() {
        let router = cluster.router(asked);
        let all: Vec<ShardId> = known.shards().collect();
        load.slowest();
        let begun = Instant::now();
        // Of neighbours most belong to different nodes.
        let wanted = if round % 2 == 0 {
            router.want_split(all[round], None).await.map(|_| all[round])
        } else {
            router
                .want_merge(all[round], all[round + 1])
                .await
                .map(|_| all[round])
        };
        let parent = wanted.expect("wanted");
        known = until(router, |map| map.range(parent).is_none()).await;
        let took = begun.elapsed();
        cluster.settled().await;
        load.more(100).await;
        println!("round {round}: {took:?}, slowest call {:?}", load.slowest());
    }
    for name in cluster.names() {
        let map = until(cluster.router(&name), |map| map.ranges == known.ranges).await;
        assert!(map.is_sound());
    }
    let (done, failed) = load.end().await;
    assert_eq!(failed, Vec::<String>::new(), "of {done}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_a_shard_next_splits_it() {
    let mut cluster = Cluster::start(&["a", "b", "c"]).await;
    cluster.settled().await;
    let load = Load::start(&cluster.doors());
    load.more(100).await;
    let router = cluster.router("a").clone();
    let placement = router.placement();
    let shards: Vec<_> = router.map().shards().collect();
    let of_b = |shard: &&ShardId| **placement.shard_owner(**shard) == *"b";
    let shard = *shards.iter().find(of_b).expect("b has some");
    router.want_split(shard, None).await.expect("wanted");
    cluster.kill("b").await;
    cluster.forget("b");
    made(&router).await;
    cluster.settled().await;
    load.more(100).await;
    let (done, failed) = load.end().await;
    let lost = |failure: &&String| !failure.contains("navailable");
    assert_eq!(failed.iter().find(lost), None, "of {done}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_that_nobody_was_told_of_comes_true() {
    let key = Bytes::from_static(b"shard-map");
    let cluster = Cluster::start(&["a", "b"]).await;
    cluster.settled().await;
    // What was said of it got lost.
    let stored = cluster.store.get(RegistryTable::Cluster, &key).await;
    let stored = stored.expect("read").expect("a map");
    let map = ShardMap::decode(stored.value).expect("sound");
    let wish = map.want_split(ShardId(0), None).expect("wanted");
    let write = RegistryWrite {
        table: RegistryTable::Cluster,
        key,
        value: Some(wish.encode_to_vec().into()),
        expected: stored.version,
    };
    cluster.store.write(vec![write]).await.expect("written");
    let split = |map: &ShardMap| map.change.is_none() && map.range(ShardId(0)).is_none();
    for name in cluster.names() {
        let made = until(cluster.router(&name), split);
        drop(tokio::time::timeout(WAIT * 3, made).await.expect("in time"));
    }
    cluster.stop().await;
}
