//! A shard that falls is taken up again, and one run that ends its shard every time does not take the others with it.

#[path = "stand/mod.rs"]
mod stand;

use std::num::NonZeroU32;

use engine::{
    outcome::Reply,
    state::State,
    trigger::{Signal, Trigger},
};
use perdure_cluster::{
    config::Config,
    host::Host,
    router::{AskError, RunTarget},
};
use proto::ids::{NodeId, ShardId};
use stand::{begin, key, node_on};
use storage::{
    batch::{Batch, Table, Write},
    memory::{
        MemoryStore,
        faults::{Kind, Outcome},
    },
    shard::ShardStore,
};

const SHARD: ShardId = ShardId(0);

async fn one_shard(store: &MemoryStore) -> Host {
    let config = Config {
        shards: NonZeroU32::MIN,
        ..Config::default()
    };
    node_on(store.clone(), config).await
}

async fn signal(host: &Host, id: &str, request: &str) -> Result<Reply, AskError> {
    let target = RunTarget {
        workflow: key(id),
        run_id: None,
    };
    let signal = Signal {
        name: "go".to_owned(),
        request_id: request.to_owned(),
        ..Default::default()
    };
    host.router()
        .ask(&target, Trigger::Signal(Box::new(signal)))
        .await
}

#[cfg(debug_assertions)]
/// Changes the stored state of a workflow's run behind the shard's back.
async fn change(
    store: &MemoryStore,
    id: &str,
    change: impl Fn(&mut State),
    rows: impl Fn(&[u8]) -> Vec<Write>,
) {
    let node = NodeId {
        name: "test".into(),
        generation: 1,
    };
    let lease = store.acquire(SHARD, &node).await.expect("lease");
    let stored = store.scan(SHARD, Table::Run, &[], None, 100).await.expect("rows");
    let (run, mut state) = stored
        .into_iter()
        .map(|row| (row.key, State::from_bytes(&row.value).expect("state")))
        .find(|(_, state)| state.workflow_id == id)
        .expect("the run is stored");
    change(&mut state);
    let mut writes = rows(&run);
    writes.push(Write {
        table: Table::Run,
        key: run,
        value: Some(state.to_bytes()),
    });
    let batch = Batch {
        number: lease.batch + 1,
        writes,
        ..Batch::default()
    };
    store.commit(&lease, batch).await.expect("committed");
}

#[cfg(debug_assertions)]
/// A node with the workflows "bad" and "good", of which the first cannot count one more transition: its steps panic.
async fn poisoned(rows: impl Fn(&[u8]) -> Vec<Write>, more: impl Fn(&mut State)) -> (MemoryStore, Host) {
    let store = MemoryStore::new();
    let host = one_shard(&store).await;
    for id in ["bad", "good"] {
        host.router().start(&key(id), begin(id)).await.expect("started");
    }
    host.stop().await;
    let poison = |state: &mut State| {
        state.transitions = i64::MAX;
        more(state);
    };
    change(&store, "bad", poison, rows).await;
    let host = one_shard(&store).await;
    (store, host)
}

#[tokio::test]
async fn shard_whose_commit_was_fenced_is_taken_up_again() {
    let store = MemoryStore::new();
    let host = one_shard(&store).await;
    host.router()
        .start(&key("good"), begin("good"))
        .await
        .expect("started");
    store.faults().next(Kind::Commit, Outcome::Stolen);
    let lost = signal(&host, "good", "a").await;
    assert!(matches!(lost, Err(AskError::Unavailable(_))), "{lost:?}");
    let next = signal(&host, "good", "a").await;
    assert!(matches!(next, Ok(Reply::Signaled { .. })), "{next:?}");
    host.stop().await;
}

// An optimised build wraps where this one panics.
#[cfg(debug_assertions)]
#[tokio::test]
async fn run_whose_steps_panic_is_put_in_quarantine() {
    let (_, host) = poisoned(|_| Vec::new(), |_| {}).await;
    for attempt in 0..3 {
        let lost = signal(&host, "bad", "a").await;
        assert!(
            matches!(lost, Err(AskError::Unavailable(_))),
            "{attempt}: {lost:?}"
        );
        let good = signal(&host, "good", &format!("s{attempt}")).await;
        assert!(matches!(good, Ok(Reply::Signaled { .. })), "{attempt}: {good:?}");
    }
    let refused = signal(&host, "bad", "a").await;
    assert!(matches!(refused, Err(AskError::Broken(_))), "{refused:?}");
    let good = signal(&host, "good", "last").await;
    assert!(matches!(good, Ok(Reply::Signaled { .. })), "{good:?}");
    let views = host.router().shard_views().await;
    assert_eq!(views.iter().map(|view| view.quarantined).sum::<usize>(), 1);
    host.stop().await;
}

// An optimised build wraps where this one panics.
#[cfg(debug_assertions)]
#[tokio::test]
async fn run_that_panics_whenever_the_shard_starts_does_not_hold_it_down() {
    const DUE: i64 = 1;
    let wakeup = |run: &[u8]| {
        let mut row = DUE.to_be_bytes().to_vec();
        row.extend(run);
        vec![Write {
            table: Table::Wakeup,
            key: row.into(),
            value: Some("bad".into()),
        }]
    };
    let due = |state: &mut State| (state.run_expiration, state.wakeup) = (DUE, DUE);
    let (_, host) = poisoned(wakeup, due).await;
    // The client asks on while the shard falls.
    let mut answers = Vec::new();
    while answers.len() < 10 {
        let answer = signal(&host, "good", "a").await;
        let done = answer.is_ok();
        answers.push(answer);
        let views = host.router().shard_views().await;
        if done && views.iter().any(|view| view.quarantined == 1) {
            break;
        }
    }
    assert!(matches!(answers.last(), Some(Ok(_))), "{answers:?}");
    let bad = signal(&host, "bad", "a").await;
    assert!(matches!(bad, Err(AskError::Broken(_))), "{bad:?}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shard_that_changes_hands_fails_no_call() {
    let store = MemoryStore::new();
    let host = one_shard(&store).await;
    host.router()
        .start(&key("good"), begin("good"))
        .await
        .expect("started");
    let target = RunTarget {
        workflow: key("good"),
        run_id: None,
    };
    let wait_after = Some(i64::MAX);
    let end = host.router().ask(&target, Trigger::Position { wait_after });
    let calls = async {
        for n in 0..200 {
            let answer = signal(&host, "good", &format!("s{n}")).await;
            assert!(matches!(answer, Ok(Reply::Signaled { .. })), "{n}: {answer:?}");
        }
        let terminate = Trigger::Terminate(Box::default());
        host.router().ask(&target, terminate).await.expect("terminated");
    };
    let moves = async {
        for _ in 0..20 {
            host.release(SHARD).await;
            host.works(SHARD).await;
        }
    };
    let (end, (), ()) = tokio::join!(end, calls, moves);
    let Ok(Reply::Position(position)) = end else {
        panic!("{end:?}")
    };
    assert_eq!((position.open, position.next_event_id), (false, 204));
    host.stop().await;
}
