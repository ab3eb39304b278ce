//! Stored wake-ups: those that mean nothing go away.

#[path = "stand/mod.rs"]
mod stand;

use proto::ids::RunId;
use stand::{Stand, begin, key, ready};
use storage::{
    batch::{Batch, Table, Write},
    shard::ShardStore,
};

/// The row of a wake-up of a run that is not there, or that is due at another time.
fn stray(id: &str, run_id: RunId) -> Write {
    let workflow = key(id);
    let mut row = 5_i64.to_be_bytes().to_vec();
    row.extend(workflow.position().to_be_bytes());
    row.extend(workflow.namespace_id.as_bytes());
    row.extend(run_id.as_bytes());
    Write {
        table: Table::Wakeup,
        key: row.into(),
        value: Some(id.to_owned().into()),
    }
}

#[test]
fn wakeup_of_a_run_that_is_not_there_is_removed() {
    check_stray(|_| RunId::from_bytes([9; 16]), 0);
}

#[test]
fn wakeup_at_another_time_than_the_run_knows_is_removed() {
    check_stray(Stand::run_id, 0);
}

fn check_stray(run_id: fn(&Stand) -> RunId, left: usize) {
    let mut stand = Stand::new();
    stand.start(1);
    stand.settle();
    let batch = Batch {
        number: 2,
        writes: vec![stray("order", run_id(&stand))],
        ..Batch::default()
    };
    ready(stand.store.commit(&stand.lease, batch)).expect("committed");
    assert_eq!(stand.rows(Table::Wakeup), left + 1);
    let mut next = Stand::over(stand.store.clone(), stand.now);
    // It rides with the next batch that there is.
    next.ask_of(2, "other", begin("other"));
    next.settle();
    assert_eq!(next.rows(Table::Wakeup), left);
}
