//! Courier: who carries a shard's announcements, deliveries and records. The cluster is the real one.

use engine::effect::{Delivery, ReadyTask};
use proto::{
    ids::{QueueKey, RunKey, ShardId},
    time::Timestamp,
};
use storage::visibility::Update;

/// Carries what leaves a shard. Called on the shard's thread: no call may block.
pub trait Courier: Send + Sync + 'static {
    /// A task is ready, and durable since then. A refusal comes back as [`crate::input::Input::Refused`].
    fn announce(&self, shard: ShardId, queue: QueueKey, run: RunKey, task: ReadyTask, durable: Timestamp);

    /// How many ready tasks of the queue the shard holds back.
    fn held_back(&self, shard: ShardId, queue: QueueKey, count: u64, oldest: Timestamp);

    /// Something for another run. The answer comes back to `from` as a trigger, also if it could not be made.
    fn deliver(&self, from: RunKey, delivery: Box<Delivery>);

    /// A visibility record. [`crate::input::Input::Indexed`] comes back once the index has it.
    fn index(&self, shard: ShardId, run: RunKey, update: Box<Update>);
}
