//! The run on several nodes: restarts, nodes that come and go, kills and a store that is away, under steady load.

mod partition;
mod store;

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use storage::cassandra::{config::CassandraConfig, writers};

use crate::{
    args::{ChurnScale, Part},
    check::{self, Strictness},
    fences,
    fleet::Fleet,
    ledger::Phase,
    load::Load,
    model::Counts,
    sightings::Sightings,
    split::Splits,
};

/// How long no call may fail until a take-over counts as done: longer than a call waits for a shard's next owner.
const QUIET: Duration = Duration::from_secs(6);
const LOOK: Duration = Duration::from_millis(100);
/// How long one page of what the store keeps may take.
const READ_MAX: Duration = Duration::from_secs(30);
/// What may go wrong while a node is dead or cut off: the same call made again may be answered.
const RETRYABLE: [&str; 4] = [
    "Unavailable",
    "Unavailable (connection broke)",
    "DeadlineExceeded",
    "ResourceExhausted",
];
/// What may go wrong while the store is away: the nodes are there, and so are their queues.
const STORELESS: [&str; 2] = ["Unavailable", "DeadlineExceeded"];

/// What a run without violation has shown.
pub(crate) struct Summary {
    pub workflows: usize,
    pub runs: usize,
    pub counts: Counts,
}

struct Churn<'a> {
    fleet: Fleet,
    sightings: Sightings,
    load: Load,
    splits: Splits,
    splits_made: bool,
    scale: ChurnScale,
    directory: &'a Path,
    figures: Vec<String>,
    /// Failed calls where none may fail.
    unexcused: u64,
}

/// Runs to the end or to the first violation.
pub(crate) async fn run(
    server: &Path,
    target: &Path,
    directory: &Path,
    seed: u64,
    scale: ChurnScale,
    parts: &[Part],
) -> Result<Summary, String> {
    let own_users = parts.contains(&Part::Partition);
    let fleet = Fleet::up(server, target, directory, scale, own_users).await?;
    let addresses: Vec<String> = fleet.nodes().into_iter().map(|(_, address)| address).collect();
    println!("{} nodes are ready: {addresses:?}", addresses.len());
    let (load, violations) = Load::new(&addresses, seed, scale.crowd)?;
    let mut churn = Churn {
        sightings: Sightings::begin(&fleet),
        fleet,
        load,
        splits: Splits::new(seed),
        splits_made: false,
        scale,
        directory,
        figures: Vec::new(),
        unexcused: 0,
    };
    violations.or(Box::pin(churn.through(parts))).await
}

impl Churn<'_> {
    async fn through(&mut self, parts: &[Part]) -> Result<Summary, String> {
        let wanted = |part| parts.is_empty() || parts.contains(&part);
        self.load.begin();
        tokio::time::sleep(self.scale.pause).await;
        self.phase("calm");
        tokio::time::sleep(self.scale.calm).await;
        for round in 1..=self.scale.rounds {
            if wanted(Part::Restart) {
                self.restart_all(round).await?;
            }
            if wanted(Part::Add) {
                self.add_and_drain(round).await?;
            }
        }
        if wanted(Part::Kill) {
            for kill in 1..=self.scale.kills {
                self.kill(kill).await?;
            }
        }
        if wanted(Part::Split) {
            self.split_and_merge().await?;
        }
        if parts.contains(&Part::Partition) {
            self.partitions().await?;
        }
        if parts.contains(&Part::Replica) {
            self.replicas().await?;
        }
        if wanted(Part::Outage) && !self.scale.outage.is_zero() {
            self.outage(false).await?;
            self.outage(true).await?;
        }
        self.phase("end");
        let (workflows, runs) = self.load.finish(self.scale.finish_max, self.directory).await?;
        self.close();
        self.one_writer("the end").await?;
        self.figures.extend(self.compare());
        for figure in &self.figures {
            println!("{figure}");
        }
        let errors = self.fleet.errors()?;
        if let Some(first) = errors.first() {
            return Err(format!(
                "{} errors in the nodes' logs, the first: {first}",
                errors.len()
            ));
        }
        if self.unexcused > 0 {
            return Err(format!(
                "{} calls failed while nodes came and went in good order",
                self.unexcused
            ));
        }
        Ok(Summary {
            workflows,
            runs,
            counts: self.load.model.counts(),
        })
    }

    async fn restart_all(&mut self, round: u32) -> Result<(), String> {
        for (name, _) in self.fleet.nodes() {
            self.phase(&format!("restart {round}: {name}"));
            self.fleet.restart(&name).await?;
            tokio::time::sleep(self.scale.pause).await;
        }
        self.check(&format!("restart {round}")).await
    }

    async fn add_and_drain(&mut self, round: u32) -> Result<(), String> {
        self.phase(&format!("add {round}"));
        let name = self.fleet.add(&self.load.api).await?;
        tokio::time::sleep(self.scale.pause).await;
        self.phase(&format!("drain {round}: {name}"));
        self.fleet.drain(&name, &self.load.api).await?;
        tokio::time::sleep(self.scale.pause).await;
        self.check(&format!("drain {round}")).await
    }

    /// Kills one node after the other; its successor takes over before it comes back.
    async fn kill(&mut self, number: u32) -> Result<(), String> {
        let nodes = self.fleet.nodes();
        let (name, _) = &nodes[number as usize % nodes.len()];
        self.phase(&format!("kill {number}: {name}"));
        let killed = Instant::now();
        self.fleet.kill(name).await?;
        self.recovered(killed, &format!("kill {number}: {name}")).await?;
        self.phase(&format!("return {number}: {name}"));
        self.fleet.start(name).await?;
        tokio::time::sleep(self.scale.pause).await;
        self.check(&format!("kill {number}")).await
    }

    /// Splits and merges shards; then kills the nodes that do so.
    async fn split_and_merge(&mut self) -> Result<(), String> {
        self.splits_made = true;
        for _ in 0..self.scale.splits {
            let change = self.splits.choose(&self.fleet).await?;
            self.phase(&change.name());
            let figure = self.splits.make(&self.fleet, &change).await?;
            println!("{figure}");
            self.figures.push(figure);
            tokio::time::sleep(self.scale.pause).await;
        }
        self.check("splits and merges").await?;
        for number in 1..=self.scale.split_kills {
            let change = self.splits.choose(&self.fleet).await?;
            self.phase(&change.name());
            let victim = self.splits.begin(&self.fleet, &change).await?;
            let name = victim.node.clone();
            let what = format!("kill {number}: {name} in {}", change.name());
            self.phase(&what);
            let killed = Instant::now();
            self.fleet.kill(&name).await?;
            let figure = Splits::end(&change, victim).await?;
            println!("{figure}");
            self.figures.push(figure);
            self.recovered(killed, &what).await?;
            self.phase(&format!("return {number}: {name}"));
            self.fleet.start(&name).await?;
            tokio::time::sleep(self.scale.pause).await;
            self.check(&what).await?;
        }
        let figure = Splits::swept(&self.fleet).await?;
        println!("{figure}");
        self.figures.push(figure);
        Ok(())
    }

    /// Waits until no call has failed for a while and says when the last one did.
    async fn recovered(&mut self, since: Instant, what: &str) -> Result<(), String> {
        loop {
            let phase = self.load.api.ledger.open();
            let last = phase.last_failure.unwrap_or(since).max(since);
            if last.elapsed() >= QUIET && self.answers_since(last) {
                let seconds = |at: Instant| at.saturating_duration_since(since).as_secs_f64();
                let slow = phase.last_slow.map_or(0.0, seconds);
                self.figure(format!(
                    "{what}: the last call failed after {:.1} s, the last one was slow after {slow:.1} s",
                    seconds(last)
                ));
                return Ok(());
            }
            if since.elapsed() > self.scale.recovery_max {
                return Err(format!("{what}: calls fail after {:?}: {phase}", since.elapsed()));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether calls go on: silence is no recovery.
    fn answers_since(&self, since: Instant) -> bool {
        self.load
            .api
            .ledger
            .open()
            .last_answer
            .is_some_and(|last| last > since)
    }

    /// Ends the open phase, prints it, and begins another.
    fn phase(&mut self, name: &str) {
        self.close();
        self.load.api.ledger.begin(name);
    }

    fn close(&mut self) {
        let phase = self.load.api.ledger.open();
        println!("{phase}");
        if excused(&phase.name) {
            let storeless = phase.name.starts_with("store") || phase.name.starts_with("replica");
            let allowed: &[&str] = if storeless { &STORELESS } else { &RETRYABLE };
            for ((call, code), count) in &phase.failures {
                if !allowed.contains(&code.as_str()) {
                    self.load
                        .api
                        .violation(format!("{}: {call} failed with {code} {count} times", phase.name));
                }
            }
        } else {
            self.unexcused += phase.unexcused();
        }
    }

    /// Says something now and at the end.
    fn figure(&mut self, figure: String) {
        println!("{figure}");
        self.figures.push(figure);
    }

    /// Checks that no shard ever had two writers.
    async fn one_writer(&self, after: &str) -> Result<(), String> {
        if self.splits_made {
            // Epochs of shards that are no more are deleted, and new ones begin with the batches of others.
            println!("after {after}: shards were split, writers are not compared");
            return Ok(());
        }
        let beliefs = self.sightings.beliefs();
        let stores = self.fleet.stores();
        let hosts: Vec<_> = stores.iter().map(|store| store.ip().to_string()).collect();
        let config = CassandraConfig {
            port: stores.first().map_or(0, SocketAddr::port),
            // It reads all there is, while the load goes on.
            timeout: READ_MAX,
            ..CassandraConfig::new(hosts.join(","))
        };
        let stored = Box::pin(writers::read(&config)).await;
        let stored = stored.map_err(|error| error.to_string())?;
        let checked =
            fences::check(&stored, &beliefs).map_err(|problem| format!("after {after}: {problem}"))?;
        println!(
            "after {after}: one writer at a time in {} epochs of {} shards, by {} marks of batches and {} beliefs",
            checked.epochs,
            stored.len(),
            checked.marks,
            checked.beliefs
        );
        Ok(())
    }

    /// Looks for everything that was acknowledged.
    async fn check(&self, after: &str) -> Result<(), String> {
        let records = self.load.model.copy(|_, record| !record.ended);
        check::check(&self.load.api, records, Strictness::Acknowledged, self.directory)
            .await
            .map(drop)
            .map_err(|problem| format!("after {after}: {problem}"))
    }

    /// Compares calls before and while nodes come and go.
    fn compare(&self) -> Vec<String> {
        let mut sums = [
            ("calm", "calm"),
            ("all restarts", "restart"),
            ("all that came", "add"),
            ("all that were drained", "drain"),
            ("all splits", "split"),
            ("all merges", "merge"),
            ("all kills", "kill"),
            ("all cuts", "cut"),
            ("all replicas", "replica"),
        ]
        .map(|(name, prefix)| (Phase::sum(name), prefix));
        for phase in self.load.api.ledger.all() {
            for (sum, prefix) in &mut sums {
                if phase.name.starts_with(*prefix) {
                    sum.add(&phase);
                }
            }
        }
        let sums = sums.into_iter().map(|(sum, _)| sum);
        sums.filter(|sum| sum.calls > 0)
            .map(|sum| sum.to_string())
            .collect()
    }
}

/// Whether calls may fail in this phase.
fn excused(phase: &str) -> bool {
    let excused = ["kill", "cut", "store", "replica"];
    excused.iter().any(|what| phase.starts_with(what)) || phase == "start"
}
