//! Several nodes in one process over one store: any node answers any call, and nodes come, go and die.

#[path = "stand/mod.rs"]
mod stand;

use std::{sync::Arc, time::Duration};

use engine::{
    outcome::Reply,
    trigger::{AdmitUpdate, Trigger},
};
use membership::view::State;
use perdure_cluster::{reach::Reach, router::AskError};
use proto::{
    ids::{NodeId, ShardId},
    temporal::update::v1::{Meta, Request as UpdateRequest},
};
use stand::{
    begin,
    cluster::{Cluster, SHARDS},
    complete_by, end, key,
    load::{Load, closed, signal, target},
    poll_by,
    watched::Watched,
};
use storage::memory::MemoryStore;

const WAIT: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_answers_for_any_run() {
    let cluster = Cluster::start(&["a", "b", "c"]).await;
    cluster.settled().await;
    let mut held = Vec::new();
    for name in cluster.names() {
        held.push(cluster.router(&name).shard_views().await.len());
    }
    assert!(held.iter().all(|held| *held > 0), "{held:?}");
    assert_eq!(held.iter().sum::<usize>(), SHARDS as usize);
    let doors = cluster.doors();
    for n in 0..60 {
        let id = format!("order-{n}");
        let [first, second, third] = [n, n + 1, n + 2].map(|n| doors.door(n).router);
        first.start(&key(&id), begin(&id)).await.expect("started");
        signal(&second, &id, "s").await.expect("signaled");
        let (run, task) = poll_by(&second, WAIT).await.expect("a task");
        let waits = {
            let (third, id) = (third.clone(), id.clone());
            tokio::spawn(async move { closed(&third, &id).await })
        };
        let done = complete_by(&third, &run, &task, vec![end()]).await;
        assert!(matches!(done, Ok(Reply::WorkflowTaskCompleted(_))), "{done:?}");
        let Ok(Reply::Position(position)) = waits.await.expect("no panic") else {
            panic!("no position")
        };
        assert_eq!((position.open, position.next_event_id), (false, 7));
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_come_and_leave_and_no_call_fails() {
    let mut cluster = Cluster::start(&["a", "b", "c"]).await;
    let load = Load::start(&cluster.doors());
    load.more(50).await;
    for (joins, leaves) in [("d", "a"), ("e", "c"), ("a", "b")] {
        cluster.add(joins).await;
        load.more(50).await;
        cluster.drain(leaves).await;
        load.more(50).await;
    }
    cluster.settled().await;
    let (done, failed) = load.end().await;
    assert_eq!(failed, Vec::<String>::new(), "of {done}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_a_node_costs_only_what_may_be_asked_again() {
    let mut cluster = Cluster::start(&["a", "b", "c"]).await;
    let load = Load::start(&cluster.doors());
    load.more(50).await;
    cluster.kill("b").await;
    cluster.forget("b");
    cluster.settled().await;
    // Tickets went with the queue if it was there: it goes on all the same.
    load.more(100).await;
    let (done, failed) = load.end().await;
    let unexpected: Vec<_> = failed
        .iter()
        .filter(|failure| !failure.contains("unavailable") && !failure.contains("Unavailable"))
        .collect();
    assert!(unexpected.is_empty(), "of {done}: {unexpected:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_that_no_other_reaches_leaves_its_shards_to_them() {
    let store = MemoryStore::new();
    let watched = Watched::new(store.clone());
    let mut cluster = Cluster::start_on(store, Arc::new(watched.clone()), &["a", "b", "c"]).await;
    cluster.settled().await;
    let load = Load::start(&cluster.doors());
    load.more(50).await;
    let cut_off = cluster.close("c").await;
    cluster.show("a", &["a", "b"], 1);
    cluster.show("b", &["a", "b"], 1);
    cluster.show("c", &["c"], 2);
    // It reaches the store as before, and goes on with what it holds until it is fenced or knows better.
    let alone = {
        let router = cut_off.router.clone();
        tokio::spawn(async move {
            let starts = (0..40).map(|n| {
                let (router, id) = (router.clone(), format!("alone-{n}"));
                async move { router.start(&key(&id), begin(&id)).await }
            });
            for started in futures::future::join_all(starts).await {
                assert!(
                    matches!(started, Ok(_) | Err(AskError::Unavailable(_))),
                    "{started:?}"
                );
            }
        })
    };
    load.more(100).await;
    cluster.all_held_by(&["a", "b"]).await;
    alone.await.expect("no panic");
    for shard in 0..SHARDS {
        assert_ne!(
            watched.owner(ShardId(shard)).as_deref(),
            Some("c"),
            "shard {shard}"
        );
    }
    cluster.heal();
    cluster.open(cut_off);
    cluster.settled().await;
    load.more(50).await;
    let (done, failed) = load.end().await;
    let lost = |failure: &&String| !failure.contains("unavailable");
    assert_eq!(failed.iter().find(lost), None, "of {done}");
    watched.check();
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_says_so_and_refuses_at_once() {
    let mut cluster = Cluster::start(&["a", "b", "c"]).await;
    cluster.settled().await;
    let router = cluster.router("c").clone();
    let mut reach = router.reach();
    assert_eq!(*reach.borrow_and_update(), Reach::ALL);
    let held = router.shard_views().await.len();
    cluster.show("a", &["a", "b"], 1);
    cluster.show("b", &["a", "b"], 1);
    cluster.show("c", &["c"], 2);
    let stepped_aside = reach.wait_for(|reach| !reach.others).await.map(|reach| *reach);
    assert!(stepped_aside.expect("a node").store);
    cluster.all_held_by(&["a", "b"]).await;
    // Those that it let go in good order are counted, too.
    let closed = &router.metrics().shards.shard_closed_count;
    while closed.value() < held as u64 {
        tokio::task::yield_now().await;
    }
    // Otherwise each would wait for five seconds for a shard that does not come.
    let asked = std::time::Instant::now();
    for n in 0..SHARDS {
        let id = format!("order-{n}");
        let refused = router.start(&key(&id), begin(&id)).await;
        assert!(
            matches!(&refused, Err(AskError::Unavailable(why)) if why.contains("cut off")),
            "{refused:?}"
        );
    }
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    assert_eq!(*cluster.router("a").reach().borrow(), Reach::ALL);
    cluster.heal();
    drop(reach.wait_for(|reach| reach.others).await);
    router
        .start(&key("order"), begin("order"))
        .await
        .expect("started");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_for_shards_that_wait_for_their_turn_are_answered_by_who_had_them() {
    const MANY: u32 = 96;
    let store = MemoryStore::new();
    let watched = Watched::new(store.clone());
    let mut cluster = Cluster::empty(store, Arc::new(watched.clone()), MANY);
    cluster.add("a").await;
    cluster.add("c").await;
    cluster.settled().await;
    let third = cluster.router("c").clone();
    watched.keep_out("b");
    // More shards are to come to it than it asks for at a time: those in their turn wait for their leases.
    let comes = tokio::spawn(async move {
        cluster.add("b").await;
        cluster
    });
    while third.members().members().len() < 3 {
        tokio::task::yield_now().await;
    }
    let placement = third.placement();
    let goes_there = |id: &String| {
        let shard = third.map().shard(key(id).position());
        **placement.shard_owner(shard) == *"b"
    };
    let mut calls = tokio::task::JoinSet::new();
    for id in (0..4 * MANY).map(|n| format!("order-{n}")).filter(goes_there) {
        let third = third.clone();
        calls.spawn(async move { third.start(&key(&id), begin(&id)).await });
    }
    let first = calls.join_next().await.expect("a call").expect("no panic");
    assert!(first.is_ok(), "while its shard cannot be taken up: {first:?}");
    watched.let_in();
    while let Some(called) = calls.join_next().await {
        let called = called.expect("no panic");
        assert!(called.is_ok(), "{called:?}");
    }
    let cluster = comes.await.expect("no panic");
    cluster.settled().await;
    watched.check();
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn task_that_only_memory_knows_is_completed_at_the_next_owner() {
    let mut cluster = Cluster::start(&["a", "b"]).await;
    cluster.settled().await;
    let router = cluster.router("b").clone();
    let mut ids = (0..).map(|n| format!("order-{n}")).filter(|id| {
        let shard = router.map().shard(key(id).position());
        **router.placement().shard_owner(shard) == *"a"
    });
    let mut in_hand = Vec::new();
    for id in ids.by_ref().take(5) {
        router.start(&key(&id), begin(&id)).await.expect("started");
        let (run, first) = poll_by(&router, WAIT).await.expect("a task");
        let done = complete_by(&router, &run, &first, vec![]).await;
        assert!(matches!(done, Ok(Reply::WorkflowTaskCompleted(_))), "{done:?}");
        let meta = Some(Meta {
            update_id: "u".to_owned(),
            ..Default::default()
        });
        let request = UpdateRequest {
            meta,
            ..Default::default()
        };
        let update = AdmitUpdate {
            request,
            ..Default::default()
        };
        let (asks, target) = (router.clone(), target(&id));
        let updated = tokio::spawn(async move { asks.ask(&target, Trigger::Update(Box::new(update))).await });
        let (run, task) = poll_by(&router, WAIT)
            .await
            .expect("a task that carries the update");
        in_hand.push((run, task, updated));
    }
    cluster.drain("a").await;
    for (run, task, updated) in in_hand {
        let done = complete_by(&router, &run, &task, vec![]).await;
        assert!(matches!(done, Ok(Reply::WorkflowTaskCompleted(_))), "{done:?}");
        // The worker has said nothing of it.
        let Ok(Reply::Update(update)) = updated.await.expect("no panic") else {
            panic!("not answered")
        };
        assert!(update.outcome.is_some());
    }
    cluster.stop().await;
}

/// Somebody takes the lease of each shard and says nothing.
async fn take_unseen(cluster: &Cluster, shards: impl Iterator<Item = u32>) {
    let thief = NodeId {
        name: "thief".into(),
        generation: 1,
    };
    for shard in shards {
        let taken = cluster.shards().acquire(ShardId(shard), &thief).await;
        taken.expect("taken");
    }
}

/// Waits until nodes of the cluster have all leases again.
async fn taken_back(watched: &Watched, shards: u32) {
    let stolen = |shard| watched.owner(ShardId(shard)).as_deref() == Some("thief");
    while (0..shards).any(stolen) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_are_checked_when_the_view_changes() {
    let store = MemoryStore::new();
    let watched = Watched::new(store.clone());
    let mut cluster = Cluster::start_on(store, Arc::new(watched.clone()), &["a", "b"]).await;
    cluster.settled().await;
    take_unseen(&cluster, 0..SHARDS).await;
    cluster.set_state("b", State::Suspect);
    // In this time one or two of them had their turn.
    let back = tokio::time::timeout(Duration::from_secs(20), taken_back(&watched, SHARDS));
    back.await.expect("all are missed at once");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_was_taken_unseen_is_missed_in_time() {
    let store = MemoryStore::new();
    let watched = Watched::new(store.clone());
    let mut cluster = Cluster::empty(store, Arc::new(watched.clone()), 1);
    cluster.add("a").await;
    cluster.settled().await;
    take_unseen(&cluster, 0..1).await;
    // Nobody calls, and nothing comes or goes.
    taken_back(&watched, 1).await;
    cluster.stop().await;
}
