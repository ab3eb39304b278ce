//! More polls than anybody can need, from one client: the server keeps as many as it has said it would, refuses the
//! others at once, and answers other clients as before.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use prost::Message;
use proto::{
    api::google::rpc,
    temporal::{
        enums::v1::{ResourceExhaustedCause, ResourceExhaustedScope},
        errordetails::v1::ResourceExhaustedFailure,
        workflowservice::v1::DescribeWorkflowExecutionRequest,
    },
};
use tokio::{runtime::Builder, sync::Semaphore, task::JoinSet};
use tonic::{Code, Status};

use crate::{
    client::{self, NAMESPACE, Service, execution, long, of, poll_activity, poll_workflow, start, timed},
    measure::Latencies,
    server::Server,
};

const CONNECTIONS: usize = 50;
const QUEUES: usize = 64;
/// What the server keeps of each kind (`frontend::limits::WAITING_CALLS_MAX`).
const KEPT_PER_KIND: usize = 20_000;
/// Polls that were asked for and are not answered: those that the server keeps, and those on their way.
const OPEN_MAX: usize = 2 * KEPT_PER_KIND + 20_000;
/// For a poll that waits a server needs some kilobytes.
const GROWTH_MAX: u64 = 1 << 30;
const PROBES: usize = 200;
/// With all polls in place, others must not feel them; a busy machine is given room.
const OTHERS_P99_MAX: Duration = Duration::from_millis(500);
const ASKED_MAX: Duration = Duration::from_secs(1_800);
const GONE_MAX: Duration = Duration::from_secs(60);

/// What became of the polls.
#[derive(Default)]
struct Outcome {
    refused: AtomicUsize,
    /// Waited until the server let them go.
    empty: AtomicUsize,
    wrong: AtomicUsize,
    first_wrong: std::sync::OnceLock<String>,
}

pub(crate) async fn run(server: &Server, wanted: usize) -> Result<(), String> {
    let usual = probe(server, "before", PROBES)?.ended()?;
    let before = server.resources()?;
    println!("polls: others before: {usual}; {before}");

    let services = client::connect_all(server.address(), CONNECTIONS.min(wanted / 1_000 + 1)).await?;
    let outcome = Arc::new(Outcome::default());
    let room = Arc::new(Semaphore::new(OPEN_MAX));
    let during = probe(server, "during", usize::MAX)?;
    let began = Instant::now();
    let mut polls = JoinSet::new();
    let asking = ask(&services, wanted, &room, &outcome, &mut polls);
    tokio::time::timeout(ASKED_MAX, asking)
        .await
        .map_err(|_| format!("not all polls were asked for within {ASKED_MAX:?}"))??;
    let asked = began.elapsed();
    let during = during.stopped()?;
    let kept = server.waiting_polls().await?;
    let full = server.resources()?;
    println!(
        "polls: {wanted} asked for over {} connections in {:.1} s: {kept} wait, {} refused, {} ended empty; {full}; \
         others meanwhile: {during}",
        services.len(),
        asked.as_secs_f32(),
        outcome.refused.load(Relaxed),
        outcome.empty.load(Relaxed),
    );
    let with = probe(server, "with", PROBES)?.ended()?;
    println!("polls: others with all polls waiting: {with}");
    polls.abort_all();
    while polls.join_next().await.is_some() {}
    let gone = server.until_polls(0, GONE_MAX).await?;
    println!(
        "polls: given up and forgotten after {:.1} s; {}",
        gone.as_secs_f32(),
        server.resources()?
    );

    if let Some(wrong) = outcome.first_wrong.get() {
        let count = outcome.wrong.load(Relaxed);
        return Err(format!("{count} polls ended otherwise, the first with {wrong}"));
    }
    let kept = usize::try_from(kept).unwrap_or(usize::MAX);
    if kept > 2 * KEPT_PER_KIND {
        return Err(format!("the server keeps {kept} polls"));
    }
    if wanted > OPEN_MAX && outcome.refused.load(Relaxed) == 0 {
        return Err("no poll was refused".to_owned());
    }
    if with.percentile(99) > OTHERS_P99_MAX {
        return Err(format!("others wait: {with}"));
    }
    full.check_growth(&before, GROWTH_MAX, "polls")
}

/// Asks for polls of both kinds and leaves those open that the server keeps.
async fn ask(
    services: &[Service],
    wanted: usize,
    room: &Arc<Semaphore>,
    outcome: &Arc<Outcome>,
    polls: &mut JoinSet<()>,
) -> Result<(), String> {
    for number in 0..wanted {
        let permit = Arc::clone(room)
            .acquire_owned()
            .await
            .map_err(|error| error.to_string())?;
        let mut service = services[number % services.len()].clone();
        let outcome = Arc::clone(outcome);
        polls.spawn(async move {
            let queue = format!("polls-{}", number / 2 % QUEUES);
            let answer = if number.is_multiple_of(2) {
                let poll = service.poll_workflow_task_queue(long(poll_workflow(&queue)));
                poll.await.map(drop)
            } else {
                let poll = service.poll_activity_task_queue(long(poll_activity(&queue)));
                poll.await.map(drop)
            };
            outcome.note(answer);
            drop(permit);
        });
        while polls.try_join_next().is_some() {}
    }
    // All are asked for once those that are not kept are answered.
    let _room = room
        .acquire_many(u32::try_from(OPEN_MAX - 2 * KEPT_PER_KIND).unwrap_or(0))
        .await
        .map_err(|error| error.to_string())?;
    Ok(())
}

impl Outcome {
    fn note(&self, answer: Result<(), Status>) {
        match answer {
            Ok(()) => self.empty.fetch_add(1, Relaxed),
            Err(status) if is_concurrent_limit(&status) => self.refused.fetch_add(1, Relaxed),
            Err(status) => {
                self.first_wrong.get_or_init(|| format!("{status:?}"));
                self.wrong.fetch_add(1, Relaxed)
            }
        };
    }
}

/// Says whether the status is what the official server says of a poll too many.
fn is_concurrent_limit(status: &Status) -> bool {
    let header = |name| status.metadata().get(name).and_then(|value| value.to_str().ok());
    let detail = rpc::Status::decode(status.details())
        .ok()
        .and_then(|whole| whole.details.first().cloned())
        .and_then(|any| ResourceExhaustedFailure::decode(&*any.value).ok());
    status.code() == Code::ResourceExhausted
        && header("x-resource-exhausted-cause") == Some("ConcurrentLimit")
        && header("x-resource-exhausted-scope") == Some("Namespace")
        && detail.is_some_and(|detail| {
            detail.cause() == ResourceExhaustedCause::ConcurrentLimit
                && detail.scope() == ResourceExhaustedScope::Namespace
        })
}

/// Another client.
struct Probe {
    stop: Arc<AtomicBool>,
    client: thread::JoinHandle<Result<Latencies, String>>,
}

impl Probe {
    /// Waits until it has made all its calls.
    fn ended(self) -> Result<Latencies, String> {
        self.client
            .join()
            .map_err(|_| "another client panicked".to_owned())?
    }

    fn stopped(self) -> Result<Latencies, String> {
        self.stop.store(true, Relaxed);
        self.ended()
    }
}

/// Starts and describes workflows, one after the other, on a thread of its own: what it measures is the server, not
/// how busy this program is.
fn probe(server: &Server, name: &'static str, count: usize) -> Result<Probe, String> {
    let address = server.address().to_owned();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let client = thread::spawn(move || runtime.block_on(calls(&address, name, count, &stopped)));
    Ok(Probe { stop, client })
}

async fn calls(address: &str, name: &str, count: usize, stop: &AtomicBool) -> Result<Latencies, String> {
    let mut service = client::connect(address).await?;
    let mut latencies = Latencies::default();
    for number in 0..count {
        if stop.load(Relaxed) {
            break;
        }
        let workflow_id = format!("probe-{name}-{number}");
        let began = Instant::now();
        let request = start(&workflow_id, "probes", Duration::from_secs(10));
        service
            .start_workflow_execution(timed(request))
            .await
            .map_err(of("another client starts a workflow"))?;
        let request = DescribeWorkflowExecutionRequest {
            namespace: NAMESPACE.to_owned(),
            execution: execution(&workflow_id),
        };
        service
            .describe_workflow_execution(timed(request))
            .await
            .map_err(of("another client describes a workflow"))?;
        latencies.add(began.elapsed());
    }
    Ok(latencies)
}
