//! Load: clients and workers that call the nodes of a cluster.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use engine::{
    outcome::Reply,
    trigger::{Signal, Trigger},
};
use perdure_cluster::router::{AskError, Router, RunTarget};
use tokio::task::JoinSet;

use super::{begin, cluster::Doors, complete_by, end, key, poll_by};

pub(crate) fn target(id: &str) -> RunTarget {
    RunTarget {
        workflow: key(id),
        run_id: None,
    }
}

pub(crate) async fn signal(router: &Router, id: &str, request: &str) -> Result<Reply, AskError> {
    let signal = Signal {
        name: "go".to_owned(),
        request_id: request.to_owned(),
        ..Default::default()
    };
    router.ask(&target(id), Trigger::Signal(Box::new(signal))).await
}

pub(crate) async fn closed(router: &Router, id: &str) -> Result<Reply, AskError> {
    let wait_after = Some(i64::MAX);
    router.ask(&target(id), Trigger::Position { wait_after }).await
}

/// Clients and workers that go on until they are told to stop; each call goes to another node.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    failed: Arc<Mutex<Vec<String>>>,
    slowest: Arc<Mutex<Duration>>,
    clients: JoinSet<()>,
    workers: JoinSet<()>,
}

const CLIENTS: usize = 6;
const WORKERS: usize = 4;

impl Load {
    pub(crate) fn start(doors: &Doors) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            done: Arc::default(),
            failed: Arc::default(),
            slowest: Arc::default(),
            clients: JoinSet::new(),
            workers: JoinSet::new(),
        };
        for client in 0..CLIENTS {
            let (doors, stop) = (doors.clone(), Arc::clone(&load.stop));
            let (done, failed) = (Arc::clone(&load.done), Arc::clone(&load.failed));
            let slowest = Arc::clone(&load.slowest);
            load.clients.spawn(async move {
                for n in 0.. {
                    if stop.load(Relaxed) {
                        return;
                    }
                    let id = format!("order-{client}-{n}");
                    match order(&doors, client + n, &id, &slowest).await {
                        Ok(()) => drop(done.fetch_add(1, Relaxed)),
                        Err(error) => failed.lock().expect("no panic").push(format!("{id}: {error}")),
                    }
                }
            });
        }
        for worker in 0..WORKERS {
            let (doors, failed) = (doors.clone(), Arc::clone(&load.failed));
            load.workers.spawn(async move {
                for n in worker.. {
                    if let Err(error) = work(&doors, n).await {
                        failed
                            .lock()
                            .expect("no panic")
                            .push(format!("complete: {error}"));
                    }
                }
            });
        }
        load
    }

    /// Waits until so many more workflows have gone from start to end.
    pub(crate) async fn more(&self, count: usize) {
        let wanted = self.done.load(Relaxed) + count;
        while self.done.load(Relaxed) < wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Returns how long the slowest call took since it was asked last.
    pub(crate) fn slowest(&self) -> Duration {
        std::mem::take(&mut *self.slowest.lock().expect("no panic"))
    }

    /// Lets what is under way end. Returns how many workflows ended, and what failed.
    pub(crate) async fn end(mut self) -> (usize, Vec<String>) {
        self.stop.store(true, Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("no panic");
        }
        self.workers.shutdown().await;
        let failed = std::mem::take(&mut *self.failed.lock().expect("no panic"));
        (self.done.load(Relaxed), failed)
    }
}

/// A workflow from its start to its end, as its client sees it.
async fn order(doors: &Doors, n: usize, id: &str, slowest: &Mutex<Duration>) -> Result<(), String> {
    let door = doors.door(n);
    let busy = door.busy.read().await;
    let called = Instant::now();
    let started = door.router.start(&key(id), begin(id)).await;
    let took = called.elapsed();
    if let Ok(mut slowest) = slowest.lock() {
        *slowest = took.max(*slowest);
    }
    started.map_err(|error| format!("start: {error}"))?;
    drop(busy);
    let door = doors.door(n + 1);
    let busy = door.busy.read().await;
    let signaled = signal(&door.router, id, "s").await;
    // The worker may have been quicker.
    if let Err(error) = signaled
        && !matches!(error, AskError::Rejected(_))
    {
        return Err(format!("signal: {error}"));
    }
    drop(busy);
    let door = doors.door(n + 2);
    let busy = door.busy.read().await;
    let closed = closed(&door.router, id).await;
    drop(busy);
    match closed {
        Ok(Reply::Position(position)) if !position.open => Ok(()),
        other => Err(format!("wait: {other:?}")),
    }
}

/// A worker's poll, and what it got.
async fn work(doors: &Doors, n: usize) -> Result<(), String> {
    let door = doors.door(n);
    let busy = door.busy.read().await;
    let polled = poll_by(&door.router, Duration::from_millis(200)).await;
    drop(busy);
    let Some((run, task)) = polled else { return Ok(()) };
    let door = doors.door(n + 1);
    let _busy = door.busy.read().await;
    match complete_by(&door.router, &run, &task, vec![end()]).await {
        Ok(_) => Ok(()),
        Err(error) if error.to_string().contains("UnhandledCommand") => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}
