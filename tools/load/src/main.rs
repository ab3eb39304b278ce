//! `perdure-load`: plays clients and workers against any server that speaks the Temporal API, and measures it.
//!
//! Raw gRPC on both sides, so that what is measured is the server. It trusts nothing it did not see: every
//! workflow is in a ledger, and the server is asked at the end whether it agrees.

#![expect(clippy::print_stderr, reason = "progress and errors go to the terminal")]

mod bench;
mod chart;
mod cli;
mod client;
mod compare;
mod drive;
mod flow;
mod ledger;
mod mix;
mod output;
mod pages;
mod payload;
mod plan;
mod process;
mod recorder;
mod report;
mod rpc;
mod run;
mod sampler;
mod scenario;
mod schedule;
mod setup;
mod summary;
mod text;
mod verify;
mod worker;

use std::{process::ExitCode, sync::Arc};

use clap::Parser;
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

use crate::{
    cli::{Cli, Command, CompareArgs, RunArgs},
    drive::Stop,
    run::Target,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut builder = match cli.threads {
        0 | 1 => runtime::Builder::new_current_thread(),
        threads => {
            let mut builder = runtime::Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    let result = match builder.enable_all().build() {
        Ok(runtime) => runtime.block_on(command(cli.command)),
        Err(error) => Err(format!("start runtime: {error}")),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("perdure-load: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether everything was clean.
async fn command(command: Command) -> Result<bool, String> {
    let stop = Arc::new(Stop::default());
    tokio::spawn(listen_for_signals(stop.clone()));
    match command {
        Command::Run(args) => run(&args, stop).await,
        Command::Compare(args) => compare(&args, stop).await,
        Command::Bench(args) => bench::bench(&args, stop).await,
    }
}

/// The first SIGINT or SIGTERM ends the load cleanly, the second at once.
async fn listen_for_signals(stop: Arc<Stop>) {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return;
    };
    loop {
        tokio::select! {
            heard = tokio::signal::ctrl_c() => if heard.is_err() { return },
            _ = terminate.recv() => {}
        }
        if stop.is_told() {
            std::process::exit(130);
        }
        stop.tell();
    }
}

async fn run(args: &RunArgs, stop: Arc<Stop>) -> Result<bool, String> {
    let target = Target::new("", &args.target, &args.server_pid, args.server_pages.as_ref());
    let outcome = run::run(&args.load, &target, true, stop).await?;
    output::say(&outcome.summary);
    if let Some(path) = &args.json {
        output::write_json(path, &outcome.summary)?;
    }
    if let Some(path) = &args.hdr {
        output::write_hdr(path, &outcome.latency_us)?;
    }
    if let Some(path) = &args.report {
        output::write(path, &report::page(&outcome.summary, &outcome.latency_us))?;
    }
    Ok(outcome.summary.is_clean())
}

async fn compare(args: &CompareArgs, stop: Arc<Stop>) -> Result<bool, String> {
    let comparison = compare::compare(&args.load, &args.a, &args.b, args.rounds, stop).await?;
    output::say(&comparison);
    if let Some(path) = &args.json {
        output::write_json(path, &comparison)?;
    }
    Ok(comparison.is_clean())
}
