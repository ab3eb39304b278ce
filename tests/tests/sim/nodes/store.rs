//! The way to the simulated store: operations that come late, twice or never, and answers that get lost.

use std::time::Duration;

use proto::{ids::ShardId, time::Timestamp};
use shard::input::Input;
use storage::{
    batch::Batch,
    error::CommitError,
    shard::{Lease, ShardStore},
};

use super::{
    deeds::{Deed, Outcome},
    node::Peer,
    world::{Event, Local, World},
};
use crate::{records, world::ready};

/// How long a backend tries before it gives up.
pub(crate) const GIVES_UP_AFTER: Duration = Duration::from_secs(4);

#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Acquire {
        shard: ShardId,
        attempt: u64,
        asked_at: Timestamp,
    },
    Commit {
        lease: Lease,
        batch: Batch,
    },
    Release(Lease),
    Deed {
        token: u64,
        deed: Deed,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Acquired {
        attempt: u64,
        asked_at: Timestamp,
        lease: Lease,
    },
    NotAcquired {
        shard: ShardId,
        attempt: u64,
    },
    Committed {
        shard: ShardId,
        epoch: u64,
        batch: u64,
    },
    Fenced {
        shard: ShardId,
        epoch: u64,
        batch: u64,
    },
    GaveUp {
        shard: ShardId,
        epoch: u64,
        batch: u64,
    },
    Deed {
        token: u64,
        outcome: Box<Outcome>,
    },
}

impl World {
    pub(crate) fn take_up(&mut self, node: usize, shard: ShardId) {
        let attempt = self.number();
        let waits = self.waits_for_change(node, shard);
        let Some(it) = self.node(node) else { return };
        if waits {
            return it.later.push(shard);
        }
        if it.map.range(shard).is_none() {
            it.taking.insert(shard, attempt);
            let gone = Answer::NotAcquired { shard, attempt };
            return self.here(node, Duration::from_micros(20), Local::Stored(gone));
        }
        if let Some(it) = self.node(node) {
            it.taking.insert(shard, attempt);
        }
        let asked_at = self.clock(node);
        self.operate(
            node,
            Operation::Acquire {
                shard,
                attempt,
                asked_at,
            },
        );
        let never = Answer::NotAcquired { shard, attempt };
        self.here(node, GIVES_UP_AFTER, Local::Stored(never));
    }

    pub(crate) fn commit(&mut self, node: usize, shard: ShardId, batch: Batch) {
        let number = batch.number;
        let held = self.node(node).and_then(|it| it.held.get_mut(&shard));
        let Some(held) = held else { return };
        assert!(held.commit.is_none(), "one commit in flight");
        held.commit = Some(number);
        if let Some(feed) = &mut held.feed {
            feed.committing(&batch);
        }
        let lease = held.lease.clone();
        let epoch = lease.epoch;
        self.operate(node, Operation::Commit { lease, batch });
        let never = Answer::GaveUp {
            shard,
            epoch,
            batch: number,
        };
        self.here(node, GIVES_UP_AFTER, Local::Stored(never));
    }

    pub(crate) fn release(&mut self, node: usize, lease: Lease) {
        self.operate(node, Operation::Release(lease));
    }

    pub(crate) fn operate(&mut self, node: usize, operation: Operation) {
        let Some(by) = self.peer(node) else { return };
        let mut waits = vec![self.network.store_takes(&mut self.random)];
        if self.faulty && self.random.one_in(40) {
            // On its way for long: its sender may have given up or be dead.
            waits[0] += Duration::from_millis(self.random.below(9_000) as u64);
        }
        if self.faulty && self.random.one_in(40) {
            // The backend sends again what was not answered.
            waits.push(waits[0] + Duration::from_millis(self.random.below(9_000) as u64));
        }
        for wait in waits {
            let operation = operation.clone();
            self.after(wait, Event::Store { by, operation });
        }
    }

    /// An operation comes to the store, whatever has become of its sender.
    pub(crate) fn arrive(&mut self, by: Peer, operation: Operation) {
        if !self.network.reaches_store(by.node) {
            return;
        }
        let answer = match operation {
            Operation::Acquire {
                shard,
                attempt,
                asked_at,
            } => {
                let lease = self.acquire(by, shard, 0);
                Answer::Acquired {
                    attempt,
                    asked_at,
                    lease,
                }
            }
            Operation::Commit { lease, batch } => self.arrive_commit(&lease, batch),
            Operation::Release(lease) => {
                return ready(self.store.release(&lease)).expect("released");
            }
            Operation::Deed { token, deed } => {
                let outcome = Box::new(self.arrive_deed(by, deed));
                Answer::Deed { token, outcome }
            }
        };
        if self.faulty && self.random.one_in(40) {
            return; // The answer gets lost.
        }
        let wait = self.network.store_takes(&mut self.random);
        self.after(wait, Event::At(by, Local::Stored(answer)));
    }

    fn arrive_commit(&mut self, lease: &Lease, batch: Batch) -> Answer {
        let (shard, epoch, number) = (lease.shard, lease.epoch, batch.number);
        let newest = self.epochs.get(&shard).copied().unwrap_or_default();
        match ready(self.store.commit(lease, batch)) {
            Ok(()) => {
                assert_eq!(epoch, newest, "only the newest owner of {shard} commits");
                let is_served = self.map.range(shard).is_some();
                assert!(is_served, "{shard} commits and is not in the map");
                if self.random.one_in(4) {
                    records::check_rows(&self.store, shard);
                }
                Answer::Committed {
                    shard,
                    epoch,
                    batch: number,
                }
            }
            Err(CommitError::Fenced) => {
                assert!(epoch < newest, "the newest owner of {shard} was fenced");
                Answer::Fenced {
                    shard,
                    epoch,
                    batch: number,
                }
            }
            // One that came twice, after the next one.
            Err(CommitError::GaveUp(_)) => Answer::GaveUp {
                shard,
                epoch,
                batch: number,
            },
        }
    }

    pub(crate) fn stored(&mut self, node: usize, answer: Answer) {
        // Also the answers get no further than the network.
        let heard = self.network.reaches_store(node);
        match answer {
            Answer::Acquired {
                attempt,
                asked_at,
                lease,
            } if heard => {
                if self.is_taking(node, lease.shard, attempt) {
                    self.look(node, lease, asked_at);
                }
            }
            Answer::NotAcquired { shard, attempt } => {
                if self.is_taking(node, shard, attempt) {
                    self.tell_leases(node, cluster::leases::Input::NotTakenUp(shard));
                }
            }
            Answer::Committed { shard, epoch, batch } if heard => {
                if self.is_committing(node, shard, epoch, batch) {
                    self.feed(node, shard, Input::Committed { batch });
                }
            }
            Answer::Fenced { shard, epoch, batch } if heard => {
                self.fail_commit(node, (shard, epoch, batch), CommitError::Fenced);
            }
            Answer::GaveUp { shard, epoch, batch } => {
                let error = CommitError::GaveUp("simulated".to_owned());
                self.fail_commit(node, (shard, epoch, batch), error);
            }
            // That nothing is known needs no network.
            Answer::Deed { token, outcome } if heard || matches!(*outcome, Outcome::Failed) => {
                self.deed_done(node, token, *outcome);
            }
            Answer::Acquired { .. }
            | Answer::Committed { .. }
            | Answer::Fenced { .. }
            | Answer::Deed { .. } => {}
        }
    }

    fn is_taking(&mut self, node: usize, shard: ShardId, attempt: u64) -> bool {
        let Some(it) = self.node(node) else {
            return false;
        };
        let is = it.taking.get(&shard) == Some(&attempt);
        if is {
            it.taking.remove(&shard);
        }
        is
    }

    fn is_committing(&mut self, node: usize, shard: ShardId, epoch: u64, batch: u64) -> bool {
        let held = self.node(node).and_then(|it| it.held.get_mut(&shard));
        held.filter(|held| held.lease.epoch == epoch)
            .and_then(|held| held.commit.take_if(|commit| *commit == batch))
            .is_some()
    }

    fn fail_commit(&mut self, node: usize, (shard, epoch, batch): (ShardId, u64, u64), error: CommitError) {
        if self.is_committing(node, shard, epoch, batch) {
            self.feed(node, shard, Input::CommitFailed { batch, error });
        }
    }
}
