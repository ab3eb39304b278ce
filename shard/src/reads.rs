//! Reads: how the rows that a shard wants are found in its store. For the shells, real and simulated.

use bytes::Bytes;
use engine::{effect::ReadyTask, invariants::ready_tasks, run::Run, state::State};
use proto::{
    ids::{RunKey, ShardId},
    time::Timestamp,
};
use storage::{
    batch::Table,
    error::StoreError,
    shard::{Row, ShardStore},
};

use crate::{
    auditor::{Finding, Page, Part, Place},
    codec,
    input::{LoadKey, Scan},
    limits::{AUDIT_ROWS_MAX, SCAN_ROWS_MAX},
    ready::after,
};

/// Reads what [`Output::Load`] asks for.
///
/// [`Output::Load`]: crate::output::Output::Load
pub async fn load(
    store: &dyn ShardStore,
    shard: ShardId,
    key: &LoadKey,
) -> Result<Option<Bytes>, StoreError> {
    match key {
        LoadKey::Run(run) => {
            let key = codec::run_key(run);
            match store.load(shard, Table::Run, &key).await? {
                Some(state) => Ok(Some(state)),
                None => store.load(shard, Table::Closed, &key).await,
            }
        }
        LoadKey::Current(workflow) => {
            store
                .load(shard, Table::Current, &codec::current_key(workflow))
                .await
        }
    }
}

/// Reads what [`Output::Scan`] asks for.
///
/// [`Output::Scan`]: crate::output::Output::Scan
pub async fn scan(store: &dyn ShardStore, shard: ShardId, wanted: &Scan) -> Result<Vec<Row>, StoreError> {
    match wanted {
        // Beyond the wanted time one more row tells when to read again.
        Scan::Wakeups { from, .. } => store.scan(shard, Table::Wakeup, from, None, SCAN_ROWS_MAX).await,
        Scan::AllReady { from } | Scan::Sweep { from, .. } => {
            store.scan(shard, Table::Ready, from, None, SCAN_ROWS_MAX).await
        }
        Scan::Ready { queue, from, limit } => {
            let end = codec::after_prefix(&codec::ready_prefix(queue));
            store
                .scan(shard, Table::Ready, from, end.as_deref(), *limit)
                .await
        }
        Scan::Outbox { from } => store.scan(shard, Table::Outbox, from, None, SCAN_ROWS_MAX).await,
    }
}

/// Reads what [`Output::Audit`] asks for.
///
/// [`Output::Audit`]: crate::output::Output::Audit
pub async fn audit(store: &dyn ShardStore, shard: ShardId, place: &Place) -> Result<Page, StoreError> {
    let table = match place.part {
        Part::Runs => Table::Run,
        Part::Ready => Table::Ready,
    };
    let rows = store
        .scan(shard, table, &place.from, None, AUDIT_ROWS_MAX)
        .await?;
    let next = match (rows.last(), place.part) {
        (Some(last), part) if rows.len() == AUDIT_ROWS_MAX => Some(Place {
            part,
            from: after(&last.key),
        }),
        (_, Part::Runs) => Some(Place {
            part: Part::Ready,
            from: Bytes::new(),
        }),
        (_, Part::Ready) => None,
    };
    let mut findings = Vec::new();
    for row in rows {
        match place.part {
            Part::Runs => audit_run(store, shard, &row, &mut findings).await?,
            Part::Ready => findings.extend(audit_ready(store, shard, row).await?),
        }
    }
    Ok(Page { findings, next })
}

/// Finds what is missing beside the run.
async fn audit_run(
    store: &dyn ShardStore,
    shard: ShardId,
    row: &Row,
    findings: &mut Vec<Finding>,
) -> Result<(), StoreError> {
    let run = State::from_bytes(&row.value).ok().map(Run::load);
    let Some((key, run)) = run.and_then(|run| Some((run.key().ok()?, run))) else {
        findings.push(Finding::Unreadable(row.key.clone()));
        return Ok(());
    };
    if let Some((due, _)) = run.next_deadline(true) {
        let stored = Timestamp::from_nanos(run.state().wakeup);
        let wakeup = codec::wakeup_key(stored, &key);
        let stands = stored != Timestamp::EPOCH
            && stored <= due
            && store.load(shard, Table::Wakeup, &wakeup).await?.is_some();
        if !stands {
            findings.push(Finding::NoWakeup(key.clone()));
        }
    }
    for ready in ready_keys(&run, &key) {
        if store.load(shard, Table::Ready, &ready).await?.is_none() {
            findings.push(Finding::NoReadyRow(key.clone()));
            break;
        }
    }
    Ok(())
}

/// Tells whether the row is of no task that its run has.
async fn audit_ready(
    store: &dyn ShardStore,
    shard: ShardId,
    row: Row,
) -> Result<Option<Finding>, StoreError> {
    let Ok((_, key, _)) = codec::read_ready(&row.key, &row.value) else {
        return Ok(Some(Finding::Unreadable(row.key)));
    };
    let state = store.load(shard, Table::Run, &codec::run_key(&key)).await?;
    let run = match state.as_ref().map(|state| State::from_bytes(state)) {
        None => None,
        Some(Ok(state)) => Some(Run::load(state)),
        // It is found unreadable itself.
        Some(Err(_)) => return Ok(None),
    };
    let known = run.is_some_and(|run| ready_keys(&run, &key).contains(&row.key));
    Ok((!known).then_some(Finding::StrayReadyRow(key, row.key)))
}

/// Returns the keys of the rows of the run's ready tasks.
fn ready_keys(run: &Run, key: &RunKey) -> Vec<Bytes> {
    let durable = |task: &ReadyTask| !task.speculative;
    let tasks = ready_tasks(run).into_iter().filter(durable);
    tasks
        .map(|task| codec::ready_key(&codec::queue_of(key.workflow.namespace_id, &task), key, &task))
        .collect()
}
