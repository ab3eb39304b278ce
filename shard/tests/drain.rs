//! A shard that lets go: what it took is durable and answered, the rest goes back to who asked, and its next owner
//! goes on.

#[path = "stand/mod.rs"]
mod stand;

use engine::{
    effect::ReadyTask,
    outcome::{Reply, StartedWorkflowTask},
    trigger::{AdmitUpdate, BeginTask, CompleteWorkflowTask, TaskRef, Trigger},
};
use perdure_shard::{
    input::{Input, Request},
    output::{AskError, Output},
};
use proto::temporal::{
    query::v1::WorkflowQuery,
    update::v1::{Meta, Request as UpdateRequest},
};
use stand::{Stand, begin, signal};
use storage::shard::BatchLimits;

fn drained(stand: &Stand) -> usize {
    let drained = |output: &&Output| matches!(output, Output::Drained);
    stand.outputs.iter().filter(drained).count()
}

fn given_back(stand: &Stand) -> Vec<u64> {
    let tokens = stand.outputs.iter().filter_map(|output| match output {
        Output::GiveBack { token, .. } => Some(token.0),
        _ => None,
    });
    tokens.collect()
}

#[test]
fn shard_with_nothing_to_do_lets_go_at_once() {
    let mut stand = Stand::new();
    stand.feed(Input::Drain);
    stand.feed(Input::Flush);
    assert_eq!(drained(&stand), 1, "it says so once");
}

#[test]
fn what_was_taken_is_finished_and_what_comes_after_is_given_back() {
    let mut stand = Stand::with_limits(BatchLimits {
        bytes: 2_000,
        writes: 12,
    });
    for n in 0..10 {
        stand.put(n, &format!("order-{n}"), None, begin(&format!("order-{n}")));
    }
    stand.feed(Input::Flush);
    stand.feed(Input::Drain);
    stand.put(20, "order-0", None, signal("late"));
    assert_eq!(given_back(&stand), [20]);
    let mut batches = 0;
    while stand.batch.is_some() {
        assert_eq!(drained(&stand), 0, "batches are on their way");
        stand.commit();
        batches += 1;
    }
    assert!(batches > 1, "more than the one in flight");
    assert_eq!(drained(&stand), 1);
    assert_eq!(stand.answered(), (0..10).map(|n| (n, true)).collect::<Vec<_>>());
    assert_eq!(stand.shard.next_deadline(), None, "time is the next owner's");

    let mut next = Stand::over(stand.store.clone(), stand.now);
    next.ask(20, signal("late"));
    next.put(21, "order-0", None, signal("late"));
    next.settle();
    assert_eq!(
        next.answered(),
        [(20, false), (21, true)],
        "'order' was never started"
    );
}

#[test]
fn requests_that_wait_for_rows_are_given_back() {
    let mut stand = Stand::new();
    stand.holds_loads = true;
    stand.put(1, "order", None, begin("order"));
    stand.put(2, "order", None, signal("a"));
    stand.feed(Input::Drain);
    assert_eq!(given_back(&stand), [1, 2], "in their order");
    assert_eq!((drained(&stand), stand.answered()), (1, vec![]));
}

#[test]
fn callers_that_wait_for_a_later_step_are_sent_on() {
    let mut stand = Stand::new();
    stand.start(1);
    stand.settle();
    stand.replies.clear();
    let query = Trigger::Query {
        query: Box::new(WorkflowQuery {
            query_type: "state".to_owned(),
            ..Default::default()
        }),
        reject: Default::default(),
    };
    stand.ask(2, Request::Step(query));
    let wait_after = Some(i64::MAX);
    stand.ask(3, Request::Step(Trigger::Position { wait_after }));
    assert_eq!(stand.answered(), []);
    stand.feed(Input::Drain);
    let moved = |token| matches!(stand.reply(token), Some(Err(AskError::Moved)));
    assert!(moved(2) && moved(3), "{:?}", stand.replies);
    assert_eq!(drained(&stand), 1);
}

#[test]
fn commit_that_fails_while_draining_stops_the_shard() {
    let mut stand = Stand::new();
    stand.start(1);
    stand.feed(Input::Drain);
    let batch = stand.batch.take().expect("a batch is on its way").number;
    let error = storage::error::CommitError::Fenced;
    stand.feed(Input::CommitFailed { batch, error });
    assert!(
        stand
            .outputs
            .iter()
            .any(|output| matches!(output, Output::Stop(_)))
    );
    assert_eq!((drained(&stand), stand.answered()), (0, vec![]));
}

/// The task that was announced last.
fn announced(stand: &Stand) -> ReadyTask {
    let mut outputs = stand.outputs.iter().rev();
    let task = outputs.find_map(|output| match output {
        Output::Announce { task, .. } => Some(task.clone()),
        _ => None,
    });
    task.expect("a task was announced")
}

fn poll(stand: &mut Stand, token: u64) -> StartedWorkflowTask {
    let task = announced(stand);
    let redeem = BeginTask {
        scheduled_event_id: task.scheduled_event_id,
        attempt: task.attempt,
        queue: task.queue,
        request_id: format!("poll-{token}"),
        ..Default::default()
    };
    stand.ask(token, Request::Step(Trigger::BeginWorkflowTask(Box::new(redeem))));
    match stand.reply(token) {
        Some(Ok(Reply::WorkflowTask(task))) => (**task).clone(),
        other => panic!("no task: {other:?}"),
    }
}

fn complete(stand: &mut Stand, token: u64, task: &StartedWorkflowTask) {
    let done = CompleteWorkflowTask {
        task: TaskRef {
            scheduled_event_id: task.scheduled_event_id,
            started_event_id: task.started_event_id,
            started_time: task.started_time,
            attempt: task.attempt,
        },
        ..Default::default()
    };
    stand.ask(
        token,
        Request::Step(Trigger::CompleteWorkflowTask(Box::new(done))),
    );
    stand.settle();
}

#[test]
fn task_that_only_memory_knows_is_completed_at_the_next_owner() {
    let mut stand = Stand::new();
    stand.start(1);
    stand.settle();
    let first = poll(&mut stand, 2);
    complete(&mut stand, 3, &first);
    let meta = Some(Meta {
        update_id: "u".to_owned(),
        ..Default::default()
    });
    let update = AdmitUpdate {
        request: UpdateRequest {
            meta,
            ..Default::default()
        },
        ..Default::default()
    };
    stand.ask(4, Request::Step(Trigger::Update(Box::new(update))));
    assert!(announced(&stand).speculative);
    let in_hand = poll(&mut stand, 5);
    stand.feed(Input::Drain);
    stand.settle();
    assert_eq!(drained(&stand), 1);
    assert!(matches!(stand.reply(4), Some(Err(AskError::Moved))));

    let mut next = Stand::over(stand.store.clone(), stand.now);
    complete(&mut next, 6, &in_hand);
    let completed = matches!(next.reply(6), Some(Ok(Reply::WorkflowTaskCompleted(_))));
    assert!(completed, "{:?}", next.replies);
}
