//! Load: the callers and workers of a run, and the model of what they were told.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::mpsc::{self, Receiver},
    task::JoinSet,
};

use crate::{
    args::Crowd,
    caller::Caller,
    check::{self, Strictness},
    client::Api,
    model::Model,
    worker::Worker,
};

/// Violations that are kept; the first one ends the run.
const VIOLATIONS_MAX: usize = 16;

/// Everybody who calls. Dropped, they end.
pub(crate) struct Load {
    pub api: Arc<Api>,
    pub model: Arc<Model>,
    caller: Arc<Caller>,
    crowd: Crowd,
    seed: u64,
    callers: JoinSet<()>,
    pollers: JoinSet<()>,
}

/// What must never happen, as it is reported.
pub(crate) struct Violations(Receiver<String>);

impl Violations {
    /// Returns the first violation if one is reported before the outcome is there, or while it came to be.
    pub(crate) async fn or<T>(
        mut self,
        outcome: impl Future<Output = Result<T, String>>,
    ) -> Result<T, String> {
        tokio::select! {
            outcome = outcome => self.0.try_recv().map_or(outcome, Err),
            violation = self.0.recv() => Err(violation.unwrap_or_else(|| "all clients are gone".to_owned())),
        }
    }
}

impl Load {
    /// Sets the clients up; none calls yet.
    pub(crate) fn new(addresses: &[String], seed: u64, crowd: Crowd) -> Result<(Self, Violations), String> {
        let (sender, violations) = mpsc::channel(VIOLATIONS_MAX);
        let api = Arc::new(Api::new(addresses, sender)?);
        let model = Arc::new(Model::default());
        let caller = Arc::new(Caller {
            api: api.clone(),
            model: model.clone(),
            seed,
            next: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let load = Self {
            api,
            model,
            caller,
            crowd,
            seed,
            callers: JoinSet::new(),
            pollers: JoinSet::new(),
        };
        Ok((load, Violations(violations)))
    }

    pub(crate) fn begin(&mut self) {
        let worker = Arc::new(Worker {
            api: self.api.clone(),
            model: self.model.clone(),
            seed: self.seed,
            marks: AtomicU64::new(0),
        });
        for _ in 0..self.crowd.workflow_pollers {
            self.pollers.spawn(worker.clone().poll_workflow_tasks());
        }
        for number in 0..self.crowd.activity_pollers {
            self.pollers.spawn(worker.clone().poll_activity_tasks(number));
        }
        for number in 0..self.crowd.callers {
            self.callers.spawn(self.caller.clone().play(number));
        }
    }

    /// Lets the last workflows end and checks all. Returns how many workflows and runs there were.
    pub(crate) async fn finish(
        &mut self,
        finish_max: Duration,
        directory: &Path,
    ) -> Result<(usize, usize), String> {
        self.caller.stop.store(true, Ordering::Relaxed);
        let callers = std::mem::take(&mut self.callers);
        if tokio::time::timeout(finish_max, callers.join_all())
            .await
            .is_err()
        {
            return Err(self.unfinished(finish_max));
        }
        let records = self.model.copy(|_, _| true);
        let workflows = records.len();
        let runs = check::check(&self.api, records, Strictness::Finished, directory).await?;
        check::listed(&self.api, &runs).await?;
        Ok((workflows, runs.len()))
    }

    fn unfinished(&self, finish_max: Duration) -> String {
        let open: BTreeMap<String, _> = self.model.copy(|_, record| !record.ended);
        let some: Vec<_> = open.iter().take(5).collect();
        format!(
            "{} workflows have not ended within {finish_max:?}, among them {some:?}",
            open.len()
        )
    }
}
