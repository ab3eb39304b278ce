//! The run on one node: load, kills, the last workflows' ends, the checks.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use perdure_tests::process::Process;

use crate::{
    args::Scale,
    check::{self, Strictness},
    load::Load,
    model::Counts,
    random::{Random, number_of},
};

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
    load: Load,
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
    let mut process = Process::start(program, directory, &[])?;
    let (load, violations) = Load::new(&[process.address.clone()], seed, scale.crowd)?;
    let api = load.api.clone();
    process.answers(|| api.answers(), scale.recovery_max).await?;
    let mut world = World {
        scale,
        process,
        load,
        random: Random::new(seed, number_of("kills")),
        down_max: Duration::ZERO,
    };
    violations.or(world.through(directory)).await
}

impl World {
    async fn through(&mut self, directory: &Path) -> Result<Summary, String> {
        self.load.begin();
        for kill in 1..=self.scale.kills {
            self.kill(kill, directory).await?;
        }
        let (workflows, runs) = self.load.finish(self.scale.finish_max, directory).await?;
        self.process.kill().await?;
        Ok(Summary {
            kills: self.scale.kills,
            workflows,
            runs,
            counts: self.load.model.counts(),
            down_max: self.down_max,
        })
    }

    /// Lets the load go on for a random time, kills, starts again, and looks for what was acknowledged.
    async fn kill(&mut self, number: u32, directory: &Path) -> Result<(), String> {
        let before = self.load.model.counts();
        let load = LOAD_MIN + self.random.duration(self.scale.load_max);
        tokio::time::sleep(load).await;
        self.process.kill().await?;
        let killed = Instant::now();
        let counts = self.load.model.counts();
        let random = &mut self.random;
        let records = self
            .load
            .model
            .copy(|_, record| !record.ended || random.below(ENDED_ONE_IN) == 0);
        self.process.restart()?;
        let early = self.random.below(EARLY_ONE_IN) == 0;
        if early {
            tokio::time::sleep(self.random.duration(EARLY_MAX)).await;
            self.process.kill().await?;
            self.process.restart()?;
        }
        let api = &self.load.api;
        self.process
            .answers(|| api.answers(), self.scale.recovery_max)
            .await?;
        let down = killed.elapsed();
        self.down_max = self.down_max.max(down);
        let open = records.values().filter(|record| !record.ended).count();
        let checked = records.len();
        check::check(&self.load.api, records, Strictness::Acknowledged, directory)
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
}
