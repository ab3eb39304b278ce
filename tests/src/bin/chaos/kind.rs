//! The kinds of workflows that run while the server dies, and how each must have ended.

use proto::temporal::enums::v1::EventType;

/// A workflow's kind; its name is the workflow type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// One activity.
    Activity,
    /// Several activities at once, then several one after the other.
    Activities,
    /// A timer, an activity, a timer.
    Timer,
    /// Signals, an activity for each.
    Signals,
    /// Started by a signal, then signalled by further starts.
    SignalStarts,
    /// Updates: some answered at once, some after an activity.
    Updates,
    /// Two children.
    Parent,
    /// Started by `Parent` only: one activity.
    Leaf,
    /// Continues as new.
    Chain,
    /// Fails because its activity does.
    Fails,
    /// Ends when asked to cancel.
    Canceled,
    /// Waits until it is terminated.
    Terminated,
}

/// What callers start, in turn.
pub(crate) const STARTED: [Kind; 11] = [
    Kind::Activity,
    Kind::Signals,
    Kind::Updates,
    Kind::Activities,
    Kind::Chain,
    Kind::Timer,
    Kind::SignalStarts,
    Kind::Parent,
    Kind::Canceled,
    Kind::Fails,
    Kind::Terminated,
];

/// Signals that `Signals` and `SignalStarts` get before the last one.
pub(crate) const SIGNALS: usize = 4;
pub(crate) const UPDATES: usize = 3;
pub(crate) const CHILDREN: usize = 2;
/// Runs of a `Chain`.
pub(crate) const LINKS: usize = 4;
/// Activities of `Activities` that run at once, and those that follow.
pub(crate) const PARALLEL: usize = 4;
pub(crate) const SERIAL: usize = 2;

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Activity => "activity",
            Self::Activities => "activities",
            Self::Timer => "timer",
            Self::Signals => "signals",
            Self::SignalStarts => "signal-starts",
            Self::Updates => "updates",
            Self::Parent => "parent",
            Self::Leaf => "leaf",
            Self::Chain => "chain",
            Self::Fails => "fails",
            Self::Canceled => "canceled",
            Self::Terminated => "terminated",
        }
    }

    pub(crate) fn of(name: &str) -> Option<Self> {
        STARTED
            .into_iter()
            .chain([Self::Leaf])
            .find(|kind| kind.name() == name)
    }

    /// The event that ends the workflow's last run.
    pub(crate) const fn end(self) -> EventType {
        match self {
            Self::Fails => EventType::WorkflowExecutionFailed,
            Self::Canceled => EventType::WorkflowExecutionCanceled,
            Self::Terminated => EventType::WorkflowExecutionTerminated,
            _ => EventType::WorkflowExecutionCompleted,
        }
    }

    /// Runs, one following the other.
    pub(crate) const fn runs(self) -> usize {
        match self {
            Self::Chain => LINKS,
            _ => 1,
        }
    }

    /// Activities that complete, over all runs.
    pub(crate) const fn activities(self) -> usize {
        match self {
            Self::Activity | Self::Timer | Self::Leaf => 1,
            Self::Activities => PARALLEL + SERIAL,
            Self::Signals => SIGNALS,
            Self::Updates => UPDATES / 2,
            Self::Chain => LINKS,
            Self::SignalStarts | Self::Parent | Self::Fails | Self::Canceled | Self::Terminated => 0,
        }
    }

    /// Signals in history, over all runs, the last one included.
    pub(crate) const fn signals(self) -> usize {
        match self {
            Self::Signals | Self::SignalStarts => SIGNALS + 1,
            Self::Updates | Self::Chain => 1,
            _ => 0,
        }
    }

    pub(crate) const fn updates(self) -> usize {
        match self {
            Self::Updates => UPDATES,
            _ => 0,
        }
    }

    pub(crate) const fn timers(self) -> usize {
        match self {
            Self::Timer => 2,
            _ => 0,
        }
    }

    pub(crate) const fn children(self) -> usize {
        match self {
            Self::Parent => CHILDREN,
            _ => 0,
        }
    }
}
