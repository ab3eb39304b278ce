//! How soon everything flows again after the store was away for longer than calls and connections last.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use perdure_storage::{
    batch::{Batch, Table, Write},
    cassandra::{CassandraStore, config::CassandraConfig},
    shard::{Lease, ShardStore},
    suite::Backend,
};
use proto::ids::{NodeId, ShardId};
use tokio::sync::watch;

use crate::{
    proxy::{Mode, Proxy},
    server::{Keyspace, address},
};

/// Longer than the keep-alive of a connection and the whole time of a call.
const AWAY: Duration = Duration::from_secs(12);
const BACK_WITHIN: Duration = Duration::from_secs(2);
const SHARDS: u32 = 64;
/// How long an owner waits between two attempts to get its shard back.
const AGAIN: Duration = Duration::from_millis(200);

async fn acquire(store: &CassandraStore, shard: ShardId) -> Lease {
    let owner = NodeId {
        name: "a".into(),
        generation: 1,
    };
    loop {
        if let Ok(lease) = store.acquire(shard, &owner).await {
            return lease;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Commits without end as a shard's owner does; returns when it had its first commit after the return.
async fn own(
    store: Arc<CassandraStore>,
    shard: ShardId,
    mut back: watch::Receiver<Option<Instant>>,
) -> Duration {
    let mut lease = acquire(&store, shard).await;
    let mut number = lease.batch;
    loop {
        let write = Write {
            table: Table::Run,
            key: Bytes::from_static(b"k"),
            value: Some(Bytes::from_static(b"v")),
        };
        let batch = Batch {
            number: number + 1,
            writes: vec![write],
            ..Batch::default()
        };
        if store.commit(&lease, batch).await.is_err() {
            lease = acquire(&store, shard).await;
            number = lease.batch;
            continue;
        }
        number += 1;
        if let Some(back) = *back.borrow_and_update() {
            return back.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn longest(mode: Mode) -> Duration {
    let keyspace = Keyspace::new();
    drop(keyspace.open().await);
    let proxy = Proxy::start(address()).await;
    // The settings that a server has by default.
    let default = CassandraConfig::new("127.0.0.1");
    let config = CassandraConfig {
        timeout: default.timeout,
        call_timeout: default.call_timeout,
        ..keyspace.config(proxy.address)
    };
    let store = Arc::new(CassandraStore::open(&config).await.unwrap());
    let (back, _) = watch::channel(None);
    let owners: Vec<_> = (0..SHARDS)
        .map(|shard| tokio::spawn(own(Arc::clone(&store), ShardId(shard), back.subscribe())))
        .collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    proxy.set(mode);
    tokio::time::sleep(AWAY).await;
    proxy.set(Mode::Pass);
    back.send_replace(Some(Instant::now()));
    let mut longest = Duration::ZERO;
    for owner in owners {
        longest = longest.max(owner.await.unwrap());
    }
    longest
}

#[test]
fn all_shards_commit_again_soon_after_a_stall() {
    Keyspace::new().runtime().block_on(async {
        let longest = longest(Mode::Stall).await;
        assert!(
            longest < BACK_WITHIN,
            "the last shard came back after {longest:?}"
        );
    });
}

#[test]
fn all_shards_commit_again_soon_after_the_store_was_gone() {
    Keyspace::new().runtime().block_on(async {
        let longest = longest(Mode::Gone).await;
        assert!(
            longest < BACK_WITHIN,
            "the last shard came back after {longest:?}"
        );
    });
}
