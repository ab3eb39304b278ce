//! Tickets: hints that a task is ready. The record of the task is in the shard that owns its run.

use std::hash::{Hash, Hasher};

use proto::{
    ids::{RunKey, ShardId},
    time::Timestamp,
};

/// Says that a task is ready; whoever is given it redeems it at the shard.
///
/// A ticket may be lost (the shard announces again) or come twice (the second redemption is stale).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub run: RunKey,
    pub scheduled_event_id: i64,
    pub attempt: i32,
    /// Where to redeem it, and who is told when the queue refuses it.
    pub shard: ShardId,
    /// When the task became ready: for a retry the end of its backoff. Orders the backlog and gives its age.
    pub scheduled_time: Timestamp,
    /// When its shard made the task durable; when it became ready, if the shard does not know any more.
    pub durable: Timestamp,
    pub priority: Priority,
}

impl Ticket {
    #[must_use]
    pub fn id(&self) -> TicketId {
        TicketId {
            run: self.run.clone(),
            scheduled_event_id: self.scheduled_event_id,
            attempt: self.attempt,
        }
    }

    /// Returns about how many bytes the ticket takes while it waits, index included.
    #[must_use]
    pub(crate) fn bytes(&self) -> usize {
        /// Ticket, id and place in both indexes, with the trees' slack.
        const FIXED: usize = 320;
        FIXED + self.run.workflow.workflow_id.as_str().len()
    }
}

/// What makes two tickets the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TicketId {
    pub run: RunKey,
    pub scheduled_event_id: i64,
    pub attempt: i32,
}

impl Hash for TicketId {
    /// Leaves the workflow id out: the run id already tells runs apart.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.run.run_id.hash(state);
        self.scheduled_event_id.hash(state);
        self.attempt.hash(state);
    }
}

/// How urgent a task is: 1 goes first, 5 last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    pub const FIRST: Self = Self(1);
    pub const LAST: Self = Self(5);
    pub const LEVELS: usize = 5;

    /// Reads the API's `priority_key`: 0 is "not set", what is beyond 1 to 5 counts as the nearest.
    #[must_use]
    pub fn from_key(key: i32) -> Self {
        match key {
            0 => Self::default(),
            ..=1 => Self::FIRST,
            2 => Self(2),
            3 => Self(3),
            4 => Self(4),
            5.. => Self::LAST,
        }
    }

    /// Returns the key as the API writes it.
    #[must_use]
    pub const fn key(self) -> u8 {
        self.0
    }

    /// Returns 0 for the first level.
    pub(crate) const fn level(self) -> usize {
        self.0 as usize - 1
    }

    /// Returns all levels, the most urgent first.
    pub fn all() -> impl Iterator<Item = Self> {
        (Self::FIRST.0..=Self::LAST.0).map(Self)
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self(3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priority_reads_every_key() {
        let read: Vec<u8> = [i32::MIN, -1, 0, 1, 3, 5, 6, i32::MAX]
            .map(|key| Priority::from_key(key).key())
            .into();
        assert_eq!(read, [1, 1, 3, 1, 3, 5, 5, 5]);
    }
}
