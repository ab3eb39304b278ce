//! Commits: one conditional batch after what it needs to find, sent until its outcome is known.

use super::{
    Inner, KEY_MAX,
    link::Deadline,
    plan::{self, Plan},
    rows::{Answer, Conditional, answer, signed},
    shards::{Stored, id},
};
use crate::{
    batch::Batch,
    error::{CommitError, StoreError},
    fence::Verdict,
    shard::Lease,
};

impl Inner {
    pub(super) async fn commit(&self, lease: &Lease, batch: Batch) -> Result<(), CommitError> {
        let (rows, bytes) = (
            batch.writes.len() + batch.history.len() + batch.forget.len(),
            batch.size(),
        );
        let verdict = self.place(lease, batch).await;
        match &verdict {
            Ok(Verdict::Apply) => {
                self.metrics.commits.inc();
                self.metrics.rows.add(rows as u64);
                self.metrics.bytes.add(bytes as u64);
            }
            Ok(Verdict::Landed) => self.metrics.resent.inc(),
            Err(CommitError::Fenced) => self.metrics.fenced.inc(),
            Err(CommitError::GaveUp(_)) => self.metrics.gave_up.inc(),
        }
        verdict.map(drop)
    }

    async fn place(&self, lease: &Lease, batch: Batch) -> Result<Verdict, CommitError> {
        if let Some(write) = batch.writes.iter().find(|write| write.key.len() > KEY_MAX) {
            let length = write.key.len();
            return Err(CommitError::GaveUp(format!(
                "write key of {length} bytes: too long"
            )));
        }
        let mut deadline = self.link.deadline();
        // A batch that is sent again waits for what becomes of it.
        let turn = self.tails.turn(lease);
        let ready = async { Some((turn.lock_owned().await, self.limiter.enter().await?)) };
        let Some((_turn, permit)) = deadline.bound(ready).await.flatten() else {
            return Err(CommitError::GaveUp(
                "too many commits wait for Cassandra".to_owned(),
            ));
        };
        let begun = tokio::time::Instant::now();
        let sent = self.send(lease, batch, &mut deadline).await;
        let answered = !matches!(sent, Err(CommitError::GaveUp(_)));
        self.limiter.leave(permit, answered.then(|| begun.elapsed()));
        match sent {
            Ok((plan, verdict)) => {
                self.landed(lease, plan, verdict, &mut deadline).await;
                Ok(verdict)
            }
            Err(error) => {
                self.floors.end(lease);
                self.tails.end(lease);
                Err(error)
            }
        }
    }

    /// Writes the batch, if the fence lets it.
    async fn send(
        &self,
        lease: &Lease,
        batch: Batch,
        deadline: &mut Deadline,
    ) -> Result<(Plan, Verdict), CommitError> {
        let number = batch.number;
        let drafts = plan::drafts(&batch);
        let known = self.tails.gather(&self.link, lease, &drafts, *deadline).await;
        let known = known.map_err(|error| gave_up(&error))?;
        let floors = self.floors.written(lease, &batch);
        let paid = self.cold.paid(lease.shard);
        let plan = plan::plan(lease, batch, drafts, known, paid, floors);
        let written = self.cold.write(&self.link, &plan.cold, plan.mark, deadline).await;
        let verdict = match written {
            Ok(()) => self.settle(lease, number, &plan, deadline).await,
            Err(error) => Err(gave_up(&error)),
        };
        match verdict {
            Ok(verdict) => Ok((plan, verdict)),
            Err(error) => {
                self.cold.not_landed(lease.shard, plan.paid);
                Err(error)
            }
        }
    }

    /// The batch has landed.
    async fn landed(&self, lease: &Lease, plan: Plan, verdict: Verdict, deadline: &mut Deadline) {
        self.landed.note(lease, plan.mark.batch);
        if let Some(floors) = &plan.floors {
            self.floors.stored(lease, floors.clone());
        }
        self.cold.landed(&self.link, lease.shard, &plan, deadline).await;
        match verdict {
            Verdict::Apply => self.tails.landed(lease, plan.tails),
            // What landed may have been planned otherwise.
            Verdict::Landed => self.tails.forget(&plan.tails),
        }
    }

    /// Sends the conditional batch until its outcome is known.
    async fn settle(
        &self,
        lease: &Lease,
        number: u64,
        plan: &Plan,
        deadline: &mut Deadline,
    ) -> Result<Verdict, CommitError> {
        loop {
            let mut statement = Conditional::new(&self.shards.conditional);
            let before = signed(number.wrapping_sub(1));
            let (after, shard, epoch) = (signed(number), id(lease.shard), signed(lease.epoch));
            // First: the driver routes the batch by it.
            if let Some(floors) = plan.floors.clone() {
                let values = (after, floors, shard, epoch, before);
                statement.push(&self.shards.advance_floors, values);
            } else {
                statement.push(&self.shards.advance, (after, shard, epoch, before));
            }
            self.shards
                .writes(&mut statement, lease.shard, plan, &self.tails.remove);
            match self.link.batch(&statement.batch, statement.values).await {
                Ok(result) => match answer(result).map_err(|error| gave_up(&error))? {
                    Answer::Applied => return Ok(Verdict::Apply),
                    Answer::Refused(found) => {
                        let fence = Stored::of(&found).fence();
                        match fence.judge(lease.epoch, number)? {
                            Verdict::Landed => return Ok(Verdict::Landed),
                            // What stood against it is gone already: ask again.
                            Verdict::Apply => {
                                if !deadline.pause().await {
                                    return Err(CommitError::GaveUp("condition not decided".to_owned()));
                                }
                            }
                        }
                    }
                },
                Err(error) => self
                    .link
                    .after(&error, deadline)
                    .await
                    .map_err(|error| gave_up(&error))?,
            }
        }
    }
}

fn gave_up(error: &StoreError) -> CommitError {
    CommitError::GaveUp(error.to_string())
}
