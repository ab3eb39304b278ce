//! Compare-and-set on the shared tables.

use std::sync::Arc;

use bytes::Bytes;

use super::{Backend, Store};
use crate::registry::{RegistryError, RegistryTable, RegistryWrite};

const TABLES: [RegistryTable; 4] = [
    RegistryTable::Namespace,
    RegistryTable::NamespaceName,
    RegistryTable::Cluster,
    RegistryTable::TaskQueue,
];

fn set(key: &str, value: &str, expected: u64) -> RegistryWrite {
    let value = Some(Bytes::copy_from_slice(value.as_bytes()));
    RegistryWrite {
        table: RegistryTable::Cluster,
        key: Bytes::copy_from_slice(key.as_bytes()),
        value,
        expected,
    }
}

fn unset(key: &str, expected: u64) -> RegistryWrite {
    RegistryWrite {
        value: None,
        ..set(key, "", expected)
    }
}

/// Returns the value and version of an entry.
async fn entry(store: &dyn Store, key: &str) -> Option<(String, u64)> {
    let found = store
        .get(RegistryTable::Cluster, key.as_bytes())
        .await
        .expect("get")?;
    assert_eq!(found.key, key);
    Some((String::from_utf8_lossy(&found.value).into_owned(), found.version))
}

async fn write(store: &dyn Store, writes: Vec<RegistryWrite>) -> &'static str {
    match store.write(writes).await {
        Ok(()) => "ok",
        Err(RegistryError::Conflict) => "conflict",
        Err(RegistryError::Store(error)) => panic!("write registry: {error}"),
    }
}

pub async fn an_entry_changes_only_under_its_version(backend: &impl Backend) {
    let store = backend.open().await;
    let steps = [
        (set("k", "a", 1), "conflict", None),
        (set("k", "a", 0), "ok", Some(("a", 1))),
        (set("k", "b", 0), "conflict", Some(("a", 1))),
        (set("k", "b", 1), "ok", Some(("b", 2))),
        (set("k", "c", 1), "conflict", Some(("b", 2))),
        (unset("k", 1), "conflict", Some(("b", 2))),
        (unset("k", 2), "ok", None),
        (unset("k", 2), "conflict", None),
        (set("k", "", 0), "ok", Some(("", 1))),
    ];
    for (number, (change, expected, left)) in steps.into_iter().enumerate() {
        assert_eq!(write(&*store, vec![change]).await, expected, "step {number}");
        let left = left.map(|(value, version)| (value.to_owned(), version));
        assert_eq!(entry(&*store, "k").await, left, "step {number}");
    }
    drop(store);
    let store = backend.open().await;
    assert_eq!(entry(&*store, "k").await, Some((String::new(), 1)));
}

pub async fn writes_are_applied_together_or_not_at_all(backend: &impl Backend) {
    let store = backend.open().await;
    assert_eq!(
        write(&*store, vec![set("a", "1", 0), set("b", "1", 0)]).await,
        "ok"
    );
    let refused = vec![set("a", "2", 1), set("c", "2", 0), set("b", "2", 0)];
    assert_eq!(write(&*store, refused).await, "conflict");
    assert_eq!(entry(&*store, "a").await, Some(("1".into(), 1)));
    assert_eq!(entry(&*store, "c").await, None);
    assert_eq!(
        write(&*store, vec![set("a", "3", 1), unset("b", 1), set("c", "3", 0)]).await,
        "ok"
    );
    assert_eq!(entry(&*store, "a").await, Some(("3".into(), 2)));
    assert_eq!(entry(&*store, "b").await, None);
    assert_eq!(entry(&*store, "c").await, Some(("3".into(), 1)));
    // In order: the second write of an entry expects what the first one made.
    assert_eq!(
        write(&*store, vec![set("d", "1", 0), set("d", "2", 1)]).await,
        "ok"
    );
    assert_eq!(entry(&*store, "d").await, Some(("2".into(), 2)));
    assert_eq!(write(&*store, vec![]).await, "ok");
}

pub async fn pages_follow_key_order(backend: &impl Backend) {
    let store = backend.open().await;
    let keys = ["", "a", "b", "ba", "c"];
    for table in TABLES {
        let writes = keys.iter().rev().map(|key| RegistryWrite {
            table,
            ..set(key, key, 0)
        });
        assert_eq!(write(&*store, writes.collect()).await, "ok");
    }
    let cases: [(Option<&str>, usize, &[&str]); 6] = [
        (None, 10, &keys),
        (None, 2, &["", "a"]),
        (Some(""), 2, &["a", "b"]),
        (Some("b"), 10, &["ba", "c"]),
        (Some("bz"), 10, &["c"]),
        (Some("c"), 10, &[]),
    ];
    for table in TABLES {
        for (after, limit, expected) in cases {
            let page = store
                .list(table, after.map(str::as_bytes), limit)
                .await
                .expect("list");
            let found: Vec<&[u8]> = page.iter().map(|entry| &*entry.key).collect();
            let expected: Vec<&[u8]> = expected.iter().map(|key| key.as_bytes()).collect();
            assert_eq!(found, expected, "{table:?} after {after:?} limit {limit}");
            assert!(
                page.iter()
                    .all(|entry| entry.key == entry.value && entry.version == 1)
            );
        }
    }
}

pub async fn increments_of_many_are_all_counted(backend: &impl Backend) {
    const WRITERS: u64 = 8;
    const EACH: u64 = 5;
    let store = backend.open().await;
    let count = |store: Arc<dyn Store>| async move {
        for _ in 0..EACH {
            loop {
                let version = entry(&*store, "n").await.map_or(0, |(_, version)| version);
                if write(&*store, vec![set("n", &(version + 1).to_string(), version)]).await == "ok" {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    };
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| tokio::spawn(count(Arc::clone(&store))))
        .collect();
    for writer in writers {
        writer.await.expect("writer");
    }
    let total = WRITERS * EACH;
    assert_eq!(entry(&*store, "n").await, Some((total.to_string(), total)));
}
