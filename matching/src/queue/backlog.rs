//! The tickets that wait: by priority, then by the time their task became ready, then as they came.

use std::collections::{BTreeMap, HashMap};

use proto::time::Timestamp;

use crate::ticket::{Priority, Ticket, TicketId};

/// Where a ticket stands within its priority. Arrivals below zero are tickets that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    scheduled_time: Timestamp,
    arrival: i64,
}

#[derive(Debug, Default)]
pub(super) struct Backlog {
    levels: [BTreeMap<Place, Ticket>; Priority::LEVELS],
    places: HashMap<TicketId, (Priority, Place)>,
    bytes: usize,
    arrivals: i64,
    returns: i64,
}

impl Backlog {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn contains(&self, id: &TicketId) -> bool {
        self.places.contains_key(id)
    }

    /// Adds a ticket that is not there.
    pub(super) fn push(&mut self, id: TicketId, ticket: Ticket) {
        self.arrivals += 1;
        self.insert(id, ticket, self.arrivals);
    }

    /// Puts a ticket that is not there before all that became ready at the same time.
    pub(super) fn put_back(&mut self, id: TicketId, ticket: Ticket) {
        self.returns -= 1;
        self.insert(id, ticket, self.returns);
    }

    fn insert(&mut self, id: TicketId, ticket: Ticket, arrival: i64) {
        let place = Place {
            scheduled_time: ticket.scheduled_time,
            arrival,
        };
        self.bytes += ticket.bytes();
        self.places.insert(id, (ticket.priority, place));
        self.levels[ticket.priority.level()].insert(place, ticket);
    }

    pub(super) fn pop_first(&mut self) -> Option<Ticket> {
        let ticket = self.levels.iter_mut().find_map(BTreeMap::pop_first)?.1;
        self.forget(&ticket);
        Some(ticket)
    }

    /// Takes out the ticket that would go last, if it is less urgent than `priority`.
    pub(super) fn pop_last_below(&mut self, priority: Priority) -> Option<Ticket> {
        let less_urgent = &mut self.levels[priority.level() + 1..];
        let ticket = less_urgent.iter_mut().rev().find_map(BTreeMap::pop_last)?.1;
        self.forget(&ticket);
        Some(ticket)
    }

    pub(super) fn remove(&mut self, id: &TicketId) -> Option<Ticket> {
        let (priority, place) = self.places.remove(id)?;
        let ticket = self.levels[priority.level()].remove(&place)?;
        self.bytes -= ticket.bytes();
        Some(ticket)
    }

    fn forget(&mut self, ticket: &Ticket) {
        self.places.remove(&ticket.id());
        self.bytes -= ticket.bytes();
    }

    pub(super) fn level_len(&self, priority: Priority) -> usize {
        self.levels[priority.level()].len()
    }

    pub(super) fn level_oldest(&self, priority: Priority) -> Option<Timestamp> {
        self.levels[priority.level()]
            .first_key_value()
            .map(|(place, _)| place.scheduled_time)
    }

    pub(super) fn oldest(&self) -> Option<Timestamp> {
        Priority::all()
            .filter_map(|priority| self.level_oldest(priority))
            .min()
    }

    /// Says whether both of the tickets' indexes hold the same tickets.
    #[cfg(test)]
    pub(super) fn is_consistent(&self) -> bool {
        let tickets = || self.levels.iter().flat_map(BTreeMap::values);
        tickets().count() == self.places.len()
            && tickets().all(|ticket| self.places.contains_key(&ticket.id()))
            && tickets().map(Ticket::bytes).sum::<usize>() == self.bytes
    }
}
