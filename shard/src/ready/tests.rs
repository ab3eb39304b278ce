//! What is held back is announced later, counted once, and never lost.

use proto::ids::{RunId, WorkflowKey};

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1);

fn run() -> RunKey {
    RunKey {
        workflow: WorkflowKey {
            namespace_id: proto::ids::NamespaceId::from_random([1; 16]),
            workflow_id: "order".into(),
        },
        run_id: RunId::from_random([2; 16]),
    }
}

fn task(number: usize) -> ReadyTask {
    ReadyTask {
        kind: engine::effect::ReadyKind::Workflow,
        queue: "main".to_owned(),
        sticky: false,
        scheduled_event_id: 2,
        attempt: 1,
        scheduled_time: i64::try_from(number).expect("a small number"),
        priority: 3,
        speculative: false,
    }
}

fn queue() -> QueueKey {
    codec::queue_of(run().workflow.namespace_id, &task(0))
}

fn rows(numbers: std::ops::Range<usize>) -> Vec<Row> {
    let row = |number| Row {
        key: codec::ready_key(&queue(), &run(), &task(number)),
        value: Bytes::from_static(b"order"),
    };
    numbers.map(row).collect()
}

/// Lets a starting shard read this many rows; `between` happens after the first page.
fn recovered(count: usize, between: impl FnOnce(&mut ReadyTasks)) -> (ReadyTasks, Vec<Output>) {
    let mut ready = ReadyTasks::default();
    let mut out = Vec::new();
    let mut between = Some(between);
    for first in (0..=count).step_by(SCAN_ROWS_MAX) {
        let page = rows(first..count.min(first + SCAN_ROWS_MAX));
        ready.recover(page, &mut out).expect("rows of ours");
        if let Some(between) = between.take() {
            between(&mut ready);
        }
    }
    (ready, out)
}

fn announced(out: &[Output]) -> usize {
    let is_announced = |output: &&Output| matches!(output, Output::Announce { .. });
    out.iter().filter(is_announced).count()
}

fn last_held_back(out: &[Output]) -> Option<u64> {
    out.iter().rev().find_map(|output| match output {
        Output::HeldBack { count, .. } => Some(*count),
        _ => None,
    })
}

#[test]
fn a_starting_shard_counts_what_it_holds_back() {
    let (_, out) = recovered(RECOVERY_TICKETS_MAX + 1_700, |_| {});
    assert_eq!(announced(&out), RECOVERY_TICKETS_MAX);
    assert_eq!(last_held_back(&out), Some(1_700));
}

#[test]
fn what_becomes_ready_while_a_shard_starts_is_counted_once() {
    let count = RECOVERY_TICKETS_MAX + 1_700;
    let (mut ready, mut out) = recovered(count - 1, |ready| {
        ready.refused(queue(), &run(), &task(0), &mut Vec::new());
        // Its row is among those that are still to be read.
        ready.announce(queue(), run(), task(count - 2), NOW, &mut Vec::new());
    });
    ready.announce(queue(), run(), task(count), NOW, &mut out);
    let held = &ready.held[&queue()];
    assert_eq!(held.count, (1 + count - 1 - SCAN_ROWS_MAX + 1) as u64);
}

#[test]
fn a_ticket_that_is_refused_while_a_shard_starts_keeps_its_place() {
    let (mut ready, mut out) = recovered(RECOVERY_TICKETS_MAX + 1_700, |ready| {
        ready.refused(queue(), &run(), &task(7), &mut Vec::new());
    });
    ready.credit(queue(), 10, &mut out);
    let from = codec::ready_key(&queue(), &run(), &task(7));
    let scan = Scan::Ready {
        queue: queue(),
        from,
        limit: 10,
    };
    assert!(matches!(out.last(), Some(Output::Scan(last)) if *last == scan));
}

#[test]
fn a_queue_knows_about_how_many_are_held_back_while_they_grow() {
    const HELD: u64 = 20_000;
    let mut ready = ReadyTasks::default();
    let mut out = Vec::new();
    ready.refused(queue(), &run(), &task(0), &mut out);
    for count in 2..=HELD {
        ready.announce(queue(), run(), task(1), NOW, &mut out);
        let told = last_held_back(&out).expect("told");
        assert!(told * 100 >= count * 98, "{told} were told of {count}");
    }
    assert!(out.len() < 500, "{} messages for {HELD} tasks", out.len());
}

#[test]
fn a_queue_that_lost_its_tickets_hears_what_is_still_held_back() {
    let (mut ready, _) = recovered(2 * RECOVERY_TICKETS_MAX + 50, |_| {});
    let mut out = Vec::new();
    ready.announce_again(queue(), &mut out);
    for first in (0..RECOVERY_TICKETS_MAX).step_by(SCAN_ROWS_MAX) {
        let page = rows(first..RECOVERY_TICKETS_MAX.min(first + SCAN_ROWS_MAX));
        let limit = page.len();
        ready
            .scanned(queue(), limit, page, &mut out)
            .expect("rows of ours");
    }
    assert_eq!(announced(&out), RECOVERY_TICKETS_MAX);
    assert_eq!(last_held_back(&out), Some((RECOVERY_TICKETS_MAX + 50) as u64));
}

#[test]
fn rows_read_before_the_tickets_were_lost_are_read_again() {
    let (mut ready, mut out) = recovered(RECOVERY_TICKETS_MAX + 1_700, |_| {});
    ready.credit(queue(), 10, &mut out);
    ready.announce_again(queue(), &mut out);
    out.clear();
    let page = rows(RECOVERY_TICKETS_MAX..RECOVERY_TICKETS_MAX + 10);
    ready.scanned(queue(), 10, page, &mut out).expect("rows of ours");
    let scan = Scan::Ready {
        queue: queue(),
        from: codec::ready_prefix(&queue()),
        limit: RECOVERY_TICKETS_MAX.min(SCAN_ROWS_MAX),
    };
    assert!(
        matches!(&out[..], [Output::Scan(only)] if *only == scan),
        "{out:?}"
    );
}

#[test]
fn when_queues_have_lost_their_tickets_even_young_tasks_are_announced_again() {
    let (mut ready, mut out) = (ReadyTasks::default(), Vec::new());
    let now = Timestamp::from_nanos(100);
    ready.sweep_all(&mut out);
    let Some(Output::Scan(Scan::Sweep { all, .. })) = out.pop() else {
        panic!("nothing is read")
    };
    ready
        .swept(rows(90..100), all, now, &mut out)
        .expect("rows of ours");
    assert_eq!(announced(&out), 10);
    out.clear();
    ready
        .swept(rows(90..100), false, now, &mut out)
        .expect("rows of ours");
    assert_eq!(announced(&out), 0, "none has waited for long");
}
