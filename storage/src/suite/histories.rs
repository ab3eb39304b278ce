//! Ranges of histories, and their end.

use super::{Backend, SHARD, Store, acquire, history, node};
use crate::{batch::Batch, shard::HistoryRange};

/// The nodes of run 2 and how many bytes each has.
const NODES: [(i64, usize); 5] = [(1, 10), (4, 20), (5, 30), (9, 40), (300, 50)];

fn range(run: u8) -> HistoryRange {
    HistoryRange {
        history: history(run),
        from_event_id: 1,
        to_event_id: i64::MAX,
        reverse: false,
        max_nodes: 100,
        max_bytes: 1 << 20,
    }
}

async fn first_ids(store: &dyn Store, range: HistoryRange) -> Vec<i64> {
    store
        .history(SHARD, range)
        .await
        .expect("history")
        .iter()
        .map(|node| node.first_event_id)
        .collect()
}

async fn fill(store: &dyn Store) {
    let lease = acquire(store, SHARD).await;
    for (number, (id, size)) in NODES.into_iter().enumerate() {
        // Neighbours on both sides: a range must not run into them.
        let history = (1..=3).map(|run| node(run, id, &"e".repeat(size))).collect();
        let batch = Batch {
            number: number as u64 + 1,
            history,
            ..Batch::default()
        };
        store.commit(&lease, batch).await.expect("commit");
    }
}

pub async fn ranges_keep_bounds_and_limits(backend: &impl Backend) {
    let store = backend.open().await;
    fill(&*store).await;
    let unlimited = (100, 1000);
    // from, to, (nodes, bytes), ids going up, ids going down
    type Case = (i64, i64, (usize, usize), &'static [i64], &'static [i64]);
    let cases: [Case; 17] = [
        (1, i64::MAX, unlimited, &[1, 4, 5, 9, 300], &[300, 9, 5, 4, 1]),
        (0, i64::MAX, unlimited, &[1, 4, 5, 9, 300], &[300, 9, 5, 4, 1]),
        (1, 5, unlimited, &[1, 4], &[4, 1]),
        (1, 6, unlimited, &[1, 4, 5], &[5, 4, 1]),
        (2, 5, unlimited, &[1, 4], &[4, 1]),
        (4, 5, unlimited, &[4], &[4]),
        (6, 8, unlimited, &[5], &[5]),
        (8, 10, unlimited, &[5, 9], &[9, 5]),
        (9, 10, unlimited, &[9], &[9]),
        (299, i64::MAX, unlimited, &[9, 300], &[300, 9]),
        (1000, i64::MAX, unlimited, &[300], &[300]),
        (5, 5, unlimited, &[], &[]),
        (9, 5, unlimited, &[], &[]),
        (1, i64::MAX, (2, 1000), &[1, 4], &[300, 9]),
        (1, i64::MAX, (100, 60), &[1, 4, 5], &[300]),
        (1, i64::MAX, (100, 5), &[1], &[300]),
        (1, i64::MAX, (0, 0), &[1], &[300]),
    ];
    for (from_event_id, to_event_id, (max_nodes, max_bytes), up, down) in cases {
        let range = HistoryRange {
            from_event_id,
            to_event_id,
            max_nodes,
            max_bytes,
            ..range(2)
        };
        assert_eq!(first_ids(&*store, range).await, up, "{range:?}");
        assert_eq!(
            first_ids(
                &*store,
                HistoryRange {
                    reverse: true,
                    ..range
                }
            )
            .await,
            down,
            "{range:?} reverse"
        );
    }
    let nodes = store.history(SHARD, range(2)).await.expect("history");
    for (found, (id, size)) in nodes.iter().zip(NODES) {
        assert_eq!(*found, node(2, id, &"e".repeat(size)));
    }
}

pub async fn a_forgotten_history_is_gone(backend: &impl Backend) {
    let store = backend.open().await;
    fill(&*store).await;
    let lease = acquire(&*store, SHARD).await;
    let number = lease.batch + 1;
    // What the batch itself adds to a history that it forgets goes too.
    let added = vec![node(2, 400, "late"), node(4, 1, "other")];
    let forget = vec![history(2), history(9)];
    let sent = Batch {
        number,
        history: added,
        forget,
        ..Batch::default()
    };
    store.commit(&lease, sent).await.expect("commit");
    for reverse in [false, true] {
        assert_eq!(
            store
                .history(SHARD, HistoryRange { reverse, ..range(2) })
                .await
                .expect("history"),
            []
        );
    }
    for run in [1, 3] {
        assert_eq!(first_ids(&*store, range(run)).await.len(), NODES.len());
    }
    assert_eq!(first_ids(&*store, range(4)).await, [1]);
    drop(store);
    let store = backend.open().await;
    assert_eq!(store.history(SHARD, range(2)).await.expect("history"), []);
}
