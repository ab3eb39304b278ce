//! Who polled lately, for DescribeTaskQueue and for the advice to pollers.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use proto::time::Timestamp;

use super::pace::Pacer;
use crate::{
    input::{PollerInfo, WorkerVersions},
    limits::{POLLER_TTL, POLLERS_REMEMBERED_MAX, SCALING_PER_SECOND},
    view::PollerView,
};

/// A poller is moved in the order of access at most this often; the order is that exact.
const REORDER_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct History {
    pollers: HashMap<Arc<str>, Seen>,
    /// Identities by last access, about.
    order: BTreeMap<u64, Arc<str>>,
    next: u64,
}

#[derive(Debug)]
struct Seen {
    last: Timestamp,
    place: u64,
    placed: Timestamp,
    max_tasks_per_second: Option<f64>,
    versions: Option<Arc<WorkerVersions>>,
    scaling: Pacer,
}

impl History {
    pub(super) fn seen(&mut self, poller: &PollerInfo, now: Timestamp) {
        if let Some(seen) = self.pollers.get_mut(&poller.identity) {
            seen.last = now;
            seen.max_tasks_per_second = poller.max_tasks_per_second;
            seen.versions.clone_from(&poller.versions);
            if now.since(seen.placed) >= REORDER_EVERY {
                self.next += 1;
                self.order.remove(&seen.place);
                self.order.insert(self.next, Arc::clone(&poller.identity));
                seen.place = self.next;
                seen.placed = now;
            }
            return;
        }
        self.make_room(now);
        self.next += 1;
        self.order.insert(self.next, Arc::clone(&poller.identity));
        let seen = Seen {
            last: now,
            place: self.next,
            placed: now,
            max_tasks_per_second: poller.max_tasks_per_second,
            versions: poller.versions.clone(),
            scaling: Pacer::new(Some(SCALING_PER_SECOND)),
        };
        self.pollers.insert(Arc::clone(&poller.identity), seen);
    }

    /// Forgets those not seen for long, and the one not seen for longest when there are too many.
    fn make_room(&mut self, now: Timestamp) {
        while let Some(first) = self.order.first_entry() {
            let stale = self
                .pollers
                .get(first.get())
                .is_none_or(|seen| is_stale(seen, now));
            if !stale && self.pollers.len() < POLLERS_REMEMBERED_MAX {
                break;
            }
            self.pollers.remove(&first.remove());
        }
    }

    /// Says whether the poller may be given another piece of advice, and counts it.
    pub(super) fn may_advise(&mut self, identity: &str, now: Timestamp) -> bool {
        self.pollers
            .get_mut(identity)
            .is_some_and(|seen| seen.scaling.take(now))
    }

    /// Returns the pollers of the last five minutes, the latest first.
    pub(super) fn view(&self, now: Timestamp) -> Vec<PollerView> {
        let mut pollers: Vec<PollerView> = self
            .pollers
            .iter()
            .filter(|(_, seen)| !is_stale(seen, now))
            .map(|(identity, seen)| PollerView {
                identity: Arc::clone(identity),
                last_access_time: seen.last,
                max_tasks_per_second: seen.max_tasks_per_second,
                versions: seen.versions.clone(),
            })
            .collect();
        pollers.sort_by(|a, b| (b.last_access_time, &a.identity).cmp(&(a.last_access_time, &b.identity)));
        pollers
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.pollers.len(), self.order.len());
        self.pollers.len()
    }
}

fn is_stale(seen: &Seen, now: Timestamp) -> bool {
    now.since(seen.last) > POLLER_TTL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_a_bounded_number_the_latest_ones() {
        let mut history = History::default();
        let poller = |n: usize| PollerInfo {
            identity: n.to_string().into(),
            ..Default::default()
        };
        let at = |n: usize| Timestamp::from_nanos(i64::try_from(n).expect("small") * 1_000_000);
        for n in 0..3 * POLLERS_REMEMBERED_MAX {
            history.seen(&poller(n), at(n));
            history.seen(&poller(0), at(n));
        }
        assert_eq!(history.len(), POLLERS_REMEMBERED_MAX);
        let view = history.view(at(3 * POLLERS_REMEMBERED_MAX));
        assert_eq!(&*view[0].identity, "0");
        assert_eq!(&*view[1].identity, (3 * POLLERS_REMEMBERED_MAX - 1).to_string());
    }
}
