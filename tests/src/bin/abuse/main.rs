//! Treats a server as no client should: messages over the limit, a million polls, clients that vanish in the middle
//! of a call, a backlog without workers, timers without end. Measures memory and what other clients feel.
//!
//! Prints what it measured, "ok PART" or "FAIL PART: why" for each part, and `N passed, M failed` last.

#![expect(clippy::print_stdout, reason = "a program whose output is its report")]

mod args;
mod backlog;
mod crowd;
mod measure;
mod messages;
mod polls;
mod server;
mod silence;
mod timers;
mod vanish;
mod wire;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use clap::Parser;
use perdure_tests::client;

use crate::{
    args::{Args, Part},
    server::Server,
};

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let directory = std::env::temp_dir().join(format!("perdure-abuse-{}", std::process::id()));
    let failed = match &args.address {
        Some(address) => usize::from(told(Part::Messages, messages::against(address).await)),
        None => parts(&args, &directory).await,
    };
    if failed == 0 {
        // Only a folder of this run's own; a leftover in the temporary folder harms nobody.
        let _ = std::fs::remove_dir_all(&directory);
        ExitCode::SUCCESS
    } else {
        println!("data and logs are in {}", directory.display());
        ExitCode::FAILURE
    }
}

/// Runs the parts and gives how many failed.
async fn parts(args: &Args, directory: &Path) -> usize {
    let scale = args.scale();
    // It waits for the server to notice: the others go on meanwhile.
    let silence = args
        .wants(Part::Silence)
        .then(|| tokio::spawn(silence_part(args.server.clone(), directory.join("silence"))));
    let mut failed = 0;
    let mut passed = 0;
    for part in [
        Part::Messages,
        Part::Crowd,
        Part::Polls,
        Part::Vanish,
        Part::Timers,
        Part::Backlog,
    ] {
        if !args.wants(part) {
            continue;
        }
        let began = Instant::now();
        let outcome = async {
            let folder = directory.join(format!("{part:?}").to_lowercase());
            let program = match part {
                Part::Crowd => crowd::program(&args.server, &folder)?,
                _ => args.server.clone(),
            };
            let mut server = Server::start(&program, &folder).await?;
            match part {
                Part::Messages => messages::run(&server, scale.rounds).await?,
                Part::Crowd => crowd::run(&server).await?,
                Part::Polls => polls::run(&server, scale.polls).await?,
                Part::Vanish => vanish::run(&server, &scale).await?,
                Part::Timers => timers::run(&server, scale.timers).await?,
                Part::Backlog => backlog::run(&mut server, scale.backlog).await?,
                Part::Silence => {}
            }
            server.finish().await
        };
        let outcome = outcome.await;
        println!("  {:.0} s", began.elapsed().as_secs_f32());
        if told(part, outcome) {
            failed += 1;
        } else {
            passed += 1;
        }
    }
    if let Some(silence) = silence {
        let outcome = silence.await.unwrap_or_else(|error| Err(error.to_string()));
        if told(Part::Silence, outcome) {
            failed += 1;
        } else {
            passed += 1;
        }
    }
    println!("{passed} passed, {failed} failed");
    failed
}

async fn silence_part(program: PathBuf, directory: PathBuf) -> Result<(), String> {
    let server = Server::start(&program, &directory).await?;
    silence::run(&server).await?;
    server.finish().await
}

/// Tells how a part went, and whether it failed.
fn told(part: Part, outcome: Result<(), String>) -> bool {
    match outcome {
        Ok(()) => {
            println!("ok {part:?}");
            false
        }
        Err(why) => {
            println!("FAIL {part:?}: {why}");
            true
        }
    }
}
