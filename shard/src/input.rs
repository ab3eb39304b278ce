//! What a shard is told.

use bytes::Bytes;
use engine::{
    effect::ReadyTask,
    trigger::{Reset, Start, Trigger},
};
use proto::{
    ids::{QueueKey, RunId, RunKey, WorkflowKey},
    time::Timestamp,
};
use storage::{
    error::{CommitError, StoreError},
    shard::Row,
};

use crate::{auditor::Page, namespaces::Namespaces};

/// Names one asker; its answer carries the same token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// A workflow, and which of its runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunTarget {
    pub workflow: WorkflowKey,
    /// `None` is the newest run.
    pub run_id: Option<RunId>,
}

/// What is asked of a run.
#[derive(Clone, Debug)]
pub enum Request {
    Step(Trigger),
    Start(Start),
    Reset(Box<Reset>),
    /// Retention has ended, or the run is deleted: it goes away.
    Purge,
    /// Rows beside the run's state are missing: write them anew.
    Repair,
}

/// What a shard is told.
#[derive(Debug)]
pub enum Input {
    /// Without a token nobody waits for the answer.
    Ask {
        token: Option<Token>,
        target: RunTarget,
        request: Request,
        /// When the call came in that asks.
        received: Timestamp,
    },
    /// Nobody waits for this answer any more.
    Gone(Token),
    Loaded {
        key: LoadKey,
        value: Result<Option<Bytes>, StoreError>,
    },
    Scanned {
        scan: Scan,
        rows: Result<Vec<Row>, StoreError>,
    },
    Audited(Result<Page, StoreError>),
    Committed {
        batch: u64,
    },
    CommitFailed {
        batch: u64,
        error: CommitError,
    },
    /// The index has these runs at these versions.
    Indexed {
        runs: Vec<(RunKey, u64)>,
    },
    /// A queue did not take a ticket.
    Refused {
        queue: QueueKey,
        run: RunKey,
        task: ReadyTask,
        why: Refusal,
    },
    /// A queue takes this many more tickets.
    Credit {
        queue: QueueKey,
        free: usize,
    },
    /// The namespaces have changed.
    Namespaces(Namespaces),
    /// A queue has lost its tickets: announce them again.
    QueueMoved {
        queue: QueueKey,
    },
    /// The lease may have gone to another node.
    Check,
    /// The store says whether the lease is held.
    Proved(Result<bool, StoreError>),
    /// Some queues have lost their tickets: announce again whatever waits.
    QueuesMoved,
    Tick,
    /// The messages that were waiting are handled: commit what they left.
    Flush,
    /// Let go of the shard: finish what is staged, give back what is asked; then [`Output::Drained`].
    ///
    /// [`Output::Drained`]: crate::output::Output::Drained
    Drain,
}

/// Why a queue did not take a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It has no room; it gives credit later.
    Full,
    /// It is sticky and its worker is gone.
    StickyWorkerUnavailable,
    /// It goes elsewhere.
    Draining,
}

/// A row to load.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LoadKey {
    Run(RunKey),
    Current(WorkflowKey),
}

/// Rows to read, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan {
    /// Wake-ups up to this time, and one more, which tells when to read again.
    Wakeups { from: Bytes, until: Timestamp },
    /// All ready tasks from this key on, when the shard starts.
    AllReady { from: Bytes },
    /// All ready tasks from this key on, to announce again those whose tickets may be lost: those that have waited
    /// for long, or `all`.
    Sweep { from: Bytes, all: bool },
    /// One queue's ready tasks from this key on.
    Ready {
        queue: QueueKey,
        from: Bytes,
        limit: usize,
    },
    /// Visibility records that the index may not have.
    Outbox { from: Bytes },
}
