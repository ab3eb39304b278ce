//! Aside: tickets that are put aside for a while and then announced again.
//!
//! Those on their way to a poller of another node: nobody can tell whether an answer that was sent has arrived, so
//! without a confirmation the ticket goes back to its queue. And those that found no queue: the nodes do not agree yet
//! on whose it is.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use matching::ticket::{Ticket, TicketId};
use proto::{ids::QueueKey, time::Timestamp};
use tokio::sync::Notify;

use crate::{
    router::{Router, now},
    rpc::{Hint, peer::Returned},
};

/// How long a confirmation may take.
const LENT: Duration = Duration::from_secs(2);
/// How long until a queue is looked for again.
const STRAYED: Duration = Duration::from_millis(100);
/// Tickets aside at the same time; beyond it the oldest comes back early, which only costs a second hand-out.
const ASIDE_MAX: usize = 65_536;

/// Tickets that wait equally long.
#[derive(Debug)]
pub(crate) struct Aside {
    wait: Duration,
    table: Mutex<Table>,
    /// The first ticket came after there was none.
    came: Notify,
}

#[derive(Debug, Default)]
struct Table {
    tickets: HashMap<TicketId, (QueueKey, Ticket)>,
    /// In the order of their deadlines; ids that came back are skipped.
    order: VecDeque<(Timestamp, TicketId)>,
}

impl Aside {
    pub(crate) fn lent() -> Self {
        Self {
            wait: LENT,
            table: Mutex::default(),
            came: Notify::new(),
        }
    }

    pub(crate) fn strayed() -> Self {
        Self {
            wait: STRAYED,
            table: Mutex::default(),
            came: Notify::new(),
        }
    }

    pub(crate) fn put(&self, queue: QueueKey, ticket: Ticket, now: Timestamp) {
        let mut table = self.lock();
        let id = ticket.id();
        table.order.push_back((now + self.wait, id.clone()));
        table.tickets.insert(id, (queue, ticket));
        if table.order.len() == 1 {
            self.came.notify_one();
        }
    }

    /// Waits for a ticket and says when the first one's time comes.
    pub(crate) async fn next(&self) -> Timestamp {
        loop {
            if let Some((at, _)) = self.lock().order.front() {
                return *at;
            }
            self.came.notified().await;
        }
    }

    /// The ticket has arrived.
    pub(crate) fn took(&self, ticket: &TicketId) {
        self.lock().tickets.remove(ticket);
    }

    /// Takes those out whose time has come.
    pub(crate) fn overdue(&self, now: Timestamp) -> Vec<(QueueKey, Ticket)> {
        let mut table = self.lock();
        let mut overdue = Vec::new();
        while let Some((at, id)) = table.order.front() {
            if *at > now && table.tickets.len() <= ASIDE_MAX && table.tickets.contains_key(id) {
                break;
            }
            let Some((_, id)) = table.order.pop_front() else {
                break;
            };
            overdue.extend(table.tickets.remove(&id));
        }
        overdue
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Announces tickets again that were put aside, for as long as the node runs.
pub(crate) async fn announce_overdue(router: Router) {
    loop {
        let next = tokio::select! {
            next = router.0.lent.next() => next,
            next = router.0.strayed.next() => next,
        };
        tokio::time::sleep(next.since(now())).await;
        router.announce_overdue();
    }
}

/// What becomes of hints that did not reach their node: only a ticket must not wait for chance to help it.
pub(crate) fn returned(strayed: Arc<Aside>) -> Returned {
    Arc::new(move |hints| {
        for hint in hints {
            if let Hint::Announce { queue, ticket } = hint {
                strayed.put(queue, ticket, now());
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use matching::ticket::Priority;
    use proto::ids::{NamespaceId, RunId, ShardId, TaskKind, WorkflowId, WorkflowKey};

    use super::*;

    fn ticket(n: u8) -> Ticket {
        let workflow = WorkflowKey {
            namespace_id: NamespaceId::from_bytes([1; 16]),
            workflow_id: WorkflowId::from("order"),
        };
        Ticket {
            run: workflow.run(RunId::from_bytes([n; 16])),
            scheduled_event_id: 2,
            attempt: 1,
            shard: ShardId(0),
            scheduled_time: Timestamp::EPOCH,
            durable: Timestamp::EPOCH,
            priority: Priority::default(),
        }
    }

    fn queue() -> QueueKey {
        QueueKey {
            namespace_id: NamespaceId::from_bytes([1; 16]),
            kind: TaskKind::Workflow,
            sticky: false,
            name: "orders".into(),
        }
    }

    #[test]
    fn only_what_was_not_confirmed_comes_back() {
        let lent = Aside::lent();
        lent.put(queue(), ticket(1), Timestamp::EPOCH);
        lent.put(queue(), ticket(2), Timestamp::EPOCH);
        lent.took(&ticket(1).id());
        assert_eq!(lent.overdue(Timestamp::EPOCH), []);
        assert_eq!(lent.overdue(Timestamp::EPOCH + LENT), [(queue(), ticket(2))]);
        assert_eq!(lent.overdue(Timestamp::EPOCH + LENT * 2), []);
    }

    #[test]
    fn a_ticket_lent_again_waits_its_whole_time() {
        let lent = Aside::lent();
        lent.put(queue(), ticket(1), Timestamp::EPOCH);
        lent.took(&ticket(1).id());
        lent.put(queue(), ticket(1), Timestamp::EPOCH + LENT / 2);
        // The first lending's deadline finds the ticket on its second way: early is harmless, lost would not be.
        let back = lent.overdue(Timestamp::EPOCH + LENT * 2);
        assert_eq!(back, [(queue(), ticket(1))]);
    }
}
