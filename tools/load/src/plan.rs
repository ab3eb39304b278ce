//! What a workflow of the load does, written in its type name so that any worker knows it from the task alone.
//!
//! `sequence-10` is ten activities one after the other; `chain-3` continues as new three times. Pure.

use std::fmt;

/// The whole logic of a workflow; `worker::decide` turns it and what happened so far into commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Complete at the first workflow task.
    Noop,
    /// So many activities, one after the other.
    Sequence { activities: u32 },
    /// So many activities, all at once.
    Fan { activities: u32 },
    /// Complete once so many signals arrived.
    Signals { count: u32 },
    /// Complete once so many updates were answered.
    Updates { count: u32 },
    /// One timer, then complete.
    Timer { millis: u64 },
    /// So many long timers that the run does not outlive: the load is to be asleep.
    Sleep { seconds: u64, timers: u32 },
    /// So many children that complete at once, then complete.
    Children { count: u32 },
    /// Continue as new so many times more, then complete.
    Chain { remaining: u32 },
    /// So many workflow tasks that record so many markers each, then complete: a large history.
    Markers { tasks: u32, each: u32 },
}

impl Plan {
    /// Reads a workflow type name; `None` for one that is not of this load.
    pub(crate) fn parse(type_name: &str) -> Option<Self> {
        let Some((kind, rest)) = type_name.split_once('-') else {
            return (type_name == "noop").then_some(Self::Noop);
        };
        let count = || rest.parse::<u32>().ok();
        Some(match kind {
            "sequence" => Self::Sequence { activities: count()? },
            "fan" => Self::Fan { activities: count()? },
            "signals" => Self::Signals { count: count()? },
            "updates" => Self::Updates { count: count()? },
            "timer" => Self::Timer {
                millis: rest.parse().ok()?,
            },
            "sleep" => {
                let (seconds, timers) = rest.split_once('x')?;
                Self::Sleep {
                    seconds: seconds.parse().ok()?,
                    timers: timers.parse().ok()?,
                }
            }
            "children" => Self::Children { count: count()? },
            "chain" => Self::Chain { remaining: count()? },
            "markers" => {
                let (tasks, each) = rest.split_once('x')?;
                Self::Markers {
                    tasks: tasks.parse().ok()?,
                    each: each.parse().ok()?,
                }
            }
            _ => return None,
        })
    }

    /// Activities that one such workflow runs.
    pub(crate) fn activities(self) -> u32 {
        match self {
            Self::Sequence { activities } | Self::Fan { activities } => activities,
            _ => 0,
        }
    }

    /// Child workflows that close on the way of one such workflow.
    pub(crate) fn children(self) -> u32 {
        match self {
            Self::Children { count } => count,
            _ => 0,
        }
    }

    /// Whether the workflow never closes by itself within a run.
    pub(crate) fn sleeps(self) -> bool {
        matches!(self, Self::Sleep { .. })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Noop => f.write_str("noop"),
            Self::Sequence { activities } => write!(f, "sequence-{activities}"),
            Self::Fan { activities } => write!(f, "fan-{activities}"),
            Self::Signals { count } => write!(f, "signals-{count}"),
            Self::Updates { count } => write!(f, "updates-{count}"),
            Self::Timer { millis } => write!(f, "timer-{millis}"),
            Self::Sleep { seconds, timers } => write!(f, "sleep-{seconds}x{timers}"),
            Self::Children { count } => write!(f, "children-{count}"),
            Self::Chain { remaining } => write!(f, "chain-{remaining}"),
            Self::Markers { tasks, each } => write!(f, "markers-{tasks}x{each}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_the_whole_plan() {
        let plans = [
            Plan::Noop,
            Plan::Sequence { activities: 10 },
            Plan::Fan { activities: 3 },
            Plan::Signals { count: 1 },
            Plan::Updates { count: 2 },
            Plan::Timer { millis: 1000 },
            Plan::Sleep {
                seconds: 3600,
                timers: 2,
            },
            Plan::Children { count: 5 },
            Plan::Chain { remaining: 0 },
            Plan::Markers { tasks: 20, each: 50 },
        ];
        for plan in plans {
            assert_eq!(Plan::parse(&plan.to_string()), Some(plan));
        }
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in ["", "noop-1", "sequence", "sequence-x", "markers-3", "order"] {
            assert_eq!(Plan::parse(name), None, "{name}");
        }
    }
}
