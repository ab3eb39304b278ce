//! Lost replies, a store that stalls and one that is gone.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use perdure_storage::{
    batch::{Batch, HistoryKey, HistoryNode, Table, Write},
    cassandra::{CassandraStore, config::CassandraConfig},
    error::CommitError,
    registry::{Registry, RegistryTable, RegistryWrite},
    shard::{HistoryRange, Lease, ShardStore},
    suite::Backend,
};
use proto::ids::{NamespaceId, NodeId, RunId, ShardId};

use crate::{
    proxy::{Mode, Proxy},
    server::{Keyspace, address},
};

const SHARD: ShardId = ShardId(3);
const HISTORY: HistoryKey = HistoryKey {
    namespace_id: NamespaceId::from_bytes([1; 16]),
    run_id: RunId::from_bytes([2; 16]),
};

/// Runs a test on an empty keyspace that is reached through a proxy.
fn through_proxy<F: Future<Output = ()>>(test: impl FnOnce(Proxy, CassandraConfig) -> F) {
    let keyspace = Keyspace::new();
    keyspace.runtime().block_on(async {
        let proxy = Proxy::start(address()).await;
        let config = CassandraConfig {
            timeout: Duration::from_secs(1),
            call_timeout: Duration::from_secs(20),
            ..keyspace.config(proxy.address)
        };
        // Set up without the proxy's short time-outs.
        drop(keyspace.open().await);
        test(proxy, config).await;
    });
}

fn batch(number: u64, value: &str) -> Batch {
    Batch {
        number,
        writes: vec![Write {
            table: Table::Run,
            key: Bytes::from_static(b"k"),
            value: Some(Bytes::copy_from_slice(value.as_bytes())),
        }],
        history: vec![HistoryNode {
            history: HISTORY,
            first_event_id: number.cast_signed(),
            events: Bytes::copy_from_slice(value.as_bytes()),
        }],
        ..Batch::default()
    }
}

async fn acquire(store: &CassandraStore) -> Lease {
    let owner = NodeId {
        name: "a".into(),
        generation: 1,
    };
    store.acquire(SHARD, &owner).await.unwrap()
}

async fn row(store: &CassandraStore) -> Option<Bytes> {
    store.load(SHARD, Table::Run, b"k").await.unwrap()
}

async fn events(store: &CassandraStore) -> Vec<Bytes> {
    let range = HistoryRange {
        history: HISTORY,
        from_event_id: 1,
        to_event_id: i64::MAX,
        reverse: false,
        max_nodes: 100,
        max_bytes: 1 << 20,
    };
    let nodes = store.history(SHARD, range).await.unwrap();
    nodes.into_iter().map(|node| node.events).collect()
}

#[test]
fn a_commit_whose_reply_is_lost_is_settled() {
    through_proxy(|proxy, config| async move {
        const BATCHES: u64 = 3;
        let store = CassandraStore::open(&config).await.unwrap();
        // Another way to the server shows when a batch has landed whose reply cannot come.
        let direct = Keyspace::open_direct(&config).await;
        let lease = acquire(&store).await;
        for number in 1..=BATCHES {
            let value = format!("v{number}");
            proxy.set(Mode::LoseReplies);
            let (sender, held) = (store.clone(), lease.clone());
            // Without a history the conditional batch is the first thing that is sent.
            let sent = Batch {
                history: Vec::new(),
                ..batch(number, &value)
            };
            let lost = proxy.lost();
            let commit = tokio::spawn(async move { sender.commit(&held, sent).await });
            let begun = Instant::now();
            // A row that shows may be ahead of its reply.
            while row(&direct).await.is_none_or(|found| found != value) || proxy.lost() == lost {
                assert!(
                    begun.elapsed() < Duration::from_secs(15),
                    "batch {number} does not land"
                );
            }
            assert!(!commit.is_finished());
            proxy.set(Mode::Pass);
            commit.await.unwrap().unwrap();
        }
        // Each was sent again and found there.
        assert_eq!(store.metrics().snapshot().resent, BATCHES);
        assert_eq!(acquire(&store).await.batch, BATCHES);
    });
}

#[test]
fn a_registry_write_whose_reply_is_lost_is_settled() {
    through_proxy(|proxy, config| async move {
        let store = CassandraStore::open(&config).await.unwrap();
        let write = |expected| RegistryWrite {
            table: RegistryTable::Cluster,
            key: Bytes::from_static(b"k"),
            value: Some(Bytes::from_static(b"v")),
            expected,
        };
        for expected in 0..3 {
            proxy.set(Mode::LoseReplies);
            let (sender, lost) = (store.clone(), proxy.lost());
            let written = tokio::spawn(async move { sender.write(vec![write(expected)]).await });
            let begun = Instant::now();
            while proxy.lost() == lost {
                assert!(begun.elapsed() < Duration::from_secs(15), "no reply comes");
                tokio::task::yield_now().await;
            }
            proxy.set(Mode::Pass);
            written.await.unwrap().unwrap();
            let entry = store.get(RegistryTable::Cluster, b"k").await.unwrap().unwrap();
            assert_eq!(entry.version, expected + 1);
        }
        assert!(store.write(vec![write(1)]).await.is_err());
    });
}

#[test]
fn what_an_owner_wrote_for_a_batch_that_never_landed_is_not_seen() {
    through_proxy(|_, config| async move {
        let store = CassandraStore::open(&config).await.unwrap();
        let old = acquire(&store).await;
        store.commit(&old, batch(1, "first")).await.unwrap();
        let new = acquire(&store).await;
        // Its history rows are written before the fence stops it.
        for number in [2, 3] {
            let refused = store.commit(&old, batch(number, "orphan")).await;
            assert!(matches!(refused, Err(CommitError::Fenced)), "{refused:?}");
        }
        assert_eq!(events(&store).await, ["first"]);
        store.commit(&new, batch(2, "second")).await.unwrap();
        assert_eq!(events(&store).await, ["first", "second"]);
        // A reader that knows nothing of the shard yet comes to the same.
        let other = CassandraStore::open(&config).await.unwrap();
        assert_eq!(events(&other).await, ["first", "second"]);
        store.commit(&new, batch(3, "third")).await.unwrap();
        assert_eq!(events(&other).await, ["first", "second", "third"]);
        assert_eq!(row(&other).await.unwrap(), "third");
    });
}

/// Calls fail within their bound while the store does not answer, and work again soon after it does.
async fn outage(proxy: &Proxy, store: &CassandraStore, lease: &Lease, number: u64, mode: Mode) {
    const BOUND: Duration = Duration::from_secs(3);
    const CALLS: usize = 200;
    proxy.set(mode);
    let begun = Instant::now();
    let reads: Vec<_> = (0..CALLS)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.load(SHARD, Table::Run, b"k").await })
        })
        .collect();
    // More than may be in flight: those that wait for their turn are bounded as well.
    let others: Vec<_> = (100..100 + CALLS as u64)
        .map(|shard| {
            let store = store.clone();
            let lease = Lease {
                shard: ShardId(u32::try_from(shard).unwrap()),
                ..lease.clone()
            };
            tokio::spawn(async move { store.commit(&lease, batch(1, "v")).await })
        })
        .collect();
    let refused = store.commit(lease, batch(number, "v")).await;
    assert!(matches!(refused, Err(CommitError::GaveUp(_))), "{refused:?}");
    for other in others {
        let refused = other.await.unwrap();
        assert!(matches!(refused, Err(CommitError::GaveUp(_))), "{refused:?}");
    }
    for read in reads {
        assert!(read.await.unwrap().is_err());
    }
    let took = begun.elapsed();
    assert!(took < BOUND * 2, "calls took {took:?}");
    assert!(proxy.open() <= 16, "{} connections", proxy.open());
    proxy.set(Mode::Pass);
    let begun = Instant::now();
    while store.load(SHARD, Table::Run, b"k").await.is_err() {}
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(2), "back after {took:?}");
}

#[test]
fn calls_are_bounded_while_the_store_is_away_and_flow_when_it_is_back() {
    through_proxy(|proxy, config| async move {
        let config = CassandraConfig {
            call_timeout: Duration::from_secs(3),
            ..config
        };
        let store = Arc::new(CassandraStore::open(&config).await.unwrap());
        for mode in [Mode::Stall, Mode::Gone, Mode::Stall, Mode::Gone] {
            let lease = acquire(&store).await;
            let number = lease.batch + 1;
            store.commit(&lease, batch(number, "v")).await.unwrap();
            outage(&proxy, &store, &lease, number + 1, mode).await;
        }
    });
}

#[test]
fn a_scan_passes_more_tombstones_than_one_read_may_meet() {
    through_proxy(|_, config| async move {
        // The test server refuses reads that meet 5,000; see its settings.
        const ROWS: u64 = 16_000;
        const EACH: u64 = 2_000;
        let config = CassandraConfig {
            timeout: Duration::from_secs(10),
            ..config
        };
        let store = CassandraStore::open(&config).await.unwrap();
        let lease = acquire(&store).await;
        let mut number = 0;
        for (value, kept) in [(Some(Bytes::from_static(b"t")), 0), (None, 7)] {
            for part in 0..ROWS / EACH {
                number += 1;
                let rows = part * EACH..(part + 1) * EACH;
                let writes = rows.filter(|row| *row < ROWS - kept).map(|row| Write {
                    table: Table::Ready,
                    key: Bytes::copy_from_slice(&row.to_be_bytes()),
                    value: value.clone(),
                });
                let batch = Batch {
                    number,
                    writes: writes.collect(),
                    ..Batch::default()
                };
                store.commit(&lease, batch).await.unwrap();
            }
        }
        let found = store.scan(SHARD, Table::Ready, b"", None, 500).await.unwrap();
        let expected: Vec<_> = (ROWS - 7..ROWS).map(u64::to_be_bytes).collect();
        assert_eq!(found.iter().map(|row| &*row.key).collect::<Vec<_>>(), expected);
    });
}
