//! How far a shard is on its way here or away.

use std::collections::BTreeSet;

use proto::{
    ids::{NodeId, ShardId},
    time::Timestamp,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Belongs here and waits for its turn, or until it is tried again.
    Wanted {
        not_before: Timestamp,
    },
    /// These are asked to give it up and have not answered.
    Asking {
        of: BTreeSet<NodeId>,
        kept: bool,
        until: Timestamp,
    },
    /// One of the others keeps it: they are asked again.
    Kept {
        again: Timestamp,
        until: Timestamp,
    },
    /// It may have fallen before it was said to be here.
    Taking {
        fell: bool,
    },
    Held {
        since: Timestamp,
        /// Another node may have taken it by then.
        check: Option<Timestamp>,
    },
    /// Works here and belongs elsewhere.
    Leaving {
        until: Timestamp,
    },
    GivingUp,
}

impl State {
    pub(super) const fn held(since: Timestamp) -> Self {
        Self::Held { since, check: None }
    }
}

/// How a shard has done lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Record {
    /// Times that it fell, one after another.
    pub(super) failures: u32,
}

/// Another node waits for shards to be given up.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) token: u64,
    /// Not given up yet.
    pub(super) waits: BTreeSet<ShardId>,
    pub(super) kept: Vec<ShardId>,
}
