//! Invariants: what holds of a run after every step, numbered. Tests and the auditor check them.

use crate::{
    close::{is_waiting, ready_activity},
    effect::ReadyTask,
    limits::Limits,
    run::{LiveStage, Run},
    state::{State, WorkflowTask},
    task::ready_task,
    update::has_admitted,
};

/// Something that holds of every run.
pub struct Invariant {
    pub number: u32,
    pub rule: &'static str,
    holds: fn(&Run, &Limits) -> bool,
}

/// A run breaks an invariant: a bug of the engine, or stored bytes that no engine wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invariant {number} is broken: {rule}")]
pub struct Broken {
    pub number: u32,
    pub rule: &'static str,
}

/// Finds the first invariant that the run breaks.
pub fn check(run: &Run, limits: &Limits) -> Result<(), Broken> {
    match CATALOGUE.iter().find(|invariant| !(invariant.holds)(run, limits)) {
        None => Ok(()),
        Some(Invariant { number, rule, .. }) => Err(Broken {
            number: *number,
            rule,
        }),
    }
}

/// Returns the ready tasks whose rows must stand beside the run's state: these and no others (P4).
#[must_use]
pub fn ready_tasks(run: &Run) -> Vec<ReadyTask> {
    let state = &run.state;
    let task = state.task.as_ref().filter(|task| task.started_event_id == 0);
    let activities = state.activities.values().filter(|activity| is_waiting(activity));
    task.map(|task| ready_task(run, task))
        .into_iter()
        .chain(activities.map(|activity| ready_activity(run, activity)))
        .collect()
}

/// All invariants. A number stays with its rule.
pub const CATALOGUE: &[Invariant] = &[
    Invariant {
        number: 1,
        rule: "a run has ids and has begun",
        holds: has_begun,
    },
    Invariant {
        number: 2,
        rule: "a closed run waits for nothing of its own",
        holds: closed_is_quiet,
    },
    Invariant {
        number: 3,
        rule: "an open run has no trace of an end",
        holds: open_has_no_end,
    },
    Invariant {
        number: 4,
        rule: "a workflow task's events follow one another",
        holds: task_events_in_order,
    },
    Invariant {
        number: 5,
        rule: "a workflow task's attempt is the run's",
        holds: task_attempt_agrees,
    },
    Invariant {
        number: 6,
        rule: "a speculative task is a first attempt outside history that carries updates",
        holds: speculative,
    },
    Invariant {
        number: 7,
        rule: "a started task times out",
        holds: started_task_has_deadline,
    },
    Invariant {
        number: 8,
        rule: "events are buffered only while a task is started",
        holds: buffered_while_started,
    },
    Invariant {
        number: 9,
        rule: "what is pending was begun by an event of history",
        holds: pending_has_origin,
    },
    Invariant {
        number: 10,
        rule: "an activity has an id of its own and times out",
        holds: activities_are_sound,
    },
    Invariant {
        number: 11,
        rule: "an update is admitted, then accepted, then completed",
        holds: updates_in_order,
    },
    Invariant {
        number: 12,
        rule: "an update that waits for acceptance has a task to go with",
        holds: live_updates,
    },
    Invariant {
        number: 13,
        rule: "a query that waits has a task to go with, if only the first to come",
        holds: buffered_queries,
    },
    Invariant {
        number: 14,
        rule: "only a closed child owes its parent a report",
        holds: report_is_owed,
    },
    Invariant {
        number: 15,
        rule: "what is on its way is owed",
        holds: in_flight_is_owed,
    },
    Invariant {
        number: 16,
        rule: "remembered signals were counted",
        holds: signals_are_counted,
    },
    Invariant {
        number: 17,
        rule: "nothing pending is beyond its limit",
        holds: within_limits,
    },
];

fn has_begun(run: &Run, _: &Limits) -> bool {
    let state = &run.state;
    run.key().is_ok() && !state.first_run_id.is_empty() && state.next_event_id > 1 && state.start_time != 0
}

fn closed_is_quiet(run: &Run, _: &Limits) -> bool {
    let state = &run.state;
    run.is_open()
        || (state.task.is_none()
            && state.buffered.is_empty()
            && state.activities.is_empty()
            && state.timers.is_empty()
            && state.backoff_until == 0
            && state.close_time != 0
            && state.close_node != 0
            && state.retention_until != 0
            && run.live.updates.is_empty()
            && run.live.queries.is_empty())
}

fn open_has_no_end(run: &Run, _: &Limits) -> bool {
    let state = &run.state;
    !run.is_open()
        || (state.close_time == 0
            && state.close_node == 0
            && state.retention_until == 0
            && state.successor_run_id.is_empty()
            && !state.deleting)
}

fn task_events_in_order(run: &Run, _: &Limits) -> bool {
    let Some(task) = &run.state.task else { return true };
    let follows = task.started_event_id == 0 || task.started_event_id > task.scheduled_event_id;
    let last = task.started_event_id.max(task.scheduled_event_id);
    let next = run.state.next_event_id;
    let adjacent = task.started_event_id == 0 || task.started_event_id == task.scheduled_event_id + 1;
    let placed = if task.transient {
        adjacent && task.scheduled_event_id <= next
    } else {
        last < next
    };
    task.scheduled_event_id > 0 && follows && placed
}

fn task_attempt_agrees(run: &Run, _: &Limits) -> bool {
    let attempt = run.state.task_attempt;
    attempt >= 1 && run.state.task.as_ref().is_none_or(|task| task.attempt == attempt)
}

fn speculative(run: &Run, _: &Limits) -> bool {
    run.state
        .task
        .as_ref()
        .filter(|task| task.speculative)
        .is_none_or(|task| {
            let fields = task.transient && task.attempt == 1 && task.schedule_to_start_deadline != 0;
            fields && has_admitted(run)
        })
}

fn started_task_has_deadline(run: &Run, _: &Limits) -> bool {
    let started = |task: &&WorkflowTask| task.started_event_id != 0;
    run.state
        .task
        .as_ref()
        .filter(started)
        .is_none_or(|task| task.timeout > 0 && task.started_time != 0)
}

fn buffered_while_started(run: &Run, _: &Limits) -> bool {
    let task = run.state.task.as_ref();
    run.state.buffered.is_empty() || task.is_some_and(|task| task.started_event_id != 0 && !task.speculative)
}

fn pending_has_origin(run: &Run, _: &Limits) -> bool {
    let State {
        activities,
        timers,
        children,
        signals_out,
        cancels_out,
        next_event_id,
        ..
    } = &run.state;
    let mut origins = (activities
        .iter()
        .map(|(id, activity)| (*id, activity.scheduled_event_id)))
    .chain(
        timers
            .values()
            .map(|timer| (timer.started_event_id, timer.started_event_id)),
    )
    .chain(children.iter().map(|(id, child)| (*id, child.initiated_event_id)))
    .chain(
        signals_out
            .iter()
            .map(|(id, signal)| (*id, signal.initiated_event_id)),
    )
    .chain(
        cancels_out
            .iter()
            .map(|(id, cancel)| (*id, cancel.initiated_event_id)),
    );
    origins.all(|(key, event_id)| key == event_id && 0 < event_id && event_id < *next_event_id)
}

fn activities_are_sound(run: &Run, _: &Limits) -> bool {
    let activities = &run.state.activities;
    let mut ids: Vec<_> = activities
        .values()
        .map(|activity| activity.activity_id.as_str())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let times_out = activities.values().all(|activity| {
        activity.attempt >= 1
            && (activity.start_to_close_timeout > 0 || activity.schedule_to_close_timeout > 0)
            && !(activity.backing_off && activity.started_time != 0)
    });
    ids.len() == activities.len() && times_out
}

fn updates_in_order(run: &Run, _: &Limits) -> bool {
    run.state.updates.values().all(|update| {
        let (accepted, completed) = (update.accepted_event_id, update.completed_event_id);
        let in_order = completed == 0 || (0 < accepted && accepted < completed);
        in_order
            && accepted.max(completed) < run.state.next_event_id
            && (accepted == 0) == update.admitted.is_some()
            && (completed == 0) == update.outcome.is_none()
    })
}

fn live_updates(run: &Run, _: &Limits) -> bool {
    let task = run.state.task.as_ref();
    run.live.updates.iter().all(|(id, update)| {
        let in_state = run.state.updates.contains_key(id);
        match update.stage {
            LiveStage::Sent => task.is_some_and(|task| task.started_event_id != 0),
            LiveStage::Admitted => in_state || task.is_some(),
            LiveStage::Accepted => in_state && !update.waiters.is_empty(),
        }
    })
}

fn buffered_queries(run: &Run, _: &Limits) -> bool {
    let task = run.state.task.as_ref();
    run.live.queries.iter().all(|query| {
        if query.sent {
            task.is_some_and(|task| task.started_event_id != 0)
        } else {
            task.is_some() || run.state.last_completed_started_id == 0
        }
    })
}

fn report_is_owed(run: &Run, _: &Limits) -> bool {
    run.state.report.is_none() || (!run.is_open() && run.state.parent.is_some())
}

fn in_flight_is_owed(run: &Run, _: &Limits) -> bool {
    let debts: std::collections::BTreeSet<_> = run.debts().collect();
    run.live.in_flight.is_subset(&debts)
}

fn signals_are_counted(run: &Run, _: &Limits) -> bool {
    const FINGERPRINT: usize = 16;
    let remembered = run.state.signal_requests.len();
    let count = usize::try_from(run.state.signal_count).unwrap_or(0);
    remembered.is_multiple_of(FINGERPRINT) && remembered / FINGERPRINT <= count
}

fn within_limits(run: &Run, limits: &Limits) -> bool {
    let state = &run.state;
    state.activities.len() <= limits.pending_activities
        && state.children.len() <= limits.pending_children
        && state.signals_out.len() <= limits.pending_signals
        && state.cancels_out.len() <= limits.pending_cancels
        && state.buffered.len() <= limits.buffered_events
        && run.live.queries.len() <= limits.buffered_queries
}
