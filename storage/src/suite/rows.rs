//! Loads and scans.

use proto::ids::ShardId;

use super::{Backend, SHARD, acquire, all_rows, batch, load, put, remove};
use crate::batch::Table;

const NEIGHBOURS: [ShardId; 5] = [
    ShardId(0),
    ShardId(6),
    ShardId(8),
    ShardId(256 + 7),
    ShardId(u32::MAX),
];

pub async fn a_row_is_found_where_it_was_put(backend: &impl Backend) {
    let store = backend.open().await;
    let keys: [&[u8]; 4] = [b"", b"k", b"k\0", &[0xff; 300]];
    let lease = acquire(&*store, SHARD).await;
    let writes = Table::ALL
        .iter()
        .flat_map(|table| keys.map(|key| put(*table, key, format!("{table:?} {}", key.len()).as_bytes())));
    store
        .commit(&lease, batch(1, writes.collect()))
        .await
        .expect("commit");
    for table in Table::ALL {
        for key in keys {
            let value = load(&*store, table, key).await.expect("row");
            assert_eq!(value, format!("{table:?} {}", key.len()));
        }
        assert_eq!(load(&*store, table, b"j").await, None);
        for shard in NEIGHBOURS {
            assert_eq!(
                store.load(shard, table, b"k").await.expect("load"),
                None,
                "{shard}"
            );
        }
    }
}

pub async fn scans_keep_bounds_and_limits(backend: &impl Backend) {
    let store = backend.open().await;
    let keys: [&[u8]; 6] = [b"", b"a", b"a\0", b"b", b"c", &[0xff; 8]];
    for shard in NEIGHBOURS.into_iter().chain([SHARD]) {
        let lease = acquire(&*store, shard).await;
        let writes = Table::SCANNED
            .iter()
            .flat_map(|table| keys.map(|key| put(*table, key, &shard.0.to_be_bytes())));
        store
            .commit(&lease, batch(1, writes.collect()))
            .await
            .expect("commit");
    }
    // from, to, limit, the first key's place and how many
    type Case = (&'static [u8], Option<&'static [u8]>, usize, usize, usize);
    let cases: [Case; 14] = [
        (b"", None, 10, 0, 6),
        (b"", None, 6, 0, 6),
        (b"", None, 2, 0, 2),
        (b"", None, 0, 0, 0),
        (b"a", None, 10, 1, 5),
        (b"a\0", None, 2, 2, 2),
        (b"aa", Some(b"c"), 10, 3, 1),
        (b"a", Some(b"b"), 10, 1, 2),
        (b"a", Some(b"b"), 1, 1, 1),
        (b"a", Some(b"a"), 10, 0, 0),
        (b"b", Some(b"a"), 10, 0, 0),
        (b"", Some(b""), 10, 0, 0),
        (b"d", Some(&[0xff; 9]), 10, 5, 1),
        (&[0xff; 9], None, 10, 0, 0),
    ];
    for table in Table::SCANNED {
        for (from, to, limit, first, count) in cases {
            let rows = store.scan(SHARD, table, from, to, limit).await.expect("scan");
            let found: Vec<&[u8]> = rows.iter().map(|row| &*row.key).collect();
            assert_eq!(
                found,
                keys[first..first + count],
                "{table:?} from {from:?} to {to:?} limit {limit}"
            );
            assert!(rows.iter().all(|row| *row.value == SHARD.0.to_be_bytes()));
        }
    }
}

pub async fn scans_pass_removed_rows(backend: &impl Backend) {
    let store = backend.open().await;
    let lease = acquire(&*store, SHARD).await;
    let key = |row: u32| row.to_be_bytes();
    let added = (0..500)
        .map(|row| put(Table::Ready, &key(row), b"task"))
        .collect();
    store.commit(&lease, batch(1, added)).await.expect("commit");
    let taken = (0..498).map(|row| remove(Table::Ready, &key(row))).collect();
    store.commit(&lease, batch(2, taken)).await.expect("commit");
    let absent = vec![remove(Table::Ready, b"never there")];
    store.commit(&lease, batch(3, absent)).await.expect("commit");
    let rest = store.scan(SHARD, Table::Ready, b"", None, 1).await.expect("scan");
    assert_eq!(*rest[0].key, key(498));
    assert_eq!(all_rows(&*store, SHARD, Table::Ready).await.len(), 2);
}
