//! Loads: rows that the shard asked for arrive.

use bytes::Bytes;
use engine::{run::Run, state::State};
use proto::{
    ids::{RunKey, WorkflowKey},
    time::Timestamp,
};
use storage::{batch::Table, error::StoreError};

use crate::{
    cache::Slot,
    codec,
    input::{LoadKey, Request, Scan},
    output::{AskError, Output},
    shard::{Shard, not_found, refuse},
};

impl Shard {
    pub(crate) fn loaded(
        &mut self,
        key: LoadKey,
        value: Result<Option<Bytes>, StoreError>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        match key {
            LoadKey::Run(run) => self.loaded_run(&run, value, now, out),
            LoadKey::Current(workflow) => self.loaded_current(&workflow, value, now, out),
        }
    }

    fn loaded_run(
        &mut self,
        run: &RunKey,
        value: Result<Option<Bytes>, StoreError>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        self.in_hand = Some(run.clone());
        let waiting = self.cache.loaded_run(run);
        let error = match value.map(|bytes| bytes.map(|bytes| State::from_bytes(&bytes))) {
            Ok(Some(Ok(state))) => {
                let loaded = Run::load(state);
                let hot = !loaded.is_settled();
                self.cache.insert(run.clone(), Slot::new(loaded, hot));
                self.arm(run);
                for pending in waiting {
                    self.dispatch(pending, now, out);
                }
                return self.woken(run, true, now, out);
            }
            Ok(None) => AskError::Rejected(not_found(&run.workflow, Some(run.run_id))),
            Ok(Some(Err(error))) => AskError::Broken(format!("run {}: {error}", run.run_id)),
            Err(error) => AskError::Unavailable(error.to_string()),
        };
        match &error {
            AskError::Rejected(_) => self.woken(run, false, now, out),
            _ => drop(self.waking.remove(run)),
        }
        for pending in waiting {
            // A workflow id whose newest run is gone is free.
            match &error {
                AskError::Rejected(_) if matches!(pending.request, Request::Start(_)) => {
                    self.cache.set_current(run.workflow.clone(), None);
                    self.dispatch(pending, now, out);
                }
                AskError::Rejected(_) => {
                    let rejection = not_found(&run.workflow, pending.target.run_id);
                    refuse(pending.token, rejection.into(), out);
                }
                _ => refuse(pending.token, error.clone(), out),
            }
        }
    }

    fn loaded_current(
        &mut self,
        workflow: &WorkflowKey,
        value: Result<Option<Bytes>, StoreError>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let last = match value {
            Ok(None) => Ok(None),
            Ok(Some(bytes)) => match prost::Message::decode(bytes) {
                Ok(last) => Ok(Some(last)),
                Err(_) => Err(AskError::Broken(
                    "newest run of a workflow id is malformed".to_owned(),
                )),
            },
            Err(error) => Err(AskError::Unavailable(error.to_string())),
        };
        match last {
            Ok(last) => {
                for pending in self.cache.loaded_current(workflow, last) {
                    self.dispatch(pending, now, out);
                }
            }
            Err(error) => {
                for pending in self.cache.failed_current(workflow) {
                    refuse(pending.token, error.clone(), out);
                }
            }
        }
    }

    pub(crate) fn scanned(
        &mut self,
        scan: Scan,
        rows: Result<Vec<storage::shard::Row>, StoreError>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let rows = match rows {
            Ok(rows) => rows,
            // What is not read now is read again: the shard cannot go on without it.
            Err(error) => {
                tracing::warn!(shard = self.id.0, %error, "rows not read");
                return out.push(Output::Stop(error.to_string()));
            }
        };
        let result = match scan {
            Scan::Wakeups { until, .. } => self.scanned_wakeups(until, rows, now, out),
            Scan::AllReady { .. } => {
                if !rows.is_empty() {
                    self.ready.watch(now);
                }
                self.ready
                    .recover(rows, out)
                    .map(|next| out.extend(next.map(Output::Scan)))
            }
            Scan::Sweep { all, .. } => self.ready.swept(rows, all, now, out),
            Scan::Ready { queue, limit, .. } => self.ready.scanned(queue, limit, rows, out),
            Scan::Outbox { .. } => self.indexing.scanned(rows, out),
        };
        if let Err(error) = result {
            out.push(Output::Stop(error.to_string()));
        }
    }

    pub(crate) fn indexed(&mut self, runs: Vec<(RunKey, u64)>, out: &mut Vec<Output>) {
        for (run, version) in runs {
            if self.indexing.indexed(&run, version) {
                let key = codec::run_key(&run);
                self.stage
                    .change(&run.workflow, |unit| unit.delete_some_time(Table::Outbox, key));
            }
        }
        self.indexing.read_more(out);
    }
}
