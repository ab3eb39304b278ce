//! Ready tasks as queues know them, and back.

use engine::effect::{ReadyKind, ReadyTask};
use matching::{
    output::Refusal as QueueRefusal,
    ticket::{Priority, Ticket},
};
use proto::{
    ids::{QueueKey, RunKey, ShardId, TaskKind},
    time::Timestamp,
};
use shard::input::{Input, Refusal};

pub(crate) fn ticket(shard: ShardId, run: RunKey, task: &ReadyTask, durable: Timestamp) -> Ticket {
    Ticket {
        run,
        scheduled_event_id: task.scheduled_event_id,
        attempt: task.attempt,
        shard,
        durable,
        scheduled_time: Timestamp::from_nanos(task.scheduled_time),
        priority: Priority::from_key(i32::from(task.priority)),
    }
}

pub(crate) fn refused(queue: QueueKey, ticket: Ticket, why: QueueRefusal) -> Input {
    let why = match why {
        QueueRefusal::Full => Refusal::Full,
        QueueRefusal::StickyWorkerUnavailable => Refusal::StickyWorkerUnavailable,
        QueueRefusal::Draining => Refusal::Draining,
    };
    let task = ReadyTask {
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
    };
    Input::Refused {
        queue,
        run: ticket.run,
        task,
        why,
    }
}
