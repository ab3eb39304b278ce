//! Many shards, readers and owners at the same time.

use std::sync::Arc;

use proto::ids::ShardId;

use super::{Backend, SHARD, Store, acquire, all_rows, batch, owner, put, remove, text};
use crate::{batch::Table, error::CommitError};

const SHARDS: u32 = 32;
const BATCHES: u64 = 40;

/// Commits `BATCHES` batches; batch n leaves the rows n and n-1 in `Ready` and its number in `Run`.
async fn fill(store: Arc<dyn Store>, shard: ShardId) {
    let lease = acquire(&*store, shard).await;
    for number in lease.batch + 1..=lease.batch + BATCHES {
        let mut writes = vec![
            put(Table::Run, b"last", &number.to_be_bytes()),
            put(Table::Ready, &number.to_be_bytes(), b"task"),
        ];
        if number > 2 {
            writes.push(remove(Table::Ready, &(number - 2).to_be_bytes()));
        }
        store.commit(&lease, batch(number, writes)).await.expect("commit");
    }
}

async fn check(store: &dyn Store, shard: ShardId, last: u64) {
    let run = all_rows(store, shard, Table::Run).await;
    assert_eq!(run.len(), 1);
    assert_eq!(*run[0].value, last.to_be_bytes());
    let ready: Vec<_> = all_rows(store, shard, Table::Ready)
        .await
        .into_iter()
        .map(|row| row.key)
        .collect();
    assert_eq!(
        ready,
        [(last - 1).to_be_bytes().to_vec(), last.to_be_bytes().to_vec()]
    );
}

pub async fn many_shards_commit_at_once(backend: &impl Backend) {
    for round in 1..=2 {
        let store = backend.open().await;
        let tasks: Vec<_> = (0..SHARDS)
            .map(|shard| tokio::spawn(fill(Arc::clone(&store), ShardId(shard))))
            .collect();
        for task in tasks {
            task.await.expect("shard");
        }
        for shard in 0..SHARDS {
            check(&*store, ShardId(shard), round * BATCHES).await;
        }
    }
}

pub async fn a_reader_never_sees_a_part_of_a_batch(backend: &impl Backend) {
    let store = backend.open().await;
    let lease = acquire(&*store, SHARD).await;
    let keys: Vec<[u8; 4]> = (0..50_u32).map(u32::to_be_bytes).collect();
    let write = |number: u64| {
        let writes = keys
            .iter()
            .map(|key| put(Table::Wakeup, key, &number.to_be_bytes()))
            .collect();
        batch(number, writes)
    };
    store.commit(&lease, write(1)).await.expect("commit");
    let writer = {
        let (store, batches) = (Arc::clone(&store), (2..=BATCHES).map(write).collect::<Vec<_>>());
        tokio::spawn(async move {
            for batch in batches {
                store.commit(&lease, batch).await.expect("commit");
            }
        })
    };
    let mut seen = 1;
    while seen < BATCHES {
        let rows = all_rows(&*store, SHARD, Table::Wakeup).await;
        assert_eq!(rows.len(), keys.len());
        assert!(
            rows.iter().all(|row| row.value == rows[0].value),
            "torn: {rows:?}"
        );
        let number = u64::from_be_bytes(rows[0].value[..].try_into().expect("number"));
        assert!(number >= seen, "went back from {seen} to {number}");
        seen = number;
        tokio::task::yield_now().await;
    }
    writer.await.expect("writer");
}

pub async fn one_of_many_owners_wins(backend: &impl Backend) {
    let store = backend.open().await;
    let claim = |store: Arc<dyn Store>, name: String| async move {
        let lease = store.acquire(SHARD, &owner(&name)).await.expect("acquire");
        tokio::task::yield_now().await;
        let writes = vec![put(Table::Run, name.as_bytes(), b"won")];
        match store.commit(&lease, batch(lease.batch + 1, writes)).await {
            Ok(()) => Some((lease.epoch, name)),
            Err(CommitError::Fenced) => None,
            Err(CommitError::GaveUp(reason)) => panic!("commit: {reason}"),
        }
    };
    let claims: Vec<_> = (0..20)
        .map(|number| tokio::spawn(claim(Arc::clone(&store), format!("owner {number:02}"))))
        .collect();
    let mut won = Vec::new();
    for claim in claims {
        won.extend(claim.await.expect("owner"));
    }
    let newest = acquire(&*store, SHARD).await;
    assert_eq!((newest.epoch, newest.batch), (21, won.len() as u64));
    assert!(
        won.iter().any(|(epoch, _)| *epoch == 20),
        "the newest lease lost: {won:?}"
    );
    let mut names: Vec<_> = won
        .into_iter()
        .map(|(_, name)| (name, "won".to_owned()))
        .collect();
    names.sort();
    assert_eq!(text(&*store, SHARD, Table::Run).await, names);
}
