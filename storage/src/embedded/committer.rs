//! Committer: the one thread that writes. Merges what waits into one write and one sync, then answers.
//!
//! Owns the fences of the shards that were acquired since the store was opened. Never waits for more work while
//! it has some: the next write carries what arrived during the last one, so width follows load without a timer.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use fjall::{OwnedWriteBatch, PersistMode};
use proto::ids::{NodeId, ShardId};
use tokio::sync::{mpsc, oneshot};

use super::{
    Health,
    layout::{self, Layout, Prepared, Space},
    mark::Mark,
};
use crate::{
    error::{CommitError, StoreError},
    fence::{Fence, Verdict},
    metrics::Metrics,
    registry::{RegistryError, RegistryWrite, Versions},
    shard::Lease,
};

/// How long a write that finds no room waits before it looks again.
const STALL: Duration = Duration::from_millis(2);

/// A batch, ready for the engine.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) lease: Lease,
    pub(super) number: u64,
    pub(super) rows: Vec<Prepared>,
    pub(super) size: usize,
}

/// A lease to take.
#[derive(Debug)]
pub(super) struct Acquire {
    pub(super) shard: ShardId,
    pub(super) owner: NodeId,
    /// The next batch has a number above this one.
    pub(super) above: u64,
}

/// What waits for the committer.
#[derive(Debug)]
pub(super) enum Request {
    Commit(Commit, oneshot::Sender<Result<(), CommitError>>),
    Acquire(Acquire, oneshot::Sender<Result<Lease, StoreError>>),
    Registry(Vec<RegistryWrite>, oneshot::Sender<Result<(), RegistryError>>),
    Close(oneshot::Sender<()>),
}

impl Request {
    fn size(&self) -> usize {
        match self {
            Self::Commit(commit, _) => commit.size,
            Self::Registry(writes, _) => writes
                .iter()
                .map(|write| write.value.as_ref().map_or(0, bytes::Bytes::len))
                .sum(),
            Self::Acquire(..) | Self::Close(_) => 0,
        }
    }
}

/// An answer that waits for the sync.
enum Answer {
    Commit(oneshot::Sender<Result<(), CommitError>>, Result<(), CommitError>),
    Acquire(
        oneshot::Sender<Result<Lease, StoreError>>,
        Result<Lease, StoreError>,
    ),
    Registry(
        oneshot::Sender<Result<(), RegistryError>>,
        Result<(), RegistryError>,
    ),
    Close(oneshot::Sender<()>),
}

impl Answer {
    fn send(self) {
        // A caller that has gone reads the outcome when it acquires again.
        match self {
            Self::Commit(to, answer) => drop(to.send(answer)),
            Self::Acquire(to, answer) => drop(to.send(answer)),
            Self::Registry(to, answer) => drop(to.send(answer)),
            Self::Close(to) => drop(to.send(())),
        }
    }

    /// Answers that nothing is known about the write.
    fn fail(self, reason: &str) {
        let unavailable = || StoreError::Unavailable(reason.to_owned());
        match self {
            Self::Commit(to, _) => drop(to.send(Err(CommitError::GaveUp(reason.to_owned())))),
            Self::Acquire(to, _) => drop(to.send(Err(unavailable()))),
            Self::Registry(to, _) => drop(to.send(Err(unavailable().into()))),
            Self::Close(to) => drop(to.send(())),
        }
    }
}

struct Owned {
    fence: Fence,
    owner: NodeId,
    /// The fence row must be written with the group under way.
    changed: bool,
}

pub(super) struct Committer {
    pub(super) layout: Layout,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) mark: Mark,
    pub(super) health: Arc<Health>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) group_bytes_max: usize,
    /// Number of the last group.
    pub(super) sequence: u64,
    pub(super) fences: Fences,
}

/// The fences that the committer has met, by shard.
#[derive(Default)]
pub(super) struct Fences(HashMap<ShardId, Owned>);

/// What one write to the disk carries, and who waits for it.
struct Group {
    batch: OwnedWriteBatch,
    answers: Vec<Answer>,
    shards: Vec<ShardId>,
    versions: Versions,
    bytes: usize,
}

impl Committer {
    /// Works until every sender has gone or a `Close` has been answered.
    pub(super) fn run(mut self) {
        let mut arrived = Vec::new();
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() && self.requests.blocking_recv_many(&mut arrived, usize::MAX) == 0 {
                break;
            }
            while let Ok(request) = self.requests.try_recv() {
                arrived.push(request);
            }
            waiting.extend(arrived.drain(..));
            let group = self.stage(&mut waiting);
            self.land(group);
        }
        self.rest();
    }

    /// Takes from the front of `waiting` what one write carries.
    fn stage(&mut self, waiting: &mut VecDeque<Request>) -> Group {
        let mut group = Group {
            batch: self
                .layout
                .database
                .batch()
                .durability(Some(PersistMode::SyncData)),
            answers: Vec::with_capacity(waiting.len()),
            shards: Vec::new(),
            versions: Versions::default(),
            bytes: 0,
        };
        while let Some(request) = waiting.pop_front() {
            group.bytes += request.size();
            let answer = match request {
                Request::Commit(commit, to) => Answer::Commit(to, self.commit(&mut group, commit)),
                Request::Acquire(acquire, to) => Answer::Acquire(to, self.acquire(&mut group, acquire)),
                Request::Registry(writes, to) => Answer::Registry(to, self.registry(&mut group, writes)),
                Request::Close(to) => {
                    // Lets in what is queued and nothing after it.
                    self.requests.close();
                    Answer::Close(to)
                }
            };
            group.answers.push(answer);
            if group.bytes >= self.group_bytes_max {
                break;
            }
        }
        group
    }

    fn commit(&mut self, group: &mut Group, commit: Commit) -> Result<(), CommitError> {
        let verdict = match self.fences.of(&self.layout, commit.lease.shard) {
            Ok(owned) => owned.fence.judge(commit.lease.epoch, commit.number),
            Err(error) => Err(CommitError::GaveUp(error.to_string())),
        };
        match &verdict {
            Ok(Verdict::Apply) => self.metrics.commits.inc(),
            Ok(Verdict::Landed) => self.metrics.resent.inc(),
            Err(CommitError::Fenced) => self.metrics.fenced.inc(),
            Err(CommitError::GaveUp(_)) => self.metrics.gave_up.inc(),
        }
        if verdict? == Verdict::Landed {
            return Ok(());
        }
        self.metrics.rows.add(commit.rows.len() as u64);
        self.metrics.bytes.add(commit.size as u64);
        for row in commit.rows {
            self.layout.put(&mut group.batch, row);
        }
        self.fences
            .change(commit.lease.shard, &mut group.shards, |owned| {
                owned.fence.batch = commit.number
            });
        Ok(())
    }

    fn acquire(&mut self, group: &mut Group, acquire: Acquire) -> Result<Lease, StoreError> {
        self.metrics.acquires.inc();
        let Acquire { shard, owner, above } = acquire;
        let fence = self.fences.of(&self.layout, shard)?.fence.next_epoch(above);
        self.fences.change(shard, &mut group.shards, |owned| {
            owned.fence = fence;
            owned.owner = owner;
        });
        Ok(fence.lease(shard))
    }

    fn registry(&mut self, group: &mut Group, writes: Vec<RegistryWrite>) -> Result<(), RegistryError> {
        let layout = &self.layout;
        let stored = |table, key: &[u8]| {
            Ok(layout
                .registry_entry(table, key)?
                .map_or(0, |entry| entry.version))
        };
        group.versions.check(&writes, stored)?;
        self.metrics.registry_writes.inc();
        for write in writes {
            let value = write
                .value
                .map(|value| layout::registry_value(write.expected + 1, &value).into());
            let key = layout::registry_key(write.table, &write.key).into();
            self.layout.put(
                &mut group.batch,
                Prepared {
                    space: Space::Registry,
                    key,
                    value,
                },
            );
        }
        Ok(())
    }

    /// Writes and syncs the group, then answers everybody in it.
    fn land(&mut self, mut group: Group) {
        if self.health.check().is_err() {
            return self.refuse(group.answers);
        }
        for shard in &group.shards {
            self.fences.write(&self.layout, &mut group.batch, *shard);
        }
        let written = !group.batch.is_empty();
        if written {
            self.sequence += 1;
            self.layout
                .put(&mut group.batch, layout::sequence_row(self.sequence));
            let started = Instant::now();
            if let Err(error) = self.wait_for_room().and_then(|()| group.batch.commit()) {
                self.health.fail(format!("write journal: {error}"));
                return self.refuse(group.answers);
            }
            self.metrics.groups.inc();
            self.metrics.fsyncs.inc();
            self.metrics.write_us.add(started.elapsed().as_micros() as u64);
        }
        for answer in group.answers {
            answer.send();
        }
        if written {
            self.remember();
        }
    }

    /// Waits until the engine has written tables, or learns that it has given up.
    fn wait_for_room(&self) -> Result<(), fjall::Error> {
        while self.layout.congested() {
            // Fails if the engine's own thread could not write or merge a table.
            self.layout.database.persist(PersistMode::Buffer)?;
            self.metrics.stalls.inc();
            std::thread::park_timeout(STALL);
        }
        Ok(())
    }

    fn refuse(&self, answers: Vec<Answer>) {
        let reason = self.health.reason();
        for answer in answers {
            self.metrics.gave_up.inc();
            answer.fail(&reason);
        }
    }

    /// Advances the mark, after the sync that it speaks of and off the way of the answers.
    fn remember(&mut self) {
        match self.mark.advance(self.sequence) {
            Ok(true) => self.metrics.fsyncs.inc(),
            Ok(false) => {}
            Err(error) => self.health.fail(format!("write high-water mark: {error}")),
        }
    }

    /// Leaves the mark durable at the last commit.
    fn rest(&mut self) {
        match self.mark.sync() {
            Ok(()) => self.metrics.fsyncs.inc(),
            Err(error) => self.health.fail(format!("sync high-water mark: {error}")),
        }
        self.health.close();
    }
}

impl Drop for Committer {
    /// Ends the store also if the thread panics: reads must not go on beside writes that cannot.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.health.fail("committer has panicked".into());
        }
    }
}

impl Fences {
    fn of(&mut self, layout: &Layout, shard: ShardId) -> Result<&mut Owned, StoreError> {
        match self.0.entry(shard) {
            std::collections::hash_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let fence = layout.fence(shard)?;
                let owner = NodeId {
                    name: "".into(),
                    generation: 0,
                };
                Ok(entry.insert(Owned {
                    fence,
                    owner,
                    changed: false,
                }))
            }
        }
    }

    fn change(&mut self, shard: ShardId, changed: &mut Vec<ShardId>, change: impl FnOnce(&mut Owned)) {
        let Some(owned) = self.0.get_mut(&shard) else {
            return;
        };
        change(owned);
        if !std::mem::replace(&mut owned.changed, true) {
            changed.push(shard);
        }
    }

    fn write(&mut self, layout: &Layout, batch: &mut OwnedWriteBatch, shard: ShardId) {
        if let Some(owned) = self.0.get_mut(&shard) {
            owned.changed = false;
            let value = layout::fence_value(owned.fence, &owned.owner);
            let key = layout::fence_key(shard).into();
            layout.put(
                batch,
                Prepared {
                    space: Space::Run,
                    key,
                    value: Some(value.into()),
                },
            );
        }
    }
}
