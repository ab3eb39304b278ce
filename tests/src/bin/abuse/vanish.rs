//! Clients that go away in the middle of a call: nothing of them may stay, and what they were given must come back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use proto::temporal::workflowservice::v1::GetSystemInfoRequest;
use tokio::task::JoinSet;

use crate::{
    args::Scale,
    client::{self, Service, answer, complete, long, of, poll, poll_workflow, start, timed},
    measure::Resources,
    server::Server,
    wire::Wire,
};

const QUEUE: &str = "vanish";
const POLLS: usize = 4_000;
const CUT_CONNECTIONS: usize = 100;
const CALLS_PER_CONNECTION: usize = 40;
/// What a call claims to bring, and what it has brought when its connection is cut.
const CLAIMED_BYTES: usize = 4_000_000;
const SENT_BYTES: usize = 16_000;
const RESETS_AT_ONCE: usize = 1_000;
const RESETS_PER_CONNECTION: usize = 100_000;
const STARTED: usize = 300;
const TASK_TIMEOUT: Duration = Duration::from_secs(1);
/// A task whose worker is gone comes back when it times out; one that was never taken, at once. A task that is lost is
/// announced again only after ten seconds.
const BACK_MAX: Duration = Duration::from_secs(8);
const SETTLED_MAX: Duration = Duration::from_secs(20);
/// From the first round, when all is warm, to the last.
const GROWTH_MAX: u64 = 32 << 20;

pub(crate) async fn run(server: &Server, scale: &Scale) -> Result<(), String> {
    let mut warm: Option<Resources> = None;
    for round in 1..=scale.rounds {
        give_up_polls(server).await?;
        cut_polls(server).await?;
        cut_messages(server).await?;
        take_starts_back(server).await?;
        server.until_polls(0, SETTLED_MAX).await?;
        let now = server.resources()?;
        println!("vanish: round {round}: {now}");
        if round > 1 {
            warm.get_or_insert(now);
        }
    }
    reset_at_once(server, scale.resets).await?;
    tasks_come_back(server).await?;
    until_files(server).await?;
    let end = server.resources()?;
    println!("vanish: at the end: {end}");
    end.check_growth(warm.as_ref().unwrap_or(&end), GROWTH_MAX, "clients that vanish")
}

/// Polls that their client takes back.
async fn give_up_polls(server: &Server) -> Result<(), String> {
    let services = client::connect_all(server.address(), 4).await?;
    let mut polls = JoinSet::new();
    for number in 0..POLLS {
        let mut service = services[number % services.len()].clone();
        polls.spawn(async move {
            let request = long(poll_workflow(QUEUE));
            service.poll_workflow_task_queue(request).await.map(drop)
        });
    }
    server.until_polls(POLLS as u64, SETTLED_MAX).await?;
    polls.abort_all();
    server.until_polls(0, SETTLED_MAX).await?;
    Ok(())
}

/// Polls whose connections end without a word.
async fn cut_polls(server: &Server) -> Result<(), String> {
    let mut wires = Vec::new();
    for _ in 0..CUT_CONNECTIONS {
        let mut wire = Wire::connect(server.address()).await?;
        for _ in 0..CALLS_PER_CONNECTION {
            let poll = wire.call("PollWorkflowTaskQueue", &poll_workflow(QUEUE));
            wire.write(&poll).await.map_err(|error| error.to_string())?;
        }
        wires.push(wire);
    }
    let all = (CUT_CONNECTIONS * CALLS_PER_CONNECTION) as u64;
    server.until_polls(all, SETTLED_MAX).await?;
    wires.into_iter().for_each(Wire::cut);
    server.until_polls(0, SETTLED_MAX).await?;
    Ok(())
}

/// Calls whose connections end in the middle of their messages.
async fn cut_messages(server: &Server) -> Result<(), String> {
    for _ in 0..CUT_CONNECTIONS {
        let mut wire = Wire::connect(server.address()).await?;
        for _ in 0..CALLS_PER_CONNECTION {
            let part = wire.part_of_call("StartWorkflowExecution", CLAIMED_BYTES, SENT_BYTES);
            wire.write(&part).await.map_err(|error| error.to_string())?;
        }
        wire.cut();
    }
    until_files(server).await
}

/// Starts that are taken back before they can be answered.
async fn take_starts_back(server: &Server) -> Result<(), String> {
    let mut wire = Wire::connect(server.address()).await?;
    for number in 0..CALLS_PER_CONNECTION {
        let request = start(&format!("taken-back-{number}"), "taken-back", TASK_TIMEOUT);
        let call = wire.whole_call_taken_back("StartWorkflowExecution", &request);
        wire.write(&call).await.map_err(|error| error.to_string())?;
    }
    wire.cut();
    Ok(())
}

/// Calls that are taken back as fast as they can be written: the server sends such a client away.
async fn reset_at_once(server: &Server, wanted: usize) -> Result<(), String> {
    let mut other = server.connect().await?;
    let (mut reset, mut sent_away) = (0, 0);
    let began = Instant::now();
    while reset < wanted {
        let mut wire = Wire::connect(server.address()).await?;
        let mut here = 0;
        while reset < wanted && here < RESETS_PER_CONNECTION {
            let mut frames = Vec::new();
            for _ in 0..RESETS_AT_ONCE {
                frames.extend(wire.call_taken_back("GetSystemInfo"));
            }
            if wire.write(&frames).await.is_err() {
                break;
            }
            here += RESETS_AT_ONCE;
            reset += RESETS_AT_ONCE;
            if wire.is_sent_away(Duration::ZERO).await {
                sent_away += 1;
                break;
            }
        }
        alive(&mut other).await?;
    }
    println!(
        "vanish: {reset} calls reset at once in {:.1} s, {sent_away} connections sent away; {}",
        began.elapsed().as_secs_f32(),
        server.resources()?
    );
    Ok(())
}

/// Pollers vanish while tasks come; each task finds its way to a worker that stays.
async fn tasks_come_back(server: &Server) -> Result<(), String> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut vanishing = JoinSet::new();
    for number in 0..8 {
        vanishing.spawn(vanish_again(
            server.address().to_owned(),
            number,
            Arc::clone(&stop),
        ));
    }
    let mut service = server.connect().await?;
    for number in 0..STARTED {
        let request = start(&format!("given-{number}"), QUEUE, TASK_TIMEOUT);
        service
            .start_workflow_execution(timed(request))
            .await
            .map_err(of("start a workflow"))?;
    }
    stop.store(true, Relaxed);
    let mut vanished = 0;
    while let Some(done) = vanishing.join_next().await {
        vanished += done.map_err(|error| error.to_string())??;
    }
    let began = Instant::now();
    let completed = tokio::time::timeout(BACK_MAX, complete_all(service)).await;
    let late =
        completed.map_err(|_| format!("not all of {STARTED} tasks came back within {BACK_MAX:?}"))??;
    println!(
        "vanish: {vanished} pollers vanished while {STARTED} tasks came; all were done {:.1} s later, {late} of them \
         had to be given again",
        began.elapsed().as_secs_f32()
    );
    Ok(())
}

/// Opens a connection with a poll and goes away, again and again. Gives how often.
async fn vanish_again(address: String, number: u64, stop: Arc<AtomicBool>) -> Result<usize, String> {
    let mut vanished = 0;
    while !stop.load(Relaxed) {
        let mut wire = Wire::connect(&address).await?;
        let call = wire.call("PollWorkflowTaskQueue", &poll_workflow(QUEUE));
        wire.write(&call).await.map_err(|error| error.to_string())?;
        // Now and then long enough for a task, now and then not.
        let stay = Duration::from_micros((number * 7 + vanished as u64 * 13) % 40 * 500);
        // The wire ends with an error if the server goes first, which it may.
        let _ = tokio::time::timeout(stay, wire.drain()).await;
        wire.cut();
        vanished += 1;
    }
    Ok(vanished)
}

/// Completes all workflows and gives how many tasks were not in their first attempt.
async fn complete_all(mut service: Service) -> Result<usize, String> {
    let (mut done, mut late) = (0, 0);
    while done < STARTED {
        let (task, _) = poll(&mut service, QUEUE).await.map_err(of("poll"))?;
        let Some(task) = task else { continue };
        late += usize::from(task.attempt > 1);
        service
            .respond_workflow_task_completed(timed(answer(task.task_token, vec![complete(None)])))
            .await
            .map_err(of("complete a task"))?;
        done += 1;
    }
    Ok(late)
}

async fn alive(service: &mut Service) -> Result<(), String> {
    service
        .get_system_info(timed(GetSystemInfoRequest::default()))
        .await
        .map(drop)
        .map_err(of("another client asks"))
}

/// Waits until the server has closed what its clients left.
async fn until_files(server: &Server) -> Result<(), String> {
    const OWN_FILES_MAX: usize = 100;
    let began = Instant::now();
    loop {
        let files = server.resources()?.files;
        if files <= OWN_FILES_MAX {
            return Ok(());
        }
        if began.elapsed() > SETTLED_MAX {
            return Err(format!("the server holds {files} files after {SETTLED_MAX:?}"));
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}
