//! The owners of the simulated shard: one that serves, and those before it that do not know yet that they are not.

use proto::ids::NodeId;
use shard::{input::Input, shard::Shard};
use storage::{
    batch::{Batch, Table},
    error::CommitError,
    shard::{Lease, ShardStore},
};

use crate::{
    records,
    setup::setup,
    world::{SHARD, World, ready},
};

/// Owners that live at the same time.
const OWNERS_MAX: usize = 3;

/// A shard in the memory of one node.
pub(crate) struct Owner {
    pub(crate) shard: Shard,
    pub(crate) lease: Lease,
    /// The batch on its way to the store.
    pub(crate) commit: Option<Batch>,
}

impl World {
    /// Another node takes the shard, whatever the one before believes.
    pub(crate) fn take_over(&mut self) {
        if self.owners.len() >= OWNERS_MAX {
            let oldest = *self.owners.keys().next().expect("there are some");
            self.remove(oldest);
        }
        self.recover();
    }

    /// Who was to be answered by the owner learns that it is gone.
    fn remove(&mut self, epoch: u64) {
        self.owners.remove(&epoch);
        let (asked_of, waiting) = (&mut self.asked_of, &mut self.waiting);
        asked_of.retain(|token, owner| {
            if *owner == epoch {
                waiting.remove(token);
            }
            *owner != epoch
        });
    }

    /// The shard is to change hands: its owner lets go in good order.
    pub(crate) fn hand_over(&mut self) {
        self.feed(Input::Drain);
    }

    /// The owner has let go: the next one starts.
    pub(crate) fn drained(&mut self, epoch: u64) {
        let owner = self.owners.remove(&epoch).expect("it was there");
        assert!(owner.commit.is_none(), "nothing is on its way");
        let unanswered = self.asked_of.values().filter(|owner| **owner == epoch).count();
        assert_eq!(unanswered, 0, "a request was neither answered nor given back");
        ready(self.store.release(&owner.lease)).expect("released");
        if self.owners.keys().all(|other| *other < epoch) {
            self.recover();
        }
    }

    /// The owner has given up; the newest is followed by another one.
    pub(crate) fn fallen(&mut self, epoch: u64) {
        self.remove(epoch);
        if self.owners.keys().all(|other| *other < epoch) {
            self.recover();
        }
    }

    /// All nodes die, with what they had in memory.
    pub(crate) fn crash(&mut self) {
        for (_, owner) in std::mem::take(&mut self.owners) {
            if let Some(batch) = owner.commit
                && self.random.one_in(2)
            {
                // It had left before the crash; an old owner's is refused.
                let _ = ready(self.store.commit(&owner.lease, batch));
            }
        }
        self.waiting.clear();
        self.asked_of.clear();
        self.parked.clear();
        self.queues.clear();
        self.polls.clear();
        self.mail.clear();
        self.recover();
    }

    pub(crate) fn recover(&mut self) {
        let node = NodeId {
            name: "node".into(),
            generation: 1,
        };
        let lease = ready(self.store.acquire(SHARD, &node)).expect("lease");
        let setup = setup(&lease, self.now, &self.store, &mut self.random);
        let mut out = Vec::new();
        let shard = Shard::new(setup, self.now, &mut out);
        let epoch = lease.epoch;
        self.owners.insert(
            epoch,
            Owner {
                shard,
                lease,
                commit: None,
            },
        );
        self.outputs(epoch, out);
        self.ask_parked();
    }

    /// Lets a batch reach the store, of any owner that has one on its way.
    pub(crate) fn finish_commit(&mut self) {
        let on_their_way: Vec<u64> = self
            .owners
            .iter()
            .filter(|(_, owner)| owner.commit.is_some())
            .map(|(epoch, _)| *epoch)
            .collect();
        if on_their_way.is_empty() {
            return;
        }
        let epoch = on_their_way[self.random.below(on_their_way.len())];
        let newest = self.owners.keys().next_back() == Some(&epoch);
        let owner = self.owners.get_mut(&epoch).expect("it is there");
        let (mut batch, lease) = (owner.commit.take().expect("on its way"), owner.lease.clone());
        let number = batch.number;
        self.lose_a_row(&mut batch);
        let gives_up = self.faulty && self.random.one_in(12);
        let lands = !gives_up || self.random.one_in(2);
        let result = if lands {
            ready(self.store.commit(&lease, batch))
        } else {
            Ok(())
        };
        match &result {
            Ok(()) => assert!(newest || !lands, "an old owner has committed"),
            Err(CommitError::Fenced) => assert!(!newest, "the newest owner was fenced"),
            Err(CommitError::GaveUp(why)) => panic!("batch {number}: {why}"),
        }
        self.check_rows();
        let error = match result {
            Err(error) => Some(error),
            Ok(()) => gives_up.then(|| CommitError::GaveUp("simulated".to_owned())),
        };
        let input = match error {
            Some(error) => Input::CommitFailed { batch: number, error },
            None => Input::Committed { batch: number },
        };
        self.feed_to(epoch, input);
    }

    /// The store loses a wake-up or a ready task, as none should.
    fn lose_a_row(&mut self, batch: &mut Batch) {
        if !(self.lossy && self.faulty && self.random.one_in(6)) {
            return;
        }
        let lost = batch
            .writes
            .iter()
            .position(|write| write.value.is_some() && matches!(write.table, Table::Wakeup | Table::Ready));
        if let Some(at) = lost {
            batch.writes.remove(at);
        }
    }

    fn check_rows(&self) {
        if !self.lossy {
            records::check_rows(&self.store, SHARD);
        }
    }

    pub(crate) fn flush(&mut self) {
        let owners: Vec<u64> = self.owners.keys().copied().collect();
        for owner in owners {
            self.feed_to(owner, Input::Flush);
        }
    }
}
