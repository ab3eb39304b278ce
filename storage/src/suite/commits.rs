//! Leases, fences and numbered batches.

use std::{
    pin::pin,
    task::{Context, Waker},
};

use super::{
    Backend, SHARD, Store, acquire, all_rows, batch, history, load, node, owner, pairs, put, remove, text,
};
use crate::{
    batch::{Batch, Table},
    error::CommitError,
    shard::{HistoryRange, Lease},
};

fn kind(result: Result<(), CommitError>) -> &'static str {
    match result {
        Ok(()) => "ok",
        Err(CommitError::Fenced) => "fenced",
        Err(CommitError::GaveUp(_)) => "gave up",
    }
}

async fn commit(store: &dyn Store, lease: &Lease, batch: Batch) {
    store.commit(lease, batch).await.expect("commit");
}

pub async fn a_shard_begins_empty(backend: &impl Backend) {
    let store = backend.open().await;
    for table in Table::SCANNED {
        assert_eq!(all_rows(&*store, SHARD, table).await, []);
    }
    for table in Table::ALL {
        assert_eq!(load(&*store, table, b"k").await, None);
    }
    let lease = acquire(&*store, SHARD).await;
    assert_eq!(
        lease,
        Lease {
            shard: SHARD,
            epoch: 1,
            batch: 0
        }
    );
}

pub async fn epochs_grow_and_batches_go_on(backend: &impl Backend) {
    let store = backend.open().await;
    for round in 0..3 {
        let lease = store
            .acquire(SHARD, &owner(["a", "b", "a"][round as usize]))
            .await
            .expect("acquire");
        assert_eq!((lease.epoch, lease.batch), (round + 1, round * 2));
        commit(
            &*store,
            &lease,
            batch(lease.batch + 1, vec![put(Table::Run, b"k", b"v")]),
        )
        .await;
        commit(&*store, &lease, batch(lease.batch + 2, vec![])).await;
    }
}

pub async fn numbers_can_go_on_above_those_of_others(backend: &impl Backend) {
    let store = backend.open().await;
    let lease = store
        .acquire_above(SHARD, &owner("a"), 1 << 33)
        .await
        .expect("acquire");
    assert_eq!((lease.epoch, lease.batch), (1, 1 << 33));
    let first = batch(1, vec![put(Table::Run, b"k", b"low")]);
    assert_eq!(kind(store.commit(&lease, first).await), "gave up");
    let mut next = batch(lease.batch + 1, vec![put(Table::Run, b"k", b"v")]);
    next.history.push(node(1, 1, "one"));
    commit(&*store, &lease, next).await;
    // Below what has landed it changes nothing.
    let lease = store.acquire_above(SHARD, &owner("b"), 7).await.expect("acquire");
    assert_eq!((lease.epoch, lease.batch), (2, (1 << 33) + 1));
    let range = HistoryRange {
        history: history(1),
        from_event_id: 1,
        to_event_id: 9,
        reverse: false,
        max_nodes: 9,
        max_bytes: 99,
    };
    assert_eq!(
        store.history(SHARD, range).await.expect("history"),
        [node(1, 1, "one")]
    );
    let gone = Batch {
        number: lease.batch + 1,
        forget: vec![history(1)],
        ..Batch::default()
    };
    commit(&*store, &lease, gone).await;
    assert_eq!(store.history(SHARD, range).await.expect("history"), []);
}

pub async fn a_batch_sent_twice_lands_once(backend: &impl Backend) {
    let store = backend.open().await;
    let lease = acquire(&*store, SHARD).await;
    commit(&*store, &lease, batch(1, vec![put(Table::Run, b"k", b"first")])).await;
    // Other contents under the number show that nothing is written again.
    commit(&*store, &lease, batch(1, vec![put(Table::Run, b"k", b"again")])).await;
    assert_eq!(text(&*store, SHARD, Table::Run).await, pairs(&[("k", "first")]));
    commit(&*store, &lease, batch(2, vec![put(Table::Run, b"k", b"second")])).await;
    assert_eq!(text(&*store, SHARD, Table::Run).await, pairs(&[("k", "second")]));
}

pub async fn a_batch_out_of_order_is_refused(backend: &impl Backend) {
    let store = backend.open().await;
    let lease = acquire(&*store, SHARD).await;
    for number in [1, 2] {
        commit(&*store, &lease, batch(number, vec![put(Table::Run, b"k", b"v")])).await;
    }
    for number in [0, 1, 4, u64::MAX] {
        let refused = store
            .commit(&lease, batch(number, vec![put(Table::Run, b"k", b"wrong")]))
            .await;
        assert_eq!(kind(refused), "gave up", "batch {number}");
    }
    assert_eq!(text(&*store, SHARD, Table::Run).await, pairs(&[("k", "v")]));
    commit(&*store, &lease, batch(3, vec![])).await;
}

pub async fn an_older_lease_is_fenced(backend: &impl Backend) {
    let store = backend.open().await;
    let old = acquire(&*store, SHARD).await;
    commit(&*store, &old, batch(1, vec![put(Table::Run, b"k", b"old")])).await;
    let new = store.acquire(SHARD, &owner("b")).await.expect("acquire");
    // Also the batch that had landed: its owner must learn that it is not the owner.
    for number in [1, 2, 3] {
        let refused = store
            .commit(&old, batch(number, vec![put(Table::Run, b"k", b"late")]))
            .await;
        assert_eq!(kind(refused), "fenced", "batch {number}");
    }
    assert!(!store.holds(&old).await.expect("read"));
    assert!(store.holds(&new).await.expect("read"));
    store.release(&old).await.expect("release");
    commit(&*store, &new, batch(2, vec![put(Table::Run, b"n", b"new")])).await;
    assert_eq!(
        text(&*store, SHARD, Table::Run).await,
        pairs(&[("k", "old"), ("n", "new")])
    );
}

pub async fn a_lease_that_nobody_gave_is_refused(backend: &impl Backend) {
    let store = backend.open().await;
    let forged = Lease {
        shard: SHARD,
        epoch: 9,
        batch: 0,
    };
    assert_eq!(
        kind(
            store
                .commit(&forged, batch(1, vec![put(Table::Run, b"k", b"v")]))
                .await
        ),
        "gave up"
    );
    assert_eq!(text(&*store, SHARD, Table::Run).await, []);
}

pub async fn a_released_shard_can_be_acquired(backend: &impl Backend) {
    let store = backend.open().await;
    let lease = acquire(&*store, SHARD).await;
    commit(&*store, &lease, batch(1, vec![])).await;
    store.release(&lease).await.expect("release");
    let next = store.acquire(SHARD, &owner("b")).await.expect("acquire");
    assert_eq!((next.epoch, next.batch), (2, 1));
}

pub async fn the_later_write_of_a_row_stays(backend: &impl Backend) {
    let store = backend.open().await;
    let lease = acquire(&*store, SHARD).await;
    let both_ways = vec![
        put(Table::Run, b"put twice", b"1"),
        put(Table::Run, b"put then removed", b"1"),
        put(Table::Run, b"put twice", b"2"),
        remove(Table::Run, b"put then removed"),
        remove(Table::Run, b"removed then put"),
        put(Table::Run, b"removed then put", b"1"),
    ];
    commit(&*store, &lease, batch(1, both_ways)).await;
    let expected = pairs(&[("put twice", "2"), ("removed then put", "1")]);
    assert_eq!(text(&*store, SHARD, Table::Run).await, expected);
    drop(store);
    let store = backend.open().await;
    assert_eq!(text(&*store, SHARD, Table::Run).await, expected);
}

pub async fn a_commit_whose_caller_has_gone_is_settled(backend: &impl Backend) {
    let store = backend.open().await;
    let lease = acquire(&*store, SHARD).await;
    let sent = batch(
        1,
        vec![put(Table::Run, b"k", b"v"), put(Table::Current, b"k", b"v")],
    );
    {
        let mut gone = pin!(store.commit(&lease, sent.clone()));
        let _ = gone.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
    // The same owner sends it again and knows.
    commit(&*store, &lease, sent.clone()).await;
    for table in [Table::Run, Table::Current] {
        assert_eq!(text(&*store, SHARD, table).await, pairs(&[("k", "v")]));
    }
    // The next owner reads the number and knows.
    {
        let mut gone = pin!(store.commit(&lease, batch(2, vec![put(Table::Run, b"k", b"w")])));
        let _ = gone.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
    let next = acquire(&*store, SHARD).await;
    let value = load(&*store, Table::Run, b"k").await.expect("row");
    assert_eq!(value, if next.batch == 2 { "w" } else { "v" });
    commit(
        &*store,
        &next,
        batch(next.batch + 1, vec![put(Table::Run, b"k", b"x")]),
    )
    .await;
    assert_eq!(text(&*store, SHARD, Table::Run).await, pairs(&[("k", "x")]));
}

pub async fn a_large_batch_lands(backend: &impl Backend) {
    let store = backend.open().await;
    let lease = acquire(&*store, SHARD).await;
    let limits = store.limits();
    let rows = (limits.writes / 2).min(2000);
    let value = vec![b'x'; limits.bytes / rows / 2];
    let writes = (0..rows)
        .map(|row| put(Table::Run, &(row as u32).to_be_bytes(), &value))
        .collect();
    commit(&*store, &lease, batch(1, writes)).await;
    let one = vec![b'y'; limits.bytes / 2];
    commit(
        &*store,
        &lease,
        batch(2, vec![put(Table::Closed, &[b'k'; 3000], &one)]),
    )
    .await;
    assert_eq!(all_rows(&*store, SHARD, Table::Run).await.len(), rows);
    assert_eq!(
        load(&*store, Table::Closed, &[b'k'; 3000]).await.expect("row"),
        one
    );
}

pub async fn what_was_acknowledged_is_there_after_opening_again(backend: &impl Backend) {
    let store = backend.open().await;
    let lease = acquire(&*store, SHARD).await;
    for table in Table::ALL {
        let number = table as u64;
        let writes = vec![put(table, b"k", b"v"), put(table, b"gone", b"v")];
        let history = vec![node(1, number as i64, "events")];
        commit(
            &*store,
            &lease,
            Batch {
                number,
                writes,
                history,
                ..Batch::default()
            },
        )
        .await;
    }
    let gone = Table::ALL.map(|table| remove(table, b"gone")).to_vec();
    commit(&*store, &lease, batch(7, gone)).await;
    drop(store);

    let store = backend.open().await;
    let next = acquire(&*store, SHARD).await;
    assert_eq!((next.epoch, next.batch), (2, 7));
    for table in Table::ALL {
        assert_eq!(load(&*store, table, b"k").await.expect("row"), "v");
        assert_eq!(load(&*store, table, b"gone").await, None);
    }
    for table in Table::SCANNED {
        assert_eq!(text(&*store, SHARD, table).await, pairs(&[("k", "v")]));
    }
    let range = HistoryRange {
        history: history(1),
        from_event_id: 1,
        to_event_id: i64::MAX,
        reverse: false,
        max_nodes: 10,
        max_bytes: 1000,
    };
    assert_eq!(
        store.history(SHARD, range).await.expect("history").len(),
        Table::ALL.len()
    );
    assert_eq!(kind(store.commit(&lease, batch(8, vec![])).await), "fenced");
    commit(&*store, &next, batch(8, vec![])).await;
}
