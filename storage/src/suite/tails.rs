//! Histories of small transactions, which a backend may keep among the shard's rows until their run closes.

use std::sync::Arc;

use bytes::Bytes;
use proto::ids::ShardId;

use super::{Backend, SHARD, Store, acquire, history, node, owner, put, remove};
use crate::{
    batch::{Batch, Table},
    shard::{HistoryRange, Lease},
};

/// Where no run of these tests belongs.
const OTHER: ShardId = ShardId(8);

/// Key of a run's state, which ends with what names its history.
fn run_key(run: u8) -> Bytes {
    let id = history(run);
    let position = [run; 8];
    [
        &position[..],
        &id.namespace_id.as_bytes()[..],
        &id.run_id.as_bytes()[..],
    ]
    .concat()
    .into()
}

/// A transaction of an open run: its state, and one event of `size` bytes.
fn step(run: u8, event: i64, size: usize) -> Batch {
    Batch {
        writes: vec![put(Table::Run, &run_key(run), b"open")],
        history: vec![node(run, event, &text(event, size))],
        ..Batch::default()
    }
}

/// The transaction that closes a run.
fn close(run: u8, event: i64, size: usize) -> Batch {
    let writes = vec![
        remove(Table::Run, &run_key(run)),
        put(Table::Closed, &run_key(run), b"closed"),
    ];
    Batch {
        writes,
        ..step(run, event, size)
    }
}

fn text(event: i64, size: usize) -> String {
    format!("{event:0size$}")
}

async fn commit(store: &dyn Store, lease: &mut Lease, batch: Batch) {
    lease.batch += 1;
    let batch = Batch {
        number: lease.batch,
        ..batch
    };
    store.commit(lease, batch).await.expect("commit");
}

async fn events_of(
    store: &dyn Store,
    shard: ShardId,
    run: u8,
    from: i64,
    reverse: bool,
) -> Vec<(i64, usize)> {
    let range = HistoryRange {
        history: history(run),
        from_event_id: from,
        to_event_id: i64::MAX,
        reverse,
        max_nodes: usize::MAX,
        max_bytes: usize::MAX,
    };
    let nodes = store.history(shard, range).await.expect("history");
    nodes
        .iter()
        .map(|found| {
            let size = found.events.len();
            assert_eq!(
                *found,
                node(run, found.first_event_id, &text(found.first_event_id, size))
            );
            (found.first_event_id, size)
        })
        .collect()
}

async fn check(store: &dyn Store, shard: ShardId, run: u8, expected: &[(i64, usize)]) {
    assert_eq!(events_of(store, shard, run, 1, false).await, expected);
    let mut down = expected.to_vec();
    down.reverse();
    assert_eq!(events_of(store, shard, run, 1, true).await, down);
    for (at, (event, _)) in expected.iter().enumerate() {
        assert_eq!(events_of(store, shard, run, *event, false).await, expected[at..]);
    }
}

pub async fn a_history_stays_whole_as_its_run_closes(backend: &impl Backend) {
    let store = backend.open().await;
    let mut lease = acquire(&*store, SHARD).await;
    for event in 1..=5 {
        for run in 1..=3 {
            commit(&*store, &mut lease, step(run, event, 100)).await;
        }
    }
    let mut expected: Vec<_> = (1..=5).map(|event| (event, 100)).collect();
    check(&*store, SHARD, 2, &expected).await;
    commit(&*store, &mut lease, close(2, 6, 100)).await;
    // One closes without an event of its own.
    let mut silent = close(3, 6, 100);
    silent.history.clear();
    commit(&*store, &mut lease, silent).await;
    for run in [1, 3] {
        check(&*store, SHARD, run, &expected).await;
    }
    expected.push((6, 100));
    check(&*store, SHARD, 2, &expected).await;
    let state = store.load(SHARD, Table::Closed, &run_key(2)).await.expect("load");
    assert_eq!(state.expect("closed run"), "closed");
    drop(store);
    let store = backend.open().await;
    check(&*store, SHARD, 2, &expected).await;
}

pub async fn a_history_grows_from_small_to_large(backend: &impl Backend) {
    let store = backend.open().await;
    let mut lease = acquire(&*store, SHARD).await;
    let sizes = (1..=100).map(|event| match event {
        40 | 41 => 60_000,
        90.. => 3_000,
        _ => 60,
    });
    let mut expected = Vec::new();
    for (event, size) in (1..).zip(sizes) {
        commit(&*store, &mut lease, step(1, event, size)).await;
        expected.push((event, size));
        if [1, 30, 31, 32, 33, 34, 39, 40, 41, 42, 89, 93, 100].contains(&event) {
            check(&*store, SHARD, 1, &expected).await;
        }
        if event % 37 == 0 {
            // Another owner goes on with what it finds.
            lease = store.acquire(SHARD, &owner("b")).await.expect("acquire");
        }
    }
    commit(&*store, &mut lease, close(1, 101, 60)).await;
    expected.push((101, 60));
    check(&*store, SHARD, 1, &expected).await;
}

pub async fn many_histories_of_one_batch_are_all_there(backend: &impl Backend) {
    let store = backend.open().await;
    let mut lease = acquire(&*store, SHARD).await;
    let all = |make: &dyn Fn(u8) -> Batch| {
        let mut all = Batch::default();
        for run in 0..=200 {
            let one = make(run);
            all.writes.extend(one.writes);
            all.history.extend(one.history);
        }
        all
    };
    commit(&*store, &mut lease, all(&|run| step(run, 1, 4_000))).await;
    commit(&*store, &mut lease, all(&|run| step(run, 2, 100))).await;
    for run in [0, 100, 200] {
        check(&*store, SHARD, run, &[(1, 4_000), (2, 100)]).await;
    }
    commit(&*store, &mut lease, all(&|run| close(run, 3, 100))).await;
    for run in [0, 100, 200] {
        check(&*store, SHARD, run, &[(1, 4_000), (2, 100), (3, 100)]).await;
    }
}

pub async fn a_forgotten_run_leaves_nothing(backend: &impl Backend) {
    let store = backend.open().await;
    let mut lease = acquire(&*store, SHARD).await;
    for run in 1..=3 {
        commit(&*store, &mut lease, step(run, 1, 50)).await;
        commit(&*store, &mut lease, step(run, 2, 50)).await;
    }
    commit(&*store, &mut lease, close(2, 3, 50)).await;
    // One is deleted while it is open, one after it has closed.
    for run in [1, 2] {
        let gone = Batch {
            writes: vec![
                remove(Table::Run, &run_key(run)),
                remove(Table::Closed, &run_key(run)),
            ],
            forget: vec![history(run)],
            ..Batch::default()
        };
        commit(&*store, &mut lease, gone).await;
    }
    for run in [1, 2] {
        check(&*store, SHARD, run, &[]).await;
        let state = store
            .load(SHARD, Table::Closed, &run_key(run))
            .await
            .expect("load");
        assert_eq!(state, None);
    }
    check(&*store, SHARD, 3, &[(1, 50), (2, 50)]).await;
}

pub async fn a_detached_history_is_found_from_any_shard(backend: &impl Backend) {
    let store = backend.open().await;
    let mut lease = acquire(&*store, SHARD).await;
    for event in 1..=3 {
        for run in 1..=3 {
            commit(&*store, &mut lease, step(run, event, 100)).await;
        }
    }
    commit(&*store, &mut lease, close(3, 4, 100)).await;
    store.detach_histories(&lease).await.expect("detach");
    // Detached is detached: once more changes nothing.
    store.detach_histories(&lease).await.expect("detach");
    commit(&*store, &mut lease, step(2, 4, 100)).await;
    for shard in [SHARD, OTHER] {
        check(&*store, shard, 1, &[(1, 100), (2, 100), (3, 100)]).await;
        for run in [2, 3] {
            check(&*store, shard, run, &[(1, 100), (2, 100), (3, 100), (4, 100)]).await;
        }
    }
    // The other shard goes on with the run, and deletes it.
    let mut other = acquire(&*store, OTHER).await;
    commit(&*store, &mut other, step(2, 5, 100)).await;
    let expected: Vec<_> = (1..=5).map(|event| (event, 100)).collect();
    check(&*store, OTHER, 2, &expected).await;
    let gone = Batch {
        forget: vec![history(1), history(2)],
        ..Batch::default()
    };
    commit(&*store, &mut other, gone).await;
    for run in [1, 2] {
        check(&*store, OTHER, run, &[]).await;
    }
}

pub async fn readers_see_whole_histories_meanwhile(backend: &impl Backend) {
    const RUNS: u8 = 60;
    const EVENTS: i64 = 4;
    let store = backend.open().await;
    let mut lease = acquire(&*store, SHARD).await;
    let (known, mut committed) = tokio::sync::watch::channel((0, 0));
    let writer = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for run in 1..=RUNS {
                for event in 1..=EVENTS {
                    let batch = if event == EVENTS { close } else { step };
                    commit(&*store, &mut lease, batch(run, event, 100)).await;
                    known.send_replace((run, event));
                }
            }
        })
    };
    loop {
        let (run, least) = *committed.borrow_and_update();
        if run > 0 {
            for reverse in [false, true] {
                let mut found = events_of(&*store, SHARD, run, 1, reverse).await;
                found.sort_unstable();
                let ids: Vec<_> = found.iter().map(|(event, _)| *event).collect();
                let last = ids.len() as i64;
                assert_eq!(ids, (1..=last).collect::<Vec<_>>(), "run {run}");
                assert!(last >= least, "run {run}: {last} of {least}");
            }
        }
        if (run, least) == (RUNS, EVENTS) {
            break;
        }
        tokio::task::yield_now().await;
    }
    writer.await.expect("writer");
}
