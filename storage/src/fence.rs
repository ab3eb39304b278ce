//! Fence: the pair that decides whether a commit may land; the same rule for every backend that keeps it itself.
//!
//! Never reads or writes a store: a backend loads the pair, asks here, and writes the new pair with the batch.

use proto::ids::ShardId;

use crate::{error::CommitError, shard::Lease};

/// The newest epoch of a shard and the last batch that landed, under whatever epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fence {
    pub(crate) epoch: u64,
    pub(crate) batch: u64,
}

/// What to do with a batch that its fence does not refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the next one: write it, and its number with it.
    Apply,
    /// It is the last one, sent again: it is there already.
    Landed,
}

impl Fence {
    /// Returns the fence that a new owner stores, whose batches are numbered above `batch`.
    #[must_use]
    pub(crate) fn next_epoch(self, batch: u64) -> Self {
        Self {
            epoch: self.epoch + 1,
            batch: self.batch.max(batch),
        }
    }

    #[must_use]
    pub(crate) fn lease(self, shard: ShardId) -> Lease {
        Lease {
            shard,
            epoch: self.epoch,
            batch: self.batch,
        }
    }

    /// Decides about batch `number` of the owner with `epoch`.
    pub(crate) fn judge(self, epoch: u64, number: u64) -> Result<Verdict, CommitError> {
        if epoch < self.epoch {
            return Err(CommitError::Fenced);
        }
        if epoch > self.epoch {
            return Err(CommitError::GaveUp(format!(
                "find lease {epoch}: the newest is {}",
                self.epoch
            )));
        }
        if number == self.batch.wrapping_add(1) {
            return Ok(Verdict::Apply);
        }
        if number == self.batch {
            return Ok(Verdict::Landed);
        }
        Err(CommitError::GaveUp(format!(
            "place batch {number}: the last one is {}",
            self.batch
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judges_by_epoch_then_number() {
        let fence = Fence { epoch: 3, batch: 7 };
        let cases = [
            (3, 8, "apply"),
            (3, 7, "landed"),
            (3, 6, "gave up"),
            (3, 9, "gave up"),
            (2, 8, "fenced"),
            (2, 7, "fenced"),
            (4, 8, "gave up"),
        ];
        for (epoch, number, expected) in cases {
            let got = match fence.judge(epoch, number) {
                Ok(Verdict::Apply) => "apply",
                Ok(Verdict::Landed) => "landed",
                Err(CommitError::Fenced) => "fenced",
                Err(CommitError::GaveUp(_)) => "gave up",
            };
            assert_eq!(got, expected, "epoch {epoch}, batch {number}");
        }
    }
}
