//! The whole comparison: starts both servers fresh for each scenario, runs them in turn, writes the tables.
//!
//! Owns the servers' processes. `compare` does the rounds.

mod host;
mod launch;
mod markdown;
mod rows;

use std::{sync::Arc, time::Instant};

use clap::Parser;
use serde::Serialize;

use self::{
    launch::{Server, WorkDir},
    rows::{ROWS, Row},
};
use crate::{
    cli::{BenchArgs, Cli, Command, LoadArgs},
    compare::{self, Comparison},
    drive::Stop,
    output,
    text::Contender,
};

/// One scenario: our server against each of the others.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Compared {
    pub label: &'static str,
    pub args: String,
    /// What each server has in memory before it has done anything, MiB; ours first.
    pub fresh_mib: Vec<f64>,
    pub comparisons: Vec<Comparison>,
}

/// Everything, to be written down.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Bench {
    pub host: host::Host,
    /// Names and commands; ours first.
    pub servers: Vec<(String, String)>,
    pub results: Vec<Compared>,
    /// Scenarios that could not be measured, and why.
    pub failed: Vec<String>,
    pub took_s: u64,
}

impl Bench {
    /// All comparisons, with the label of their scenario.
    pub(crate) fn comparisons(&self) -> impl Iterator<Item = (&'static str, &Comparison)> {
        self.results
            .iter()
            .flat_map(|result| result.comparisons.iter().map(|one| (result.label, one)))
    }
}

/// Runs the bench and writes its files; whether every run was clean.
pub(crate) async fn bench(args: &BenchArgs, stop: Arc<Stop>) -> Result<bool, String> {
    let begun = Instant::now();
    let work_dir = WorkDir::create(args.work_dir.as_deref())?;
    let mut servers = vec![(args.ours_name.clone(), args.ours.clone())];
    servers.extend(args.peer.iter().cloned());
    let mut bench = Bench {
        host: host::Host::read(work_dir.path()),
        servers,
        results: vec![],
        failed: vec![],
        took_s: 0,
    };
    let chosen = |row: &&Row| args.only.is_empty() || args.only.iter().any(|name| name == row.name);
    for row in ROWS.iter().filter(chosen) {
        if stop.is_told() {
            break;
        }
        eprintln!("== {}", row.label);
        match compare_row(args, row, &bench.servers, &work_dir, &stop).await {
            Ok(compared) => bench.results.push(compared),
            // The others are worth having.
            Err(error) => {
                eprintln!("{}: {error}", row.label);
                bench.failed.push(format!("{}: {error}", row.label));
            }
        }
        bench.took_s = begun.elapsed().as_secs();
        // After each scenario, so that a long bench leaves what it has.
        if let Some(path) = &args.json {
            output::write_json(path, &bench)?;
        }
        markdown::write(&args.out, &bench)?;
    }
    output::say(markdown::tables(&bench));
    Ok(bench.failed.is_empty() && bench.comparisons().all(|(_, one)| one.is_clean()))
}

async fn compare_row(
    args: &BenchArgs,
    row: &Row,
    servers: &[(String, String)],
    work_dir: &WorkDir,
    stop: &Arc<Stop>,
) -> Result<Compared, String> {
    let text = row.command_line(args.seconds);
    let load = load_args(&text)?;
    let mut running = Vec::new();
    for (name, command) in servers {
        running.push(Server::start(name, command, work_dir)?);
    }
    let mut fresh_mib = Vec::new();
    for server in &mut running {
        fresh_mib.push(server.fresh().await?);
    }
    let contender = |server: &Server| Contender {
        name: server.name.clone(),
        target: server.target.clone(),
        pids: vec![server.pid()],
        pages: server.pages.clone(),
    };
    let contenders: Vec<Contender> = running.iter().map(contender).collect();
    let sides: Vec<&Contender> = contenders.iter().collect();
    let rounds = if row.once { 1 } else { args.rounds };
    let rounds = compare::in_turn(&load, &sides, rounds, stop.clone()).await?;
    for server in running {
        server.stop().await;
    }
    let others = 1..sides.len();
    let comparisons: Vec<_> = others
        .map(|other| Comparison::between(&sides, &rounds, other))
        .collect();
    for comparison in &comparisons {
        eprintln!("{comparison}");
    }
    Ok(Compared {
        label: row.label,
        args: text,
        fresh_mib,
        comparisons,
    })
}

/// The options as the command line would read them, so that a row says how to repeat it.
fn load_args(text: &str) -> Result<LoadArgs, String> {
    let words = ["perdure-load", "run", "--target", "127.0.0.1:1"]
        .into_iter()
        .chain(text.split_whitespace());
    match Cli::try_parse_from(words) {
        Ok(Cli {
            command: Command::Run(run),
            ..
        }) => Ok(run.load),
        Ok(_) => Err(format!("row {text:?} is not a run")),
        Err(error) => Err(format!("read row {text:?}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_a_load() {
        for row in ROWS {
            let load = load_args(&row.command_line(5));
            assert!(load.is_ok_and(|load| load.check().is_ok()), "{}", row.name);
        }
    }
}
