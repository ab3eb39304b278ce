//! Seal: how the front of the stage becomes a batch, and what becomes of changes that no store takes.

use std::collections::HashSet;

use engine::{
    outcome::Rejection,
    trigger::{Terminate, Trigger},
};
use proto::{
    ids::{RunKey, WorkflowKey},
    time::Timestamp,
};
use storage::batch::Batch;

use crate::{
    drain::Phase,
    input::{Request, Token},
    limits::{NODE_BYTES_MAX, SCAN_ROWS_MAX, UNIT_BYTES_MAX},
    output::{AskError, Output},
    shard::Shard,
    timers::RETRY,
    unit::Unit,
};

/// A batch on its way, and what waits for it.
#[derive(Debug, Default)]
pub(crate) struct Sealed {
    pub(crate) workflows: HashSet<WorkflowKey>,
    /// Runs whose state it stores.
    pub(crate) runs: Vec<RunKey>,
    /// Runs that it removes.
    pub(crate) gone: Vec<RunKey>,
    pub(crate) outputs: Vec<Output>,
    /// What was said later of what it makes durable: it waits for the batch and is not proven by it.
    pub(crate) parked: Vec<Output>,
    pub(crate) transitions: u64,
    /// When the calls were received that made them.
    pub(crate) received: Vec<Timestamp>,
    pub(crate) bytes: u64,
    pub(crate) sealed_at: Timestamp,
}

impl Shard {
    /// Cuts the next batch if there is one to cut and none is on its way.
    pub(crate) fn flush(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if self.sealed.is_some() {
            return;
        }
        let due = self.stage.is_urgent() || self.stage.lazy_rows() > SCAN_ROWS_MAX;
        let drains = self.phase == Phase::Draining && !self.stage.is_empty();
        if due || drains {
            let (batch, sealed) = self.seal(now, out);
            if batch.is_empty() {
                out.extend(sealed.outputs);
            } else {
                self.sealed = Some(sealed);
                return out.push(Output::Commit(batch));
            }
        }
        self.report_drained(out);
    }

    /// Takes as many units off the stage as a batch carries; a unit that is larger by itself goes alone.
    fn seal(&mut self, now: Timestamp, out: &mut Vec<Output>) -> (Batch, Sealed) {
        let limits = self.batch_limits;
        let mut batch = Batch {
            number: self.committed + 1,
            ..Batch::default()
        };
        let (mut sealed, mut bytes, mut writes) = (Sealed::default(), 0, 0);
        while let Some((at, mut unit)) = self.stage.take_first() {
            self.write_runs(&mut unit);
            let (rows, node) = unit.sizes();
            if rows > UNIT_BYTES_MAX || node > NODE_BYTES_MAX {
                let size = rows.max(node);
                self.take_back(unit, size, now, out);
                continue;
            }
            bytes += unit.load.bytes.max(rows);
            writes += unit.writes();
            if !batch.is_empty() && (bytes > limits.bytes || writes > limits.writes) {
                self.stage.put_back(at, unit);
                break;
            }
            unit.write(&mut batch);
            sealed.outputs.extend(unit.take_outputs());
            sealed.transitions += unit.transitions;
            sealed.received.extend(unit.received);
            sealed.received.append(&mut unit.received_more);
            if unit.is_urgent() {
                sealed.workflows.insert(unit.workflow);
            }
            sealed.runs.extend(unit.stored);
            sealed.gone.extend(unit.gone);
        }
        sealed.bytes = batch.size() as u64;
        sealed.sealed_at = now;
        (batch, sealed)
    }

    /// Gives up changes that no store takes. Nothing of them has left or is durable: the workflow is read again as
    /// it was, and who asked is told. A worker's completion would come again for ever, so its run is terminated
    /// (reference 2.5).
    fn take_back(&mut self, unit: Unit, size: usize, now: Timestamp, out: &mut Vec<Output>) {
        let workflow = unit.workflow.clone();
        tracing::warn!(workflow_id = %workflow.workflow_id, size, "transaction too large");
        let completes = unit.completes.clone();
        let mut units = vec![unit];
        // What was decided later stands on it.
        units.extend(self.stage.take_all(&workflow));
        let mut replies = Vec::new();
        for mut unit in units {
            for run in unit.stored.iter().chain(&unit.dirty).chain(&unit.gone) {
                self.forget_run(run);
            }
            replies.extend(unit.take_outputs().filter_map(|output| match output {
                Output::Reply { token, .. } => Some(token),
                _ => None,
            }));
        }
        self.cache.forget_current(&workflow);
        // Stored wake-ups and ready tasks take over again; not at once, as the same change may come of them.
        self.next_scan = Some(now + RETRY);
        self.ready.watch(now);
        let alone = replies.len() == 1;
        replies.extend(self.take_deferred(|run| run.workflow == workflow));
        for token in replies {
            let error = if alone {
                let message =
                    format!("transaction size of {size} bytes exceeds limit of {NODE_BYTES_MAX} bytes");
                AskError::Rejected(Rejection::InvalidArgument(message))
            } else {
                AskError::Unavailable("changes of the workflow were too large".to_owned())
            };
            out.push(Output::Reply {
                token,
                reply: Err(error),
            });
        }
        if let Some(run) = completes {
            let terminate = Terminate {
                reason: "Transaction size exceeds limit.".to_owned(),
                identity: "history-service".to_owned(),
                ..Terminate::default()
            };
            self.tell(
                &run,
                Request::Step(Trigger::Terminate(Box::new(terminate))),
                now,
                out,
            );
        }
    }

    /// Drops the run from memory; what is stored of it stays.
    fn forget_run(&mut self, run: &RunKey) {
        if let Some(slot) = self.cache.remove(run)
            && let Some(at) = slot.armed
        {
            self.timers.remove(&(at, run.clone()));
        }
        self.gone.remove(run);
        self.indexing.forget(run);
    }

    /// Takes out the askers whose answers were to come with a later step of such a run.
    pub(crate) fn take_deferred(&mut self, of: impl Fn(&RunKey) -> bool) -> Vec<Token> {
        let mut tokens: Vec<_> = self
            .deferred
            .iter()
            .filter(|(_, run)| of(run))
            .map(|(token, _)| *token)
            .collect();
        tokens.sort_unstable();
        for token in &tokens {
            self.deferred.remove(token);
            self.combining.remove(token);
        }
        tokens
    }
}
