//! Kills a server with SIGKILL at random moments under load, again and again, and checks after each restart
//! and at the end that every acknowledged start, signal, activity result and update is there, that every
//! workflow ends, and that nothing happened twice.
//!
//! Ends with status 0 and `N passed, 0 failed`, or at the first violation with its text, the seed and the
//! directory that holds the server's data and log. A seed repeats the draws, not the machine's timing.

#![expect(clippy::print_stdout, reason = "a program whose output is its report")]

mod args;
mod caller;
mod check;
mod client;
mod command;
mod decide;
mod kind;
mod model;
mod past;
mod random;
mod run;
mod verify;
mod worker;

use std::{
    fs,
    process::ExitCode,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::{args::Args, run::Summary};

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(seed_of_clock);
    let directory = std::env::temp_dir().join(format!("perdure-chaos-{}-{seed}", std::process::id()));
    println!("seed {seed}");
    let began = Instant::now();
    let outcome = tokio::select! {
        outcome = run::run(&args.server, &directory, seed, args.scale()) => outcome,
        // Left alone, the server would outlive this program.
        () = asked_to_end() => Err("interrupted".to_owned()),
    };
    match outcome {
        Ok(summary) => {
            report(&summary, seed, began);
            if let Err(error) = fs::remove_dir_all(&directory) {
                println!("remove {}: {error}", directory.display());
            }
            println!("{} passed, 0 failed", summary.counts.total() + summary.runs);
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
