//! What the store takes in one commit bounds what the shard sends; no run's changes are torn apart.

#[path = "stand/mod.rs"]
mod stand;

use std::collections::{BTreeMap, BTreeSet};

use engine::{
    outcome::{Rejection, Reply},
    trigger::{BeginTask, CompleteWorkflowTask, TaskRef, Trigger},
};
use perdure_shard::{
    input::{Input, Request},
    output::{AskError, Output},
};
use proto::temporal::{
    command::v1::{Command, RecordMarkerCommandAttributes, command::Attributes},
    common::v1::{Payload, Payloads},
    enums::v1::{CommandType, WorkflowExecutionStatus},
};
use stand::{Stand, begin, signal, signal_with};
use storage::{
    batch::{Batch, Table},
    shard::BatchLimits,
    visibility::Update,
};

const SMALL: BatchLimits = BatchLimits {
    bytes: 4_000,
    writes: 24,
};

fn writes(batch: &Batch) -> usize {
    batch.writes.len() + batch.history.len() + batch.forget.len()
}

#[test]
fn stage_is_cut_into_batches_that_the_store_takes() {
    let mut stand = Stand::with_limits(SMALL);
    for n in 0..40 {
        stand.put(n, &format!("order-{n}"), None, begin(&format!("order-{n}")));
    }
    stand.feed(Input::Flush);
    let mut answered = 0;
    let mut batches = 0;
    while stand.batch.is_some() {
        let batch = stand.commit();
        batches += 1;
        assert!(
            batch.size() <= SMALL.bytes && writes(&batch) <= SMALL.writes,
            "{} bytes, {} writes",
            batch.size(),
            writes(&batch)
        );
        // Each run is whole in its batch, and its caller hears of it with that batch.
        let runs = batch
            .writes
            .iter()
            .filter(|write| write.table == Table::Run)
            .count();
        for table in [Table::Current, Table::Ready, Table::Wakeup, Table::Outbox] {
            let rows = batch.writes.iter().filter(|write| write.table == table).count();
            assert!(
                rows == runs || table == Table::Wakeup,
                "{table:?}: {rows} of {runs}"
            );
        }
        assert_eq!(batch.history.len(), runs);
        answered += runs;
        assert_eq!(
            stand.replies.len(),
            answered,
            "answered with its own batch, not before"
        );
    }
    assert!(batches > 4, "{batches} batches");
    let order: Vec<_> = stand.replies.iter().map(|(token, _)| *token).collect();
    assert_eq!(order, (0..40).collect::<Vec<_>>(), "in the order of the steps");
}

#[test]
fn run_is_written_once_however_many_steps_it_made() {
    let mut stand = Stand::with_limits(SMALL);
    stand.start(1);
    stand.settle();
    for n in 0..5 {
        stand.put(10 + n, "order", None, signal(&format!("s{n}")));
    }
    stand.feed(Input::Flush);
    let batch = stand.commit();
    assert!(stand.batch.is_none(), "one batch");
    let states = batch
        .writes
        .iter()
        .filter(|write| write.table == Table::Run)
        .count();
    assert_eq!((states, batch.history.len()), (1, 5));
}

#[test]
fn steps_of_a_busy_run_spread_over_batches_in_order() {
    let mut stand = Stand::with_limits(SMALL);
    stand.start(0);
    stand.settle();
    stand.replies.clear();
    for n in 1..=20 {
        stand.put(n, "order", None, signal_with(&format!("s{n}"), 700));
    }
    stand.feed(Input::Flush);
    let mut seen: Vec<i64> = Vec::new();
    while stand.batch.is_some() {
        let batch = stand.commit();
        assert!(batch.size() <= SMALL.bytes * 3 / 2, "{} bytes", batch.size());
        seen.extend(batch.history.iter().map(|node| node.first_event_id));
        assert_eq!(
            stand.replies.len(),
            seen.len(),
            "each is answered with its own batch"
        );
    }
    assert_eq!(seen, (3..23).collect::<Vec<_>>(), "history is dense");
    // What is stored is what a new owner reads.
    let mut next = Stand::over(stand.store.clone(), stand.now);
    next.ask(1, signal("s20"));
    next.settle();
    next.ask(2, Request::Step(Trigger::Position { wait_after: None }));
    let Some(Ok(Reply::Position(position))) = next.reply(2) else {
        panic!("{:?}", next.replies)
    };
    assert_eq!(position.next_event_id, 23, "the signal that came again is known");
}

#[test]
fn transaction_larger_than_a_batch_goes_alone() {
    let mut stand = Stand::with_limits(SMALL);
    for n in 0..3 {
        stand.put(n, &format!("order-{n}"), None, begin(&format!("order-{n}")));
    }
    stand.settle();
    stand.replies.clear();
    stand.put(10, "order-0", None, signal("a"));
    stand.put(11, "order-1", None, signal_with("b", 50_000));
    stand.put(12, "order-2", None, signal("c"));
    let batches = stand.settle();
    let large: Vec<_> = batches
        .iter()
        .filter(|batch| batch.size() > SMALL.bytes)
        .collect();
    assert_eq!(large.len(), 1);
    let runs: BTreeSet<_> = large[0].history.iter().map(|node| node.history).collect();
    assert_eq!(runs.len(), 1, "nothing else is in its batch");
    assert_eq!(stand.answered(), [(10, true), (11, true), (12, true)]);
}

#[test]
fn transaction_that_no_store_takes_is_refused_and_the_shard_goes_on() {
    let mut stand = Stand::new();
    stand.start(1);
    stand.ask_of(2, "other", begin("other"));
    stand.settle();
    stand.put(3, "order", None, signal_with("large", 5 << 20));
    stand.put(4, "other", None, signal("small"));
    let batches = stand.settle();
    assert_eq!(batches.len(), 1, "only the other run is written");
    let refused = stand.reply(3).expect("answered");
    assert!(
        matches!(refused, Err(AskError::Rejected(Rejection::InvalidArgument(why))) if why.starts_with("transaction size")),
        "{refused:?}"
    );
    assert!(matches!(stand.reply(4), Some(Ok(_))));
    // The run is as it was.
    stand.ask(5, signal("after"));
    stand.settle();
    stand.ask(6, Request::Step(Trigger::Position { wait_after: None }));
    let Some(Ok(Reply::Position(position))) = stand.reply(6) else {
        panic!("{:?}", stand.replies)
    };
    assert_eq!(position.next_event_id, 4, "one signal after the start");
}

#[test]
fn completion_that_no_store_takes_ends_the_run() {
    let mut stand = Stand::new();
    stand.start(1);
    stand.settle();
    let begin = BeginTask {
        scheduled_event_id: 2,
        attempt: 1,
        queue: "orders".to_owned(),
        request_id: "poll".to_owned(),
        ..Default::default()
    };
    stand.ask(2, Request::Step(Trigger::BeginWorkflowTask(Box::new(begin))));
    stand.settle();
    let Some(Ok(Reply::WorkflowTask(task))) = stand.reply(2) else {
        panic!("{:?}", stand.replies)
    };
    let payload = Payload {
        data: vec![b'x'; 1 << 20].into(),
        ..Default::default()
    };
    let details = BTreeMap::from([(
        "d".to_owned(),
        Payloads {
            payloads: vec![payload],
        },
    )]);
    let marker = Command {
        command_type: CommandType::RecordMarker.into(),
        attributes: Some(Attributes::RecordMarkerCommandAttributes(Box::new(
            RecordMarkerCommandAttributes {
                marker_name: "m".to_owned(),
                details: details.into_iter().collect(),
                ..Default::default()
            },
        ))),
        ..Default::default()
    };
    let done = CompleteWorkflowTask {
        task: TaskRef {
            scheduled_event_id: task.scheduled_event_id,
            started_event_id: task.started_event_id,
            started_time: task.started_time,
            attempt: task.attempt,
        },
        commands: vec![marker; 5],
        ..Default::default()
    };
    stand.ask(3, Request::Step(Trigger::CompleteWorkflowTask(Box::new(done))));
    stand.settle();
    assert!(
        matches!(stand.reply(3), Some(Err(AskError::Rejected(_)))),
        "{:?}",
        stand.reply(3)
    );
    stand.ask(4, Request::Step(Trigger::Describe));
    let Some(Ok(Reply::Description(description))) = stand.reply(4) else {
        panic!("{:?}", stand.replies)
    };
    let info = description.workflow_execution_info.as_ref().expect("info");
    assert_eq!(info.status(), WorkflowExecutionStatus::Terminated);
}

#[test]
fn read_waits_for_what_is_not_durable_behind_rows_that_can_wait() {
    let mut stand = Stand::with_limits(BatchLimits { bytes: 1, writes: 1 });
    stand.start(1);
    stand.settle();
    let indexed = stand.outputs.iter().find_map(|output| match output {
        Output::Index { run, update } => match &**update {
            Update::Upsert(record) => Some((run.clone(), record.version)),
            Update::Delete(_) => None,
        },
        _ => None,
    });
    let read = || Request::Step(Trigger::Describe);
    stand.put(2, "order", None, signal("a"));
    stand.put(3, "order", None, read());
    let runs = vec![indexed.expect("the start was indexed")];
    stand.feed(Input::Indexed { runs });
    stand.put(4, "order", None, read());
    assert_eq!(stand.answered(), [(1, true)], "the signal is not durable");
    stand.settle();
    assert_eq!(stand.answered().len(), 4);
}
