//! Report: a run as its stored rows show it, for operators. Reads beside the shard, which need not run anywhere.

use engine::{
    Last,
    invariants::ready_tasks,
    run::Run,
    state::{Activity, Child, State},
};
use prost::Message as _;
use proto::{
    ids::{RunId, RunKey, ShardId},
    temporal::enums::v1::WorkflowExecutionStatus,
    time::Timestamp,
};
use serde::Serialize;
use storage::{batch::Table, error::StoreError, shard::ShardStore};

use crate::{
    codec,
    input::{LoadKey, RunTarget},
    reads,
};

const NANOS_PER_MILLI: i64 = 1_000_000;

/// The run cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("stored run is malformed")]
    Malformed,
}

/// A run: its state, what it waits for, and the rows that will move it. Times are milliseconds since 1970.
#[derive(Debug, Serialize)]
pub struct RunReport {
    pub shard: u32,
    pub namespace_id: String,
    pub workflow_id: String,
    pub run_id: String,
    pub workflow_type: String,
    pub status: &'static str,
    pub started_ms: i64,
    pub next_event_id: i64,
    pub history_bytes: i64,
    pub transitions: i64,
    pub workflow_task: Option<TaskReport>,
    pub activities: Vec<ActivityReport>,
    pub timers: Vec<TimerReport>,
    pub children: Vec<ChildReport>,
    /// Signals and cancel requests to other workflows that have not arrived.
    pub external_calls: usize,
    pub updates: usize,
    pub wakeup: WakeupReport,
    pub ready_tasks: Vec<ReadyReport>,
}

#[derive(Debug, Serialize)]
pub struct TaskReport {
    pub scheduled_event_id: i64,
    pub attempt: i32,
    pub started: bool,
    pub queue: String,
}

#[derive(Debug, Serialize)]
pub struct ActivityReport {
    pub activity_id: String,
    pub activity_type: String,
    pub queue: String,
    pub attempt: i32,
    pub started: bool,
    pub backing_off: bool,
}

#[derive(Debug, Serialize)]
pub struct TimerReport {
    pub timer_id: String,
    pub fires_ms: i64,
}

#[derive(Debug, Serialize)]
pub struct ChildReport {
    pub workflow_id: String,
    pub workflow_type: String,
    pub started: bool,
}

/// When the run is looked at next.
#[derive(Debug, Serialize)]
pub struct WakeupReport {
    /// When it must be looked at; nothing unless it waits for time or owes something.
    pub due_ms: Option<i64>,
    pub why: Option<String>,
    /// The row that sees to it, which may be earlier.
    pub stored_ms: Option<i64>,
    /// Whether the row stands and is not too late.
    pub sound: bool,
}

#[derive(Debug, Serialize)]
pub struct ReadyReport {
    pub queue: String,
    pub kind: String,
    pub attempt: i32,
    pub scheduled_ms: i64,
    /// Whether its row stands; one of the memory only has none.
    pub stored: bool,
}

/// Reads the run, or the newest one of its workflow; `None` if there is none.
///
/// # Errors
///
/// The store does not answer, or what is stored is no run.
pub async fn report(
    store: &dyn ShardStore,
    shard: ShardId,
    target: &RunTarget,
) -> Result<Option<RunReport>, ReportError> {
    let Some(run_id) = find(store, shard, target).await? else {
        return Ok(None);
    };
    let key = RunKey {
        workflow: target.workflow.clone(),
        run_id,
    };
    let Some(bytes) = reads::load(store, shard, &LoadKey::Run(key.clone())).await? else {
        return Ok(None);
    };
    let run = Run::load(State::from_bytes(&bytes).map_err(|_| ReportError::Malformed)?);
    let wakeup = wakeup(store, shard, &key, &run).await?;
    let ready_tasks = ready(store, shard, &key, &run).await?;
    Ok(Some(summary(shard, &run, wakeup, ready_tasks)))
}

async fn find(
    store: &dyn ShardStore,
    shard: ShardId,
    target: &RunTarget,
) -> Result<Option<RunId>, ReportError> {
    if let Some(run_id) = target.run_id {
        return Ok(Some(run_id));
    }
    let current = reads::load(store, shard, &LoadKey::Current(target.workflow.clone())).await?;
    current
        .map(|bytes| {
            let last = Last::decode(bytes).map_err(|_| ReportError::Malformed)?;
            last.run_id.parse().map_err(|_| ReportError::Malformed)
        })
        .transpose()
}

fn summary(shard: ShardId, run: &Run, wakeup: WakeupReport, ready_tasks: Vec<ReadyReport>) -> RunReport {
    let state = run.state();
    let status = WorkflowExecutionStatus::try_from(state.status).unwrap_or_default();
    RunReport {
        shard: shard.0,
        namespace_id: state.namespace_id.clone(),
        workflow_id: state.workflow_id.clone(),
        run_id: state.run_id.clone(),
        workflow_type: state.workflow_type.clone(),
        status: status.as_str_name(),
        started_ms: millis(state.start_time),
        next_event_id: state.next_event_id,
        history_bytes: state.history_bytes,
        transitions: state.transitions,
        workflow_task: state.task.as_ref().map(|task| TaskReport {
            scheduled_event_id: task.scheduled_event_id,
            attempt: task.attempt,
            started: task.started_time != 0,
            queue: task.queue.clone(),
        }),
        activities: state.activities.values().map(activity).collect(),
        timers: state
            .timers
            .iter()
            .map(|(id, timer)| TimerReport {
                timer_id: id.clone(),
                fires_ms: millis(timer.fire_time),
            })
            .collect(),
        children: state.children.values().map(child).collect(),
        external_calls: state.signals_out.len() + state.cancels_out.len(),
        updates: state.updates.len(),
        wakeup,
        ready_tasks,
    }
}

fn activity(activity: &Activity) -> ActivityReport {
    ActivityReport {
        activity_id: activity.activity_id.clone(),
        activity_type: activity.activity_type.clone(),
        queue: activity.task_queue.clone(),
        attempt: activity.attempt,
        started: activity.started_time != 0,
        backing_off: activity.backing_off,
    }
}

fn child(child: &Child) -> ChildReport {
    ChildReport {
        workflow_id: child.workflow_id.clone(),
        workflow_type: child.workflow_type.clone(),
        started: child.started_event_id != 0,
    }
}

async fn wakeup(
    store: &dyn ShardStore,
    shard: ShardId,
    key: &RunKey,
    run: &Run,
) -> Result<WakeupReport, StoreError> {
    let due = run.next_deadline(true);
    let stored = Timestamp::from_nanos(run.state().wakeup);
    let stands = stored != Timestamp::EPOCH
        && store
            .load(shard, Table::Wakeup, &codec::wakeup_key(stored, key))
            .await?
            .is_some();
    Ok(WakeupReport {
        due_ms: due.map(|(at, _)| millis(at.nanos())),
        why: due.map(|(_, why)| format!("{why:?}")),
        stored_ms: stands.then(|| millis(stored.nanos())),
        sound: due.is_none_or(|(at, _)| stands && stored <= at),
    })
}

async fn ready(
    store: &dyn ShardStore,
    shard: ShardId,
    key: &RunKey,
    run: &Run,
) -> Result<Vec<ReadyReport>, StoreError> {
    let mut tasks = Vec::new();
    for task in ready_tasks(run) {
        let queue = codec::queue_of(key.workflow.namespace_id, &task);
        let row = codec::ready_key(&queue, key, &task);
        tasks.push(ReadyReport {
            stored: store.load(shard, Table::Ready, &row).await?.is_some(),
            kind: format!("{:?}", task.kind),
            attempt: task.attempt,
            scheduled_ms: millis(task.scheduled_time),
            queue: task.queue,
        });
    }
    Ok(tasks)
}

fn millis(nanos: i64) -> i64 {
    nanos / NANOS_PER_MILLI
}
