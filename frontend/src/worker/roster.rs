//! Roster: the workers of a node, as their heartbeats show them (reference 1.4). Kept in memory only: a worker says
//! again every minute that it is there.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prost::Message;
use proto::{
    ids::NamespaceId,
    temporal::{enums::v1::WorkerStatus, worker::v1::WorkerHeartbeat},
};
use tokio::time::Instant;

use crate::limits;

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
    heartbeat: Arc<WorkerHeartbeat>,
    bytes: usize,
    heard: Instant,
}

impl Roster {
    /// Takes heartbeats down. A worker that says it is gone is; one for whom there is no room is not taken down,
    /// which is no error: it may try again.
    pub(crate) fn hear(&self, namespace: NamespaceId, heartbeats: Vec<WorkerHeartbeat>, now: Instant) {
        let mut known = self.lock();
        for heartbeat in heartbeats {
            known.remove(namespace, &heartbeat.worker_instance_key);
            if heartbeat.status() == WorkerStatus::Shutdown {
                continue;
            }
            let bytes = heartbeat.encoded_len();
            if !known.has_room(bytes) {
                known.expire(now);
            }
            if known.has_room(bytes) {
                known.insert(namespace, heartbeat, bytes, now);
            }
        }
    }

    /// Returns the workers after the key, in the order of their keys.
    pub(crate) fn after(
        &self,
        namespace: NamespaceId,
        key: Option<&str>,
        now: Instant,
    ) -> Vec<Arc<WorkerHeartbeat>> {
        let mut known = self.lock();
        known.expire(now);
        let Some(workers) = known.by_namespace.get(&namespace) else {
            return Vec::new();
        };
        let is_after = |other: &&String| key.is_none_or(|key| other.as_str() > key);
        let after = workers.iter().filter(|(other, _)| is_after(other));
        after.map(|(_, entry)| Arc::clone(&entry.heartbeat)).collect()
    }

    pub(crate) fn find(
        &self,
        namespace: NamespaceId,
        key: &str,
        now: Instant,
    ) -> Option<Arc<WorkerHeartbeat>> {
        let known = self.lock();
        let entry = known.by_namespace.get(&namespace)?.get(key)?;
        entry.is_fresh(now).then(|| Arc::clone(&entry.heartbeat))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) < limits::WORKER_TTL
    }
}

impl Known {
    fn has_room(&self, bytes: usize) -> bool {
        self.count < limits::WORKERS_MAX && self.bytes.saturating_add(bytes) <= limits::WORKER_BYTES_MAX
    }

    fn insert(&mut self, namespace: NamespaceId, heartbeat: WorkerHeartbeat, bytes: usize, now: Instant) {
        let key = heartbeat.worker_instance_key.clone();
        let entry = Entry {
            heartbeat: Arc::new(heartbeat),
            bytes,
            heard: now,
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NAMESPACE: [u8; 16] = [1; 16];

    fn worker(key: &str, status: WorkerStatus) -> WorkerHeartbeat {
        WorkerHeartbeat {
            worker_instance_key: key.to_owned(),
            status: status.into(),
            ..Default::default()
        }
    }

    fn keys(roster: &Roster, after: Option<&str>, now: Instant) -> Vec<String> {
        let namespace = NamespaceId::from_bytes(NAMESPACE);
        let workers = roster.after(namespace, after, now);
        workers
            .iter()
            .map(|worker| worker.worker_instance_key.clone())
            .collect()
    }

    #[test]
    fn workers_come_and_go() {
        let (roster, now) = (Roster::default(), Instant::now());
        let namespace = NamespaceId::from_bytes(NAMESPACE);
        let all = ["b", "a", "c"].map(|key| worker(key, WorkerStatus::Running));
        roster.hear(namespace, all.to_vec(), now);
        assert_eq!(keys(&roster, None, now), ["a", "b", "c"]);
        assert_eq!(keys(&roster, Some("a"), now), ["b", "c"]);
        roster.hear(namespace, vec![worker("b", WorkerStatus::Shutdown)], now);
        assert_eq!(keys(&roster, None, now), ["a", "c"]);
        let later = now + limits::WORKER_TTL;
        roster.hear(
            namespace,
            vec![worker("a", WorkerStatus::Running)],
            now + Duration::from_secs(1),
        );
        assert!(roster.find(namespace, "c", later).is_none());
        assert!(roster.find(namespace, "a", later).is_some());
        assert_eq!(keys(&roster, None, later), ["a"]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (roster, now) = (Roster::default(), Instant::now());
        let namespace = NamespaceId::from_bytes(NAMESPACE);
        let large = |key: &str| WorkerHeartbeat {
            sdk_name: "x".repeat(limits::WORKER_BYTES_MAX / 2),
            ..worker(key, WorkerStatus::Running)
        };
        roster.hear(namespace, vec![large("a"), large("b")], now);
        assert_eq!(keys(&roster, None, now), ["a"]);
        // The first one is silent since then.
        roster.hear(namespace, vec![large("b")], now + limits::WORKER_TTL);
        assert_eq!(keys(&roster, None, now + limits::WORKER_TTL), ["b"]);
    }
}
