//! Reads histories and lists from the server and has them held against the model.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use proto::temporal::{
    history::v1::history_event::Attributes, workflowservice::v1::ListWorkflowExecutionsRequest,
};
use tokio::task::JoinSet;

use crate::{
    client::{Api, NAMESPACE},
    model::Record,
    verify,
    verify::Run,
};

/// Workflows that are read at once.
const READERS: usize = 8;
/// Runs on the way to the visibility index when the last workflow ended are listed by then.
const LISTED_WITHIN: Duration = Duration::from_secs(20);
const LIST_PAGE: i32 = 1000;

/// How strictly a record is held against its histories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// The workflow may be anywhere: what is acknowledged is there.
    Acknowledged,
    /// The workflow has ended: nothing else is there either.
    Finished,
}

/// Checks records; gives all runs by workflow id, or the first violation.
pub(crate) async fn check(
    api: &Arc<Api>,
    records: BTreeMap<String, Record>,
    strictness: Strictness,
    directory: &Path,
) -> Result<BTreeSet<(String, String)>, String> {
    let mut left = records.into_iter();
    let mut readers = JoinSet::new();
    let mut found = BTreeSet::new();
    loop {
        while readers.len() < READERS
            && let Some((id, record)) = left.next()
        {
            readers.spawn(one(api.clone(), id, record, strictness, directory.to_owned()));
        }
        match readers.join_next().await {
            None => return Ok(found),
            Some(joined) => found.extend(joined.map_err(|error| error.to_string())??),
        }
    }
}

async fn one(
    api: Arc<Api>,
    workflow_id: String,
    record: Record,
    strictness: Strictness,
    directory: PathBuf,
) -> Result<Vec<(String, String)>, String> {
    if strictness == Strictness::Acknowledged && !record.exists() {
        return Ok(Vec::new());
    }
    let runs = runs(&api, &workflow_id, record.run_id.as_deref().unwrap_or_default())
        .await
        .map_err(|problem| format!("{workflow_id}: {problem}; acknowledged: {record:?}"))?;
    let checked = match strictness {
        Strictness::Acknowledged => verify::acknowledged(&record, &runs),
        Strictness::Finished => verify::finished(&workflow_id, &record, &runs),
    };
    match checked {
        Ok(()) => Ok(runs
            .into_iter()
            .map(|run| (workflow_id.clone(), run.run_id))
            .collect()),
        Err(problem) => {
            let file = directory.join(format!("{workflow_id}.history"));
            let text = format!("{problem}\n{record:#?}\n{}", render(&runs));
            let kept = fs::write(&file, text).map_or_else(
                |error| format!("writing {}: {error}", file.display()),
                |()| format!("history in {}", file.display()),
            );
            Err(format!("{workflow_id}: {problem} ({kept})"))
        }
    }
}

/// A workflow's runs from the given one on; from the newest one on when the run id is empty.
async fn runs(api: &Api, workflow_id: &str, run_id: &str) -> Result<Vec<Run>, String> {
    let mut runs = Vec::new();
    let mut next = Some(run_id.to_owned());
    while let Some(run_id) = next {
        let read = api.history(workflow_id, &run_id).await;
        let events = read.map_err(|status| {
            format!(
                "read history of run {run_id:?}: {:?} {:?}",
                status.code(),
                status.message()
            )
        })?;
        let original = events.first().and_then(|event| match event.attributes.as_ref() {
            Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) => {
                Some(started.original_execution_run_id.clone())
            }
            _ => None,
        });
        let run = Run {
            run_id: if run_id.is_empty() {
                original.unwrap_or_default()
            } else {
                run_id
            },
            events,
        };
        next = verify::successor(&run).map(str::to_owned);
        runs.push(run);
    }
    Ok(runs)
}

/// Checks that the lists show these runs and no other: nothing ran twice.
pub(crate) async fn listed(api: &Api, wanted: &BTreeSet<(String, String)>) -> Result<(), String> {
    let began = Instant::now();
    loop {
        let listed = list(api).await?;
        let extra: Vec<_> = listed.difference(wanted).take(5).collect();
        if !extra.is_empty() {
            return Err(format!("runs that nobody started, or that ran twice: {extra:?}"));
        }
        let missing: Vec<_> = wanted.difference(&listed).take(5).collect();
        if missing.is_empty() {
            return Ok(());
        }
        if began.elapsed() > LISTED_WITHIN {
            let count = wanted.len() - listed.len();
            return Err(format!(
                "{count} runs are in no list after {LISTED_WITHIN:?}: {missing:?}"
            ));
        }
    }
}

async fn list(api: &Api) -> Result<BTreeSet<(String, String)>, String> {
    let mut listed = BTreeSet::new();
    let mut page = Vec::new();
    loop {
        let request = ListWorkflowExecutionsRequest {
            namespace: NAMESPACE.to_owned(),
            page_size: LIST_PAGE,
            next_page_token: page,
            ..Default::default()
        };
        let answer = api.call(&request, |mut service, request| async move {
            service.list_workflow_executions(request).await
        });
        let answer = answer
            .await
            .map_err(|status| format!("list workflows: {status:?}"))?;
        for info in answer.executions {
            let execution = info.execution.unwrap_or_default();
            let run = (execution.workflow_id, execution.run_id);
            if listed.contains(&run) {
                return Err(format!("{run:?} is listed twice"));
            }
            listed.insert(run);
        }
        page = answer.next_page_token;
        if page.is_empty() {
            return Ok(listed);
        }
    }
}

fn render(runs: &[Run]) -> String {
    let mut text = String::new();
    for run in runs {
        // Writing into a string does not fail.
        let _ = writeln!(text, "run {}", run.run_id);
        for event in &run.events {
            let _ = writeln!(
                text,
                "{} {:?} {:?}",
                event.event_id,
                event.event_type(),
                event.attributes
            );
        }
    }
    text
}
