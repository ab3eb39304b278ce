//! `cargo xtask bench-cassandra`: one server on one Cassandra node under load, and what each workflow costs both.
//!
//! Conditional writes are counted by Cassandra, state transitions by the server.

use std::{fs, path::PathBuf, process::Command};

use launcher::Counts;
use nodes::{
    cluster::{Cluster, Options},
    page,
    state::Node,
};
use serde_json::Value;

use crate::{profile, run, target};

const SCENARIOS: [&str; 2] = ["noop", "activity"];
/// Workflows in flight at saturation: some to each shard, and many. Starts a second at low load.
const CONCURRENCY: [&str; 3] = ["64", "512", "2048"];
const RATE: &str = "10";
const SECONDS: u64 = 30;
/// Seconds that each load runs before the counts are taken, so that the server's code and Cassandra's are warm.
const WARM_UP: u64 = 10;
/// Ticks of processor time in a second, as Linux counts for programs.
const TICKS: f64 = 100.0;

/// Where things are.
struct Bench {
    node: Node,
    server: u32,
    store: u32,
    load: PathBuf,
    folder: PathBuf,
    seconds: u64,
}

/// What was counted until some moment.
#[derive(Clone, Copy)]
struct Totals {
    counts: Counts,
    transitions: f64,
    batches: f64,
    server_cpu_s: f64,
    store_cpu_s: f64,
}

/// `[--server PATH --load PATH] [--seconds N]`.
pub(crate) fn bench(args: &[String]) -> Result<(), String> {
    let option = |name: &str| {
        let at = args.iter().position(|argument| argument == name)?;
        args.get(at + 1).cloned()
    };
    let (server, load) = match (option("--server"), option("--load")) {
        (Some(server), Some(load)) => (server.into(), load.into()),
        _ => profile::build()?,
    };
    let seconds = option("--seconds").map_or(Ok(SECONDS), |text| text.parse());
    let seconds = seconds.map_err(|_| "--seconds wants a number".to_owned())?;
    let folder = target().join("cassandra/bench");
    let options = Options {
        folder: folder.clone(),
        target: target(),
        program: server,
        nodes: 1,
        store: launcher::Options::default(),
        own_users: false,
    };
    let cluster = Cluster::up(&options).map_err(|error| error.to_string())?;
    let measured = Bench::of(&cluster, load, folder, seconds).and_then(|bench| bench.all());
    let ended = cluster.down().map_err(|error| error.to_string());
    measured.and(ended)
}

impl Bench {
    fn of(cluster: &Cluster, load: PathBuf, folder: PathBuf, seconds: u64) -> Result<Self, String> {
        let node = cluster.nodes().first().cloned().ok_or("no node was started")?;
        let server = node.pid.ok_or("the node does not run")?;
        let store = *cluster.state().store.pids.first().ok_or("no store was started")?;
        Ok(Self {
            node,
            server,
            store,
            load,
            folder,
            seconds,
        })
    }

    fn all(&self) -> Result<(), String> {
        for scenario in SCENARIOS {
            for concurrency in CONCURRENCY {
                self.saturated(scenario, concurrency)?;
            }
            self.at_low_load(scenario)?;
        }
        Ok(())
    }

    fn saturated(&self, scenario: &str, concurrency: &str) -> Result<(), String> {
        let (load, before, after) = self.measure(scenario, &["--concurrency", concurrency])?;
        let workflows = number(&load, &["counts", "closed"])?;
        let counts = after.counts.since(before.counts);
        let transitions = after.transitions - before.transitions;
        println!(
            "{scenario}, {concurrency} in flight: {:.0} workflows/s, p50 {:.1} ms, p99 {:.1} ms",
            number(&load, &["workflows_per_s"])?,
            number(&load, &["latency_ms", "p50"])?,
            number(&load, &["latency_ms", "p99"])?,
        );
        println!(
            "  CPU ms per workflow: server {:.2}, Cassandra {:.2}",
            (after.server_cpu_s - before.server_cpu_s) * 1e3 / workflows,
            (after.store_cpu_s - before.store_cpu_s) * 1e3 / workflows,
        );
        println!(
            "  conditional writes per 1,000 state transitions: {:.1} ({} for {transitions}; {:.1} transitions in a batch)",
            counts.conditional as f64 * 1e3 / transitions,
            counts.conditional,
            transitions / (after.batches - before.batches),
        );
        println!(
            "  per workflow: {:.2} state transitions, {:.2} conditional writes, {:.2} other writes, {:.2} reads",
            transitions / workflows,
            counts.conditional as f64 / workflows,
            counts.writes as f64 / workflows,
            counts.reads as f64 / workflows,
        );
        Ok(())
    }

    fn at_low_load(&self, scenario: &str) -> Result<(), String> {
        let (load, before, after) = self.measure(scenario, &["--rate", RATE])?;
        let counts = after.counts.since(before.counts);
        let unit = counts.conditional_us as f64 / 1e3 / counts.conditional as f64;
        println!("{scenario}, {RATE}/s: one conditional write takes Cassandra {unit:.2} ms");
        for quantile in ["p50", "p99"] {
            let latency = number(&load, &["latency_ms", quantile])?;
            println!(
                "  start to complete, {quantile}: {latency:.1} ms, {:.1} conditional writes",
                latency / unit
            );
        }
        Ok(())
    }

    /// Runs a load, twice: to warm up, and to measure.
    fn measure(&self, scenario: &str, pace: &[&str]) -> Result<(Value, Totals, Totals), String> {
        self.load(scenario, pace, WARM_UP)?;
        let before = self.totals()?;
        let load = self.load(scenario, pace, self.seconds)?;
        Ok((load, before, self.totals()?))
    }

    fn load(&self, scenario: &str, pace: &[&str], seconds: u64) -> Result<Value, String> {
        let file = self.folder.join("load.json");
        run(Command::new(&self.load)
            .args([
                "run",
                "--scenario",
                scenario,
                "--target",
                &self.node.client.to_string(),
            ])
            .args(["--server-pid", &self.server.to_string()])
            .args(["--duration", &format!("{seconds}s")])
            .args(pace)
            .arg("--json")
            .arg(&file))?;
        let text = fs::read_to_string(&file).map_err(|error| format!("read {}: {error}", file.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("read {}: {error}", file.display()))
    }

    fn totals(&self) -> Result<Totals, String> {
        let page =
            page::text(self.node.http, "/metrics").map_err(|error| format!("read metrics: {error}"))?;
        let series = |name: &str| -> f64 {
            let lines = page.lines().filter(|line| line.starts_with(name));
            let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
            values.sum()
        };
        Ok(Totals {
            transitions: series("perdure_batch_transitions_sum"),
            batches: series("perdure_batch_transitions_count"),
            server_cpu_s: cpu_s(self.server)?,
            store_cpu_s: cpu_s(self.store)?,
            counts: Counts::of(self.store).map_err(|error| error.to_string())?,
        })
    }
}

/// Seconds of processor time that a process has used.
fn cpu_s(pid: u32) -> Result<f64, String> {
    let file = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&file).map_err(|error| format!("read {file}: {error}"))?;
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = fields.get(11..13).unwrap_or_default();
    let ticks: Vec<f64> = ticks.iter().filter_map(|field| field.parse().ok()).collect();
    if ticks.len() < 2 {
        return Err(format!("read {file}: it has no times"));
    }
    Ok(ticks.iter().sum::<f64>() / TICKS)
}

fn number(document: &Value, path: &[&str]) -> Result<f64, String> {
    let found = path.iter().try_fold(document, |value, key| value.get(key));
    found
        .and_then(Value::as_f64)
        .ok_or_else(|| format!("the load's result has no {}", path.join(".")))
}
