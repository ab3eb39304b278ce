//! The pace: how many workflows are kept in flight (closed loop) or when each is started (open loop).
//!
//! `run` decides when to begin and when to give up.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    flow::Flow,
    schedule::{Arrivals, Schedule},
};

/// Starts that may wait for the runtime to take them; beyond it the pacer itself waits.
const PACED_STARTS_MAX: usize = 1 << 16;
const FAILURE_PAUSE: Duration = Duration::from_millis(100);
const PACER_STACK_BYTES: usize = 256 << 10;

/// When workflows begin to count and when to start no more.
#[derive(Debug)]
pub(crate) struct Bounds {
    pub begin: Instant,
    /// How long to start workflows that count.
    pub length: Option<Duration>,
    /// Workflows that count to start at most.
    pub workflows: Option<u64>,
    from: OnceLock<Instant>,
}

impl Bounds {
    pub(crate) fn new(begin: Instant, length: Option<Duration>, workflows: Option<u64>) -> Self {
        Self {
            begin,
            length,
            workflows,
            from: OnceLock::new(),
        }
    }

    /// Ends the warm-up: starts from then on count. Only the first time matters.
    pub(crate) fn count_from(&self, at: Instant) {
        let _ = self.from.set(at);
    }

    fn counts(&self, at: Instant) -> bool {
        self.from.get().is_some_and(|from| at >= *from)
    }

    /// When to start no more, once that is known.
    pub(crate) fn stop_at(&self) -> Option<Instant> {
        Some(*self.from.get()? + self.length?)
    }

    fn is_over(&self, at: Instant) -> bool {
        self.stop_at().is_some_and(|stop_at| at >= stop_at)
    }
}

/// How the load is paced.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// So many workflows in flight, always.
    Closed { concurrency: usize },
    /// So many starts per second, whatever happens.
    Open {
        rate: f64,
        arrivals: Arrivals,
        in_flight_max: usize,
    },
}

/// Tells everybody to start nothing more.
#[derive(Default)]
pub(crate) struct Stop {
    flag: AtomicBool,
}

impl Stop {
    pub(crate) fn tell(&self) {
        self.flag.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_told(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }
}

/// Starts the load; the set is empty again when nothing more is to be started and, in the closed loop, all ended.
///
/// Nothing in flight is ever cut off: dropping the set is for those who gave up.
pub(crate) fn spawn(flow: Arc<Flow>, pace: Pace, bounds: Arc<Bounds>, stop: Arc<Stop>) -> JoinSet<()> {
    let mut load = JoinSet::new();
    match pace {
        Pace::Closed { concurrency } => {
            let taken = Arc::new(AtomicU64::new(0));
            for _ in 0..concurrency {
                load.spawn(caller(flow.clone(), bounds.clone(), stop.clone(), taken.clone()));
            }
        }
        Pace::Open {
            rate,
            arrivals,
            in_flight_max,
        } => {
            let paced = bounds.clone();
            let (starts, due) = mpsc::channel(PACED_STARTS_MAX);
            let schedule = Schedule::new(rate, arrivals, 1);
            let pacer = thread::Builder::new()
                .name("pacer".to_owned())
                .stack_size(PACER_STACK_BYTES);
            if pacer
                .spawn(move || pace_starts(schedule, &paced, &stop, &starts))
                .is_ok()
            {
                load.spawn(start_when_due(flow, due, bounds, in_flight_max));
            }
        }
    }
    load
}

/// One caller of the closed loop.
async fn caller(flow: Arc<Flow>, bounds: Arc<Bounds>, stop: Arc<Stop>, taken: Arc<AtomicU64>) {
    loop {
        let now = Instant::now();
        let measured = bounds.counts(now);
        if stop.is_told() || bounds.is_over(now) {
            return;
        }
        let limit = bounds.workflows.filter(|_| measured);
        if limit.is_some_and(|limit| taken.fetch_add(1, Ordering::Relaxed) >= limit) {
            return;
        }
        if flow.play(now, measured, flow.waits).await.is_err() {
            tokio::time::sleep(FAILURE_PAUSE).await;
        }
    }
}

/// Hands on each intended start when its time comes. A thread, since the runtime's timer is a millisecond coarse.
fn pace_starts(schedule: Schedule, bounds: &Bounds, stop: &Stop, starts: &mpsc::Sender<Instant>) {
    let mut measured = 0;
    for offset in schedule {
        let intended = bounds.begin + offset;
        measured += u64::from(bounds.counts(intended));
        let enough = bounds.workflows.is_some_and(|limit| measured > limit);
        if enough || bounds.is_over(intended) {
            return;
        }
        loop {
            let left = intended.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::park_timeout(left);
        }
        if stop.is_told() || starts.blocking_send(intended).is_err() {
            return;
        }
    }
}

async fn start_when_due(
    flow: Arc<Flow>,
    mut due: mpsc::Receiver<Instant>,
    bounds: Arc<Bounds>,
    in_flight_max: usize,
) {
    let mut plays = JoinSet::new();
    while let Some(intended) = due.recv().await {
        while plays.try_join_next().is_some() {}
        if flow.ledger.in_flight() >= in_flight_max {
            flow.recorder.shed();
            continue;
        }
        let (flow, measured) = (flow.clone(), bounds.counts(intended));
        plays.spawn(async move {
            // A failed start is in the books and in the ledger.
            let _ = flow.play(intended, measured, false).await;
        });
    }
    plays.join_all().await;
}
