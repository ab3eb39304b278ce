//! A naive model of the queue: everything in plain lists, sorted when needed.

use std::time::Duration;

use proto::time::Timestamp;

use crate::{
    input::Input,
    limits::{QUERY_POLLER_WINDOW, STICKY_POLLER_WINDOW},
    output::{Given, Output, QueryEnd, Refusal},
    ticket::Ticket,
};

pub(super) const TICKETS_MAX: usize = 4;
pub(super) const POLLS_MAX: usize = 3;
pub(super) const QUERIES_MAX: usize = 2;

/// What the model says comes out; credit and advice are not its business.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    Ticket(u64, Ticket),
    Query(u64, u64),
    Empty(u64),
    PollRefused(u64),
    Refuse(Ticket, Refusal),
    QueryEnded(u64, QueryEnd),
}

pub(super) fn event(output: &Output) -> Option<Event> {
    Some(match output {
        Output::Give { token, give } => match &give.task {
            Given::Ticket(ticket) => Event::Ticket(token.0, ticket.clone()),
            Given::Query { id, .. } => Event::Query(token.0, id.0),
        },
        Output::Empty(token) => Event::Empty(token.0),
        Output::PollRefused(token) => Event::PollRefused(token.0),
        Output::Refuse { ticket, why } => Event::Refuse(ticket.clone(), *why),
        Output::QueryEnded { id, why } => Event::QueryEnded(id.0, *why),
        Output::Credit { .. } | Output::Idle => return None,
    })
}

#[derive(Default)]
pub(super) struct Model {
    sticky: bool,
    pub(super) tickets: Vec<(Ticket, i64)>,
    /// Token and deadline.
    pub(super) polls: Vec<(u64, Timestamp)>,
    /// Id, deadline, and whether it waits.
    pub(super) queries: Vec<(u64, Timestamp, bool)>,
    seen: Option<Timestamp>,
    arrivals: i64,
    pub(super) returns: i64,
    draining: bool,
    events: Vec<Event>,
}

impl Model {
    pub(super) fn new(sticky: bool) -> Self {
        Self {
            sticky,
            ..Self::default()
        }
    }

    /// Takes what the queue takes and says what should come out.
    pub(super) fn feed(&mut self, input: Input, now: Timestamp) -> Vec<Event> {
        self.expire(now);
        match input {
            Input::Announce(ticket) => self.announce(ticket, now),
            Input::Withdraw(id) => self.tickets.retain(|(ticket, _)| ticket.id() != id),
            Input::Poll { token, deadline, .. } => self.poll(token.0, deadline, now),
            Input::PollerGone(token) => {
                let before = self.polls.len();
                self.polls.retain(|poll| poll.0 != token.0);
                if self.polls.len() < before {
                    self.seen = Some(now);
                }
            }
            Input::Undelivered(given) => self.undelivered(given, now),
            Input::AddQuery { id, deadline, .. } => self.add_query(id.0, deadline, now),
            Input::QueryGone(id) => self.queries.retain(|query| query.0 != id.0),
            Input::WorkerShutdown { .. } if self.sticky => {
                self.end_all(
                    Refusal::StickyWorkerUnavailable,
                    QueryEnd::StickyWorkerUnavailable,
                    true,
                );
                self.seen = None;
            }
            Input::Drain => {
                self.draining = true;
                self.end_all(Refusal::Draining, QueryEnd::Draining, false);
            }
            Input::WorkerShutdown { .. }
            | Input::HeldBack { .. }
            | Input::Missed { .. }
            | Input::SetRate(_)
            | Input::Tick => {}
        }
        self.pair(now);
        std::mem::take(&mut self.events)
    }

    fn near(&self, window: Duration, now: Timestamp) -> bool {
        !self.polls.is_empty() || self.seen.is_some_and(|seen| now.since(seen) <= window)
    }

    fn expire(&mut self, now: Timestamp) {
        let mut due: Vec<_> = self.polls.extract_if(.., |poll| poll.1 <= now).collect();
        due.sort_by_key(|poll| (poll.1, poll.0));
        for (token, _) in due {
            self.seen = Some(now);
            self.events.push(Event::Empty(token));
        }
        let mut due: Vec<_> = self.queries.extract_if(.., |query| query.1 <= now).collect();
        due.sort_by_key(|query| (query.1, query.0));
        for (id, _, waits) in due {
            let no_poller = waits && !self.near(QUERY_POLLER_WINDOW, now);
            self.events.push(Event::QueryEnded(
                id,
                if no_poller {
                    QueryEnd::NoPoller
                } else {
                    QueryEnd::Deadline
                },
            ));
        }
    }

    fn announce(&mut self, ticket: Ticket, now: Timestamp) {
        if let Some((why, _)) = self.closed(now) {
            return self.events.push(Event::Refuse(ticket, why));
        }
        if self.tickets.iter().any(|(other, _)| other.id() == ticket.id()) {
            return;
        }
        while self.tickets.len() >= TICKETS_MAX {
            self.sort();
            if self
                .tickets
                .last()
                .is_none_or(|(last, _)| last.priority <= ticket.priority)
            {
                return self.events.push(Event::Refuse(ticket, Refusal::Full));
            }
            let (last, _) = self.tickets.pop().expect("full");
            self.events.push(Event::Refuse(last, Refusal::Full));
        }
        self.arrivals += 1;
        self.tickets.push((ticket, self.arrivals));
    }

    fn sort(&mut self) {
        self.tickets
            .sort_by_key(|(ticket, arrival)| (ticket.priority, ticket.scheduled_time, *arrival));
    }

    fn poll(&mut self, token: u64, deadline: Timestamp, now: Timestamp) {
        if self.draining {
            return self.events.push(Event::Empty(token));
        }
        self.seen = Some(now);
        let served = !self.tickets.is_empty() || self.queries.iter().any(|query| query.2);
        if served || (deadline > now && self.polls.len() < POLLS_MAX) {
            self.polls.push((token, deadline));
        } else if deadline <= now {
            self.events.push(Event::Empty(token));
        } else {
            self.events.push(Event::PollRefused(token));
        }
    }

    fn add_query(&mut self, id: u64, deadline: Timestamp, now: Timestamp) {
        let refusal = if let Some((_, why)) = self.closed(now) {
            why
        } else if !self.near(QUERY_POLLER_WINDOW, now) {
            QueryEnd::NoPoller
        } else if self.queries.len() >= QUERIES_MAX {
            QueryEnd::Full
        } else if deadline <= now {
            QueryEnd::Deadline
        } else {
            return self.queries.push((id, deadline, true));
        };
        self.events.push(Event::QueryEnded(id, refusal));
    }

    fn closed(&self, now: Timestamp) -> Option<(Refusal, QueryEnd)> {
        if self.draining {
            return Some((Refusal::Draining, QueryEnd::Draining));
        }
        let gone = self.sticky && !self.near(STICKY_POLLER_WINDOW, now);
        gone.then_some((
            Refusal::StickyWorkerUnavailable,
            QueryEnd::StickyWorkerUnavailable,
        ))
    }

    fn undelivered(&mut self, given: Given, now: Timestamp) {
        let closed = self.closed(now);
        match given {
            Given::Ticket(ticket) => {
                if let Some((why, _)) = closed {
                    self.events.push(Event::Refuse(ticket, why));
                } else if self.tickets.iter().all(|(other, _)| other.id() != ticket.id()) {
                    self.returns -= 1;
                    self.tickets.push((ticket, self.returns));
                }
            }
            Given::Query { id, .. } => {
                if let Some(query) = self.queries.iter_mut().find(|query| query.0 == id.0) {
                    query.2 = true;
                }
                if let Some((_, why)) = closed {
                    self.end_waiting(why);
                }
            }
        }
    }

    fn end_waiting(&mut self, why: QueryEnd) {
        self.queries.sort_unstable();
        for (id, ..) in self.queries.extract_if(.., |query| query.2) {
            self.events.push(Event::QueryEnded(id, why));
        }
    }

    fn end_all(&mut self, refusal: Refusal, end: QueryEnd, refuse_first: bool) {
        self.events
            .extend(self.polls.drain(..).map(|(token, _)| Event::Empty(token)));
        self.sort();
        let refused = self
            .tickets
            .drain(..)
            .map(|(ticket, _)| Event::Refuse(ticket, refusal))
            .collect::<Vec<_>>();
        if refuse_first {
            self.events.extend(refused);
            self.end_waiting(end);
        } else {
            self.end_waiting(end);
            self.events.extend(refused);
        }
    }

    fn pair(&mut self, now: Timestamp) {
        self.sort();
        self.queries.sort_unstable();
        while let Some(&(token, _)) = self.polls.first() {
            if let Some(query) = self.queries.iter_mut().find(|query| query.2) {
                query.2 = false;
                self.events.push(Event::Query(token, query.0));
            } else if !self.tickets.is_empty() {
                self.events.push(Event::Ticket(token, self.tickets.remove(0).0));
            } else {
                return;
            }
            self.seen = Some(now);
            self.polls.remove(0);
        }
    }
}
