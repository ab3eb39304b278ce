//! What a shard wants done.

use engine::{
    effect::{Delivery, ReadyTask},
    outcome::{Rejection, Reply},
};
use proto::{
    ids::{QueueKey, RunKey},
    time::Timestamp,
};
use storage::{batch::Batch, visibility::Update};

use crate::{
    auditor::Place,
    input::{LoadKey, Request, RunTarget, Scan, Token},
};

/// What a shard wants done.
#[derive(Debug)]
pub enum Output {
    Reply {
        token: Token,
        reply: Result<Reply, AskError>,
    },
    /// The request was not looked at: it goes to the shard's next owner.
    GiveBack {
        token: Token,
        target: RunTarget,
        request: Request,
    },
    Load(LoadKey),
    Scan(Scan),
    /// Hold stored runs against the rows beside them; then [`crate::input::Input::Audited`].
    Audit(Place),
    Commit(Batch),
    /// Find out whether the lease is still held; then [`crate::input::Input::Proved`].
    Prove,
    /// Tell the queue that a task is ready.
    Announce {
        queue: QueueKey,
        run: RunKey,
        task: ReadyTask,
        /// When the task became durable; when it became ready, if that is not known any more.
        durable: Timestamp,
    },
    /// Tell the queue how many ready tasks stay here until it gives credit.
    HeldBack {
        queue: QueueKey,
        count: u64,
        oldest: Timestamp,
    },
    /// Pay a debt to another run; the answer comes back as a trigger.
    Deliver {
        from: RunKey,
        delivery: Box<Delivery>,
    },
    /// Tell the index; then [`crate::input::Input::Indexed`].
    Index {
        run: RunKey,
        update: Box<Update>,
    },
    /// Memory has run ahead of the store: drop everything, take a new lease, read again.
    Stop(String),
    /// Everything that was taken is durable and answered, and nothing more is taken: release the lease.
    Drained,
}

impl Output {
    /// Tells the queue of a task that has been ready for a while.
    pub(crate) fn announce(queue: QueueKey, run: RunKey, task: ReadyTask) -> Self {
        let durable = Timestamp::from_nanos(task.scheduled_time);
        Self::Announce {
            queue,
            run,
            task,
            durable,
        }
    }
}

/// Why a request was not done, by what the asker does next.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AskError {
    /// Tell the client.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The shard is elsewhere, or about to be: ask its next owner.
    #[error("shard moved")]
    Moved,
    /// Back off.
    #[error("shard busy: {0}")]
    Busy(&'static str),
    /// Try again.
    #[error("shard unavailable: {0}")]
    Unavailable(String),
    /// Stored data cannot be read.
    #[error("stored data broken: {0}")]
    Broken(String),
}
