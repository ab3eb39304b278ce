//! The scenarios by name, and what each asks of the client side and of the worker side.
//!
//! Pure. `flow` plays the client side, `worker` the other.

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::plan::Plan;

/// A named load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scenario {
    /// Start, one workflow task, complete.
    Noop,
    /// One activity.
    Activity,
    /// Activities one after the other (--activities, 10).
    Sequential,
    /// Activities all at once (--activities, 10).
    Parallel,
    /// Start, signal, complete.
    Signal,
    /// Many signals into one workflow by several callers (--ops, --callers).
    Signals,
    /// Signal-with-start, complete.
    SignalWithStart,
    /// One timer (--timer, 1s).
    Timer,
    /// Child workflows (--children, 5).
    Children,
    /// Continue as new (--links, 2), then complete.
    Chain,
    /// Start, updates that wait for their result (--ops, 1), complete.
    Update,
    /// Start, queries (--ops, 1), a signal, complete.
    Query,
    /// Workflows that sleep on a long timer; measures what they cost asleep (--idle).
    Sleepers,
    /// Start all before the first worker comes (fill), then drain.
    Backlog,
    /// One activity with large payloads (256 KiB unless --payload says otherwise).
    LargePayload,
    /// Histories of about a thousand events (--markers per task, --tasks).
    LargeHistory,
}

/// The numbers that shape scenarios; those a scenario does not use are ignored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub activities: u32,
    pub children: u32,
    pub links: u32,
    pub ops: Option<u32>,
    pub callers: u32,
    pub timer: Duration,
    pub sleep: Duration,
    pub timers: u32,
    pub tasks: u32,
    pub markers: u32,
    pub payload: Option<usize>,
}

/// How a client brings a workflow into being.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    Start,
    SignalWithStart,
}

/// What a client does to a workflow while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Signal,
    Update,
    Query,
}

/// One scenario, worked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub plan: Plan,
    pub opening: Opening,
    /// Operations on each workflow after its start.
    pub operation: Option<(Operation, u32)>,
    /// Callers that share these operations.
    pub callers: u32,
    /// A last signal that lets the workflow complete.
    pub finish_by_signal: bool,
    pub payload: usize,
}

const PAYLOAD: usize = 100;
const PAYLOAD_LARGE: usize = 256 << 10;
const SIGNALS_INTO_ONE: u32 = 1000;

impl Scenario {
    /// The name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    pub(crate) fn shape(self, numbers: &Numbers) -> Shape {
        let ops = numbers.ops.unwrap_or(if self == Self::Signals {
            SIGNALS_INTO_ONE
        } else {
            1
        });
        let payload_default = if self == Self::LargePayload {
            PAYLOAD_LARGE
        } else {
            PAYLOAD
        };
        let operation = match self {
            Self::Signal | Self::Signals => Some((Operation::Signal, ops)),
            Self::Update => Some((Operation::Update, ops)),
            Self::Query => Some((Operation::Query, ops)),
            _ => None,
        };
        Shape {
            plan: self.plan(numbers, ops),
            opening: if self == Self::SignalWithStart {
                Opening::SignalWithStart
            } else {
                Opening::Start
            },
            operation,
            callers: if self == Self::Signals {
                numbers.callers.clamp(1, ops.max(1))
            } else {
                1
            },
            finish_by_signal: self == Self::Query,
            payload: numbers.payload.unwrap_or(payload_default),
        }
    }

    fn plan(self, numbers: &Numbers, ops: u32) -> Plan {
        match self {
            Self::Noop | Self::Backlog => Plan::Noop,
            Self::Activity | Self::LargePayload => Plan::Sequence { activities: 1 },
            Self::Sequential => Plan::Sequence {
                activities: numbers.activities,
            },
            Self::Parallel => Plan::Fan {
                activities: numbers.activities,
            },
            Self::Signal | Self::Signals => Plan::Signals { count: ops },
            Self::SignalWithStart | Self::Query => Plan::Signals { count: 1 },
            Self::Timer => Plan::Timer {
                millis: u64::try_from(numbers.timer.as_millis()).unwrap_or(u64::MAX),
            },
            Self::Children => Plan::Children {
                count: numbers.children,
            },
            Self::Chain => Plan::Chain {
                remaining: numbers.links,
            },
            Self::Update => Plan::Updates { count: ops },
            Self::Sleepers => Plan::Sleep {
                seconds: numbers.sleep.as_secs(),
                timers: numbers.timers,
            },
            Self::LargeHistory => Plan::Markers {
                tasks: numbers.tasks,
                each: numbers.markers,
            },
        }
    }
}
