//! The workflows' logic: from a plan and what happened so far to the commands of one workflow task.
//!
//! Pure and deterministic, and it looks at nothing but its arguments, so it is the same on a sticky task, on a
//! full replay and on another worker.

use std::time::Duration;

use proto::temporal::command::v1::Command;

use super::{command, tally::Tally};
use crate::{
    payload::{Filler, fingerprint},
    plan::Plan,
};

/// Who asks, and what its commands need to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub queue: &'a str,
    pub workflow_id: &'a str,
    /// The workflow's number within the load.
    pub number: u64,
    pub filler: &'a Filler,
    pub eager_activities: bool,
}

/// What the acknowledgement of these commands means for the workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Milestone {
    /// It goes on.
    Under,
    /// It sleeps on its long timer.
    Asleep,
    /// This run ended, another follows.
    Continued,
    /// It completed.
    Closed,
}

/// The answer to one workflow task.
#[derive(Clone, Debug)]
pub(crate) struct Decision {
    pub commands: Vec<Command>,
    pub milestone: Milestone,
    /// Ask for another task at once though nothing happened.
    pub force_new_task: bool,
    /// Something it waited for came back wrong or not at all.
    pub wrong: bool,
}

impl Decision {
    fn wait(commands: Vec<Command>) -> Self {
        Self {
            commands,
            milestone: Milestone::Under,
            force_new_task: false,
            wrong: false,
        }
    }

    fn end(context: &Context<'_>, wrong: bool) -> Self {
        let commands = vec![command::complete(context.filler.plain())];
        Self {
            commands,
            milestone: Milestone::Closed,
            force_new_task: false,
            wrong,
        }
    }
}

/// Decides; `updates_now` counts the updates that this task brought and that are answered along with it.
pub(crate) fn decide(plan: Plan, tally: &Tally, updates_now: u32, context: &Context<'_>) -> Decision {
    match plan {
        Plan::Noop => Decision::end(context, false),
        Plan::Sequence { activities } => activities_step(tally, activities, 1, context),
        Plan::Fan { activities } => activities_step(tally, activities, activities, context),
        Plan::Signals { count } if tally.signals >= count => Decision::end(context, tally.signals != count),
        Plan::Updates { count } if tally.updates_completed + updates_now >= count => {
            Decision::end(context, tally.updates_completed + updates_now != count)
        }
        Plan::Signals { .. } | Plan::Updates { .. } => Decision::wait(vec![]),
        Plan::Timer { .. } if tally.timers_fired > 0 => Decision::end(context, tally.timers_fired != 1),
        Plan::Timer { millis } => timer_step(tally, 1, Duration::from_millis(millis)),
        Plan::Sleep { .. } if tally.timers_fired > 0 => Decision::end(context, false),
        Plan::Sleep { seconds, timers } => {
            let milestone = if tally.timers_started == 0 {
                Milestone::Asleep
            } else {
                Milestone::Under
            };
            Decision {
                milestone,
                ..timer_step(tally, timers, Duration::from_secs(seconds))
            }
        }
        Plan::Children { count } => children_step(tally, count, context),
        Plan::Chain { remaining: 0 } => Decision::end(context, false),
        Plan::Chain { remaining } => {
            let next = Plan::Chain {
                remaining: remaining - 1,
            }
            .to_string();
            let commands = vec![command::continue_as_new(
                next,
                context.queue,
                context.filler.plain(),
            )];
            Decision {
                milestone: Milestone::Continued,
                ..Decision::wait(commands)
            }
        }
        Plan::Markers { tasks, each } if tally.markers >= tasks * each => {
            Decision::end(context, tally.markers != tasks * each)
        }
        Plan::Markers { each, .. } => {
            let commands = (0..each)
                .map(|_| command::record_marker(context.filler.plain()))
                .collect();
            Decision {
                force_new_task: true,
                ..Decision::wait(commands)
            }
        }
    }
}

/// Keeps up to `width` activities in flight until `total` ended.
fn activities_step(tally: &Tally, total: u32, width: u32, context: &Context<'_>) -> Decision {
    let ended = tally.activities_completed + tally.activities_lost;
    if ended >= total {
        return Decision::end(context, !results_arrived(tally, total, context));
    }
    let in_flight = tally.activities_scheduled - ended;
    let more = (total - tally.activities_scheduled).min(width - in_flight.min(width));
    let numbers = tally.activities_scheduled..tally.activities_scheduled + more;
    let commands = numbers.map(|number| {
        let input = context.filler.marked(context.number, number.into());
        command::schedule_activity(number.to_string(), context.queue, input, context.eager_activities)
    });
    Decision::wait(commands.collect())
}

fn results_arrived(tally: &Tally, total: u32, context: &Context<'_>) -> bool {
    let wanted = (0..u64::from(total)).map(|number| fingerprint(context.number, number));
    let counts = tally.activities_completed == total && tally.activities_scheduled == total;
    counts && (!context.filler.marks() || tally.results == wanted.fold(0, u64::wrapping_add))
}

fn timer_step(tally: &Tally, count: u32, after: Duration) -> Decision {
    let timer = |number: u32| command::start_timer(number.to_string(), after);
    Decision::wait((tally.timers_started..count).map(timer).collect())
}

fn children_step(tally: &Tally, count: u32, context: &Context<'_>) -> Decision {
    if tally.children_completed + tally.children_lost >= count {
        return Decision::end(context, tally.children_completed != count);
    }
    let commands = (tally.children_initiated..count).map(|child| {
        let id = format!("{}.{child}", context.workflow_id);
        command::start_child(id, context.queue, context.filler.plain())
    });
    Decision::wait(commands.collect())
}

#[cfg(test)]
mod tests;
