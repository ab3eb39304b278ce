//! Kills a server with SIGKILL at random moments under load, again and again, and checks after each restart
//! and at the end that every acknowledged start, signal, activity result and update is there, that every
//! workflow ends, and that nothing happened twice.
//!
//! Ends with status 0 and `N passed, 0 failed`, or at the first violation with its text, the seed and the
//! directory that holds the server's data and log. A seed repeats the draws, not the machine's timing.
//!
//! With `--nodes` it runs a cluster on a real Cassandra: nodes are restarted, added and drained, and no call may
//! fail; then they are killed, and the store is taken away, and calls may fail until others have taken over. Nodes that
//! are cut off from others or from the store take a network namespace, which is made for that.

#![expect(clippy::print_stdout, reason = "a program whose output is its report")]

mod args;
mod caller;
mod check;
mod churn;
mod client;
mod command;
mod decide;
mod fences;
mod fleet;
mod health;
mod kind;
mod ledger;
mod load;
mod model;
mod namespace;
mod past;
mod random;
mod room;
mod run;
mod sightings;
mod split;
mod verify;
mod worker;

use std::{
    fs,
    path::Path,
    process::ExitCode,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use nodes::cuts;

use crate::{
    args::{Args, Part},
    run::Summary,
};

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    if args.only.contains(&Part::Partition) {
        let entered = if args.in_namespace {
            cuts::prepare().map_err(|error| error.to_string()).map(|()| None)
        } else {
            namespace::enter().map(Some)
        };
        match entered {
            Ok(None) => {}
            Ok(Some(code)) => return code,
            Err(error) => {
                println!("partitions cannot be made: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    let seed = args.seed.unwrap_or_else(seed_of_clock);
    let directory = std::env::temp_dir().join(format!("perdure-chaos-{}-{seed}", std::process::id()));
    println!("seed {seed}");
    let began = Instant::now();
    let outcome = tokio::select! {
        outcome = run(&args, &directory, seed, began) => outcome,
        // Left alone, the server would outlive this program.
        () = asked_to_end() => Err("interrupted".to_owned()),
    };
    match outcome {
        Ok(passed) => {
            if let Err(error) = fs::remove_dir_all(&directory) {
                println!("remove {}: {error}", directory.display());
            }
            println!("{passed} passed, 0 failed");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            println!("VIOLATION: {violation}");
            println!(
                "seed {seed}; data, log and histories are in {}",
                directory.display()
            );
            println!("0 passed, 1 failed");
            ExitCode::FAILURE
        }
    }
}

/// Runs on one node or on several. Returns how many checks were made.
async fn run(args: &Args, directory: &Path, seed: u64, began: Instant) -> Result<usize, String> {
    let Some(nodes) = args.nodes else {
        let summary = run::run(&args.server, directory, seed, args.scale()).await?;
        report(&summary, seed, began);
        return Ok(summary.counts.total() + summary.runs);
    };
    let scale = args.churn_scale(nodes, args.stores);
    let summary = churn::run(&args.server, &args.target, directory, seed, scale, &args.only).await?;
    println!(
        "{} s on {nodes} nodes, seed {seed}: {} workflows with {} runs ended once each; acknowledged and found: {}",
        began.elapsed().as_secs(),
        summary.workflows,
        summary.runs,
        summary.counts,
    );
    Ok(summary.counts.total() + summary.runs)
}

fn report(summary: &Summary, seed: u64, began: Instant) {
    println!(
        "{} kills in {} s, seed {seed}: {} workflows with {} runs ended once each; down {} ms at most; \
         acknowledged and found: {}",
        summary.kills,
        began.elapsed().as_secs(),
        summary.workflows,
        summary.runs,
        summary.down_max.as_millis(),
        summary.counts,
    );
}

async fn asked_to_end() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

fn seed_of_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(since.subsec_nanos()) ^ since.as_secs()
}
