//! Lets a real Prometheus scrape a real server, makes everything happen that the documented metrics count, and holds
//! each of them to it.
//!
//! Prints "ok STEP" for each step. Needs `prometheus` and `promtool`, as Debian's package of that name has them.

#![expect(clippy::print_stdout, reason = "a program whose output is its report")]

mod activities;
mod changes;
mod check;
mod faults;
mod pair;
mod prometheus;
mod queues;
mod stage;
mod table;
mod workflows;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;

use crate::{check::Check, prometheus::Prometheus, stage::Stage, table::Table};

/// What no client can bring about by itself, and what shows that it is counted.
const NOT_PROVOKED: &[(&str, &str)] = &[
    (
        "perdure_tickets_undelivered_total",
        "a poll that goes away in the microsecond in which it is answered: matching/tests/shell",
    ),
    (
        "perdure_queue_notices_dropped_total",
        "a courier that stands still: matching/tests/shell",
    ),
    (
        "perdure_gossip_errors_total",
        "names that do not resolve, sockets that fail: membership/src/agent/seeds.rs",
    ),
    (
        "perdure_gossip_superseded_total",
        "two processes of one node: membership/src/gossip/tests.rs",
    ),
    (
        "perdure_shard_changes_under_way",
        "a change is made in less time than lies between two scrapes: cluster/tests/splits.rs",
    ),
    (
        "perdure_shard_changes_failed_total",
        "a store that fails on the way: cluster/tests/splits.rs",
    ),
];

/// Checks the metrics of a server with a real Prometheus.
#[derive(Debug, Parser)]
#[command(name = "metrics")]
struct Args {
    /// The server's program.
    #[arg(long, value_name = "PATH", default_value = "target/release/perdure")]
    server: PathBuf,

    /// Holds Cassandra's jars.
    #[arg(long, value_name = "FOLDER", default_value = "target")]
    target: PathBuf,

    /// Where the program `prometheus` is.
    #[arg(long, value_name = "PATH", default_value = "prometheus")]
    prometheus: PathBuf,

    /// Where the program `promtool` is.
    #[arg(long, value_name = "PATH", default_value = "promtool")]
    promtool: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let directory = std::env::temp_dir().join(format!("perdure-metrics-{}", std::process::id()));
    match Box::pin(run(&args, &directory)).await {
        Ok(()) => {
            // Only a folder of this run's own; a leftover in the temporary folder harms nobody.
            let _ = std::fs::remove_dir_all(&directory);
            println!("passed");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("FAIL {why}\ndata and logs are in {}", directory.display());
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args, directory: &Path) -> Result<(), String> {
    let table = Table::read()?;
    let mut stage = Stage::start(&args.server, &directory.join("server")).await?;
    let mut faulty = faults::start(&args.server, &directory.join("faulty")).await?;
    let pages = [stage.pages.clone(), faulty.pages.clone()];
    let prometheus = Prometheus::start(&args.prometheus, &directory.join("prometheus"), &pages).await?;
    let mut check = Check::new(&prometheus, &table);

    workflows::play(&stage, &mut check).await?;
    activities::play(&stage, &mut check).await?;
    queues::play(&stage, &mut check).await?;
    changes::play(&args.server, &stage.pages, &mut check).await?;
    faults::play(&mut faulty, &mut check).await?;

    // A Prometheus of its own, so that what is summed up above is of those servers alone.
    let folder = directory.join("cluster");
    let mut cluster = pair::Stage::start(&args.server, &args.target, &folder).await?;
    let second = Prometheus::start(&args.prometheus, &directory.join("second"), &cluster.pages()).await?;
    let mut seen = Check::new(&second, &table);
    pair::play(&mut cluster, &mut seen).await?;
    check.also(seen);

    let unproven = check.unproven(NOT_PROVOKED.iter().map(|(name, _)| *name));
    if !unproven.is_empty() {
        return Err(format!("no step moves {}", unproven.join(", ")));
    }
    for (name, why) in NOT_PROVOKED {
        println!("not provoked: {name}: {why}");
    }
    prometheus::lint(&args.promtool, &stage.page().await?).await?;
    println!("ok promtool check metrics");
    stage.finish().await
}
