//! Histories that ride in the conditional batch: where their nodes are, and what a fence or a lost reply does to them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use perdure_storage::{
    batch::{Batch, HistoryKey, HistoryNode, Table, Write},
    cassandra::{CassandraStore, config::CassandraConfig, schema},
    error::CommitError,
    shard::{HistoryRange, Lease, ShardStore},
    suite::Backend,
};
use proto::ids::{NamespaceId, NodeId, RunId, ShardId};

use crate::{
    proxy::{Mode, Proxy},
    server::{Keyspace, address, session},
};

const SHARD: ShardId = ShardId(4);
const NAMESPACE: [u8; 16] = [1; 16];

fn history(run: u16) -> HistoryKey {
    HistoryKey {
        namespace_id: NamespaceId::from_bytes(NAMESPACE),
        run_id: RunId::from_bytes(run_id(run)),
    }
}

fn run_id(run: u16) -> [u8; 16] {
    let mut id = [7; 16];
    id[..2].copy_from_slice(&run.to_be_bytes());
    id
}

fn state(run: u16, table: Table, value: Option<&'static [u8]>) -> Write {
    Write {
        table,
        key: [&[0; 8][..], &NAMESPACE, &run_id(run)].concat().into(),
        value: value.map(Bytes::from_static),
    }
}

fn node(run: u16, event: i64) -> HistoryNode {
    HistoryNode {
        history: history(run),
        first_event_id: event,
        events: event.to_string().into(),
    }
}

fn step(number: u64, run: u16, event: i64) -> Batch {
    Batch {
        number,
        writes: vec![state(run, Table::Run, Some(b"open"))],
        history: vec![node(run, event)],
        ..Batch::default()
    }
}

fn close(number: u64, run: u16, event: i64) -> Batch {
    Batch {
        writes: vec![
            state(run, Table::Run, None),
            state(run, Table::Closed, Some(b"closed")),
        ],
        ..step(number, run, event)
    }
}

fn forget(number: u64, run: u16) -> Batch {
    Batch {
        number,
        writes: vec![state(run, Table::Run, None), state(run, Table::Closed, None)],
        forget: vec![history(run)],
        ..Batch::default()
    }
}

async fn acquire(store: &CassandraStore, name: &str) -> Lease {
    let owner = NodeId {
        name: name.into(),
        generation: 1,
    };
    store.acquire(SHARD, &owner).await.unwrap()
}

/// Reads a history both ways; both tell the same.
async fn events(store: &CassandraStore, run: u16) -> Vec<i64> {
    let mut ways = Vec::new();
    for reverse in [true, false] {
        let range = HistoryRange {
            history: history(run),
            from_event_id: 1,
            to_event_id: i64::MAX,
            reverse,
            max_nodes: usize::MAX,
            max_bytes: usize::MAX,
        };
        let nodes = store.history(SHARD, range).await.unwrap();
        ways.push(nodes.iter().map(|node| node.first_event_id).collect::<Vec<_>>());
    }
    ways[0].reverse();
    assert_eq!(ways[0], ways[1]);
    ways.remove(0)
}

/// How many nodes are rows of the shard.
async fn riding(keyspace: &str) -> i64 {
    let session = session(address()).await;
    let text = format!("SELECT count(*) FROM {keyspace}.shard WHERE shard = ? AND kind = 7");
    let found = session
        .query_unpaged(text, (SHARD.0.cast_signed(),))
        .await
        .unwrap();
    let rows = found.into_rows_result().unwrap();
    rows.single_row::<(i64,)>().unwrap().0
}

async fn open(config: &CassandraConfig) -> CassandraStore {
    CassandraStore::open(config).await.unwrap()
}

#[test]
fn a_tail_leaves_the_shard_with_its_run() {
    let keyspace = Keyspace::new();
    keyspace.runtime().block_on(async {
        let store = open(&keyspace.config(address())).await;
        let lease = acquire(&store, "a").await;
        let mut number = 0;
        for run in 1..=2 {
            for event in 1..=3 {
                number += 1;
                store.commit(&lease, step(number, run, event)).await.unwrap();
            }
        }
        assert_eq!(riding(keyspace.name()).await, 6);
        store.commit(&lease, close(7, 1, 4)).await.unwrap();
        assert_eq!(riding(keyspace.name()).await, 3);
        // Long before a history is long it moves, and what comes next rides again.
        for event in 4..=40 {
            number = 4 + event as u64;
            store.commit(&lease, step(number, 2, event)).await.unwrap();
        }
        let rest = riding(keyspace.name()).await;
        assert!((1..=32).contains(&rest), "{rest} nodes ride");
        assert_eq!(events(&store, 1).await, [1, 2, 3, 4]);
        assert_eq!(events(&store, 2).await, (1..=40).collect::<Vec<_>>());
        store.commit(&lease, forget(number + 1, 2)).await.unwrap();
        assert_eq!(riding(keyspace.name()).await, 0);
        assert_eq!(events(&store, 2).await, [0; 0]);
    });
}

#[test]
fn what_was_moved_for_a_batch_that_never_landed_counts_once() {
    let keyspace = Keyspace::new();
    keyspace.runtime().block_on(async {
        let store = open(&keyspace.config(address())).await;
        let old = acquire(&store, "a").await;
        for event in 1..=3 {
            store.commit(&old, step(event as u64, 1, event)).await.unwrap();
        }
        // The owner after it takes the shard elsewhere.
        let other = open(&keyspace.config(address())).await;
        let new = acquire(&other, "b").await;
        // The move is written, and the fence stops the batch; once more, and the next owner has it twice.
        for _ in 0..2 {
            let refused = store.commit(&old, close(4, 1, 4)).await;
            assert!(matches!(refused, Err(CommitError::Fenced)), "{refused:?}");
        }
        assert_eq!(riding(keyspace.name()).await, 3);
        let third = open(&keyspace.config(address())).await;
        for reader in [&store, &other, &third] {
            assert_eq!(events(reader, 1).await, [1, 2, 3]);
        }
        other.commit(&new, step(4, 1, 4)).await.unwrap();
        other.commit(&new, close(5, 1, 5)).await.unwrap();
        assert_eq!(riding(keyspace.name()).await, 0);
        for reader in [&store, &other, &third] {
            assert_eq!(events(reader, 1).await, [1, 2, 3, 4, 5]);
        }
    });
}

#[test]
fn a_move_whose_reply_is_lost_happens_once() {
    let keyspace = Keyspace::new();
    keyspace.runtime().block_on(async {
        drop(open(&keyspace.config(address())).await);
        let proxy = Proxy::start(address()).await;
        let config = CassandraConfig {
            timeout: Duration::from_secs(1),
            call_timeout: Duration::from_secs(20),
            ..keyspace.config(proxy.address)
        };
        let store = open(&config).await;
        let lease = acquire(&store, "a").await;
        let batches = [step(1, 1, 1), step(2, 1, 2), close(3, 1, 3), forget(4, 1)];
        let expected: [&[i64]; 4] = [&[1], &[1, 2], &[1, 2, 3], &[]];
        for (batch, expected) in batches.into_iter().zip(expected) {
            proxy.set(Mode::LoseReplies);
            let (sender, held, lost) = (store.clone(), lease.clone(), proxy.lost());
            let commit = tokio::spawn(async move { sender.commit(&held, batch).await });
            let begun = Instant::now();
            while proxy.lost() == lost {
                assert!(begun.elapsed() < Duration::from_secs(15), "no reply comes");
                tokio::task::yield_now().await;
            }
            proxy.set(Mode::Pass);
            commit.await.unwrap().unwrap();
            assert_eq!(events(&store, 1).await, expected);
        }
        // Before the first and the last batch nothing is sent: each was found there. The move was written twice.
        assert_eq!(store.metrics().snapshot().resent, 2);
        assert_eq!(riding(keyspace.name()).await, 0);
    });
}

#[test]
fn nodes_ride_when_every_release_that_reads_them_knows_them() {
    let keyspace = Keyspace::new();
    keyspace.runtime().block_on(async {
        let config = CassandraConfig {
            auto_setup: false,
            ..keyspace.config(address())
        };
        schema::setup(&config).await.unwrap();
        let newer = open(&config).await;
        let lease = acquire(&newer, "a").await;
        newer.commit(&lease, step(1, 1, 1)).await.unwrap();
        assert_eq!(riding(keyspace.name()).await, 1);
        let text = format!(
            "UPDATE {}.schema_version SET version = 2, compatible = 1 WHERE part = 0",
            keyspace.name()
        );
        session(address()).await.query_unpaged(text, ()).await.unwrap();
        // A node that believes in the older version moves what rides, and lets nothing ride.
        let older = open(&config).await;
        let lease = acquire(&older, "b").await;
        older.commit(&lease, step(2, 1, 2)).await.unwrap();
        older.commit(&lease, step(3, 2, 1)).await.unwrap();
        assert_eq!(riding(keyspace.name()).await, 0);
        assert_eq!(schema::update(&config).await.unwrap(), (2, schema::CURRENT));
        let newer = open(&config).await;
        let lease = acquire(&newer, "c").await;
        newer.commit(&lease, step(4, 1, 3)).await.unwrap();
        assert_eq!(riding(keyspace.name()).await, 1);
        assert_eq!(events(&older, 1).await, [1, 2, 3]);
        assert_eq!(events(&newer, 2).await, [1]);
    });
}

#[test]
fn reads_do_not_walk_over_the_tails_of_others() {
    const RUNS: u16 = 400;
    let keyspace = Keyspace::new();
    keyspace.runtime().block_on(async {
        let store = open(&keyspace.config(address())).await;
        let lease = acquire(&store, "a").await;
        for run in 1..=RUNS {
            let number = u64::from(run) * 2;
            store.commit(&lease, step(number - 1, run, 1)).await.unwrap();
            store.commit(&lease, close(number, run, 2)).await.unwrap();
            assert_eq!(events(&store, run).await, [1, 2]);
        }
        let met = keyspace.tombstones_max().await;
        assert!(met < 8.0, "{met} tombstones met by one read");
    });
}
