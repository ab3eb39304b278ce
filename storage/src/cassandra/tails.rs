//! Tails: the newest nodes of histories, which ride in the conditional batch as rows of their shard's partition.
//!
//! A tail is small. When it would grow over its bound, or when its run's state leaves the partition, all of it and
//! what is new are written to the run's partition before the batch, as histories that do not ride are, and the
//! batch removes it. So the nodes of a tail follow those of the run's partition, and a history is in two places only
//! for a reader who has looked at the tail before the move and at the run's partition after it.
//!
//! The owner of a shard remembers the tails that it wrote or read lately, in bounded memory; it reads one that it
//! does not remember before it adds to it. What is remembered ends with the lease.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::{BufMut, Bytes, BytesMut};
use proto::ids::ShardId;
use scylla::statement::prepared::PreparedStatement;
use tokio::sync::Mutex as Turn;

use super::{
    Inner, OpenError,
    cold::{ColdRow, HISTORY},
    landed::Mark,
    link::{Deadline, Link},
    plan::Draft,
    rows::{own, rows, typed},
    shards::{self, Range, after},
};
use crate::{error::StoreError, shard::Lease};

/// Kind of the rows of tails; key = history (32 bytes), first event id (8 bytes).
pub(super) const TAILS: i8 = 7;
/// From this version of the schema on, every release that works with a keyspace reads tails.
const SINCE_SCHEMA: usize = 3;

/// What a tail has at most.
const TAIL_BYTES_MAX: usize = 8 << 10;
const TAIL_NODES_MAX: usize = 32;
/// What one batch carries of histories; the rest is written on its own.
pub(super) const RIDE_BYTES_MAX: usize = 256 << 10;
/// What is remembered takes so much memory.
const REMEMBERED_BYTES_MAX: usize = 32 << 20;
/// What a remembered tail takes beside its events, and what each of its nodes does.
const REMEMBERED_BYTES: usize = 160;
const REMEMBERED_NODE_BYTES: usize = 64;
/// Tails that one commit reads at the same time.
const READS_AT_ONCE: usize = 32;
/// Rows that a detachment moves at a time.
const DETACHED_AT_ONCE: usize = 1000;

pub(super) struct Tails {
    select: PreparedStatement,
    /// Removes a tail, as part of a batch.
    pub(super) remove: PreparedStatement,
    is_known_to_all: bool,
    state: Mutex<State>,
}

/// The newest nodes of a history, by their first event.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tail {
    nodes: BTreeMap<i64, Bytes>,
    bytes: usize,
}

/// What a commit must know before it is planned.
pub(super) struct Known {
    /// Nodes may ride under this lease.
    pub(super) may_ride: bool,
    pub(super) tails: HashMap<Bytes, Tail>,
}

#[derive(Default)]
struct State {
    lanes: HashMap<ShardId, Lane>,
    /// Two generations: when the young ones have half of the memory they become the old ones, which are forgotten.
    young: HashMap<Bytes, Remembered>,
    old: HashMap<Bytes, Remembered>,
    young_bytes: usize,
}

/// A lease that this node has.
struct Lane {
    epoch: u64,
    detached: bool,
    /// Whoever commits has it, from the plan to the outcome.
    turn: Arc<Turn<()>>,
}

struct Remembered {
    shard: ShardId,
    epoch: u64,
    tail: Tail,
}

impl Tail {
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The first event that it has.
    pub(super) fn begin(&self) -> Option<i64> {
        self.nodes.keys().next().copied()
    }

    pub(super) fn nodes(&self) -> &BTreeMap<i64, Bytes> {
        &self.nodes
    }

    pub(super) fn into_nodes(self) -> impl Iterator<Item = (i64, Bytes)> {
        self.nodes.into_iter()
    }

    #[must_use]
    pub(super) fn with(mut self, new: &BTreeMap<i64, Bytes>) -> Self {
        for (first_event_id, events) in new {
            self.push(*first_event_id, events.clone());
        }
        self
    }

    pub(super) fn is_small(&self) -> bool {
        self.bytes <= TAIL_BYTES_MAX && self.nodes.len() <= TAIL_NODES_MAX
    }

    fn push(&mut self, first_event_id: i64, events: Bytes) {
        self.bytes += events.len();
        if let Some(was) = self.nodes.insert(first_event_id, events) {
            self.bytes -= was.len();
        }
    }

    fn memory(&self) -> usize {
        REMEMBERED_BYTES + self.bytes + self.nodes.len() * REMEMBERED_NODE_BYTES
    }
}

impl Tails {
    pub(super) async fn prepare(link: &Link, schema: usize) -> Result<Self, OpenError> {
        Ok(Self {
            select: link
                .prepare(
                    "SELECT key, value FROM ks.shard WHERE shard = ? AND kind = 7 AND key >= ? AND key < ?",
                    5000,
                )
                .await?,
            remove: link
                .prepare(
                    "DELETE FROM ks.shard WHERE shard = ? AND kind = 7 AND key >= ? AND key < ?",
                    1,
                )
                .await?,
            is_known_to_all: schema >= SINCE_SCHEMA,
            state: Mutex::default(),
        })
    }

    /// The lease was taken.
    pub(super) fn begin(&self, lease: &Lease) {
        let lane = Lane {
            epoch: lease.epoch,
            detached: false,
            turn: Arc::default(),
        };
        self.state().lanes.insert(lease.shard, lane);
    }

    /// The lease has ended, as far as this node knows.
    pub(super) fn end(&self, lease: &Lease) {
        let mut state = self.state();
        if state.lane(lease).is_some() {
            state.lanes.remove(&lease.shard);
        }
    }

    /// What a commit under the lease holds from its plan to its outcome.
    pub(super) fn turn(&self, lease: &Lease) -> Arc<Turn<()>> {
        let mut state = self.state();
        state
            .lane(lease)
            .map(|lane| Arc::clone(&lane.turn))
            .unwrap_or_default()
    }

    /// Lets no node ride under the lease from now on. Returns what the commit has that was planned before.
    fn detach(&self, lease: &Lease) -> Option<Arc<Turn<()>>> {
        let mut state = self.state();
        let lane = state.lane(lease)?;
        lane.detached = true;
        Some(Arc::clone(&lane.turn))
    }

    /// Returns the tails of these histories, and whether nodes may be added to them.
    pub(super) async fn gather(
        self: &Arc<Self>,
        link: &Link,
        lease: &Lease,
        drafts: &BTreeMap<Bytes, Draft>,
        deadline: Deadline,
    ) -> Result<Known, StoreError> {
        let mut known = Known {
            may_ride: false,
            tails: HashMap::new(),
        };
        let mut missing = Vec::new();
        {
            let mut state = self.state();
            let is_attached = state.lane(lease).is_some_and(|lane| !lane.detached);
            known.may_ride = self.is_known_to_all && is_attached;
            for (id, _) in drafts.iter().filter(|(_, draft)| !draft.begins()) {
                match state.recall(lease, id) {
                    Some(tail) => drop(known.tails.insert(id.clone(), tail)),
                    None => missing.push(id.clone()),
                }
            }
        }
        for chunk in missing.chunks(READS_AT_ONCE) {
            let reads: Vec<_> = chunk
                .iter()
                .map(|id| {
                    let (tails, sender, id) = (Arc::clone(self), link.clone(), id.clone());
                    let (shard, mut deadline) = (lease.shard, deadline);
                    link.runtime()
                        .spawn(async move { tails.read(&sender, shard, &id, &mut deadline).await })
                })
                .collect();
            for (id, read) in chunk.iter().zip(reads) {
                let tail = read.await.unwrap_or_else(|_| Err(super::stopped()))?;
                known.tails.insert(id.clone(), tail);
            }
        }
        Ok(known)
    }

    /// Reads a tail.
    pub(super) async fn read(
        &self,
        link: &Link,
        shard: ShardId,
        id: &Bytes,
        deadline: &mut Deadline,
    ) -> Result<Tail, StoreError> {
        let values = (shards::id(shard), id.clone(), tail_end(id));
        let found = rows(link.execute(&self.select, values, deadline).await?)?;
        let mut tail = Tail::default();
        for (key, value) in typed::<(&[u8], Option<&[u8]>)>(&found)? {
            tail.push(first_event(key)?, own(value.unwrap_or_default()));
        }
        Ok(tail)
    }

    /// The batch that made the tails these has landed.
    pub(super) fn landed(&self, lease: &Lease, tails: Vec<(Bytes, Option<Tail>)>) {
        let mut state = self.state();
        for (id, tail) in tails {
            state.forget(&id);
            if let Some(tail) = tail {
                let (shard, epoch) = (lease.shard, lease.epoch);
                state.remember(id, Remembered { shard, epoch, tail });
            }
        }
    }

    /// These are to be read again.
    pub(super) fn forget(&self, tails: &[(Bytes, Option<Tail>)]) {
        let mut state = self.state();
        for (id, _) in tails {
            state.forget(id);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn lane(&mut self, lease: &Lease) -> Option<&mut Lane> {
        let lane = self.lanes.get_mut(&lease.shard)?;
        (lane.epoch == lease.epoch).then_some(lane)
    }

    fn recall(&mut self, lease: &Lease, id: &Bytes) -> Option<Tail> {
        let is_current = |found: &&Remembered| (found.shard, found.epoch) == (lease.shard, lease.epoch);
        if let Some(found) = self.young.get(id).filter(is_current) {
            return Some(found.tail.clone());
        }
        let found = self.old.remove(id)?;
        let tail = Some(&found).filter(is_current)?.tail.clone();
        self.remember(id.clone(), found);
        Some(tail)
    }

    fn remember(&mut self, id: Bytes, tail: Remembered) {
        self.young_bytes += tail.tail.memory();
        if let Some(was) = self.young.insert(id, tail) {
            self.young_bytes -= was.tail.memory();
        }
        if self.young_bytes > REMEMBERED_BYTES_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }

    fn forget(&mut self, id: &Bytes) {
        if let Some(was) = self.young.remove(id) {
            self.young_bytes -= was.tail.memory();
        }
        self.old.remove(id);
    }
}

impl Inner {
    /// Writes the tails of a shard to the runs' partitions, where they count at once: their batches have landed. The
    /// rows stay in the shard's partition until a commit removes them, and count once.
    pub(super) async fn detach_histories(&self, lease: &Lease) -> Result<(), StoreError> {
        let Some(turn) = self.tails.detach(lease) else {
            return Err(StoreError::Unavailable(format!(
                "detach histories: shard {} is not leased here",
                lease.shard
            )));
        };
        drop(turn.lock().await);
        // Landed for certain, and before all that this owner forgets.
        let mark = Mark::new(lease, lease.batch);
        let mut from = Bytes::new();
        loop {
            let range = Range {
                shard: lease.shard,
                kind: TAILS,
                from: &from,
                to: None,
            };
            let found = self.shards.scan(&self.link, range, DETACHED_AT_ONCE).await?;
            let Some(last) = found.last() else {
                return Ok(());
            };
            from = after(&last.key);
            let mut moved: BTreeMap<Bytes, Vec<ColdRow>> = BTreeMap::new();
            for row in found {
                let seq = first_event(&row.key)?;
                let id = row.key.slice(..row.key.len() - 8);
                moved.entry(id).or_default().push(ColdRow {
                    kind: HISTORY,
                    seq,
                    key: Bytes::new(),
                    value: row.value,
                });
            }
            let mut deadline = self.link.deadline();
            self.cold.write(&self.link, &moved, mark, &mut deadline).await?;
        }
    }
}

/// The sign is turned, so that the order of keys is that of numbers.
pub(super) fn tail_key(id: &[u8], first_event_id: i64) -> Bytes {
    let mut key = BytesMut::with_capacity(id.len() + 8);
    key.put_slice(id);
    key.put_i64(first_event_id ^ i64::MIN);
    key.freeze()
}

/// Returns a key after all of a tail's, and before those of the next one.
pub(super) fn tail_end(id: &[u8]) -> Bytes {
    let mut key = BytesMut::with_capacity(id.len() + 9);
    key.put_slice(id);
    key.put_bytes(u8::MAX, 9);
    key.freeze()
}

fn first_event(key: &[u8]) -> Result<i64, StoreError> {
    let (_, number) = key
        .split_last_chunk::<8>()
        .ok_or_else(|| StoreError::Broken("key of a history is malformed".to_owned()))?;
    Ok(i64::from_be_bytes(*number) ^ i64::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: ShardId = ShardId(1);

    fn lease(epoch: u64) -> Lease {
        Lease {
            shard: SHARD,
            epoch,
            batch: 0,
        }
    }

    fn tail(bytes: usize) -> Tail {
        Tail::default().with(&BTreeMap::from([(1, Bytes::from(vec![0; bytes]))]))
    }

    fn remember(state: &mut State, id: u32, epoch: u64, bytes: usize) {
        let id = Bytes::copy_from_slice(&id.to_be_bytes());
        let tail = tail(bytes);
        state.remember(
            id,
            Remembered {
                shard: SHARD,
                epoch,
                tail,
            },
        );
    }

    fn recalls(state: &mut State, id: u32, epoch: u64) -> bool {
        let id = Bytes::copy_from_slice(&id.to_be_bytes());
        state.recall(&lease(epoch), &id).is_some()
    }

    #[test]
    fn keys_are_in_the_order_of_events_and_within_their_tail() {
        let (id, next) = ([7; 32], [&[7; 31][..], &[8]].concat());
        let keys: Vec<_> = [i64::MIN, -1, 0, 1, 255, 256, i64::MAX]
            .map(|event| tail_key(&id, event))
            .into();
        assert!(keys.is_sorted());
        assert_eq!(first_event(&keys[4]).unwrap(), 255);
        for key in &keys {
            assert!(*key >= id[..] && *key < tail_end(&id) && tail_end(&id) < tail_key(&next, i64::MIN));
        }
        let highest = [u8::MAX; 32];
        assert!(tail_key(&highest, i64::MAX) < tail_end(&highest));
    }

    #[test]
    fn a_tail_is_small_in_bytes_and_nodes() {
        assert!(tail(TAIL_BYTES_MAX).is_small());
        assert!(!tail(TAIL_BYTES_MAX + 1).is_small());
        let many = |count: usize| (1..).take(count).map(|event| (event, Bytes::from_static(b"e")));
        assert!(Tail::default().with(&many(TAIL_NODES_MAX).collect()).is_small());
        assert!(
            !Tail::default()
                .with(&many(TAIL_NODES_MAX + 1).collect())
                .is_small()
        );
        // A node that comes twice counts once.
        assert_eq!(tail(10).with(tail(10).nodes()), tail(10));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_ends_with_the_lease() {
        let mut state = State::default();
        let count = u32::try_from(REMEMBERED_BYTES_MAX / 4096).unwrap();
        for id in 0..count * 2 {
            remember(&mut state, id, 1, 4096);
            assert!(recalls(&mut state, 0, 1) || id == 0, "{id}: what is used stays");
        }
        let bytes: usize = [&state.young, &state.old]
            .into_iter()
            .flat_map(HashMap::values)
            .map(|found| found.tail.memory())
            .sum();
        assert!(bytes <= REMEMBERED_BYTES_MAX + 8192, "{bytes}");
        assert!(!recalls(&mut state, 1, 1));
        assert!(recalls(&mut state, count * 2 - 1, 1));
        assert!(!recalls(&mut state, count * 2 - 1, 2));
    }
}
