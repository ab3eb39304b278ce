//! The command line: what each option is called, means and defaults to.
//!
//! Parses into types; decides nothing.

use std::{fs, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::{
    drive::Pace,
    mix::{self, Mix},
    scenario::{Numbers, Scenario},
    schedule::Arrivals,
    text::{self, Contender},
};

const RUN_EXAMPLES: &str = "Examples:
  perdure-load run --target 127.0.0.1:7233 --scenario noop --concurrency 64 --duration 20s
  perdure-load run --target 127.0.0.1:7233 --scenario activity --rate 10 --duration 30s --server-pid 4711
  perdure-load run --target 127.0.0.1:7233 --scenario signals --workflows 5 --ops 2000 --callers 16 --concurrency 1
  perdure-load run --target a:7233,b:7233 --scenario sequential --workflows 1000 --report run.html --json run.json
  perdure-load run --target 127.0.0.1:7233 --scenario sleepers --workflows 10000 --idle 30s --server-pid 4711";

const COMPARE_EXAMPLES: &str = "Example:
  perdure-load compare --a ours=127.0.0.1:7233,4711 --b peer=127.0.0.1:7234,4712 --scenario noop --rounds 5 --duration 8s

Ratios are b/a for cost and latency and a/b for throughput: above 1 means that A is better.";

const BENCH_EXAMPLES: &str = "Example:
  perdure-load bench --ours 'target/release/perdure server --listen 127.0.0.1:{port} --data-dir {dir}' \\
    --peer 'official=temporal server start-dev --headless --ip 127.0.0.1 --port {port} --log-level error --db-filename {dir}/db' \\
    --out docs/benchmarks.md";

/// Plays clients and workers against any server that speaks the Temporal API, and measures it.
#[derive(Debug, Parser)]
#[command(name = "perdure-load", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Threads of the harness; one costs least
    #[arg(long, global = true, default_value_t = 1)]
    pub threads: usize,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One load against one server or cluster
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<RunArgs>),
    /// The same load against two servers in turn, and the ratios
    #[command(after_help = COMPARE_EXAMPLES)]
    Compare(Box<CompareArgs>),
    /// Starts two servers and compares them by all scenarios
    #[command(after_help = BENCH_EXAMPLES)]
    Bench(BenchArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Servers to spread calls and pollers over
    #[arg(long, value_delimiter = ',', required = true, value_name = "HOST:PORT")]
    pub target: Vec<String>,
    /// Processes whose CPU, memory and writes are the server's
    #[arg(long, value_delimiter = ',', value_name = "PID")]
    pub server_pid: Vec<u32>,
    /// Where a Perdure server shows its metrics: its syncs are counted
    #[arg(long, value_name = "HOST:PORT")]
    pub server_pages: Option<String>,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a self-contained report
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Write the latency distribution in HdrHistogram's percentile format
    #[arg(long, value_name = "FILE")]
    pub hdr: Option<PathBuf>,
    #[command(flatten)]
    pub load: LoadArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// First server
    #[arg(long, value_parser = text::contender, value_name = "NAME=HOST:PORT[,PID..]")]
    pub a: Contender,
    /// Second server
    #[arg(long, value_parser = text::contender, value_name = "NAME=HOST:PORT[,PID..]")]
    pub b: Contender,
    /// Runs of each
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Write all runs and ratios as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    #[command(flatten)]
    pub load: LoadArgs,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Command that starts our server; {port}, {http} (a second port, for its metrics) and {dir} are filled in
    #[arg(long, value_name = "COMMAND")]
    pub ours: String,
    /// Another server and the command that starts it; may be given several times
    #[arg(long, value_parser = text::named, required = true, value_name = "NAME=COMMAND")]
    pub peer: Vec<(String, String)>,
    #[arg(long, default_value = "Perdure")]
    pub ours_name: String,
    /// Runs of each server and scenario
    #[arg(long, default_value_t = 2)]
    pub rounds: usize,
    /// Length of each run's window
    #[arg(long, default_value_t = 5)]
    pub seconds: u64,
    /// Only these rows
    #[arg(long, value_delimiter = ',', value_name = "ROW")]
    pub only: Vec<String>,
    /// Document whose marked part becomes the tables
    #[arg(long, default_value = "docs/benchmarks.md", value_name = "FILE.md")]
    pub out: PathBuf,
    /// Write all runs as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Folder beneath which the servers' data lives meanwhile
    #[arg(long, value_name = "FOLDER")]
    pub work_dir: Option<PathBuf>,
}

/// The load itself.
#[derive(Clone, Debug, Args)]
pub(crate) struct LoadArgs {
    /// Namespaces to spread workflows over; made if they are not there
    #[arg(long, value_delimiter = ',', default_value = "default", value_name = "NAME")]
    pub namespace: Vec<String>,
    #[arg(long, value_enum, default_value_t = Scenario::Noop)]
    pub scenario: Scenario,
    /// Mix scenarios by weight instead: a YAML map such as `noop: 60`
    #[arg(long, conflicts_with = "scenario", value_name = "FILE.yaml")]
    pub mix: Option<PathBuf>,
    /// End after so many workflows (default when there is no --duration: 1000)
    #[arg(long)]
    pub workflows: Option<u64>,
    /// End after so long
    #[arg(long, value_parser = text::duration, conflicts_with = "workflows")]
    pub duration: Option<Duration>,
    /// Closed loop: keep so many workflows in flight
    #[arg(long, default_value_t = 64)]
    pub concurrency: usize,
    /// Open loop: start so many per second; latency counts from the intended start
    #[arg(long, conflicts_with = "concurrency")]
    pub rate: Option<f64>,
    /// How the open loop spreads its starts
    #[arg(long, value_enum, default_value_t = Arrivals::Even)]
    pub arrivals: Arrivals,
    /// Open loop: leave starts out beyond so many in flight
    #[arg(long, default_value_t = 100_000)]
    pub in_flight_max: usize,
    /// Run this long before anything counts
    #[arg(long, value_parser = text::duration, default_value = "3s")]
    pub warm_up: Duration,
    /// Give up when nothing ended for so long
    #[arg(long, value_parser = text::duration, default_value = "60s")]
    pub drain: Duration,
    /// Bytes of each payload
    #[arg(long, value_parser = text::size)]
    pub payload: Option<usize>,
    /// Task queues of each namespace to spread workflows over
    #[arg(long, default_value_t = 1)]
    pub task_queues: usize,
    /// Pollers of each kind (workflow, sticky, activity) and queue
    #[arg(long, default_value_t = 8)]
    pub pollers: usize,
    /// Tasks of each kind worked on at a time, in each namespace
    #[arg(long, default_value_t = 200)]
    pub slots: usize,
    /// Workers remember nothing: each task comes with its full history
    #[arg(long)]
    pub no_sticky: bool,
    /// Ask for activities along with the answer to a workflow task
    #[arg(long)]
    pub eager_activities: bool,
    /// Connections to each target, for clients and for workers each
    #[arg(long, default_value_t = 1)]
    pub connections: usize,
    /// Deadline of one attempt of a call
    #[arg(long, value_parser = text::duration, default_value = "10s")]
    pub call_timeout: Duration,
    /// Make a failed call again for so long; 0 for never
    #[arg(long, value_parser = text::duration, default_value = "60s")]
    pub retry_for: Duration,
    /// Workflows to describe one by one at the end
    #[arg(long, default_value_t = 50)]
    pub sample: usize,
    /// Do not ask the server at the end whether it agrees
    #[arg(long)]
    pub no_verify: bool,
    #[command(flatten)]
    pub numbers: NumberArgs,
}

/// Numbers of particular scenarios.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Scenario options")]
pub(crate) struct NumberArgs {
    /// sequential, parallel: activities of each workflow
    #[arg(long, default_value_t = 10)]
    pub activities: u32,
    /// children: of each workflow
    #[arg(long, default_value_t = 5)]
    pub children: u32,
    /// chain: times each workflow continues as new
    #[arg(long, default_value_t = 2)]
    pub links: u32,
    /// signal, signals, update, query: operations on each workflow (1; signals: 1000)
    #[arg(long)]
    pub ops: Option<u32>,
    /// signals: callers that share them
    #[arg(long, default_value_t = 16)]
    pub callers: u32,
    /// timer: how long
    #[arg(long, value_parser = text::duration, default_value = "1s")]
    pub timer: Duration,
    /// sleepers: how long each would sleep
    #[arg(long, value_parser = text::duration, default_value = "24h")]
    pub sleep: Duration,
    /// sleepers: timers of each
    #[arg(long, default_value_t = 1)]
    pub timers: u32,
    /// sleepers: how long to watch them asleep
    #[arg(long, value_parser = text::duration, default_value = "20s")]
    pub idle: Duration,
    /// sleepers: leave them behind instead of terminating them
    #[arg(long)]
    pub leave: bool,
    /// large-history: workflow tasks of each workflow
    #[arg(long, default_value_t = 20)]
    pub tasks: u32,
    /// large-history: markers of each task
    #[arg(long, default_value_t = 50)]
    pub markers: u32,
}

const WORKFLOWS: u64 = 1000;

impl LoadArgs {
    pub(crate) fn numbers(&self) -> Numbers {
        let numbers = &self.numbers;
        Numbers {
            activities: numbers.activities,
            children: numbers.children,
            links: numbers.links,
            ops: numbers.ops,
            callers: numbers.callers,
            timer: numbers.timer,
            sleep: numbers.sleep,
            timers: numbers.timers,
            tasks: numbers.tasks,
            markers: numbers.markers,
            payload: self.payload,
        }
    }

    pub(crate) fn mix(&self) -> Result<Mix, String> {
        let Some(path) = &self.mix else {
            return Ok(Mix::one(self.scenario.shape(&self.numbers())));
        };
        let text = fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))?;
        Ok(Mix::of(&mix::parse(&text)?, &self.numbers()))
    }

    /// What the load is called.
    pub(crate) fn title(&self) -> String {
        if self.mix.is_some() {
            "mix".to_owned()
        } else {
            self.scenario.name()
        }
    }

    pub(crate) fn pace(&self) -> Pace {
        match self.rate {
            Some(rate) => Pace::Open {
                rate,
                arrivals: self.arrivals,
                in_flight_max: self.in_flight_max,
            },
            None => Pace::Closed {
                concurrency: self.concurrency,
            },
        }
    }

    /// Measured workflows to start, if the load is bounded by their number.
    pub(crate) fn workflow_limit(&self) -> Option<u64> {
        match self.duration {
            Some(_) => None,
            None => Some(self.workflows.unwrap_or(WORKFLOWS)),
        }
    }

    /// Refuses numbers that make no load.
    pub(crate) fn check(&self) -> Result<(), String> {
        let zero = [
            (self.concurrency == 0, "--concurrency"),
            (
                self.rate.is_some_and(|rate| !rate.is_finite() || rate <= 0.0),
                "--rate",
            ),
            (self.pollers == 0, "--pollers"),
            (self.slots == 0, "--slots"),
            (self.task_queues == 0, "--task-queues"),
        ];
        let found = zero.into_iter().find(|(zero, _)| *zero);
        found.map_or(Ok(()), |(_, name)| Err(format!("{name} must be above zero")))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_load_is_bounded_by_number_or_by_time() {
        let parse = |args: &str| {
            let cli = Cli::try_parse_from(format!("perdure-load run --target h:1 {args}").split_whitespace());
            match cli.map(|cli| cli.command) {
                Ok(Command::Run(run)) => Some(run.load),
                _ => None,
            }
        };
        assert_eq!(parse("").and_then(|load| load.workflow_limit()), Some(WORKFLOWS));
        assert_eq!(
            parse("--duration 5s").and_then(|load| load.workflow_limit()),
            None
        );
        assert!(parse("--duration 5s --workflows 3").is_none());
        assert!(parse("--rate 0").is_some_and(|load| load.check().is_err()));
        assert!(parse("--rate 10 --duration 5s").is_some_and(|load| load.check().is_ok()));
    }
}
