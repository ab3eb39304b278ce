//! Open timers: what they cost while nothing is due, and that one that is due fires among them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use proto::temporal::{
    command::v1::{Command, StartTimerCommandAttributes, command::Attributes},
    enums::v1::{CommandType, EventType},
};
use tokio::task::JoinSet;

use crate::{
    client::{self, Service, answer, of, poll, start, timed, wire},
    server::Server,
};

const QUEUE: &str = "timers";
const CONNECTIONS: usize = 4;
const WORKERS: usize = 32;
const PER_WORKFLOW: usize = 100;
const TASK_TIMEOUT: Duration = Duration::from_secs(60);
const FAR: Duration = Duration::from_secs(24 * 60 * 60);
const NEAR: Duration = Duration::from_secs(1);
/// From the answer that starts the timer to the task that it brings.
const FIRED_MAX: Duration = Duration::from_secs(4);
const GROWTH_MAX: u64 = 512 << 20;

pub(crate) async fn run(server: &Server, wanted: usize) -> Result<(), String> {
    let before = server.resources()?;
    println!("timers: none open: {before}");
    let began = Instant::now();
    let services = Arc::new(client::connect_all(server.address(), CONNECTIONS).await?);
    let workflows = wanted / PER_WORKFLOW;
    let mut workers = JoinSet::new();
    for number in 0..WORKERS {
        let services = Arc::clone(&services);
        workers.spawn(async move {
            let mut service = services[number % CONNECTIONS].clone();
            for workflow in (number..workflows).step_by(WORKERS) {
                let timers = vec![FAR; PER_WORKFLOW];
                open_timers(&mut service, &format!("timers-{workflow}"), &timers).await?;
            }
            Ok::<_, String>(())
        });
    }
    while let Some(worked) = workers.join_next().await {
        worked.map_err(|error| error.to_string())??;
    }
    let seconds = began.elapsed().as_secs_f32();
    let after = server.resources()?;
    println!("timers: {wanted} open of {workflows} workflows, in {seconds:.0} s: {after}");
    one_fires(server).await?;
    after.check_growth(&before, GROWTH_MAX, "timers")
}

/// Starts a workflow and takes its task, which is in a queue of its own.
async fn open_timers(service: &mut Service, workflow_id: &str, timers: &[Duration]) -> Result<(), String> {
    let queue = format!("{QUEUE}-{workflow_id}");
    service
        .start_workflow_execution(timed(start(workflow_id, &queue, TASK_TIMEOUT)))
        .await
        .map_err(of("start a workflow"))?;
    let (task, _) = poll(service, &queue).await.map_err(of("poll"))?;
    let task = task.ok_or("no task came")?;
    let commands = timers
        .iter()
        .enumerate()
        .map(|(number, after)| timer(&number.to_string(), *after))
        .collect();
    service
        .respond_workflow_task_completed(timed(answer(task.task_token, commands)))
        .await
        .map(drop)
        .map_err(of("start timers"))
}

async fn one_fires(server: &Server) -> Result<(), String> {
    let mut service = server.connect().await?;
    open_timers(&mut service, "near", &[NEAR]).await?;
    let began = Instant::now();
    let (task, _) = poll(&mut service, &format!("{QUEUE}-near"))
        .await
        .map_err(of("poll"))?;
    let took = began.elapsed();
    let fired = task.and_then(|task| task.history).is_some_and(|history| {
        history
            .events
            .iter()
            .any(|e| e.event_type() == EventType::TimerFired)
    });
    println!(
        "timers: one of {NEAR:?} among them fired after {} ms",
        took.as_millis()
    );
    if !fired || took > FIRED_MAX {
        return Err(format!("the timer of {NEAR:?} did not fire within {FIRED_MAX:?}"));
    }
    Ok(())
}

fn timer(timer_id: &str, after: Duration) -> Command {
    Command {
        command_type: CommandType::StartTimer.into(),
        attributes: Some(Attributes::StartTimerCommandAttributes(Box::new(
            StartTimerCommandAttributes {
                timer_id: timer_id.to_owned(),
                start_to_fire_timeout: wire(after),
            },
        ))),
        ..Default::default()
    }
}
