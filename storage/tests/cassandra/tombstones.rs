//! What removed rows cost the reads after them, counted by Cassandra itself.

use bytes::Bytes;
use perdure_storage::{
    batch::{Batch, Table, Write},
    cassandra::CassandraStore,
    shard::{Lease, ShardStore},
    suite::Backend,
};
use proto::ids::{NodeId, ShardId};

use crate::server::{Keyspace, address};

const SHARD: ShardId = ShardId(9);
/// Wake-ups that are processed, and how many of them one batch carries.
const WAKEUPS: u64 = 10_000;
const EACH: u64 = 100;

async fn acquire(store: &CassandraStore) -> Lease {
    let owner = NodeId {
        name: "a".into(),
        generation: 1,
    };
    store.acquire(SHARD, &owner).await.unwrap()
}

/// Processes wake-ups as a shard does: each batch removes those that were due and writes as many for later.
async fn process(store: &CassandraStore, lease: &Lease) {
    let key = |number: u64| Bytes::copy_from_slice(&number.to_be_bytes());
    for round in 0..=WAKEUPS / EACH {
        let due = round.saturating_sub(1) * EACH..round * EACH;
        let later = round * EACH..(round + 1) * EACH;
        let write = |number, value| Write {
            table: Table::Wakeup,
            key: key(number),
            value,
        };
        let removed = due.map(|number| write(number, None));
        let writes = removed.chain(later.map(|number| write(number, Some(Bytes::new()))));
        let batch = Batch {
            number: lease.batch + round + 1,
            writes: writes.collect(),
            ..Batch::default()
        };
        store.commit(lease, batch).await.unwrap();
        let rows = store.scan(SHARD, Table::Wakeup, b"", None, 500).await.unwrap();
        assert_eq!(rows.len() as u64, EACH);
        assert_eq!(rows[0].key, key(round * EACH));
    }
}

#[test]
fn reads_do_not_walk_over_wakeups_that_were_processed() {
    let keyspace = Keyspace::new();
    keyspace.runtime().block_on(async {
        let store = CassandraStore::open(&keyspace.config(address())).await.unwrap();
        let lease = acquire(&store).await;
        process(&store, &lease).await;
        let met = keyspace.tombstones_max().await;
        assert!(met < 4.0 * EACH as f64, "{met} tombstones met while running");
        // The next owner begins where this one was, as of some batches ago.
        let next = CassandraStore::open(&keyspace.config(address())).await.unwrap();
        let lease = acquire(&next).await;
        let rows = next.scan(SHARD, Table::Wakeup, b"", None, 500).await.unwrap();
        assert_eq!(rows.len() as u64, EACH);
        let met = keyspace.tombstones_max().await;
        assert!(
            met < WAKEUPS as f64 / 4.0,
            "{met} tombstones met by the next owner"
        );
        // A row below the floor is found, by this owner and the one after it.
        let early = Write {
            table: Table::Wakeup,
            key: Bytes::from_static(b"\0"),
            value: Some(Bytes::new()),
        };
        let batch = Batch {
            number: lease.batch + 1,
            writes: vec![early],
            ..Batch::default()
        };
        next.commit(&lease, batch).await.unwrap();
        let third = CassandraStore::open(&keyspace.config(address())).await.unwrap();
        acquire(&third).await;
        for store in [next, third] {
            let rows = store.scan(SHARD, Table::Wakeup, b"", None, 1).await.unwrap();
            assert_eq!(rows[0].key, &b"\0"[..]);
        }
    });
}
