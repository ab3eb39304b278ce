//! Holds histories against the model: nothing acknowledged is missing, nothing happened twice. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proto::temporal::{
    enums::v1::EventType,
    history::v1::{HistoryEvent, history_event::Attributes},
    update::v1::Outcome,
};

use crate::{client::text, decide::result_of, model::Record, past::activity_end};

/// One run and its whole history.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub run_id: String,
    pub events: Vec<HistoryEvent>,
}

/// What a workflow's histories hold, over all its runs.
#[derive(Debug, Default)]
struct Found<'a> {
    signals: BTreeMap<&'a str, usize>,
    /// Results of completed activities: run id, activity id and text.
    results: Vec<(&'a str, &'a str, String)>,
    /// Completed workflow tasks by run id and id of the started event.
    tasks: HashMap<(&'a str, i64), usize>,
    accepted: BTreeMap<&'a str, usize>,
    outcomes: BTreeMap<&'a str, Vec<Option<&'a Outcome>>>,
    cancel_requests: usize,
    timers_fired: usize,
    children_completed: usize,
}

/// The run that follows this one.
pub(crate) fn successor(run: &Run) -> Option<&str> {
    match run.events.last()?.attributes.as_ref()? {
        Attributes::WorkflowExecutionContinuedAsNewEventAttributes(continued) => {
            Some(&continued.new_execution_run_id)
        }
        _ => None,
    }
}

/// Checks that all that was acknowledged until the record was copied is there, once.
pub(crate) fn acknowledged(record: &Record, runs: &[Run]) -> Result<(), String> {
    let first = runs.first().ok_or("has no run")?;
    if let Some(run_id) = &record.run_id
        && *run_id != first.run_id
    {
        return Err(format!("started as run {run_id}, found {}", first.run_id));
    }
    for run in runs {
        sound(run).map_err(|problem| format!("run {}: {problem}", run.run_id))?;
    }
    let found = find(runs);
    for (request_id, _) in record.signals.iter().filter(|(_, acknowledged)| **acknowledged) {
        once(
            &format!("signal {request_id}"),
            found.signals.get(request_id.as_str()),
        )?;
    }
    for (result, sent) in record.results.iter().filter(|(_, sent)| sent.acknowledged) {
        let wanted = (sent.run_id.as_str(), sent.activity_id.as_str());
        let same =
            |(run, activity, text): &&(&str, &str, String)| (*run, *activity) == wanted && text == result;
        let count = found.results.iter().filter(same).count();
        once(&format!("activity result {result:?}"), Some(&count))?;
    }
    for (run_id, started) in &record.tasks {
        let count = found.tasks.get(&(run_id.as_str(), *started));
        once(
            &format!("answer to the workflow task {started} of run {run_id}"),
            count,
        )?;
    }
    for (update_id, outcome) in &record.updates {
        let outcomes = found
            .outcomes
            .get(update_id.as_str())
            .map_or(&[][..], Vec::as_slice);
        if outcomes != [Some(outcome)] {
            return Err(format!(
                "update {update_id}: acknowledged {outcome:?}, history has {outcomes:?}"
            ));
        }
    }
    if record.cancel_acknowledged && found.cancel_requests != 1 {
        return Err(format!("cancel request is there {} times", found.cancel_requests));
    }
    let end = runs.last().and_then(end_of);
    if record.terminate_acknowledged && end != Some(EventType::WorkflowExecutionTerminated) {
        return Err(format!("was terminated, but its end is {end:?}"));
    }
    if record.ended && end != Some(record.kind.end()) {
        return Err(format!("was shown to have ended, but its end is {end:?}"));
    }
    Ok(())
}

/// Checks a workflow after its end: its status, and that everything happened as often as its kind says.
pub(crate) fn finished(workflow_id: &str, record: &Record, runs: &[Run]) -> Result<(), String> {
    acknowledged(record, runs)?;
    let kind = record.kind;
    let ends: Vec<_> = runs.iter().map(end_of).collect();
    let mut wanted = vec![Some(EventType::WorkflowExecutionContinuedAsNew); kind.runs() - 1];
    wanted.push(Some(kind.end()));
    if ends != wanted {
        return Err(format!("runs ended with {ends:?} instead of {wanted:?}"));
    }
    let found = find(runs);
    for request_id in found.signals.keys() {
        if !record.signals.contains_key(*request_id) {
            return Err(format!("signal {request_id} was never sent"));
        }
    }
    for (run_id, activity_id, result) in &found.results {
        let sent = record.results.get(result);
        if sent.is_none_or(|sent| sent.run_id != *run_id || sent.activity_id != *activity_id) {
            return Err(format!(
                "activity {activity_id} of run {run_id} has the result {result:?} of {sent:?}"
            ));
        }
    }
    let distinct: BTreeSet<_> = found
        .results
        .iter()
        .map(|(run, activity, _)| (*run, *activity))
        .collect();
    let one_each = |counts: &BTreeMap<&str, usize>| counts.values().sum::<usize>();
    let outcomes = found.outcomes.values().map(Vec::len).sum::<usize>();
    for (what, count, wanted) in [
        ("signals", one_each(&found.signals), kind.signals()),
        ("signal request ids", found.signals.len(), kind.signals()),
        ("activity results", found.results.len(), kind.activities()),
        ("completed activities", distinct.len(), kind.activities()),
        ("accepted updates", one_each(&found.accepted), kind.updates()),
        ("update outcomes", outcomes, kind.updates()),
        (
            "acknowledged update outcomes",
            record.updates.len(),
            kind.updates(),
        ),
        ("fired timers", found.timers_fired, kind.timers()),
        ("completed children", found.children_completed, kind.children()),
    ] {
        if count != wanted {
            return Err(format!("has {count} {what} instead of {wanted}"));
        }
    }
    let end = runs.last().and_then(|run| run.events.last());
    if let Some(Attributes::WorkflowExecutionCompletedEventAttributes(completed)) =
        end.and_then(|event| event.attributes.as_ref())
        && text(completed.result.as_ref()) != result_of(workflow_id)
    {
        return Err(format!("completed with {:?}", text(completed.result.as_ref())));
    }
    Ok(())
}

/// Checks what holds for any run: dense event ids, at most one end and nothing behind it, each thing that was
/// scheduled ended at most once.
fn sound(run: &Run) -> Result<(), String> {
    let mut ended: BTreeSet<(&str, i64)> = BTreeSet::new();
    let mut scheduled: BTreeSet<&str> = BTreeSet::new();
    let last = run.events.len();
    for (event, id) in run.events.iter().zip(1_i64..) {
        if event.event_id != id {
            return Err(format!("event {} is at place {id}", event.event_id));
        }
        if (id == 1) != (event.event_type() == EventType::WorkflowExecutionStarted) {
            return Err(format!("event {id} is {:?}", event.event_type()));
        }
        if is_end(event.event_type()) && usize::try_from(id) != Ok(last) {
            return Err(format!("the end {id} is followed by further events"));
        }
        let Some(attributes) = event.attributes.as_ref() else {
            return Err(format!("event {id} has no attributes"));
        };
        if let Attributes::ActivityTaskScheduledEventAttributes(activity) = attributes
            && !scheduled.insert(&activity.activity_id)
        {
            return Err(format!("activity {} is scheduled twice", activity.activity_id));
        }
        let end = match attributes {
            Attributes::WorkflowTaskCompletedEventAttributes(task) => {
                Some(("workflow task", task.scheduled_event_id))
            }
            Attributes::WorkflowTaskFailedEventAttributes(task) => {
                Some(("workflow task", task.scheduled_event_id))
            }
            Attributes::WorkflowTaskTimedOutEventAttributes(task) => {
                Some(("workflow task", task.scheduled_event_id))
            }
            Attributes::TimerFiredEventAttributes(timer) => Some(("timer", timer.started_event_id)),
            Attributes::ChildWorkflowExecutionStartedEventAttributes(child) => {
                Some(("start of child", child.initiated_event_id))
            }
            Attributes::ChildWorkflowExecutionCompletedEventAttributes(child) => {
                Some(("child", child.initiated_event_id))
            }
            Attributes::WorkflowExecutionUpdateCompletedEventAttributes(update) => {
                Some(("update", update.accepted_event_id))
            }
            other => activity_end(other).map(|(scheduled, _)| ("activity", scheduled)),
        };
        if let Some((what, begun)) = end
            && !ended.insert((what, begun))
        {
            return Err(format!("the {what} that began with event {begun} ended twice"));
        }
    }
    Ok(())
}

fn find(runs: &[Run]) -> Found<'_> {
    let mut found = Found::default();
    for run in runs {
        let mut activity_ids: HashMap<i64, &str> = HashMap::new();
        for event in &run.events {
            let Some(attributes) = event.attributes.as_ref() else {
                continue;
            };
            match attributes {
                Attributes::ActivityTaskScheduledEventAttributes(activity) => {
                    activity_ids.insert(event.event_id, &activity.activity_id);
                }
                Attributes::ActivityTaskCompletedEventAttributes(completed) => {
                    let id = activity_ids.get(&completed.scheduled_event_id).copied();
                    let result = text(completed.result.as_ref());
                    found.results.push((&run.run_id, id.unwrap_or_default(), result));
                }
                other => found.fold(&run.run_id, other),
            }
        }
    }
    found
}

impl<'a> Found<'a> {
    fn fold(&mut self, run_id: &'a str, attributes: &'a Attributes) {
        match attributes {
            Attributes::WorkflowExecutionSignaledEventAttributes(signaled) => {
                *self.signals.entry(&signaled.request_id).or_default() += 1;
            }
            Attributes::WorkflowTaskCompletedEventAttributes(task) => {
                *self.tasks.entry((run_id, task.started_event_id)).or_default() += 1;
            }
            Attributes::WorkflowExecutionUpdateAcceptedEventAttributes(accepted) => {
                *self.accepted.entry(&accepted.protocol_instance_id).or_default() += 1;
            }
            Attributes::WorkflowExecutionUpdateCompletedEventAttributes(completed) => {
                let id = completed.meta.as_ref().map_or("", |meta| &meta.update_id);
                self.outcomes
                    .entry(id)
                    .or_default()
                    .push(completed.outcome.as_ref());
            }
            Attributes::WorkflowExecutionCancelRequestedEventAttributes(_) => self.cancel_requests += 1,
            Attributes::TimerFiredEventAttributes(_) => self.timers_fired += 1,
            Attributes::ChildWorkflowExecutionCompletedEventAttributes(_) => self.children_completed += 1,
            _ => {}
        }
    }
}

fn once(what: &str, count: Option<&usize>) -> Result<(), String> {
    match count {
        Some(1) => Ok(()),
        None | Some(0) => Err(format!("{what} was acknowledged and is lost")),
        Some(count) => Err(format!("{what} is there {count} times")),
    }
}

fn end_of(run: &Run) -> Option<EventType> {
    run.events
        .last()
        .map(HistoryEvent::event_type)
        .filter(|event| is_end(*event))
}

const fn is_end(event: EventType) -> bool {
    matches!(
        event,
        EventType::WorkflowExecutionCompleted
            | EventType::WorkflowExecutionFailed
            | EventType::WorkflowExecutionTimedOut
            | EventType::WorkflowExecutionCanceled
            | EventType::WorkflowExecutionTerminated
            | EventType::WorkflowExecutionContinuedAsNew
    )
}
