//! The whole run: load, kills, the last workflows' ends, the checks.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use perdure_tests::process::Process;
use tokio::{
    sync::mpsc::{self, Receiver},
    task::JoinSet,
};

use crate::{
    args::Scale,
    caller::Caller,
    check::{self, Strictness},
    client::Api,
    model::{Counts, Model},
    random::{Random, number_of},
    worker::Worker,
};

/// Violations that are kept; the first one ends the run.
const VIOLATIONS_MAX: usize = 16;
/// Load before a kill, at least.
const LOAD_MIN: Duration = Duration::from_millis(100);
/// One kill in so many comes while the server is still starting.
const EARLY_ONE_IN: u64 = 4;
const EARLY_MAX: Duration = Duration::from_millis(300);
/// Of the workflows that ended before a kill, one in so many is read again after it.
const ENDED_ONE_IN: u64 = 20;

/// What a run without violation has shown.
pub(crate) struct Summary {
    pub kills: u32,
    pub workflows: usize,
    pub runs: usize,
    pub counts: Counts,
    pub down_max: Duration,
}

/// Everything that lives as long as the run.
struct World {
    scale: Scale,
    process: Process,
    api: Arc<Api>,
    model: Arc<Model>,
    caller: Arc<Caller>,
    random: Random,
    down_max: Duration,
}

/// Runs to the end or to the first violation.
pub(crate) async fn run(
    program: &Path,
    directory: &Path,
    seed: u64,
    scale: Scale,
) -> Result<Summary, String> {
    let (sender, mut violations) = mpsc::channel(VIOLATIONS_MAX);
    let mut process = Process::start(program, directory, &[])?;
    let api = Arc::new(Api::new(&process.address, sender)?);
    let model = Arc::new(Model::default());
    process.answers(|| api.answers(), scale.recovery_max).await?;
    let caller = Arc::new(Caller {
        api: api.clone(),
        model: model.clone(),
        seed,
        next: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    });
    let mut world = World {
        scale,
        process,
        api,
        model,
        caller,
        random: Random::new(seed, number_of("kills")),
        down_max: Duration::ZERO,
    };
    // Dropped, and with it aborted, when this function is left.
    let _workers = world.workers(seed);
    tokio::select! {
        outcome = world.through(directory) => {
            // A violation that was reported while the last check passed still counts.
            violations.try_recv().map_or(outcome, Err)
        }
        violation = first(&mut violations) => Err(violation),
    }
}

async fn first(violations: &mut Receiver<String>) -> String {
    violations
        .recv()
        .await
        .unwrap_or_else(|| "all clients are gone".to_owned())
}

impl World {
    async fn through(&mut self, directory: &Path) -> Result<Summary, String> {
        let mut callers = JoinSet::new();
        for number in 0..self.scale.callers {
            callers.spawn(self.caller.clone().play(number));
        }
        for kill in 1..=self.scale.kills {
            self.kill(kill, directory).await?;
        }
        self.caller.stop.store(true, Ordering::Relaxed);
        let finish = tokio::time::timeout(self.scale.finish_max, callers.join_all());
        if finish.await.is_err() {
            return Err(self.unfinished());
        }
        let records = self.model.copy(|_, _| true);
        let workflows = records.len();
        let runs = check::check(&self.api, records, Strictness::Finished, directory).await?;
        check::listed(&self.api, &runs).await?;
        self.process.kill().await?;
        Ok(Summary {
            kills: self.scale.kills,
            workflows,
            runs: runs.len(),
            counts: self.model.counts(),
            down_max: self.down_max,
        })
    }

    /// Lets the load go on for a random time, kills, starts again, and looks for what was acknowledged.
    async fn kill(&mut self, number: u32, directory: &Path) -> Result<(), String> {
        let before = self.model.counts();
        let load = LOAD_MIN + self.random.duration(self.scale.load_max);
        tokio::time::sleep(load).await;
        self.process.kill().await?;
        let killed = Instant::now();
        let counts = self.model.counts();
        let random = &mut self.random;
        let records = self
            .model
            .copy(|_, record| !record.ended || random.below(ENDED_ONE_IN) == 0);
        self.process.restart()?;
        let early = self.random.below(EARLY_ONE_IN) == 0;
        if early {
            tokio::time::sleep(self.random.duration(EARLY_MAX)).await;
            self.process.kill().await?;
            self.process.restart()?;
        }
        let api = &self.api;
        self.process
            .answers(|| api.answers(), self.scale.recovery_max)
            .await?;
        let down = killed.elapsed();
        self.down_max = self.down_max.max(down);
        let open = records.values().filter(|record| !record.ended).count();
        let checked = records.len();
        check::check(&self.api, records, Strictness::Acknowledged, directory)
            .await
            .map_err(|problem| format!("after kill {number}: {problem}"))?;
        println!(
            "kill {number}/{} after {} ms of load{}: down {} ms; {open} open and {} ended workflows are whole; \
             {} acknowledgements since the last kill, in all {counts}",
            self.scale.kills,
            load.as_millis(),
            if early { ", again while starting" } else { "" },
            down.as_millis(),
            checked - open,
            counts.total() - before.total(),
        );
        Ok(())
    }

    fn workers(&self, seed: u64) -> JoinSet<()> {
        let worker = Arc::new(Worker {
            api: self.api.clone(),
            model: self.model.clone(),
            seed,
            marks: AtomicU64::new(0),
        });
        let mut pollers = JoinSet::new();
        for _ in 0..self.scale.workflow_pollers {
            pollers.spawn(worker.clone().poll_workflow_tasks());
        }
        for number in 0..self.scale.activity_pollers {
            pollers.spawn(worker.clone().poll_activity_tasks(number));
        }
        pollers
    }

    fn unfinished(&self) -> String {
        let open: BTreeMap<String, _> = self.model.copy(|_, record| !record.ended);
        let some: Vec<_> = open.iter().take(5).collect();
        format!(
            "{} workflows have not ended within {:?}, among them {some:?}",
            open.len(),
            self.scale.finish_max
        )
    }
}
