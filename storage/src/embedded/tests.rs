//! What is this backend's own: the directory, the committer's groups, and the end of a store.

use proto::ids::{NamespaceId, RunId};

use super::*;
use crate::{
    batch::{HistoryKey, Write},
    config::Size,
    suite::{Backend, Store},
};

struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Result<Arc<EmbeddedStore>, OpenError> {
        EmbeddedStore::open(self.0.path(), &EmbeddedConfig::default())
    }
}

impl Backend for Directory {
    fn open(&self) -> impl Future<Output = Arc<dyn Store>> {
        std::future::ready(self.open().unwrap() as Arc<dyn Store>)
    }
}

crate::suite!(conformance, Directory::new());

const SHARD: ShardId = ShardId(3);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn owner() -> NodeId {
    NodeId {
        name: "a".into(),
        generation: 1,
    }
}

fn batch(number: u64, length: usize) -> Batch {
    let write = Write {
        table: Table::Run,
        key: Bytes::from_static(b"k"),
        value: Some(vec![1; length].into()),
    };
    Batch {
        number,
        writes: vec![write],
        ..Batch::default()
    }
}

#[test]
fn a_directory_is_opened_once() {
    let directory = Directory::new();
    let store = directory.open().unwrap();
    let refused = directory.open().err().unwrap();
    assert!(matches!(refused, OpenError::Locked { .. }), "{refused}");
    block_on(store.close());
    assert!(
        directory.open().is_err(),
        "a closed store still holds its directory"
    );
    drop(store);
    directory.open().unwrap();
}

#[test]
fn a_directory_whose_making_was_cut_short_is_made_again() {
    let directory = Directory::new();
    let unfinished = directory.0.path().join("database.new");
    std::fs::create_dir_all(&unfinished).unwrap();
    std::fs::write(unfinished.join("0.jnl"), b"").unwrap();
    directory.open().unwrap();
    assert!(!unfinished.exists());
}

#[test]
fn a_newer_format_is_refused() {
    let directory = Directory::new();
    let store = directory.open().unwrap();
    store.layout.write_format(open::FORMAT + 1).unwrap();
    drop(store);
    let refused = directory.open().err().unwrap();
    assert!(
        matches!(
            refused,
            OpenError::Format {
                found: 2,
                known: 1,
                ..
            }
        ),
        "{refused}"
    );
}

#[test]
fn the_mark_may_be_removed_to_accept_a_loss() {
    let directory = Directory::new();
    let store = directory.open().unwrap();
    block_on(async {
        store.acquire(SHARD, &owner()).await.unwrap();
        store.close().await;
    });
    drop(store);
    assert_eq!(Mark::read(directory.0.path()).unwrap(), Some(1));
    Mark::create(directory.0.path(), 2).unwrap();
    let refused = directory.open().err().unwrap();
    assert!(
        matches!(
            refused,
            OpenError::Truncated {
                found: 1,
                expected: 2,
                ..
            }
        ),
        "{refused}"
    );
    std::fs::remove_file(Mark::path(directory.0.path())).unwrap();
    directory.open().unwrap();
    assert_eq!(Mark::read(directory.0.path()).unwrap(), Some(1));
}

#[test]
fn a_closed_or_failed_store_answers_so() {
    type End = fn(&EmbeddedStore);
    let end: [(&str, End); 2] = [
        ("store is closed", |store| block_on(store.close())),
        ("write journal: disk gone", |store| {
            store.health.fail("write journal: disk gone".into())
        }),
    ];
    for (reason, end) in end {
        let directory = Directory::new();
        let store = directory.open().unwrap();
        let lease = block_on(store.acquire(SHARD, &owner())).unwrap();
        block_on(store.commit(&lease, batch(1, 1))).unwrap();
        end(&store);
        let range = HistoryRange {
            history: HistoryKey {
                namespace_id: NamespaceId::from_bytes([1; 16]),
                run_id: RunId::from_bytes([1; 16]),
            },
            from_event_id: 1,
            to_event_id: 2,
            reverse: false,
            max_nodes: 1,
            max_bytes: 1,
        };
        let answers = block_on(async {
            [
                store
                    .load(SHARD, Table::Run, b"k")
                    .await
                    .err()
                    .map(|error| error.to_string()),
                store
                    .scan(SHARD, Table::Run, b"", None, 1)
                    .await
                    .err()
                    .map(|error| error.to_string()),
                store
                    .history(SHARD, range)
                    .await
                    .err()
                    .map(|error| error.to_string()),
                store
                    .acquire(SHARD, &owner())
                    .await
                    .err()
                    .map(|error| error.to_string()),
                store.release(&lease).await.err().map(|error| error.to_string()),
                store
                    .commit(&lease, batch(2, 1))
                    .await
                    .err()
                    .map(|error| error.to_string()),
                store
                    .get(RegistryTable::Cluster, b"k")
                    .await
                    .err()
                    .map(|error| error.to_string()),
                store
                    .list(RegistryTable::Cluster, None, 1)
                    .await
                    .err()
                    .map(|error| error.to_string()),
                store.write(Vec::new()).await.err().map(|error| error.to_string()),
            ]
        });
        for answer in answers {
            assert!(
                answer.as_ref().is_some_and(|text| text.ends_with(reason)),
                "{answer:?}"
            );
        }
    }
}

#[test]
fn a_table_that_cannot_be_written_poisons_the_store() {
    let directory = Directory::new();
    let config = EmbeddedConfig {
        write_buffer: Size::mib(4),
        ..EmbeddedConfig::default()
    };
    let store = EmbeddedStore::open(directory.0.path(), &config).unwrap();
    std::fs::remove_dir_all(directory.0.path().join("database/keyspaces")).unwrap();
    block_on(async {
        let lease = store.acquire(SHARD, &owner()).await.unwrap();
        let mut number = 1;
        while let Ok(()) = store.commit(&lease, batch(number, 1 << 20)).await {
            number += 1;
        }
        let refused = store.load(SHARD, Table::Run, b"k").await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "store unavailable: write journal: FjallError: Poisoned"
        );
    });
}

#[test]
fn a_key_that_is_too_long_is_refused_before_anything_is_written() {
    let directory = Directory::new();
    let store = directory.open().unwrap();
    let lease = block_on(store.acquire(SHARD, &owner())).unwrap();
    let key = Bytes::from(vec![0; KEY_MAX + 1]);
    let mut sent = batch(1, 1);
    sent.writes.push(Write {
        table: Table::Run,
        key,
        value: None,
    });
    let refused = block_on(store.commit(&lease, sent)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "commit not settled: write key of 60001 bytes: too long"
    );
    assert_eq!(block_on(store.acquire(SHARD, &owner())).unwrap().batch, 0);
}

/// Runs a committer on what waits already, so that the groups do not depend on the disk's speed.
fn groups_of(sizes: &[usize]) -> Snapshot {
    let directory = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig::default();
    let layout = open::database(&directory.path().join("database"), &config).unwrap();
    let (sender, requests) = mpsc::channel(100);
    let metrics = Arc::new(Metrics::default());
    let committer = Committer {
        layout,
        requests,
        mark: Mark::create(directory.path(), 0).unwrap(),
        health: Arc::default(),
        metrics: Arc::clone(&metrics),
        group_bytes_max: Size::mib(1).as_bytes() as usize,
        sequence: 0,
        fences: Fences::default(),
    };
    let mut answers = Vec::new();
    for (shard, size) in (0..).map(ShardId).zip(sizes) {
        let (reply, _) = oneshot::channel();
        let acquire = Acquire {
            shard,
            owner: owner(),
            above: 0,
        };
        sender.try_send(Request::Acquire(acquire, reply)).unwrap();
        let lease = Lease {
            shard,
            epoch: 1,
            batch: 0,
        };
        let row = Prepared {
            space: Space::Run,
            key: Bytes::from_static(b"k"),
            value: Some(vec![1; *size].into()),
        };
        let (reply, answer) = oneshot::channel();
        let commit = Commit {
            lease,
            number: 1,
            rows: vec![row],
            size: *size,
        };
        sender.try_send(Request::Commit(commit, reply)).unwrap();
        answers.push(answer);
    }
    drop(sender);
    committer.run();
    for answer in answers {
        block_on(answer).unwrap().unwrap();
    }
    metrics.snapshot()
}

#[test]
fn what_waits_is_merged_up_to_a_limit() {
    let half = (Size::mib(1).as_bytes() / 2) as usize;
    // sizes of the batches, groups that carry them
    let cases: [(&[usize], u64); 4] = [
        (&[10; 30], 1),
        (&[half; 4], 2),
        (&[3 * half, 10, 10], 2),
        (&[], 0),
    ];
    for (sizes, groups) in cases {
        let counted = groups_of(sizes);
        let batches = sizes.len() as u64;
        assert_eq!((counted.commits, counted.acquires), (batches, batches));
        // The last one is that of the mark.
        assert_eq!(
            (counted.groups, counted.fsyncs),
            (groups, groups + 1),
            "{sizes:?}"
        );
        assert_eq!(counted.bytes, sizes.iter().sum::<usize>() as u64);
    }
}
