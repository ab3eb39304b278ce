//! `cargo xtask bench-cassandra`: servers on as many Cassandra nodes under load, and what each workflow costs both; or
//! workflows asleep on them, and what that costs.
//!
//! Conditional writes are counted by Cassandra, state transitions by the servers.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command, time::Duration};

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
const SECONDS_ASLEEP: u64 = 300;
const PAGE_KIB: f64 = 4.0;
/// Seconds that each load runs before the counts are taken, so that the server's code and Cassandra's are warm.
const WARM_UP: u64 = 10;
/// Tasks that the worker works on at a time, and its pollers, so that it is not what the workflows wait for.
const SLOTS: &str = "2048";
const POLLERS: &str = "32";
/// How many are put to sleep at a time.
const FALLING_ASLEEP: &str = "512";
/// How long the servers have to come to rest once all are asleep.
const SETTLE: Duration = Duration::from_secs(30);
/// Ticks of processor time in a second, as Linux counts for programs.
const TICKS: f64 = 100.0;

/// Where things are.
struct Bench {
    nodes: Vec<Node>,
    servers: Vec<u32>,
    stores: Vec<u32>,
    load: PathBuf,
    folder: PathBuf,
    seconds: u64,
}

/// What is asked for.
struct Asked {
    nodes: u8,
    seconds: Option<u64>,
    sleepers: Option<u64>,
    concurrency: Vec<String>,
    scenarios: Vec<String>,
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

/// `[--server PATH --load PATH] [--seconds N] [--nodes N] [--sleepers N] [--concurrency N,N] [--only SCENARIO,..]`.
pub(crate) fn bench(args: &[String]) -> Result<(), String> {
    let option = |name: &str| {
        let at = args.iter().position(|argument| argument == name)?;
        args.get(at + 1).cloned()
    };
    let count = |name: &str| {
        let parsed = option(name).map(|text| text.parse::<u64>()).transpose();
        parsed.map_err(|_| format!("{name} wants a number"))
    };
    let list = |name: &str, default: &[&str]| match option(name) {
        Some(text) => text.split(',').map(str::to_owned).collect(),
        None => default.iter().map(|word| (*word).to_owned()).collect(),
    };
    let asked = Asked {
        nodes: u8::try_from(count("--nodes")?.unwrap_or(1)).map_err(|_| "--nodes wants 1 to 9")?,
        seconds: count("--seconds")?,
        sleepers: count("--sleepers")?,
        concurrency: list("--concurrency", &CONCURRENCY),
        scenarios: list("--only", &SCENARIOS),
    };
    let (server, load) = match (option("--server"), option("--load")) {
        (Some(server), Some(load)) => (server.into(), load.into()),
        _ => profile::build()?,
    };
    let folder = target().join("cassandra/bench");
    let options = Options {
        folder: folder.clone(),
        target: target(),
        program: server,
        nodes: asked.nodes.into(),
        store: launcher::Options {
            nodes: asked.nodes,
            ..launcher::Options::default()
        },
        own_users: false,
    };
    let cluster = Cluster::up(&options).map_err(|error| error.to_string())?;
    let measured = Bench::of(&cluster, load, folder, &asked).and_then(|bench| match asked.sleepers {
        Some(sleepers) => bench.asleep(sleepers),
        None => bench.all(&asked),
    });
    let ended = cluster.down().map_err(|error| error.to_string());
    measured.and(ended)
}

impl Bench {
    fn of(cluster: &Cluster, load: PathBuf, folder: PathBuf, asked: &Asked) -> Result<Self, String> {
        let nodes = cluster.nodes().to_vec();
        let asleep = asked.sleepers.is_some();
        Ok(Self {
            servers: nodes.iter().filter_map(|node| node.pid).collect(),
            nodes,
            stores: cluster.state().store.pids.clone(),
            load,
            folder,
            seconds: asked
                .seconds
                .unwrap_or(if asleep { SECONDS_ASLEEP } else { SECONDS }),
        })
    }

    fn all(&self, asked: &Asked) -> Result<(), String> {
        for scenario in &asked.scenarios {
            for concurrency in &asked.concurrency {
                self.saturated(scenario, concurrency)?;
            }
            self.at_low_load(scenario)?;
        }
        Ok(())
    }

    fn saturated(&self, scenario: &str, concurrency: &str) -> Result<(), String> {
        let pace = [
            "--concurrency",
            concurrency,
            "--slots",
            SLOTS,
            "--pollers",
            POLLERS,
        ];
        let (load, before, after) = self.measure(scenario, &pace)?;
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
        let lasts = |seconds: u64| format!("{seconds}s");
        self.load(scenario, &[pace, &["--duration", &lasts(WARM_UP)]].concat())?;
        let before = self.totals()?;
        let load = self.load(scenario, &[pace, &["--duration", &lasts(self.seconds)]].concat())?;
        Ok((load, before, self.totals()?))
    }

    fn load(&self, scenario: &str, how: &[&str]) -> Result<Value, String> {
        let file = self.folder.join("load.json");
        let targets: Vec<String> = self.nodes.iter().map(|node| node.client.to_string()).collect();
        let servers: Vec<String> = self.servers.iter().map(u32::to_string).collect();
        run(Command::new(&self.load)
            .args(["run", "--scenario", scenario])
            .args(["--target", &targets.join(",")])
            .args(["--server-pid", &servers.join(",")])
            .args(how)
            .arg("--json")
            .arg(&file))?;
        let text = fs::read_to_string(&file).map_err(|error| format!("read {}: {error}", file.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("read {}: {error}", file.display()))
    }

    /// Puts workflows to sleep, leaves them alone, and tells what the cluster does meanwhile.
    fn asleep(&self, workflows: u64) -> Result<(), String> {
        let fresh = self.resident_mib()?;
        let count = workflows.to_string();
        let how = [
            ["--workflows", &count, "--concurrency", FALLING_ASLEEP],
            ["--slots", SLOTS, "--pollers", POLLERS],
        ];
        let left = ["--idle", "1s", "--leave"];
        self.load("sleepers", &[&how.concat()[..], &left].concat())?;
        rest(SETTLE);
        let (before, asked) = (self.totals()?, self.requests()?);
        let cpu: Vec<f64> = self
            .servers
            .iter()
            .map(|pid| cpu_s(*pid))
            .collect::<Result<_, _>>()?;
        rest(Duration::from_secs(self.seconds));
        let (after, seconds) = (self.totals()?, self.seconds as f64);
        let counts = after.counts.since(before.counts);
        println!(
            "{workflows} workflows asleep for {seconds} s on {} nodes, store operations a second: {:.2} conditional writes, {:.2} other writes, {:.2} reads",
            self.nodes.len(),
            counts.conditional as f64 / seconds,
            counts.writes as f64 / seconds,
            counts.reads as f64 / seconds,
        );
        println!(
            "  Cassandra: {:.1} ms of processor time a second",
            (after.store_cpu_s - before.store_cpu_s) * 1e3 / seconds,
        );
        for (((node, pid), cpu), (fresh, full)) in self
            .nodes
            .iter()
            .zip(&self.servers)
            .zip(cpu)
            .zip(fresh.iter().zip(self.resident_mib()?))
        {
            let cpu = (cpu_s(*pid)? - cpu) * 1e3 / seconds;
            println!(
                "  {}: {cpu:.2} ms of processor time a second, {full:.0} MiB resident, {fresh:.0} MiB when fresh",
                node.name
            );
        }
        for (operation, count) in self.requests()? {
            let made = count - asked.get(&operation).copied().unwrap_or(0.0);
            if made > 0.0 {
                println!("  {operation}: {:.3}/s", made / seconds);
            }
        }
        Ok(())
    }

    fn totals(&self) -> Result<Totals, String> {
        let sum = |name| Ok::<f64, String>(self.series(name)?.values().sum());
        let cpu = |pids: &[u32]| pids.iter().map(|pid| cpu_s(*pid)).sum::<Result<f64, String>>();
        let mut counts = Counts::default();
        for store in &self.stores {
            counts = counts.and(Counts::of(*store).map_err(|error| error.to_string())?);
        }
        Ok(Totals {
            transitions: sum("perdure_batch_transitions_sum")?,
            batches: sum("perdure_batch_transitions_count")?,
            server_cpu_s: cpu(&self.servers)?,
            store_cpu_s: cpu(&self.stores)?,
            counts,
        })
    }

    /// What the servers asked their stores and indexes for.
    fn requests(&self) -> Result<BTreeMap<String, f64>, String> {
        let mut requests = self.series("persistence_requests")?;
        requests.extend(self.series("visibility_persistence_requests")?);
        Ok(requests)
    }

    /// Sums over the servers, by what follows the name.
    fn series(&self, name: &str) -> Result<BTreeMap<String, f64>, String> {
        let mut sums = BTreeMap::new();
        for node in &self.nodes {
            let page = page::text(node.http, "/metrics").map_err(|error| format!("read metrics: {error}"))?;
            for line in page.lines().filter(|line| line.starts_with(name)) {
                if let Some((series, Ok(value))) = line
                    .rsplit_once(' ')
                    .map(|(series, value)| (series, value.parse::<f64>()))
                {
                    *sums.entry(series.to_owned()).or_default() += value;
                }
            }
        }
        Ok(sums)
    }

    fn resident_mib(&self) -> Result<Vec<f64>, String> {
        let resident = |pid: &u32| {
            let file = format!("/proc/{pid}/statm");
            let text = fs::read_to_string(&file).map_err(|error| format!("read {file}: {error}"))?;
            let pages = text
                .split_whitespace()
                .nth(1)
                .and_then(|pages| pages.parse::<f64>().ok());
            pages
                .map(|pages| pages * PAGE_KIB / 1024.0)
                .ok_or_else(|| format!("read {file}: it has no size"))
        };
        self.servers.iter().map(resident).collect()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a measurement takes its time; no runtime runs here"
)]
fn rest(time: Duration) {
    std::thread::sleep(time);
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
