//! Who gets what: queries before tickets, the longest-waiting poll first.

use proto::time::Timestamp;

use super::{Queue, polls::Poll};
use crate::{
    input::PollToken,
    limits,
    output::{Give, Given, Output, QueryEnd, Refusal},
    ticket::Ticket,
};

impl Queue {
    /// Gives what waits to who waits.
    pub(super) fn pair(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        while !self.polls.is_empty() {
            let Some(task) = self.next_task(now) else { return };
            let Some((token, poll)) = self.polls.pop_first() else {
                return;
            };
            self.give(token, &poll, task, false, now, out);
        }
    }

    /// Takes out the next task if it may go.
    pub(super) fn next_task(&mut self, now: Timestamp) -> Option<Given> {
        if let Some((id, task)) = self.queries.pop_first() {
            return Some(Given::Query { id, task });
        }
        if self.backlog.is_empty() || !self.rate.pacer.take(now) {
            return None;
        }
        self.backlog.pop_first().map(Given::Ticket)
    }

    /// Gives a ticket to the poll that has waited longest, before the ticket has waited itself.
    pub(super) fn give_at_once(&mut self, ticket: Ticket, now: Timestamp, out: &mut Vec<Output>) {
        if let Some((token, poll)) = self.polls.pop_first() {
            self.give(token, &poll, Given::Ticket(ticket), true, now, out);
        }
    }

    pub(super) fn give(
        &mut self,
        token: PollToken,
        poll: &Poll,
        task: Given,
        sync: bool,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        self.poller_seen = Some(now);
        let waited = now.since(poll.since);
        let scaling = match &task {
            Given::Ticket(ticket) => {
                self.flow.dispatched(ticket.priority, now);
                self.advice(poll, sync && waited >= limits::SCALE_DOWN_WAIT, now)
            }
            Given::Query { .. } => None,
        };
        let give = Give {
            task,
            backlog_hint: self.backlog(),
            sync,
            waited,
            scaling,
        };
        out.push(Output::Give { token, give });
    }

    /// Advises a worker to poll more or less.
    fn advice(&mut self, poll: &Poll, too_many: bool, now: Timestamp) -> Option<i32> {
        let change = match (too_many, self.wants_pollers(now)) {
            (true, _) => -1,
            (false, true) => 1,
            (false, false) => return None,
        };
        self.history.may_advise(&poll.identity, now).then_some(change)
    }

    /// Says whether tasks wait, or come faster than they go, for want of pollers.
    fn wants_pollers(&self, now: Timestamp) -> bool {
        if self.rate.pacer.holds(now) {
            return false;
        }
        if self
            .oldest()
            .is_some_and(|oldest| now.since(oldest) > limits::SCALE_UP_AGE)
        {
            return true;
        }
        let rates = self.flow.rates(now);
        rates.dispatch > 0.0 && rates.add / rates.dispatch > limits::SCALE_UP_RATIO
    }

    /// Takes back what reached nobody; `pair` gives it again.
    pub(super) fn undelivered(&mut self, given: Given, now: Timestamp, out: &mut Vec<Output>) {
        let closed = self.closed(now);
        match given {
            Given::Ticket(ticket) => {
                self.flow.returned(ticket.priority, now);
                self.rate.pacer.refund();
                let id = ticket.id();
                if let Some((why, _)) = closed {
                    out.push(Output::Refuse { ticket, why });
                } else if !self.backlog.contains(&id) {
                    self.backlog.put_back(id, ticket);
                }
            }
            Given::Query { id, task } => {
                self.queries.put_back(id, task);
                if let Some((_, why)) = closed {
                    self.end_waiting_queries(why, out);
                }
            }
        }
    }

    /// Says why the queue takes nothing, if so.
    pub(super) fn closed(&self, now: Timestamp) -> Option<(Refusal, QueryEnd)> {
        if self.draining {
            Some((Refusal::Draining, QueryEnd::Draining))
        } else if self.sticky && !self.poller_near(limits::STICKY_POLLER_WINDOW, now) {
            Some((
                Refusal::StickyWorkerUnavailable,
                QueryEnd::StickyWorkerUnavailable,
            ))
        } else {
            None
        }
    }
}
