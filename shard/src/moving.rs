//! Moving: a shard's rows as they are copied into other shards, or deleted when they have been.
//!
//! A closed run's state is only read by its key, so it is found by its wake-up, which it has until it is removed.

use bytes::Bytes;
use futures::future::try_join_all;
use proto::ids::ShardId;
use storage::{
    batch::{Table, Write},
    error::StoreError,
    shard::ShardStore,
};

use crate::ready::after;

/// A place in a shard's rows, in the order in which they are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// Of [`Table::SCANNED`].
    table: usize,
    from: Bytes,
}

/// Some rows, as writes that make them.
#[derive(Clone, Debug)]
pub struct Rows {
    pub writes: Vec<Write>,
    /// Where to read on; `None` after the last row.
    pub next: Option<Spot>,
}

impl Spot {
    #[must_use]
    pub fn table(&self) -> Option<Table> {
        Table::SCANNED.get(self.table).copied()
    }

    /// Tells whether reading has passed the row, so that it would not be found any more. Of a closed run's state that
    /// cannot be told from its key: it counts as passed as soon as wake-ups are read.
    #[must_use]
    pub fn has_passed(&self, table: Table, key: &[u8]) -> bool {
        let scanned = if table == Table::Closed {
            Table::Wakeup
        } else {
            table
        };
        let place = Table::SCANNED.iter().position(|one| *one == scanned);
        let order = place.cmp(&Some(self.table));
        order.is_lt() || (order.is_eq() && (table == Table::Closed || *key < *self.from))
    }
}

/// Reads at most `limit` rows from the spot on, and the closed runs whose wake-ups are among them.
pub async fn read(
    store: &dyn ShardStore,
    shard: ShardId,
    spot: &Spot,
    limit: usize,
) -> Result<Rows, StoreError> {
    let Some(table) = spot.table() else {
        return Ok(Rows {
            writes: Vec::new(),
            next: None,
        });
    };
    let rows = store.scan(shard, table, &spot.from, None, limit).await?;
    let next = match rows.last() {
        Some(last) if rows.len() >= limit => Some(Spot {
            table: spot.table,
            from: after(&last.key),
        }),
        _ => Some(Spot {
            table: spot.table + 1,
            from: Bytes::new(),
        }),
    };
    let mut writes = Vec::with_capacity(rows.len());
    let closed = rows.iter().map(async |row| match closed_of(table, &row.key) {
        Some(key) => store
            .load(shard, Table::Closed, &key)
            .await
            .map(|state| Some((key, state?))),
        None => Ok(None),
    });
    let closed = try_join_all(closed).await?;
    for (row, closed) in rows.into_iter().zip(closed) {
        writes.push(Write {
            table,
            key: row.key,
            value: Some(row.value),
        });
        // After its wake-up: a closed run without one would not be found again.
        writes.extend(closed.map(|(key, state)| Write {
            table: Table::Closed,
            key,
            value: Some(state),
        }));
    }
    Ok(Rows {
        writes,
        next: next.filter(|spot| spot.table().is_some()),
    })
}

/// Returns the key that the run of a wake-up has if it is closed.
fn closed_of(table: Table, key: &Bytes) -> Option<Bytes> {
    const TIME: usize = 8;
    (table == Table::Wakeup && key.len() > TIME).then(|| key.slice(TIME..))
}

/// Returns the position that the row belongs to; `None` if its key is malformed.
#[must_use]
pub fn position(table: Table, key: &[u8]) -> Option<u64> {
    let rest = match table {
        Table::Run | Table::Current | Table::Outbox | Table::Closed => key,
        // Behind the time.
        Table::Wakeup => key.get(8..)?,
        Table::Ready => {
            // Kind, sticky, namespace; then the queue's name with its length, the priority and the time.
            let (length, rest) = key.get(18..)?.split_first_chunk::<2>()?;
            rest.get(usize::from(u16::from_be_bytes(*length)) + 1 + 8..)?
        }
    };
    rest.first_chunk::<8>()
        .map(|position| u64::from_be_bytes(*position))
}

#[cfg(test)]
mod tests {
    use engine::effect::{ReadyKind, ReadyTask};
    use proto::{
        ids::{NamespaceId, RunId, RunKey, WorkflowKey},
        time::Timestamp,
    };

    use super::*;
    use crate::codec;

    fn run() -> RunKey {
        let workflow = WorkflowKey {
            namespace_id: NamespaceId::from_bytes([1; 16]),
            workflow_id: "order".into(),
        };
        workflow.run(RunId::from_bytes([2; 16]))
    }

    #[test]
    fn each_row_tells_its_position() {
        let run = run();
        let task = ReadyTask {
            kind: ReadyKind::Activity,
            queue: "payments".to_owned(),
            sticky: true,
            scheduled_event_id: 5,
            attempt: 2,
            scheduled_time: 77,
            priority: 3,
            speculative: false,
        };
        let queue = codec::queue_of(run.workflow.namespace_id, &task);
        let wakeup = codec::wakeup_key(Timestamp::from_nanos(5), &run);
        let keys = [
            (Table::Run, codec::run_key(&run)),
            (Table::Closed, codec::run_key(&run)),
            (Table::Outbox, codec::run_key(&run)),
            (Table::Current, codec::current_key(&run.workflow)),
            (Table::Wakeup, wakeup.clone()),
            (Table::Ready, codec::ready_key(&queue, &run, &task)),
        ];
        for (table, key) in keys {
            assert_eq!(position(table, &key), Some(run.workflow.position()), "{table:?}");
            assert_eq!(position(table, &key[..5]), None, "{table:?}");
        }
        assert_eq!(closed_of(Table::Wakeup, &wakeup), Some(codec::run_key(&run)));
    }

    #[test]
    fn a_spot_knows_what_it_has_passed() {
        let spot = Spot {
            table: 1,
            from: Bytes::from_static(b"m"),
        };
        assert!(spot.has_passed(Table::Run, b"z"));
        assert!(spot.has_passed(Table::Current, b"a"));
        assert!(!spot.has_passed(Table::Current, b"m"));
        assert!(!spot.has_passed(Table::Wakeup, b"a"));
        assert!(!spot.has_passed(Table::Closed, b"a"));
        let wakeups = Spot { table: 3, ..spot };
        assert_eq!(wakeups.table(), Some(Table::Wakeup));
        assert!(wakeups.has_passed(Table::Closed, b"z"));
    }
}
