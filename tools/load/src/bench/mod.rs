//! The whole comparison: starts both servers fresh for each scenario, runs them in turn, writes the tables.
//!
//! Owns the servers' processes. `compare` does the rounds.

mod host;
mod launch;
mod markdown;
mod rows;

use std::sync::Arc;

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

/// One scenario, compared.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Compared {
    pub label: &'static str,
    pub args: String,
    pub comparison: Comparison,
}

/// Everything, to be written down.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Bench {
    pub host: host::Host,
    pub commands: [String; 2],
    pub results: Vec<Compared>,
}

/// Runs the bench and writes its files; whether every run was clean.
pub(crate) async fn bench(args: &BenchArgs, stop: Arc<Stop>) -> Result<bool, String> {
    let work_dir = WorkDir::create(args.work_dir.as_deref())?;
    let mut bench = Bench {
        host: host::Host::read(work_dir.path()),
        commands: [args.ours.clone(), args.peer.clone()],
        results: vec![],
    };
    let chosen = |row: &&Row| args.only.is_empty() || args.only.iter().any(|name| name == row.name);
    for row in ROWS.iter().filter(chosen) {
        if stop.is_told() {
            break;
        }
        eprintln!("== {}", row.label);
        bench
            .results
            .push(compare_row(args, row, &work_dir, &stop).await?);
        // After each scenario, so that a long bench leaves what it has.
        if let Some(path) = &args.json {
            output::write_json(path, &bench)?;
        }
        markdown::write(&args.out, &bench)?;
    }
    output::say(markdown::tables(&bench));
    Ok(bench.results.iter().all(|result| result.comparison.is_clean()))
}

async fn compare_row(
    args: &BenchArgs,
    row: &Row,
    work_dir: &WorkDir,
    stop: &Arc<Stop>,
) -> Result<Compared, String> {
    let text = row.command_line(args.seconds);
    let load = load_args(&text)?;
    let start = |name: &str, command: &str| Server::start(name, command, work_dir);
    let ours = start(&args.ours_name, &args.ours)?;
    let peer = start(&args.peer_name, &args.peer)?;
    let contender = |server: &Server| Contender {
        name: server.name.clone(),
        target: server.target.clone(),
        pids: vec![server.pid()],
    };
    let comparison = compare::compare(
        &load,
        &contender(&ours),
        &contender(&peer),
        args.rounds,
        stop.clone(),
    )
    .await?;
    ours.stop().await;
    peer.stop().await;
    eprintln!("{comparison}");
    Ok(Compared {
        label: row.label,
        args: text,
        comparison,
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
