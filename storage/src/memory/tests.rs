//! The contract, and what faults do to it.

use std::task::{Context, Poll, Waker};

use proto::ids::{NamespaceId, RunId};

use super::{
    faults::{Fault, Gate, Kind},
    *,
};
use crate::{
    batch::Write,
    suite::{Backend, Store},
};

#[derive(Default)]
struct Memory(MemoryStore);

impl Backend for Memory {
    fn open(&self) -> impl Future<Output = Arc<dyn Store>> {
        std::future::ready(Arc::new(self.0.clone()) as Arc<dyn Store>)
    }
}

crate::suite!(conformance, Memory::default());

const SHARD: ShardId = ShardId(1);

/// Polls a future that no gate holds.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a future waits though no gate holds it"),
    }
}

fn owner() -> NodeId {
    NodeId {
        name: "a".into(),
        generation: 1,
    }
}

fn batch(number: u64) -> Batch {
    let value = Some(Bytes::copy_from_slice(&number.to_be_bytes()));
    let write = Write {
        table: Table::Run,
        key: Bytes::from_static(b"k"),
        value,
    };
    Batch {
        number,
        writes: vec![write],
        ..Batch::default()
    }
}

fn last(store: &MemoryStore) -> u64 {
    ready(store.acquire(SHARD, &owner())).unwrap().batch
}

#[test]
fn a_commit_meets_the_fault_that_was_scripted() {
    // outcome, answer, last batch afterwards, answer to the same batch sent again
    let cases = [
        (Outcome::Done, "ok", 1, "ok"),
        (Outcome::Lost, "gave up", 0, "ok"),
        (Outcome::Unanswered, "gave up", 1, "ok"),
        (Outcome::Stolen, "fenced", 0, "fenced"),
    ];
    let kind = |result| match result {
        Ok(()) => "ok",
        Err(CommitError::Fenced) => "fenced",
        Err(CommitError::GaveUp(_)) => "gave up",
    };
    for (outcome, answer, landed, again) in cases {
        let store = MemoryStore::new();
        let lease = ready(store.acquire(SHARD, &owner())).unwrap();
        store.faults().next_of(ShardId(9), Kind::Commit, Outcome::Lost);
        store.faults().next(Kind::Commit, outcome);
        assert_eq!(kind(ready(store.commit(&lease, batch(1)))), answer, "{outcome:?}");
        let row = ready(store.load(SHARD, Table::Run, b"k")).unwrap();
        assert_eq!(row.is_some(), landed == 1, "{outcome:?}");
        assert_eq!(
            kind(ready(store.commit(&lease, batch(1)))),
            again,
            "{outcome:?} again"
        );
    }
}

#[test]
fn each_kind_of_call_can_be_lost() {
    let store = MemoryStore::new();
    let lease = ready(store.acquire(SHARD, &owner())).unwrap();
    let range = HistoryRange {
        history: HistoryKey {
            namespace_id: NamespaceId::from_bytes([1; 16]),
            run_id: RunId::from_bytes([1; 16]),
        },
        from_event_id: 1,
        to_event_id: 2,
        reverse: false,
        max_nodes: 1,
        max_bytes: 1,
    };
    type Call<'a> = (Kind, Box<dyn Fn() -> bool + 'a>);
    let calls: [Call<'_>; 8] = [
        (
            Kind::Acquire,
            Box::new(|| ready(store.acquire(SHARD, &owner())).is_ok()),
        ),
        (Kind::Release, Box::new(|| ready(store.release(&lease)).is_ok())),
        (
            Kind::Read,
            Box::new(|| ready(store.load(SHARD, Table::Run, b"k")).is_ok()),
        ),
        (
            Kind::Read,
            Box::new(|| ready(store.scan(SHARD, Table::Run, b"", None, 1)).is_ok()),
        ),
        (
            Kind::History,
            Box::new(|| ready(store.history(SHARD, range)).is_ok()),
        ),
        (
            Kind::RegistryRead,
            Box::new(|| ready(store.get(RegistryTable::Cluster, b"k")).is_ok()),
        ),
        (
            Kind::RegistryRead,
            Box::new(|| ready(store.list(RegistryTable::Cluster, None, 1)).is_ok()),
        ),
        (
            Kind::RegistryWrite,
            Box::new(|| ready(store.write(Vec::new())).is_ok()),
        ),
    ];
    for (kind, call) in calls {
        assert!(call());
        store.faults().next(kind, Outcome::Lost);
        assert!(!call(), "{kind:?}");
        assert!(call(), "{kind:?} is lost twice");
    }
}

#[test]
fn a_hook_decides_until_the_store_is_healed() {
    let store = MemoryStore::new();
    let lease = ready(store.acquire(SHARD, &owner())).unwrap();
    store.faults().decide(|operation| match operation {
        Operation::Commit(_, batch) if batch.number == 2 => Some(Outcome::Lost.into()),
        _ => None,
    });
    ready(store.commit(&lease, batch(1))).unwrap();
    ready(store.commit(&lease, batch(2))).unwrap_err();
    store.faults().heal();
    ready(store.commit(&lease, batch(2))).unwrap();
}

#[test]
fn a_held_commit_arrives_though_its_owner_has_gone() {
    // Whether another owner came before it.
    for stolen in [false, true] {
        let store = MemoryStore::new();
        let lease = ready(store.acquire(SHARD, &owner())).unwrap();
        let gate = Gate::new();
        store.faults().next(Kind::Commit, Fault::held(&gate));
        {
            let mut commit = std::pin::pin!(store.commit(&lease, batch(1)));
            assert!(
                commit
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()))
                    .is_pending()
            );
        }
        if stolen {
            assert_eq!(last(&store), 0);
        }
        assert_eq!(gate.waiting(), 1);
        gate.open();
        assert_eq!(last(&store), u64::from(!stolen));
    }
}

#[test]
fn a_held_answer_comes_after_the_batch_has_landed() {
    let store = MemoryStore::new();
    let lease = ready(store.acquire(SHARD, &owner())).unwrap();
    let gate = Gate::new();
    store.faults().next(
        Kind::Commit,
        Fault {
            answers: Some(gate.clone()),
            ..Fault::default()
        },
    );
    let mut commit = std::pin::pin!(store.commit(&lease, batch(1)));
    let mut context = Context::from_waker(Waker::noop());
    assert!(commit.as_mut().poll(&mut context).is_pending());
    assert!(ready(store.load(SHARD, Table::Run, b"k")).unwrap().is_some());
    gate.open();
    assert!(matches!(commit.as_mut().poll(&mut context), Poll::Ready(Ok(()))));
}
