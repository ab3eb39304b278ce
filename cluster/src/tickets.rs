//! Tickets: ready tasks as queues know them, and back as their shards do.

use engine::effect::{ReadyKind, ReadyTask};
use matching::ticket::{Priority, Ticket};
use proto::{
    ids::{QueueKey, RunKey, ShardId, TaskKind},
    time::Timestamp,
};

/// Returns the ticket of a task that became durable at the time.
#[must_use]
pub fn ticket(shard: ShardId, run: RunKey, task: &ReadyTask, durable: Timestamp) -> Ticket {
    Ticket {
        run,
        scheduled_event_id: task.scheduled_event_id,
        attempt: task.attempt,
        shard,
        scheduled_time: Timestamp::from_nanos(task.scheduled_time),
        durable,
        priority: Priority::from_key(i32::from(task.priority)),
    }
}

/// Returns the task that a ticket of the queue stands for.
#[must_use]
pub fn ready_task(queue: &QueueKey, ticket: &Ticket) -> ReadyTask {
    ReadyTask {
        kind: match queue.kind {
            TaskKind::Workflow => ReadyKind::Workflow,
            TaskKind::Activity => ReadyKind::Activity,
        },
        queue: queue.name.to_string(),
        sticky: queue.sticky,
        scheduled_event_id: ticket.scheduled_event_id,
        attempt: ticket.attempt,
        scheduled_time: ticket.scheduled_time.nanos(),
        priority: ticket.priority.key(),
        speculative: false,
    }
}
