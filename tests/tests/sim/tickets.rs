//! What a shard is told of a ticket that its queue refused.

use cluster::tickets::ready_task;
use matching::{output::Refusal as QueueRefusal, ticket::Ticket};
use proto::ids::QueueKey;
use shard::input::{Input, Refusal};

pub(crate) fn refused(queue: QueueKey, ticket: Ticket, why: QueueRefusal) -> Input {
    let why = match why {
        QueueRefusal::Full => Refusal::Full,
        QueueRefusal::StickyWorkerUnavailable => Refusal::StickyWorkerUnavailable,
        QueueRefusal::Draining => Refusal::Draining,
    };
    let task = ready_task(&queue, &ticket);
    Input::Refused {
        queue,
        run: ticket.run,
        task,
        why,
    }
}
