//! Options of a workflow that clients change while it runs: its priority and its versioning override (reference 1.2).

use proto::temporal::{
    common::v1::Priority,
    history::v1::{WorkflowExecutionOptionsUpdatedEventAttributes, history_event::Attributes},
    workflow::v1::{VersioningOverride, WorkflowExecutionOptions},
};

use crate::{
    close::{is_waiting, ready_activity},
    effect::{Effect, ReadyTask},
    outcome::{Rejection, Reply, Step},
    state::State,
    step::closed,
    task::ready_task,
    tx::Tx,
};

/// Which options change, and to what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChangeOptions {
    pub parts: OptionParts,
    pub versioning_override: Option<VersioningOverride>,
    pub priority: Option<Priority>,
    pub identity: String,
}

/// The options that change; each is named by a path of a field mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OptionParts {
    pub versioning_override: bool,
    pub priority: bool,
    pub priority_key: bool,
    pub fairness_key: bool,
    pub fairness_weight: bool,
}

/// Changes the options of an open run, and answers with all that it has.
pub(crate) fn change(mut tx: Tx<'_>, change: ChangeOptions) -> Result<Step, Rejection> {
    if !tx.run.is_open() {
        return Err(closed());
    }
    tx.keep_speculative_task();
    // What waits in a queue waits there under the priority that it has.
    let before = waiting(&tx);
    let options = apply(&mut tx, change);
    let after = waiting(&tx);
    if after != before {
        for row in before {
            tx.effect(Effect::Unready(row));
        }
        for row in after {
            tx.effect(Effect::Ready(row));
        }
    }
    Ok(tx.finish(Reply::Options(Box::new(options))))
}

/// Returns the rows of all that waits in queues.
fn waiting(tx: &Tx<'_>) -> Vec<ReadyTask> {
    let (run, state) = (&*tx.run, tx.state());
    let task = state.task.as_ref().filter(|task| task.started_event_id == 0);
    let activities = state.activities.values().filter(|activity| is_waiting(activity));
    task.map(|task| ready_task(run, task))
        .into_iter()
        .chain(activities.map(|activity| ready_activity(run, activity)))
        .collect()
}

/// Writes what changes, if something does, and returns the options as they are then.
pub(crate) fn apply(tx: &mut Tx<'_>, change: ChangeOptions) -> WorkflowExecutionOptions {
    let before = options(tx.state());
    let identity = change.identity.clone();
    let after = merge(before.clone(), change);
    if after != before {
        let event = WorkflowExecutionOptionsUpdatedEventAttributes {
            unset_versioning_override: after.versioning_override.is_none(),
            versioning_override: after.versioning_override.clone(),
            priority: after.priority.clone(),
            identity,
            ..Default::default()
        };
        tx.emit_external(Attributes::WorkflowExecutionOptionsUpdatedEventAttributes(
            event.into(),
        ));
    }
    after
}

fn options(state: &State) -> WorkflowExecutionOptions {
    WorkflowExecutionOptions {
        versioning_override: state.versioning_override.clone(),
        priority: state.priority.clone(),
        ..Default::default()
    }
}

fn merge(mut options: WorkflowExecutionOptions, change: ChangeOptions) -> WorkflowExecutionOptions {
    let parts = change.parts;
    if parts.versioning_override {
        options.versioning_override = change.versioning_override;
    }
    if parts.priority {
        options.priority.clone_from(&change.priority);
    }
    let asked = change.priority.unwrap_or_default();
    if parts.priority_key {
        options.priority.get_or_insert_default().priority_key = asked.priority_key;
    }
    if parts.fairness_key {
        options.priority.get_or_insert_default().fairness_key = asked.fairness_key;
    }
    if parts.fairness_weight {
        options.priority.get_or_insert_default().fairness_weight = asked.fairness_weight;
    }
    options
}
