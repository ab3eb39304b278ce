//! One run: sets everything up, takes the window, waits for the rest, checks, sums up.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use proto::temporal::enums::v1::WorkflowExecutionStatus;
use tokio::task::JoinSet;

use crate::{
    cli::LoadArgs,
    client::{Api, Patience},
    drive::{self, Bounds, Pace, Stop},
    flow::Flow,
    ledger::{Ledger, Verdict},
    pages,
    payload::Filler,
    process::{self, Usage},
    recorder::{Counts, Latency, Recorder},
    sampler::Sampler,
    scenario::Scenario,
    setup,
    summary::{Asleep, Cost, Filled, Summary},
    verify::{self, Verification},
    worker::{Settings, Worker},
};

const READY_PATIENCE: Duration = Duration::from_secs(30);
const WATCH: Duration = Duration::from_millis(100);
/// The warm-up waits at most so much longer for the first workflows to end.
const WARM_UP_MORE_MAX: Duration = Duration::from_secs(60);
/// A window shorter than so many median latencies is too short to tell rates from,
const WINDOW_MEDIANS_MIN: f64 = 3.0;
/// and so is one that fewer workflows ended in.
const WINDOW_WORKFLOWS_MIN: u64 = 10;
/// Between the last workflow falling asleep and watching them.
const SETTLE: Duration = Duration::from_secs(5);
const TERMINATE_CALLERS: usize = 16;

/// Whom to load.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub name: String,
    pub addresses: Vec<String>,
    pub pids: Vec<u32>,
    /// Where it shows its metrics, if it is one of ours.
    pub pages: Option<String>,
}

impl Target {
    /// `pids` are counted with their descendants.
    pub(crate) fn new(name: &str, addresses: &[String], pids: &[u32], pages: Option<&String>) -> Self {
        let pids = pids.iter().flat_map(|pid| process::tree(*pid)).collect();
        Self {
            name: name.to_owned(),
            addresses: addresses.to_vec(),
            pids,
            pages: pages.cloned(),
        }
    }
}

/// A run's result and all its latencies.
pub(crate) struct Outcome {
    pub summary: Summary,
    pub latency_us: Histogram<u64>,
}

/// Totals at one moment.
#[derive(Clone, Copy)]
struct Snapshot {
    at: Instant,
    counts: Counts,
    server: Usage,
    harness: Usage,
    machine_cpu_ms: u64,
    fsyncs: Option<u64>,
}

impl Snapshot {
    /// Cores that neither the server nor the harness used until `end`.
    fn others_cores(&self, end: &Self) -> f64 {
        let used = |begin: Usage, end: Usage| end.cpu_ms.saturating_sub(begin.cpu_ms);
        let known = used(self.server, end.server) + used(self.harness, end.harness);
        let all = end.machine_cpu_ms.saturating_sub(self.machine_cpu_ms);
        all.saturating_sub(known) as f64 / 1e3 / (end.at - self.at).as_secs_f64().max(1e-9)
    }
}

fn fsyncs_between(begin: &Snapshot, end: &Snapshot) -> Option<u64> {
    Some(end.fsyncs?.saturating_sub(begin.fsyncs?))
}

struct Run<'a> {
    load: &'a LoadArgs,
    target: &'a Target,
    flow: Arc<Flow>,
    /// One for each namespace.
    workers: Vec<Arc<Worker>>,
    version: String,
    stop: Arc<Stop>,
}

/// Runs the load once. `live` shows a progress line; `stop` ends it early, cleanly.
pub(crate) async fn run(
    load: &LoadArgs,
    target: &Target,
    live: bool,
    stop: Arc<Stop>,
) -> Result<Outcome, String> {
    load.check()?;
    let run = Run::prepare(load, target, stop).await?;
    let label = format!("{} {}", target.name, load.title());
    let flow = &run.flow;
    let pids = target.pids.clone();
    let sampler = Sampler::start(flow.recorder.clone(), flow.ledger.clone(), pids, label, live);
    let measured = run.measure().await;
    let points = sampler.finish().await;
    let verification = if load.no_verify {
        None
    } else {
        Some(run.verify().await)
    };
    if load.scenario == Scenario::Sleepers && !load.numbers.leave {
        run.terminate_all().await;
    }
    let latency_us = flow.recorder.latency();
    let mut summary = run.summary(&measured, Latency::of(&latency_us));
    summary.points = points;
    summary.verification = verification;
    Ok(Outcome { summary, latency_us })
}

struct Measured {
    begin: Snapshot,
    end: Snapshot,
    filled: Option<Filled>,
    asleep: Option<Asleep>,
}

impl<'a> Run<'a> {
    async fn prepare(load: &'a LoadArgs, target: &'a Target, stop: Arc<Stop>) -> Result<Self, String> {
        let recorder = Arc::new(Recorder::default());
        let patience = Patience {
            attempt: load.call_timeout,
            retry_for: load.retry_for,
        };
        let connect = || Api::new(&target.addresses, load.connections, patience, recorder.clone());
        let (clients, workers) = (connect()?, connect()?);
        let mut version = String::new();
        for namespace in &load.namespace {
            version = setup::ready(&clients, namespace, READY_PATIENCE).await?;
        }
        let tag = getrandom::u32().map_err(|error| format!("read random number: {error}"))?;
        let prefix = format!("load-{tag:08x}");
        let queues: Vec<String> = (0..load.task_queues)
            .map(|at| format!("{prefix}-q{at}"))
            .collect();
        let ledger = Arc::new(Ledger::new(prefix, recorder.clone()));
        let mix = load.mix()?;
        let filler = Filler::new(mix.payload());
        let settings = |namespace: &String| Settings {
            namespace: namespace.clone(),
            queues: queues.clone(),
            pollers: load.pollers,
            slots: load.slots,
            sticky: !load.no_sticky,
            eager_activities: load.eager_activities,
            activities: mix.any(|shape| shape.plan.activities() > 0),
        };
        let worker = |namespace| {
            Worker::new(
                workers.clone(),
                ledger.clone(),
                filler.clone(),
                settings(namespace),
            )
        };
        let workers = load.namespace.iter().map(worker).collect();
        let waits = load.scenario != Scenario::Backlog;
        let flow = Flow {
            api: clients,
            ledger,
            recorder,
            filler,
            namespaces: load.namespace.clone(),
            queues,
            mix,
            waits,
        };
        Ok(Self {
            load,
            target,
            flow: Arc::new(flow),
            workers,
            version,
            stop,
        })
    }

    /// Starts the pollers; dropping them stops them.
    fn spawn_workers(&self) -> Vec<JoinSet<()>> {
        self.workers.iter().map(Worker::spawn).collect()
    }

    async fn measure(&self) -> Measured {
        match self.load.scenario {
            Scenario::Backlog => self.measure_backlog().await,
            Scenario::Sleepers => {
                let fresh = Usage::of(&self.target.pids);
                let _pollers = self.spawn_workers();
                let (begin, end) = self.steady(Duration::ZERO).await;
                Measured {
                    begin,
                    end,
                    filled: None,
                    asleep: Some(self.watch_asleep(fresh).await),
                }
            }
            _ => {
                let _pollers = self.spawn_workers();
                let (begin, end) = self.steady(self.load.warm_up).await;
                Measured {
                    begin,
                    end,
                    filled: None,
                    asleep: None,
                }
            }
        }
    }

    /// Warm-up, window, and the rest: the window's ends.
    async fn steady(&self, warm_up: Duration) -> (Snapshot, Snapshot) {
        let begin = Instant::now();
        let bounds = Bounds::new(begin, self.load.duration, self.load.workflow_limit());
        let bounds = Arc::new(bounds);
        let closed = match self.load.pace() {
            Pace::Closed { concurrency } => Some(concurrency as u64),
            Pace::Open { .. } => None,
        };
        if closed.is_none() || warm_up.is_zero() {
            bounds.count_from(begin + warm_up);
        }
        let mut load = drive::spawn(
            self.flow.clone(),
            self.load.pace(),
            bounds.clone(),
            self.stop.clone(),
        );
        self.warm_up(warm_up, closed).await;
        bounds.count_from(Instant::now());
        let first = self.snapshot();
        tokio::select! {
            () = self.drained(&mut load) => {}
            () = self.over(bounds.stop_at()) => {}
        }
        let last = self.snapshot();
        self.stop_starting(&mut load).await;
        (first, last)
    }

    /// Waits out the warm-up; the closed loop also until as many ended as are in flight, or the first of them
    /// would be taken for the pace.
    async fn warm_up(&self, warm_up: Duration, closed: Option<u64>) {
        tokio::time::sleep(warm_up).await;
        let patience = Instant::now() + WARM_UP_MORE_MAX;
        let turned_over = |wanted| self.flow.recorder.counts().closed >= wanted;
        while closed.is_some_and(|wanted| !warm_up.is_zero() && !turned_over(wanted))
            && !self.stop.is_told()
            && Instant::now() < patience
        {
            tokio::time::sleep(WATCH).await;
        }
    }

    async fn measure_backlog(&self) -> Measured {
        let before = self.snapshot();
        let bounds = Bounds::new(before.at, self.load.duration, self.load.workflow_limit());
        bounds.count_from(before.at);
        let mut fill = drive::spawn(
            self.flow.clone(),
            self.load.pace(),
            Arc::new(bounds),
            self.stop.clone(),
        );
        while fill.join_next().await.is_some() {}
        let begin = self.snapshot();
        let started = begin.counts.started - before.counts.started;
        let window = begin.at - before.at;
        let filled = Filled {
            workflows: started,
            per_s: started as f64 / window.as_secs_f64(),
            server_cpu_ms_per_workflow: Cost::between(before.server, begin.server, window, started)
                .cpu_ms_per_workflow,
        };
        let _pollers = self.spawn_workers();
        tokio::select! {
            () = self.drained(&mut fill) => {}
            () = self.over(None) => {}
        }
        Measured {
            begin,
            end: self.snapshot(),
            filled: Some(filled),
            asleep: None,
        }
    }

    async fn watch_asleep(&self, fresh: Usage) -> Asleep {
        tokio::time::sleep(SETTLE).await;
        let begin = self.snapshot();
        tokio::time::sleep(self.load.numbers.idle).await;
        let end = self.snapshot();
        let watched_s = (end.at - begin.at).as_secs_f64();
        let workflows = end.counts.closed;
        let per_s = |end: u64, begin: u64| end.saturating_sub(begin) as f64 / watched_s;
        let grown = end.server.rss_bytes.saturating_sub(fresh.rss_bytes) as f64;
        Asleep {
            workflows,
            watched_s,
            server_cpu_ms_per_s: per_s(end.server.cpu_ms, begin.server.cpu_ms),
            server_written_bytes_per_s: per_s(end.server.written_bytes, begin.server.written_bytes),
            server_bytes_per_workflow: grown / workflows.max(1) as f64,
        }
    }

    /// Everything was started and everything ended.
    async fn drained(&self, load: &mut JoinSet<()>) {
        while load.join_next().await.is_some() {}
        self.flow.ledger.settled().await;
    }

    /// The time is up, somebody said stop, or nothing ended for too long.
    async fn over(&self, stop_at: Option<Instant>) {
        let mut ended = (self.flow.recorder.counts().closed, Instant::now());
        loop {
            let next = Instant::now() + WATCH;
            let next = stop_at.map_or(next, |stop_at| next.min(stop_at));
            tokio::time::sleep_until(next.into()).await;
            let now = Instant::now();
            let closed = self.flow.recorder.counts().closed;
            if closed != ended.0 {
                ended = (closed, now);
            }
            let stuck = now.duration_since(ended.1) > self.load.drain;
            if stuck || self.stop.is_told() || stop_at.is_some_and(|stop_at| now >= stop_at) {
                return;
            }
        }
    }

    /// Starts nothing more and waits for what is in flight, as long as it moves.
    async fn stop_starting(&self, load: &mut JoinSet<()>) {
        let patience = async {
            let mut ended = (self.flow.recorder.counts().closed, Instant::now());
            while ended.1.elapsed() <= self.load.drain {
                tokio::time::sleep(WATCH).await;
                let closed = self.flow.recorder.counts().closed;
                if closed != ended.0 {
                    ended = (closed, Instant::now());
                }
            }
        };
        tokio::select! {
            () = self.drained(load) => {}
            () = patience => {}
        }
    }

    async fn verify(&self) -> Verification {
        let verdict = self.verdict();
        let asleep = self.flow.mix.any(|shape| shape.plan.sleeps());
        let status = if asleep {
            WorkflowExecutionStatus::Running
        } else {
            WorkflowExecutionStatus::Completed
        };
        let expected = verdict.completed + verdict.children_expected;
        verify::verify(&self.flow, status, expected, self.load.sample).await
    }

    fn verdict(&self) -> Verdict {
        let children = |number| self.flow.mix.shape(number).plan.children();
        self.flow.ledger.verdict(children)
    }

    async fn terminate_all(&self) {
        let count = self.flow.recorder.counts().started;
        let next = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let mut callers = JoinSet::new();
        for _ in 0..TERMINATE_CALLERS {
            let (flow, next) = (self.flow.clone(), next.clone());
            callers.spawn(async move {
                loop {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if number >= count || verify::terminate(&flow, number).await.is_err() {
                        return;
                    }
                }
            });
        }
        callers.join_all().await;
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            at: Instant::now(),
            counts: self.flow.recorder.counts(),
            server: Usage::of(&self.target.pids),
            harness: Usage::own(),
            machine_cpu_ms: process::machine_cpu_ms(),
            fsyncs: self.target.pages.as_deref().and_then(pages::fsyncs),
        }
    }

    fn summary(&self, measured: &Measured, latency_ms: Latency) -> Summary {
        let (begin, end) = (measured.begin, measured.end);
        let window = end.at - begin.at;
        let workflows = end.counts.closed - begin.counts.closed;
        let operations = end.counts.operations - begin.counts.operations;
        let per_s = |count: u64| count as f64 / window.as_secs_f64().max(1e-9);
        let server = Cost {
            fsyncs_per_workflow: fsyncs_between(&begin, &end)
                .map(|fsyncs| fsyncs as f64 / workflows.max(1) as f64),
            ..Cost::between(begin.server, end.server, window, workflows)
        };
        let pace = match self.load.pace() {
            Pace::Closed { concurrency } => format!("{concurrency} in flight"),
            Pace::Open { rate, .. } => format!("{rate}/s"),
        };
        Summary {
            scenario: self.load.title(),
            targets: self.target.addresses.clone(),
            server_version: self.version.clone(),
            pace,
            payload_bytes: self.flow.mix.payload(),
            warm_up_s: self.load.warm_up.as_secs_f64(),
            window_s: window.as_secs_f64(),
            window_workflows: workflows,
            rough: self.load.duration.is_some() && is_rough(window, workflows, latency_ms.p50),
            workflows_per_s: per_s(workflows),
            operations_per_s: per_s(operations),
            latency_ms,
            server: (!self.target.pids.is_empty()).then_some(server),
            harness: Cost::between(begin.harness, end.harness, window, workflows),
            others_cores: begin.others_cores(&end),
            filled: measured.filled,
            asleep: measured.asleep,
            counts: self.flow.recorder.counts(),
            verdict: self.verdict(),
            verification: None,
            calls: self.flow.recorder.calls(),
            points: vec![],
        }
    }
}

fn is_rough(window: Duration, workflows: u64, p50_ms: f64) -> bool {
    workflows < WINDOW_WORKFLOWS_MIN || window.as_secs_f64() * 1e3 < WINDOW_MEDIANS_MIN * p50_ms
}
