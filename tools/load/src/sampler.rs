//! Takes a line per second while a load runs, and shows the last one on a terminal.

use std::{
    io::{IsTerminal, stderr},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use crate::{ledger::Ledger, process::Usage, recorder::Recorder, summary::Point};

const EVERY: Duration = Duration::from_secs(1);
const MIB: f64 = 1_048_576.0;

/// A running sampler.
pub(crate) struct Sampler {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Vec<Point>>,
}

impl Sampler {
    /// Begins; `label` goes in front of the live line, which `live` asks for.
    pub(crate) fn start(
        recorder: Arc<Recorder>,
        ledger: Arc<Ledger>,
        pids: Vec<u32>,
        label: String,
        live: bool,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let show = live && stderr().is_terminal();
        let task = tokio::spawn(sample(recorder, ledger, pids, label, show, stopped));
        Self { stop, task }
    }

    /// Ends and gives the lines.
    pub(crate) async fn finish(self) -> Vec<Point> {
        let _ = self.stop.send(());
        self.task.await.unwrap_or_default()
    }
}

async fn sample(
    recorder: Arc<Recorder>,
    ledger: Arc<Ledger>,
    pids: Vec<u32>,
    label: String,
    show: bool,
    mut stopped: oneshot::Receiver<()>,
) -> Vec<Point> {
    let began = Instant::now();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut points = Vec::new();
    let mut before = (Instant::now(), Usage::of(&pids), Usage::own());
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = &mut stopped => break,
        }
        let now = (Instant::now(), Usage::of(&pids), Usage::own());
        let elapsed_ms = now.0.duration_since(before.0).as_secs_f64() * 1e3;
        let cores = |now: Usage, before: Usage| now.cpu_ms.saturating_sub(before.cpu_ms) as f64 / elapsed_ms;
        let point = Point {
            at_s: now.0.duration_since(began).as_secs_f64(),
            interval: recorder.interval(),
            in_flight: ledger.in_flight(),
            server_cores: cores(now.1, before.1),
            harness_cores: cores(now.2, before.2),
            server_rss_mib: now.1.rss_bytes as f64 / MIB,
        };
        before = now;
        points.push(point);
        if show {
            show_line(&label, &point, recorder.counts().errors);
        }
    }
    if show {
        eprint!("\r\x1b[K");
    }
    points
}

fn show_line(label: &str, point: &Point, errors: u64) {
    eprint!(
        "\r\x1b[K{label} {:4.0}s  {:.0}/s  in flight {}  p50 {:.1} p99 {:.1} ms  errors {errors}  server {:.2} harness {:.2} cores",
        point.at_s,
        point.interval.closed as f64,
        point.in_flight,
        point.interval.latency_ms.p50,
        point.interval.latency_ms.p99,
        point.server_cores,
        point.harness_cores,
    );
}
