//! The auditor puts missing rows back, and leaves alone what is as it should be.

#[path = "stand/mod.rs"]
mod stand;

use std::time::Duration;

use engine::{
    outcome::Reply,
    trigger::{BeginTask, StartWith, Trigger},
};
use perdure_shard::{
    input::{Input, Request},
    output::Output,
};
use proto::{ids::RunId, temporal::enums::v1::WorkflowExecutionStatus};
use stand::{Stand, begin, key, signal};
use storage::batch::{Table, Write};

/// Longer than a pass of the auditor takes.
const PASS: Duration = Duration::from_secs(60);

/// A start of a run that times out after a minute.
fn limited() -> Request {
    let Request::Start(mut start) = begin("order") else {
        unreachable!("a start")
    };
    start.workflow.run_timeout = Duration::from_secs(60);
    start.with = StartWith::Nothing;
    Request::Start(start)
}

/// Puts of rows of the table.
fn puts(table: Table) -> impl Fn(&Write) -> bool {
    move |write| write.table == table && write.value.is_some()
}

fn announced(stand: &Stand) -> usize {
    let announced = |output: &&Output| matches!(output, Output::Announce { .. });
    stand.outputs.iter().filter(announced).count()
}

/// Lets the auditor make its pass, which waits for its interval between parts.
fn pass(stand: &mut Stand) {
    for _ in 0..12 {
        stand.pass(Duration::from_secs(5));
    }
}

fn status(stand: &mut Stand) -> WorkflowExecutionStatus {
    stand.replies.clear();
    stand.ask(99, Request::Step(Trigger::Describe));
    let Some(Ok(Reply::Description(description))) = stand.reply(99) else {
        panic!("{:?}", stand.replies)
    };
    description
        .workflow_execution_info
        .as_ref()
        .expect("info")
        .status()
}

#[test]
fn lost_wakeup_is_put_back_and_the_run_ends_in_time() {
    let mut stand = Stand::new();
    stand.put(1, "order", None, limited());
    stand.feed(Input::Flush);
    stand.commit_but(puts(Table::Wakeup));
    assert_eq!(stand.rows(Table::Wakeup), 0);
    let mut next = Stand::over(stand.store.clone(), stand.now);
    pass(&mut next);
    assert_eq!(next.shard.view().repairs, 1);
    next.now = next.now + PASS;
    next.feed(Input::Tick);
    next.settle();
    assert_eq!(status(&mut next), WorkflowExecutionStatus::TimedOut);
}

#[test]
fn lost_ready_task_is_put_back_and_announced() {
    let mut stand = Stand::new();
    stand.start(1);
    stand.commit_but(puts(Table::Ready));
    let mut next = Stand::over(stand.store.clone(), stand.now);
    assert_eq!((announced(&next), next.rows(Table::Ready)), (0, 0));
    pass(&mut next);
    assert_eq!((announced(&next) > 0, next.rows(Table::Ready)), (true, 1));
    assert_eq!(next.shard.view().repairs, 1);
}

#[test]
fn ready_task_that_no_run_has_is_removed() {
    let mut stand = Stand::new();
    stand.start(1);
    stand.settle();
    let task = BeginTask {
        scheduled_event_id: 2,
        attempt: 1,
        queue: "orders".to_owned(),
        request_id: "poll".to_owned(),
        ..Default::default()
    };
    stand.ask(2, Request::Step(Trigger::BeginWorkflowTask(Box::new(task))));
    let removal = |write: &Write| write.table == Table::Ready && write.value.is_none();
    stand.commit_but(removal);
    assert_eq!(stand.rows(Table::Ready), 1);
    let mut next = Stand::over(stand.store.clone(), stand.now);
    // Before the task times out and becomes ready again.
    for _ in 0..2 {
        next.now = next.now + Duration::from_secs(5);
        next.feed(Input::Tick);
    }
    assert_eq!(next.shard.view().repairs, 1);
}

#[test]
fn healthy_runs_are_not_touched() {
    let mut stand = Stand::new();
    for n in 0..50 {
        stand.put(n, &format!("order-{n}"), None, begin(&format!("order-{n}")));
    }
    stand.put(50, "order", None, limited());
    stand.settle();
    let mut next = Stand::over(stand.store.clone(), stand.now);
    next.holds_audits = true;
    let mut reads = 0;
    let mut batches = 0;
    // The run that times out is far from it until the pass is over.
    for _ in 0..11 {
        next.now = next.now + Duration::from_secs(5);
        next.feed(Input::Tick);
        while let Some(at) = next
            .outputs
            .iter()
            .position(|output| matches!(output, Output::Audit(_)))
        {
            let Output::Audit(place) = next.outputs.remove(at) else {
                unreachable!("an audit")
            };
            reads += 1;
            next.audit(&place);
        }
        batches += next.settle().len();
    }
    assert_eq!(
        (reads, batches),
        (6, 0),
        "three parts of the runs, three of the ready tasks"
    );
    assert_eq!(next.shard.view().repairs, 0);
}

#[test]
fn shard_that_does_nothing_is_read_once() {
    let mut stand = Stand::new();
    assert_ne!(stand.shard.next_deadline(), None, "a pass when it starts");
    pass(&mut stand);
    assert_eq!(stand.shard.next_deadline(), None);
}

#[test]
fn what_changes_while_it_is_read_is_left_alone() {
    let mut stand = Stand::new();
    stand.start(1);
    stand.commit_but(puts(Table::Ready));
    let mut next = Stand::over(stand.store.clone(), stand.now);
    next.holds_audits = true;
    next.now = next.now + Duration::from_secs(5);
    next.feed(Input::Tick);
    let Some(Output::Audit(place)) = next.outputs.pop() else {
        panic!("{:?}", next.outputs)
    };
    next.ask(2, signal("a"));
    next.settle();
    next.audit(&place);
    assert_eq!(
        next.shard.view().repairs,
        0,
        "it may have been read before it changed"
    );
}

#[test]
fn run_that_is_gone_meanwhile_is_no_fault() {
    let mut stand = Stand::new();
    stand.start(1);
    stand.settle();
    let run = key("order").run(RunId::from_bytes([3; 16]));
    assert_ne!(run.run_id, stand.run_id());
    let finding = perdure_shard::auditor::Finding::NoWakeup(run);
    let findings = vec![finding];
    stand.holds_audits = true;
    stand.now = stand.now + Duration::from_secs(5);
    stand.feed(Input::Tick);
    let page = perdure_shard::auditor::Page { findings, next: None };
    stand.feed(Input::Audited(Ok(page)));
    assert_eq!(
        stand.settle().len(),
        0,
        "nothing is written of a run that is not there"
    );
}
