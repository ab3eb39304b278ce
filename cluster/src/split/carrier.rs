//! Carrier: does what [`super::steps`] say is to be done, with the store, the shards and the map as they are.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use proto::ids::ShardId;
use shard::{feed::Follower, handle::ShardHandle, moving, output::AskError};
use storage::{
    error::{CommitError, StoreError},
    registry::RegistryError,
    shard::Lease,
};
use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, sleep, timeout},
};

use super::{
    copy,
    steps::{Input, Output, Steps, Why},
};
use crate::{map::change::Change, maps::Stored, router::Router};

/// A page is read after a pause of this many times as long as the last one took to be put: the copy takes a small part
/// of what the store can do.
const PAUSES: u32 = 3;
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long the new shards are waited for, to know how long calls were parked.
const TAKEN_UP: Duration = Duration::from_secs(5);

/// Why a change is not made this time.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error(transparent)]
    Steps(#[from] Why),
    #[error("a parent is being taken up")]
    TakenUp,
    #[error("a child has no lease")]
    NoLease,
    #[error(transparent)]
    Map(#[from] RegistryError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Shard(#[from] AskError),
}

/// What has come of what was wanted.
enum Done {
    Map(Stored),
    Written,
    Copied(copy::Input),
}

type Work = FuturesUnordered<BoxFuture<'static, Result<Done, Failed>>>;

/// A change that is being made.
struct Carrier<'a> {
    router: &'a Router,
    change: &'a Change,
    parents: Vec<ShardId>,
    /// Until they are followed. Then they go: a shard that has let go ends when nobody has a way to it.
    handles: Vec<ShardHandle>,
    children: Vec<ShardId>,
    leases: Vec<Option<Lease>>,
    follower: Follower,
    work: Work,
    /// The map that was read last.
    read: Option<Stored>,
    /// Held from the drain on: nobody takes a parent up here meanwhile.
    alone: Option<OwnedMutexGuard<()>>,
    pause: Duration,
    put_at: Option<Instant>,
    parked_at: Option<Instant>,
    /// What could not be done.
    failure: Option<Failed>,
}

/// Makes the change, or leaves everything as it was.
pub(super) async fn carry(
    router: &Router,
    change: &Change,
    parents: Vec<(ShardId, ShardHandle)>,
) -> Result<(), Failed> {
    let median = match &parents[..] {
        [(_, handle)] => handle.median().await?,
        _ => None,
    };
    let (parents, handles) = parents.into_iter().unzip();
    let carrier = Carrier {
        router,
        change,
        parents,
        handles,
        children: Vec::new(),
        leases: Vec::new(),
        follower: Follower::default(),
        work: FuturesUnordered::new(),
        read: None,
        alone: None,
        pause: Duration::ZERO,
        put_at: None,
        parked_at: None,
        failure: None,
    };
    carrier.carry(median).await
}

impl Carrier<'_> {
    async fn carry(mut self, median: Option<u64>) -> Result<(), Failed> {
        let mut out = Vec::new();
        let mut steps = Steps::new(self.change, median, self.router.0.store.limits(), &mut out);
        let mut maps = self.router.0.maps.subscribe();
        loop {
            for output in std::mem::take(&mut out) {
                let performed = match output {
                    Output::Done => {
                        self.finish().await;
                        return Ok(());
                    }
                    Output::Failed(why) => return Err(self.failure.take().unwrap_or(why.into())),
                    other => self.perform(other),
                };
                if let Err(error) = performed {
                    self.failed(error, &mut steps, &mut out);
                    break;
                }
            }
            self.show(&steps);
            tokio::select! {
                Some(done) = self.work.next(), if !self.work.is_empty() => {
                    self.done(done, &mut steps, &mut out);
                }
                Some((parent, fed)) = self.follower.next() => steps.handle(Input::said(parent, fed), &mut out),
                Ok(()) = maps.changed() => {
                    let known = Arc::clone(&maps.borrow_and_update().map);
                    steps.handle(Input::Heard(&known), &mut out);
                }
            }
        }
    }

    fn show(&self, steps: &Steps) {
        if let Some(progress) = steps.progress() {
            let changing = &self.router.0.changing;
            changing.update(|view| (view.phase, view.rows) = (progress.phase, progress.rows));
        }
    }

    fn failed(&mut self, error: Failed, steps: &mut Steps, out: &mut Vec<Output>) {
        tracing::debug!(%error, "step of a split or merge failed");
        self.failure.get_or_insert(error);
        steps.handle(Input::Failed, out);
    }

    /// Tells the steps what has come of something.
    fn done(&mut self, done: Result<Done, Failed>, steps: &mut Steps, out: &mut Vec<Output>) {
        match done {
            Ok(Done::Map(stored)) => {
                let map = Arc::clone(&stored.map);
                self.read = Some(stored);
                steps.handle(Input::Map(map), out);
            }
            Ok(Done::Written) => steps.handle(Input::Written, out),
            Ok(Done::Copied(input)) => {
                if let copy::Input::Drained { .. } = &input {
                    // What it committed was told before it said so.
                    while let Some((parent, fed)) = self.follower.try_next() {
                        steps.handle(Input::said(parent, fed), out);
                    }
                }
                self.note(&input);
                steps.handle(Input::Copied(input), out);
            }
            Err(Failed::Map(RegistryError::Conflict)) => steps.handle(Input::Refused, out),
            Err(error) => self.failed(error, steps, out),
        }
    }

    fn note(&mut self, input: &copy::Input) {
        match input {
            copy::Input::Leased { child, lease } => self.leases[*child] = Some(lease.clone()),
            copy::Input::Put { .. } => {
                let took = self.put_at.map_or(Duration::ZERO, |at| at.elapsed());
                self.pause = (took * PAUSES).min(PAUSE_MAX);
            }
            copy::Input::Began { .. }
            | copy::Input::Detached { .. }
            | copy::Input::Read { .. }
            | copy::Input::Committed { .. }
            | copy::Input::Drained { .. }
            | copy::Input::Retaken { .. } => {}
        }
    }

    /// Begins what is wanted.
    fn perform(&mut self, output: Output) -> Result<(), Failed> {
        let router = self.router.clone();
        let task = match output {
            Output::ReadMap => async move { Ok(Done::Map(router.read_map().await?)) }.boxed(),
            Output::WriteMap(map) => {
                let Some(read) = self.read.clone() else {
                    return Ok(());
                };
                async move {
                    router.change_map(&read, map).await?;
                    Ok(Done::Written)
                }
                .boxed()
            }
            Output::Follow { children } => {
                self.leases = vec![None; children.len()];
                self.children = children;
                for (place, handle) in std::mem::take(&mut self.handles).into_iter().enumerate() {
                    handle.feed(self.follower.feed(place))?;
                }
                return Ok(());
            }
            Output::Copy(output) => match self.perform_copy(output)? {
                Some(task) => task,
                None => return Ok(()),
            },
            Output::Stop => {
                self.work.clear();
                self.alone = None;
                return Ok(());
            }
            Output::Done | Output::Failed(_) => return Ok(()),
        };
        self.work.push(task);
        Ok(())
    }

    fn perform_copy(
        &mut self,
        output: copy::Output,
    ) -> Result<Option<BoxFuture<'static, Result<Done, Failed>>>, Failed> {
        let router = self.router.clone();
        let task = match output {
            copy::Output::Detach { parent, lease } => async move {
                router.0.store.detach_histories(&lease).await?;
                Ok(Done::Copied(copy::Input::Detached { parent }))
            }
            .boxed(),
            copy::Output::Lease { child, above } => {
                let shard = self.children[child];
                async move {
                    let lease = router.0.store.acquire_above(shard, &router.0.node, above).await?;
                    Ok(Done::Copied(copy::Input::Leased { child, lease }))
                }
                .boxed()
            }
            copy::Output::Read { parent, from, limit } => {
                let (shard, pause) = (self.parents[parent], self.pause);
                async move {
                    sleep(pause).await;
                    let rows = moving::read(&*router.0.store, shard, &from, limit).await?;
                    Ok(Done::Copied(copy::Input::Read { parent, rows }))
                }
                .boxed()
            }
            copy::Output::Put { child, batch } => {
                self.put_at = Some(Instant::now());
                let lease = self.leases[child].clone().ok_or(Failed::NoLease)?;
                async move {
                    router.0.store.commit(&lease, batch).await?;
                    Ok(Done::Copied(copy::Input::Put { child }))
                }
                .boxed()
            }
            copy::Output::Drain { parent } => {
                self.parked_at.get_or_insert_with(Instant::now);
                if self.alone.is_none() {
                    let alone = Arc::clone(&router.0.switching).try_lock_owned();
                    self.alone = Some(alone.map_err(|_| Failed::TakenUp)?);
                }
                let shard = self.parents[parent];
                async move {
                    router.finish(shard).await?;
                    Ok(Done::Copied(copy::Input::Drained { parent }))
                }
                .boxed()
            }
            copy::Output::Retake { parent } => {
                let shard = self.parents[parent];
                async move {
                    let lease = router.0.store.acquire(shard, &router.0.node).await?;
                    Ok(Done::Copied(copy::Input::Retaken { parent, lease }))
                }
                .boxed()
            }
            copy::Output::Switch | copy::Output::GiveUp(_) => return Ok(None),
        };
        Ok(Some(task))
    }

    /// Lets the children be taken up and counts.
    async fn finish(mut self) {
        let metrics = &self.router.0.metrics.node;
        if self.change.is_merge() {
            metrics.merges.inc()
        } else {
            metrics.splits.inc()
        }
        self.alone = None;
        let mut shards = self.router.0.shards.subscribe();
        let router = self.router.clone();
        let children = self.children.clone();
        let here = shards.wait_for(|shards| {
            let placement = router.placement();
            // Those of other nodes are taken up there.
            let mut mine = children.iter().filter(|child| placement.is_mine(**child));
            mine.all(|child| shards.contains_key(child))
        });
        drop(timeout(TAKEN_UP, here).await);
        let parked = self.parked_at.map_or(Duration::ZERO, |at| at.elapsed());
        metrics.change_parked.record(parked);
        let (parents, children) = (&self.parents, &self.children);
        tracing::info!(
            ?parents,
            ?children,
            parked_ms = u64::try_from(parked.as_millis()).unwrap_or(u64::MAX),
            "shards were split or merged"
        );
    }
}
