//! Foca's timers: kept here, fired by the core when their time has come.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::Arc,
    time::Duration,
};

use foca::Timer;

use crate::{
    gossip::{Gossip, Moment},
    identity::Identity,
};

#[derive(Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<Entry>>,
    /// One for each name, whatever number of lives it had: a day's worth of them must not pile up.
    forget: BTreeMap<Arc<str>, (Moment, Identity)>,
    /// The first of `forget`, or earlier.
    forget_next: Option<Moment>,
    count: u64,
}

struct Entry {
    at: Moment,
    /// Keeps what is due at once in the order in which it came.
    number: u64,
    timer: Timer<Identity>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl Timers {
    pub(super) fn add(&mut self, at: Moment, timer: Timer<Identity>) {
        if let Timer::RemoveDown(id) = timer {
            self.forget.insert(Arc::clone(&id.name), (at, id));
            self.forget_next = Some(self.forget_next.map_or(at, |next| next.min(at)));
            return;
        }
        self.count += 1;
        self.heap.push(Reverse(Entry {
            at,
            number: self.count,
            timer,
        }));
    }

    pub(super) fn next(&self) -> Option<Moment> {
        let first = self.heap.peek().map(|Reverse(entry)| entry.at);
        [first, self.forget_next].into_iter().flatten().min()
    }

    /// Returns the first that is due.
    pub(super) fn due(&mut self, now: Moment) -> Option<Timer<Identity>> {
        if self.heap.peek().is_some_and(|Reverse(entry)| entry.at <= now) {
            return self.heap.pop().map(|Reverse(entry)| entry.timer);
        }
        if self.forget_next.is_none_or(|next| next > now) {
            return None;
        }
        let name = self
            .forget
            .iter()
            .find(|(_, (at, _))| *at <= now)
            .map(|(name, _)| Arc::clone(name));
        let Some(name) = name else {
            self.forget_next = self.forget.values().map(|(at, _)| *at).min();
            return None;
        };
        let (_, id) = self.forget.remove(&name)?;
        Some(Timer::RemoveDown(id))
    }

    /// Puts off everything: for this long nobody looked at the clock or the socket.
    pub(super) fn put_off(&mut self, span: Duration) {
        let entries = std::mem::take(&mut self.heap).into_vec();
        self.heap = entries
            .into_iter()
            .map(|Reverse(entry)| {
                Reverse(Entry {
                    at: entry.at + span,
                    ..entry
                })
            })
            .collect();
    }
}

impl Gossip {
    /// Gives others more time if nobody called for a while: their answers may wait in the socket.
    pub(super) fn allow_for_stall(&mut self, now: Moment) {
        let late = self
            .timers
            .next()
            .map_or(Moment::ZERO, |next| now.saturating_sub(next));
        if late > self.timing.probe_timeout {
            self.timers.put_off(late);
            self.metrics.stalls.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(port: u16, revision: u32) -> Identity {
        let mut id = Identity::stranger(([127, 0, 0, 1], port).into());
        id.name = port.to_string().into();
        id.stamp.revision = revision;
        id
    }

    const fn at(ms: u64) -> Moment {
        Duration::from_millis(ms)
    }

    #[test]
    fn come_in_the_order_of_their_time_then_of_their_coming() {
        let mut timers = Timers::default();
        timers.add(at(20), Timer::PeriodicGossip(1));
        timers.add(at(10), Timer::ProbeRandomMember(2));
        timers.add(at(10), Timer::PeriodicAnnounce(3));
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.due(at(9)), None);
        assert_eq!(timers.due(at(15)), Some(Timer::ProbeRandomMember(2)));
        assert_eq!(timers.due(at(15)), Some(Timer::PeriodicAnnounce(3)));
        assert_eq!(timers.due(at(15)), None);
        timers.put_off(at(5));
        assert_eq!(timers.next(), Some(at(25)));
    }

    #[test]
    fn a_name_is_forgotten_once_for_its_last_life() {
        let mut timers = Timers::default();
        timers.add(at(10), Timer::RemoveDown(id(1, 0)));
        timers.add(at(12), Timer::RemoveDown(id(2, 0)));
        timers.add(at(30), Timer::RemoveDown(id(1, 1)));
        assert_eq!(timers.due(at(10)), None);
        assert_eq!(timers.next(), Some(at(12)));
        assert_eq!(timers.due(at(12)), Some(Timer::RemoveDown(id(2, 0))));
        assert_eq!(timers.due(at(29)), None);
        assert_eq!(timers.next(), Some(at(30)));
        assert_eq!(timers.due(at(30)), Some(Timer::RemoveDown(id(1, 1))));
        assert_eq!(timers.due(at(99)), None);
        assert_eq!(timers.next(), None);
    }
}
