//! Suite: the contract of [`ShardStore`] and [`Registry`] as tests, expanded for each backend.
//!
//! A backend's test module says how to open it and calls [`suite!`](crate::suite!); it owns no test of the
//! contract itself. Outside this crate the feature `suite` brings it in.

pub mod commits;
pub mod concurrency;
pub mod histories;
pub mod registry;
pub mod rows;
pub mod tails;

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use proto::ids::{NamespaceId, NodeId, RunId, ShardId};

use crate::{
    batch::{Batch, HistoryKey, HistoryNode, Table, Write},
    registry::Registry,
    shard::{Lease, Row, ShardStore},
};

/// Both halves of a backend.
pub trait Store: ShardStore + Registry {}

impl<T: ShardStore + Registry> Store for T {}

/// A place where a backend keeps its data for one test.
pub trait Backend {
    /// Opens the store; called again after the last handle has gone, it finds what was written before.
    fn open(&self) -> impl Future<Output = Arc<dyn Store>>;

    /// Makes the runtime that the test runs on.
    fn runtime(&self) -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("make runtime")
    }
}

/// Expands every test of the contract as a module `$name`; `$backend` makes a fresh, empty [`Backend`].
#[macro_export]
macro_rules! suite {
    ($name:ident, $backend:expr) => {
        mod $name {
            use super::*;

            $crate::suite!(@tests $backend;
                commits: a_shard_begins_empty,
                commits: epochs_grow_and_batches_go_on,
                commits: numbers_can_go_on_above_those_of_others,
                commits: a_batch_sent_twice_lands_once,
                commits: a_batch_out_of_order_is_refused,
                commits: an_older_lease_is_fenced,
                commits: a_lease_that_nobody_gave_is_refused,
                commits: a_released_shard_can_be_acquired,
                commits: the_later_write_of_a_row_stays,
                commits: a_commit_whose_caller_has_gone_is_settled,
                commits: a_large_batch_lands,
                commits: what_was_acknowledged_is_there_after_opening_again,
                rows: a_row_is_found_where_it_was_put,
                rows: scans_keep_bounds_and_limits,
                rows: scans_pass_removed_rows,
                histories: ranges_keep_bounds_and_limits,
                histories: a_forgotten_history_is_gone,
                tails: a_history_stays_whole_as_its_run_closes,
                tails: a_history_grows_from_small_to_large,
                tails: many_histories_of_one_batch_are_all_there,
                tails: a_forgotten_run_leaves_nothing,
                tails: a_detached_history_is_found_from_any_shard,
                tails: readers_see_whole_histories_meanwhile,
                registry: an_entry_changes_only_under_its_version,
                registry: writes_are_applied_together_or_not_at_all,
                registry: pages_follow_key_order,
                registry: increments_of_many_are_all_counted,
                concurrency: many_shards_commit_at_once,
                concurrency: a_reader_never_sees_a_part_of_a_batch,
                concurrency: one_of_many_owners_wins,
            );
        }
    };
    (@tests $backend:expr; $($module:ident: $test:ident,)*) => {
        $(
            #[test]
            fn $test() {
                let backend = $backend;
                let runtime = $crate::suite::Backend::runtime(&backend);
                runtime.block_on($crate::suite::$module::$test(&backend));
            }
        )*
    };
}

const SHARD: ShardId = ShardId(7);

fn owner(name: &str) -> NodeId {
    NodeId {
        name: name.into(),
        generation: 1,
    }
}

fn put(table: Table, key: &[u8], value: &[u8]) -> Write {
    Write {
        table,
        key: Bytes::copy_from_slice(key),
        value: Some(Bytes::copy_from_slice(value)),
    }
}

fn remove(table: Table, key: &[u8]) -> Write {
    Write {
        table,
        key: Bytes::copy_from_slice(key),
        value: None,
    }
}

fn batch(number: u64, writes: Vec<Write>) -> Batch {
    Batch {
        number,
        writes,
        ..Batch::default()
    }
}

fn history(run: u8) -> HistoryKey {
    HistoryKey {
        namespace_id: NamespaceId::from_bytes([1; 16]),
        run_id: RunId::from_bytes([run; 16]),
    }
}

fn node(run: u8, first_event_id: i64, events: &str) -> HistoryNode {
    HistoryNode {
        history: history(run),
        first_event_id,
        events: Bytes::copy_from_slice(events.as_bytes()),
    }
}

async fn acquire(store: &dyn Store, shard: ShardId) -> Lease {
    store.acquire(shard, &owner("a")).await.expect("acquire")
}

async fn load(store: &dyn Store, table: Table, key: &[u8]) -> Option<Bytes> {
    store.load(SHARD, table, key).await.expect("load")
}

async fn all_rows(store: &dyn Store, shard: ShardId, table: Table) -> Vec<Row> {
    store
        .scan(shard, table, b"", None, usize::MAX)
        .await
        .expect("scan")
}

/// Returns the keys and values of a table as text.
async fn text(store: &dyn Store, shard: ShardId, table: Table) -> Vec<(String, String)> {
    let lossy = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    all_rows(store, shard, table)
        .await
        .iter()
        .map(|row| (lossy(&row.key), lossy(&row.value)))
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}
