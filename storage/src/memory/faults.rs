//! Faults: what goes wrong in a memory store, decided by a test or a simulation, never by chance.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use proto::ids::ShardId;
use tokio::sync::oneshot;

use crate::{batch::Batch, shard::Lease};

/// What the store is asked to do, as a hook sees it.
#[derive(Clone, Copy, Debug)]
pub enum Operation<'a> {
    Acquire(ShardId),
    Release(&'a Lease),
    Commit(&'a Lease, &'a Batch),
    /// `load` and `scan`.
    Read(ShardId),
    History,
    RegistryRead,
    RegistryWrite,
}

/// An operation without what it carries, to script faults by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Acquire,
    Release,
    Commit,
    Read,
    History,
    RegistryRead,
    RegistryWrite,
}

impl Operation<'_> {
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Acquire(_) => Kind::Acquire,
            Self::Release(_) => Kind::Release,
            Self::Commit(..) => Kind::Commit,
            Self::Read(_) => Kind::Read,
            Self::History => Kind::History,
            Self::RegistryRead => Kind::RegistryRead,
            Self::RegistryWrite => Kind::RegistryWrite,
        }
    }

    /// Returns the shard that the operation is about.
    #[must_use]
    pub fn shard(&self) -> Option<ShardId> {
        match self {
            Self::Acquire(shard) | Self::Read(shard) => Some(*shard),
            Self::Release(lease) | Self::Commit(lease, _) => Some(lease.shard),
            Self::History | Self::RegistryRead | Self::RegistryWrite => None,
        }
    }
}

/// What becomes of an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    #[default]
    Done,
    /// Not done, and answered with `GaveUp` or `Unavailable`.
    Lost,
    /// Done, and answered as if it were lost: the unknown outcome.
    Unanswered,
    /// Another owner takes the shard's lease just before a commit is judged; for anything else as `Done`.
    Stolen,
}

/// What goes wrong with one operation.
#[derive(Clone, Debug, Default)]
pub struct Fault {
    /// The operation reaches the store only when the gate opens, even if its caller has gone by then: so a
    /// message of a dead owner arrives late.
    pub arrives: Option<Gate>,
    pub outcome: Outcome,
    /// The answer reaches the caller only when the gate opens.
    pub answers: Option<Gate>,
}

impl From<Outcome> for Fault {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            ..Self::default()
        }
    }
}

impl Fault {
    /// Delays the arrival until `gate` opens.
    #[must_use]
    pub fn held(gate: &Gate) -> Self {
        Self {
            arrives: Some(gate.clone()),
            ..Self::default()
        }
    }
}

type Hook = Box<dyn FnMut(Operation<'_>) -> Option<Fault> + Send>;

/// The faults of one store: scripted ones first, then what the hook decides.
#[derive(Default)]
pub struct Faults {
    /// Spares the lock on a store without faults.
    armed: AtomicBool,
    plan: Mutex<Plan>,
}

#[derive(Default)]
struct Plan {
    script: VecDeque<(Kind, Option<ShardId>, Fault)>,
    hook: Option<Hook>,
}

impl Faults {
    /// Lets the next operation of this kind fail; scripted faults of a kind are used up in order.
    pub fn next(&self, kind: Kind, fault: impl Into<Fault>) {
        self.plan().script.push_back((kind, None, fault.into()));
        self.armed.store(true, Ordering::Release);
    }

    /// Lets the next operation of this kind on `shard` fail.
    pub fn next_of(&self, shard: ShardId, kind: Kind, fault: impl Into<Fault>) {
        self.plan().script.push_back((kind, Some(shard), fault.into()));
        self.armed.store(true, Ordering::Release);
    }

    /// Asks `hook` about every operation that no scripted fault is for. It must not call the store.
    pub fn decide(&self, hook: impl FnMut(Operation<'_>) -> Option<Fault> + Send + 'static) {
        self.plan().hook = Some(Box::new(hook));
        self.armed.store(true, Ordering::Release);
    }

    /// Forgets the script and the hook: from then on the store is sound. Gates stay as they are.
    pub fn heal(&self) {
        *self.plan() = Plan::default();
        self.armed.store(false, Ordering::Release);
    }

    pub(super) fn armed(&self) -> bool {
        self.armed.load(Ordering::Acquire)
    }

    pub(super) fn of(&self, operation: Operation<'_>) -> Option<Fault> {
        if !self.armed() {
            return None;
        }
        let mut plan = self.plan();
        let scripted = plan.script.iter().position(|(kind, shard, _)| {
            *kind == operation.kind() && (shard.is_none() || *shard == operation.shard())
        });
        if let Some(at) = scripted {
            return plan.script.remove(at).map(|(_, _, fault)| fault);
        }
        plan.hook.as_mut().and_then(|hook| hook(operation))
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.plan();
        f.debug_struct("Faults")
            .field("script", &plan.script)
            .field("hook", &plan.hook.is_some())
            .finish()
    }
}

/// Holds operations or answers back until it opens; once open it stays open.
#[derive(Clone, Default)]
pub struct Gate(Arc<Mutex<Latch>>);

#[derive(Default)]
struct Latch {
    open: bool,
    parked: Vec<Box<dyn FnOnce() + Send>>,
}

impl Gate {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets everything through, in the order in which it came, before it returns.
    pub fn open(&self) {
        let parked = {
            let mut latch = self.latch();
            latch.open = true;
            std::mem::take(&mut latch.parked)
        };
        for act in parked {
            act();
        }
    }

    /// Returns how many operations and answers wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.latch().parked.len()
    }

    /// Runs `act` when the gate opens; drops it unrun if the last handle of the gate goes before.
    pub(super) fn park(&self, act: Box<dyn FnOnce() + Send>) {
        let mut latch = self.latch();
        if latch.open {
            drop(latch);
            act();
        } else {
            latch.parked.push(act);
        }
    }

    /// Waits until the gate opens, or until the test that made it has gone.
    pub(super) async fn passed(self) {
        let (opened, wait) = oneshot::channel::<()>();
        self.park(Box::new(move || {
            let _ = opened.send(());
        }));
        drop(self);
        let _ = wait.await;
    }

    fn latch(&self) -> MutexGuard<'_, Latch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latch = self.latch();
        f.debug_struct("Gate")
            .field("open", &latch.open)
            .field("waiting", &latch.parked.len())
            .finish()
    }
}
