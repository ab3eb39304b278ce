//! Roster: the workers that belong to a node, as their heartbeats show them (reference 1.4). Kept in memory only: a
//! worker says again every minute that it is there.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prost::Message;
use proto::{
    ids::NamespaceId,
    temporal::{enums::v1::WorkerStatus, worker::v1::WorkerHeartbeat},
};
use tokio::time::Instant;

use super::fields::Query;

/// Workers that a node remembers.
const WORKERS_MAX: usize = 100_000;
const BYTES_MAX: usize = 64 << 20;
/// How long a worker is remembered that says nothing (reference 1.4).
const TTL: Duration = Duration::from_secs(5 * 60);
/// What one answer to another node may take.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// A heartbeat, and how long ago it was heard.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Heard {
    pub(crate) heartbeat: WorkerHeartbeat,
    pub(crate) age: Duration,
}

/// Workers in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Page {
    pub(crate) workers: Vec<Heard>,
    /// There are others after the last one.
    pub(crate) more: bool,
}

/// The workers that have been heard of lately.
#[derive(Default)]
pub(crate) struct Roster {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    by_namespace: HashMap<NamespaceId, BTreeMap<String, Entry>>,
    count: usize,
    bytes: usize,
}

struct Entry {
    heartbeat: WorkerHeartbeat,
    bytes: usize,
    heard: Instant,
}

impl Roster {
    /// Takes heartbeats down, unless newer ones are known. That a worker is gone is remembered too: what it said before
    /// may come later, from another node. One for whom there is no room is not taken down, which is no error: it may
    /// try again.
    pub(crate) fn hear(&self, namespace: NamespaceId, workers: Vec<Heard>, now: Instant) {
        let mut known = self.lock();
        for Heard { heartbeat, age } in workers {
            let Some(heard) = now.checked_sub(age) else {
                continue;
            };
            let key = &heartbeat.worker_instance_key;
            if known.get(namespace, key).is_some_and(|entry| entry.heard > heard) {
                continue;
            }
            known.remove(namespace, key);
            let heartbeat = match heartbeat.status() {
                WorkerStatus::Shutdown => gone(heartbeat),
                _ => heartbeat,
            };
            let bytes = heartbeat.encoded_len();
            if !known.has_room(bytes) {
                known.expire(now);
            }
            if known.has_room(bytes) {
                known.insert(namespace, heartbeat, bytes, heard);
            }
        }
    }

    /// Returns the first workers after the key for which the condition holds.
    pub(crate) fn page(
        &self,
        namespace: NamespaceId,
        query: &Query,
        after: Option<&str>,
        size: usize,
        now: Instant,
    ) -> Page {
        let known = self.lock();
        let Some(workers) = known.by_namespace.get(&namespace) else {
            return Page::default();
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut page = Page::default();
        let mut bytes = 0;
        let after = workers.range::<str, _>((from, Bound::Unbounded));
        for entry in after.map(|(_, entry)| entry) {
            if !entry.is_there(now) || !query.holds(&entry.heartbeat) {
                continue;
            }
            // Never an empty page with more behind it.
            if !page.workers.is_empty()
                && (page.workers.len() == size || bytes + entry.bytes > PAGE_BYTES_MAX)
            {
                page.more = true;
                break;
            }
            bytes += entry.bytes;
            page.workers.push(entry.heard(now));
        }
        page
    }

    pub(crate) fn count(&self, namespace: NamespaceId, query: &Query, now: Instant) -> usize {
        let known = self.lock();
        let workers = known.by_namespace.get(&namespace).into_iter().flatten();
        let fitting = workers.filter(|(_, entry)| entry.is_there(now) && query.holds(&entry.heartbeat));
        fitting.count()
    }

    pub(crate) fn find(&self, namespace: NamespaceId, key: &str, now: Instant) -> Option<Heard> {
        let known = self.lock();
        let entry = known.get(namespace, key)?;
        entry.is_there(now).then(|| entry.heard(now))
    }

    /// Takes out the workers that do not stay.
    pub(crate) fn take(
        &self,
        now: Instant,
        stays: impl Fn(NamespaceId, &str) -> bool,
    ) -> Vec<(NamespaceId, Heard)> {
        let mut known = self.lock();
        known.expire(now);
        let all = known.by_namespace.iter();
        let going: Vec<_> = all
            .flat_map(|(namespace, workers)| workers.iter().map(|(key, entry)| (*namespace, key, entry)))
            .filter(|(namespace, key, _)| !stays(*namespace, key))
            .map(|(namespace, _, entry)| (namespace, entry.heard(now)))
            .collect();
        for (namespace, worker) in &going {
            known.remove(*namespace, &worker.heartbeat.worker_instance_key);
        }
        going
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) < TTL
    }

    fn is_there(&self, now: Instant) -> bool {
        self.is_fresh(now) && self.heartbeat.status() != WorkerStatus::Shutdown
    }

    fn heard(&self, now: Instant) -> Heard {
        Heard {
            heartbeat: self.heartbeat.clone(),
            age: now.saturating_duration_since(self.heard),
        }
    }
}

impl Known {
    fn has_room(&self, bytes: usize) -> bool {
        self.count < WORKERS_MAX && self.bytes.saturating_add(bytes) <= BYTES_MAX
    }

    fn get(&self, namespace: NamespaceId, key: &str) -> Option<&Entry> {
        self.by_namespace.get(&namespace)?.get(key)
    }

    fn insert(&mut self, namespace: NamespaceId, heartbeat: WorkerHeartbeat, bytes: usize, heard: Instant) {
        let key = heartbeat.worker_instance_key.clone();
        let entry = Entry {
            heartbeat,
            bytes,
            heard,
        };
        self.by_namespace.entry(namespace).or_default().insert(key, entry);
        self.count += 1;
        self.bytes += bytes;
    }

    fn remove(&mut self, namespace: NamespaceId, key: &str) {
        let Some(workers) = self.by_namespace.get_mut(&namespace) else {
            return;
        };
        if let Some(entry) = workers.remove(key) {
            self.count -= 1;
            self.bytes -= entry.bytes;
        }
        if workers.is_empty() {
            self.by_namespace.remove(&namespace);
        }
    }

    /// Forgets the workers that have been silent for too long.
    fn expire(&mut self, now: Instant) {
        let (mut count, mut bytes) = (0, 0);
        self.by_namespace.retain(|_, workers| {
            workers.retain(|_, entry| entry.is_fresh(now));
            count += workers.len();
            bytes += workers.values().map(|entry| entry.bytes).sum::<usize>();
            !workers.is_empty()
        });
        (self.count, self.bytes) = (count, bytes);
    }
}

/// What is remembered of a worker that is gone.
fn gone(heartbeat: WorkerHeartbeat) -> WorkerHeartbeat {
    WorkerHeartbeat {
        worker_instance_key: heartbeat.worker_instance_key,
        status: heartbeat.status,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMESPACE: NamespaceId = NamespaceId::from_bytes([1; 16]);

    fn heard(key: &str, status: WorkerStatus, age: u64) -> Heard {
        Heard {
            heartbeat: WorkerHeartbeat {
                worker_instance_key: key.to_owned(),
                status: status.into(),
                ..Default::default()
            },
            age: Duration::from_secs(age),
        }
    }

    fn everything() -> Query {
        Query::parse("").expect("an empty condition")
    }

    fn keys(page: &Page) -> Vec<&str> {
        let workers = page.workers.iter();
        workers
            .map(|worker| worker.heartbeat.worker_instance_key.as_str())
            .collect()
    }

    fn all(roster: &Roster, after: Option<&str>, now: Instant) -> Page {
        roster.page(NAMESPACE, &everything(), after, 100, now)
    }

    #[tokio::test(start_paused = true)]
    async fn workers_come_and_go() {
        tokio::time::advance(TTL).await;
        let (roster, now) = (Roster::default(), Instant::now());
        let running = ["b", "a", "c"].map(|key| heard(key, WorkerStatus::Running, 0));
        roster.hear(NAMESPACE, running.to_vec(), now);
        assert_eq!(keys(&all(&roster, None, now)), ["a", "b", "c"]);
        assert_eq!(keys(&all(&roster, Some("a"), now)), ["b", "c"]);
        let first = roster.page(NAMESPACE, &everything(), None, 2, now);
        assert_eq!((keys(&first), first.more), (vec!["a", "b"], true));
        roster.hear(NAMESPACE, vec![heard("b", WorkerStatus::Shutdown, 0)], now);
        assert_eq!(keys(&all(&roster, None, now)), ["a", "c"]);
        let second = now + Duration::from_secs(1);
        roster.hear(NAMESPACE, vec![heard("a", WorkerStatus::Running, 0)], second);
        let later = now + TTL;
        assert!(roster.find(NAMESPACE, "c", later).is_none());
        assert!(roster.find(NAMESPACE, "a", later).is_some());
        assert_eq!(keys(&all(&roster, None, later)), ["a"]);
        assert_eq!(roster.count(NAMESPACE, &everything(), later), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_heard_earlier_changes_nothing() {
        tokio::time::advance(TTL).await;
        let (roster, now) = (Roster::default(), Instant::now());
        roster.hear(NAMESPACE, vec![heard("a", WorkerStatus::Running, 1)], now);
        roster.hear(NAMESPACE, vec![heard("a", WorkerStatus::Shutdown, 2)], now);
        assert_eq!(keys(&all(&roster, None, now)), ["a"]);
        let found = roster.find(NAMESPACE, "a", now);
        assert_eq!(found.map(|worker| worker.age.as_secs()), Some(1));
        roster.hear(NAMESPACE, vec![heard("a", WorkerStatus::Shutdown, 0)], now);
        roster.hear(NAMESPACE, vec![heard("a", WorkerStatus::Running, 1)], now);
        assert_eq!(roster.find(NAMESPACE, "a", now), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_elsewhere_is_taken_out() {
        let (roster, now) = (Roster::default(), Instant::now());
        let running = ["b", "a", "c"].map(|key| heard(key, WorkerStatus::Running, 0));
        roster.hear(NAMESPACE, running.to_vec(), now);
        let gone = roster.take(now, |_, key| key == "b");
        assert_eq!(gone.len(), 2);
        assert_eq!(keys(&all(&roster, None, now)), ["b"]);
        assert_eq!(roster.lock().count, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_is_bounded() {
        let (roster, now) = (Roster::default(), Instant::now());
        let large = |key: &str| {
            let mut worker = heard(key, WorkerStatus::Running, 0);
            worker.heartbeat.sdk_name = "x".repeat(BYTES_MAX / 2);
            worker
        };
        roster.hear(NAMESPACE, vec![large("a"), large("b")], now);
        assert_eq!(keys(&all(&roster, None, now)), ["a"]);
        // The first one is silent since then.
        roster.hear(NAMESPACE, vec![large("b")], now + TTL);
        assert_eq!(keys(&all(&roster, None, now + TTL)), ["b"]);
    }
}
