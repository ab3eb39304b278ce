//! Workflow tasks without a worker: they wait in their shards, so that neither the server's memory nor the time of a
//! poll depends on how many there are; what is shown of them is right, and each is given out once.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use proto::temporal::{
    enums::v1::TaskQueueType,
    taskqueue::v1::TaskQueueStats,
    workflowservice::v1::{DescribeTaskQueueRequest, PollWorkflowTaskQueueResponse},
};
use tokio::task::JoinSet;
use tonic::Code;

use crate::{
    client::{self, NAMESPACE, Service, answer, complete, of, poll, queue, start, timed},
    measure::Latencies,
    server::Server,
};

const QUEUE: &str = "backlog";
const CONNECTIONS: usize = 8;
const CALLERS: usize = 128;
const WORKERS: usize = 64;
const SMALL: usize = 1_000;
const MEASURED: usize = 200;
/// The longest there is: no task may time out and come again while others wait.
const TASK_TIMEOUT: Duration = Duration::from_secs(120);
/// What a poll at the head of a long backlog may take beyond the time that it takes at a short one.
const P50_MORE_MAX: Duration = Duration::from_millis(10);
const P99_MORE_MAX: Duration = Duration::from_millis(100);
/// Caches that fill up and what the embedded store holds, but nothing for each task.
const GROWTH_MAX: u64 = 1 << 30;
/// How far the number that is shown may be from the true one, in percent.
const COUNT_OFF_MAX: usize = 2;
/// Word of what shards hold back is on its way; after a start they count it first.
const SHOWN_MAX: Duration = Duration::from_secs(5);
const AGE_OFF_MAX: Duration = Duration::from_secs(2);
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// The workflows that were started and those whose task was completed, by number.
struct Load {
    services: Vec<Service>,
    next: AtomicUsize,
    done: Mutex<Vec<bool>>,
    left: AtomicUsize,
}

pub(crate) async fn run(server: &mut Server, wanted: usize) -> Result<(), String> {
    let load = Arc::new(Load {
        services: client::connect_all(server.address(), CONNECTIONS).await?,
        next: AtomicUsize::new(0),
        done: Mutex::new(vec![false; wanted + MEASURED]),
        left: AtomicUsize::new(0),
    });
    let mut service = server.connect().await?;
    let first = Instant::now();
    start_up_to(&load, SMALL).await?;
    println!("backlog: {SMALL} tasks wait: {}", server.resources()?);
    shows(&mut service, SMALL, Some(first)).await?;
    let short = at_head(&load, &mut service).await?;
    println!("backlog: a poll at the head of {SMALL}: {short}");
    let before = server.resources()?;

    let began = Instant::now();
    start_up_to(&load, wanted + MEASURED).await?;
    let seconds = began.elapsed().as_secs_f32();
    let after = server.resources()?;
    println!("backlog: {wanted} tasks wait, started in {seconds:.0} s: {after}");
    shows(&mut service, wanted, Some(first)).await?;
    let long = at_head(&load, &mut service).await?;
    println!("backlog: a poll at the head of {wanted}: {long}");
    for (percent, more_max) in [(50, P50_MORE_MAX), (99, P99_MORE_MAX)] {
        if long.percentile(percent) > short.percentile(percent) + more_max {
            return Err(format!(
                "a poll at the head of {wanted} tasks takes longer than of {SMALL}: {long}, not {short}"
            ));
        }
    }
    after.check_growth(&before, GROWTH_MAX, "backlog")?;

    let down = server.restart().await?;
    println!(
        "backlog: killed, back after {:.1} s: {}",
        down.as_secs_f32(),
        server.resources()?
    );
    shows(&mut server.connect().await?, wanted - MEASURED, Some(first)).await?;
    drain(&load, server, wanted - MEASURED).await
}

/// Completes all that waits, each workflow once.
async fn drain(load: &Arc<Load>, server: &Server, wanted: usize) -> Result<(), String> {
    let began = Instant::now();
    load.left.store(wanted, Relaxed);
    let mut workers = JoinSet::new();
    let services = client::connect_all(server.address(), CONNECTIONS).await?;
    for number in 0..WORKERS {
        workers.spawn(work(Arc::clone(load), services[number % CONNECTIONS].clone()));
    }
    while let Some(worked) = workers.join_next().await {
        worked.map_err(|error| error.to_string())??;
    }
    let seconds = began.elapsed().as_secs_f32();
    println!(
        "backlog: {wanted} tasks completed in {seconds:.0} s: {}",
        server.resources()?
    );
    if load.done().iter().any(|done| !done) {
        return Err("a workflow's task was never given out".to_owned());
    }
    let mut service = server.connect().await?;
    shows(&mut service, 0, None).await
}

async fn work(load: Arc<Load>, mut service: Service) -> Result<(), String> {
    while load.left.load(Relaxed) > 0 {
        let task = tokio::select! {
            polled = poll(&mut service, QUEUE) => polled.map_err(of("poll"))?.0,
            () = load.is_drained() => None,
        };
        if let Some(task) = task {
            load.complete(&mut service, task).await?;
            load.left.fetch_sub(1, Relaxed);
        }
    }
    Ok(())
}

/// Takes tasks from the head and completes them; gives how long the polls took.
async fn at_head(load: &Load, service: &mut Service) -> Result<Latencies, String> {
    let mut latencies = Latencies::default();
    for _ in 0..MEASURED {
        let (task, took) = poll(service, QUEUE).await.map_err(of("poll"))?;
        let task = task.ok_or("a poll came back empty while tasks wait")?;
        latencies.add(took);
        load.complete(service, task).await?;
    }
    Ok(latencies)
}

impl Load {
    async fn complete(
        &self,
        service: &mut Service,
        task: PollWorkflowTaskQueueResponse,
    ) -> Result<(), String> {
        let workflow_id = task.workflow_execution.unwrap_or_default().workflow_id;
        let number: usize = workflow_id
            .strip_prefix("backlog-")
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| format!("a task of {workflow_id:?}"))?;
        let again = {
            let mut done = self.done();
            let known = done
                .get_mut(number)
                .ok_or_else(|| format!("a task of {workflow_id}"))?;
            std::mem::replace(known, true)
        };
        if again {
            return Err(format!("{workflow_id}: its only task was given out twice"));
        }
        let request = answer(task.task_token, vec![complete(None)]);
        service
            .respond_workflow_task_completed(timed(request))
            .await
            .map(drop)
            .map_err(of("complete a task"))
    }

    fn done(&self) -> std::sync::MutexGuard<'_, Vec<bool>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn is_drained(&self) {
        while self.left.load(Relaxed) > 0 {
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}

/// Starts workflows until so many were started in all.
async fn start_up_to(load: &Arc<Load>, wanted: usize) -> Result<(), String> {
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let load = Arc::clone(load);
        callers.spawn(async move {
            let mut service = load.services[number % CONNECTIONS].clone();
            loop {
                let number = load.next.fetch_add(1, Relaxed);
                if number >= wanted {
                    return Ok::<_, String>(());
                }
                start_one(&mut service, number).await?;
            }
        });
    }
    while let Some(called) = callers.join_next().await {
        called.map_err(|error| error.to_string())??;
    }
    load.next.store(wanted, Relaxed);
    Ok(())
}

/// Starts a workflow, again when the server asks for patience; the request id makes it the same one.
async fn start_one(service: &mut Service, number: usize) -> Result<(), String> {
    loop {
        let request = start(&format!("backlog-{number}"), QUEUE, TASK_TIMEOUT);
        match service.start_workflow_execution(timed(request)).await {
            Ok(_) => return Ok(()),
            Err(status) if status.code() == Code::ResourceExhausted => {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            Err(status) => return Err(of("start a workflow")(status)),
        }
    }
}

/// Checks what DescribeTaskQueue says of the backlog: its size, and the age of its oldest task, which was started
/// soon after `since`.
async fn shows(service: &mut Service, wanted: usize, since: Option<Instant>) -> Result<(), String> {
    let began = Instant::now();
    loop {
        let stats = described(service).await?;
        let count = usize::try_from(stats.approximate_backlog_count).unwrap_or(0);
        let age = stats
            .approximate_backlog_age
            .and_then(|age| Duration::try_from(age).ok())
            .unwrap_or_default();
        let wanted_age = since.map(|since| since.elapsed()).unwrap_or_default();
        let is_count_right = count.abs_diff(wanted) * 100 <= wanted * COUNT_OFF_MAX;
        if is_count_right && age.abs_diff(wanted_age) <= AGE_OFF_MAX {
            println!(
                "backlog: {count} are shown of {wanted}, the oldest {:.1} s old",
                age.as_secs_f32()
            );
            return Ok(());
        }
        if began.elapsed() > SHOWN_MAX {
            return Err(format!(
                "{count} tasks of {age:?} are shown, there are {wanted} of {wanted_age:?}"
            ));
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// The queue's figures, asked for again while its mailbox is full.
async fn described(service: &mut Service) -> Result<TaskQueueStats, String> {
    let request = DescribeTaskQueueRequest {
        namespace: NAMESPACE.to_owned(),
        task_queue: queue(QUEUE),
        task_queue_type: TaskQueueType::Workflow.into(),
        report_stats: true,
        ..Default::default()
    };
    let began = Instant::now();
    loop {
        match service.describe_task_queue(timed(request.clone())).await {
            Ok(described) => return Ok(described.into_inner().stats.unwrap_or_default()),
            Err(status) if status.code() == Code::ResourceExhausted && began.elapsed() < SHOWN_MAX => {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            Err(status) => return Err(of("describe the queue")(status)),
        }
    }
}
