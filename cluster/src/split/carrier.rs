//! Carrier: does what a copy wants done, with the store, the shards and the map as they are.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use proto::ids::ShardId;
use shard::{
    feed::{Fed, Follower},
    handle::ShardHandle,
    moving,
    output::AskError,
};
use storage::{
    error::{CommitError, StoreError},
    registry::RegistryError,
    shard::Lease,
};
use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, sleep, timeout},
};

use super::copy::{Copy, Input, Output};
use crate::{
    map::{PlanError, ShardMap, change::Change},
    router::Router,
};

/// A page is read after a pause of this many times as long as the last one took to be put: the copy takes a small part
/// of what the store can do.
const PAUSES: u32 = 3;
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long the new shards are waited for, to know how long calls were parked.
const TAKEN_UP: Duration = Duration::from_secs(5);

/// Why a change is not made this time.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("{0}")]
    Copy(&'static str),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Map(#[from] RegistryError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Shard(#[from] AskError),
}

/// A change that is being made.
struct Carrier<'a> {
    router: &'a Router,
    parents: Vec<ShardId>,
    children: Vec<ShardId>,
    leases: Vec<Option<Lease>>,
    drained: HashSet<usize>,
    /// Held from the drain on: nobody takes a parent up here meanwhile.
    alone: Option<OwnedMutexGuard<()>>,
    pause: Duration,
    put_at: Option<Instant>,
    parked_at: Option<Instant>,
}

/// Makes the change, or leaves everything as it was.
pub(super) async fn carry(
    router: &Router,
    change: &Change,
    parents: Vec<(ShardId, ShardHandle)>,
) -> Result<(), Failed> {
    let begun = begin(router, change, &parents).await?;
    let children = begun
        .change
        .as_ref()
        .map_or_else(Vec::new, |change| change.children.clone());
    let children: Vec<_> = children.into_iter().map(ShardId).collect();
    let carrier = Carrier {
        router,
        parents: parents.iter().map(|(shard, _)| *shard).collect(),
        leases: vec![None; children.len()],
        children,
        drained: HashSet::new(),
        alone: None,
        pause: Duration::ZERO,
        put_at: None,
        parked_at: None,
    };
    let children = carrier.children.clone();
    let carried = carrier.carry(&begun, parents).await;
    if carried.is_err() {
        withdraw(router, &children).await;
    }
    carried
}

/// Sets ids for the new shards aside.
async fn begin(
    router: &Router,
    change: &Change,
    parents: &[(ShardId, ShardHandle)],
) -> Result<Arc<ShardMap>, Failed> {
    loop {
        let stored = router.read_map().await?;
        let same = stored
            .map
            .change
            .as_ref()
            .filter(|now| now.parents == change.parents);
        if same.is_none() {
            return Err(Failed::Copy("the change was taken back"));
        }
        let at = match parents {
            [(shard, handle)] => middle(&stored.map, *shard, handle.median().await?),
            _ => 0,
        };
        match router.change_map(&stored, stored.map.begin(at)?).await {
            Ok(stored) => return Ok(stored.map),
            Err(RegistryError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Returns where the shard is best split: at the median of the runs that were used lately.
fn middle(map: &ShardMap, shard: ShardId, median: Option<u64>) -> u64 {
    let Some((start, last)) = map.range(shard) else {
        return 0;
    };
    let within = median.filter(|median| *median > start && *median <= last);
    within.unwrap_or_else(|| start + (last - start) / 2 + 1)
}

/// Says that nobody fills these shards any more. Also settles whether the map was written after all.
async fn withdraw(router: &Router, children: &[ShardId]) {
    loop {
        let withdrawn = async {
            let stored = router.read_map().await?;
            if !fills(&stored.map, children) {
                return Ok(());
            }
            router.change_map(&stored, stored.map.withdraw()).await.map(drop)
        };
        match withdrawn.await {
            Err(RegistryError::Conflict) => {}
            // Whoever takes a parent up, or begins anew, does the same.
            Err(RegistryError::Store(error)) => {
                return tracing::warn!(%error, "change of the map not withdrawn");
            }
            Ok(()) => return,
        }
    }
}

fn fills(map: &ShardMap, children: &[ShardId]) -> bool {
    let change = map.change.as_ref();
    change.is_some_and(|change| {
        change
            .children
            .iter()
            .copied()
            .map(ShardId)
            .eq(children.iter().copied())
    })
}

impl<'a> Carrier<'a> {
    async fn carry(mut self, begun: &ShardMap, parents: Vec<(ShardId, ShardHandle)>) -> Result<(), Failed> {
        let done = begun.finish()?;
        let ranges = self.children.iter().filter_map(|child| done.range(*child));
        let ranges: Vec<_> = ranges.collect();
        let mut copy = Copy::new(self.parents.len(), &ranges, self.router.0.store.limits());
        let mut follower = Follower::default();
        for (place, (_, handle)) in parents.into_iter().enumerate() {
            // The handle goes: a shard that has let go ends when nobody has a way to it.
            handle.feed(follower.feed(place))?;
        }
        let mut maps = self.router.0.maps.subscribe();
        let mut work = FuturesUnordered::new();
        let mut out = Vec::new();
        loop {
            for output in out.drain(..) {
                match self.perform(output)? {
                    Some(task) => work.push(task),
                    None => return self.switch(&done, begun).await,
                }
            }
            let progress = copy.progress();
            self.router
                .0
                .changing
                .update(|view| (view.phase, view.rows) = (progress.phase, progress.rows));
            tokio::select! {
                Some(input) = work.next(), if !work.is_empty() => {
                    let input: Input = input?;
                    if let Input::Drained { parent } = &input {
                        self.drained.insert(*parent);
                        // What it committed was told before it said so.
                        while let Some((parent, fed)) = follower.try_next() {
                            self.hear(parent, fed, &mut copy, &mut out)?;
                        }
                    }
                    self.note(&input);
                    copy.handle(input, &mut out);
                }
                Some((parent, fed)) = follower.next() => self.hear(parent, fed, &mut copy, &mut out)?,
                Ok(()) = maps.changed() => {
                    let known = Arc::clone(&maps.borrow_and_update().map);
                    if !fills(&known, &self.children) {
                        return Err(Failed::Copy("the change was taken back, or a parent taken up elsewhere"));
                    }
                }
            }
        }
    }

    /// What a parent said.
    fn hear(&self, parent: usize, fed: Fed, copy: &mut Copy, out: &mut Vec<Output>) -> Result<(), Failed> {
        let input = match fed {
            Fed::Began { lease, batch } => Input::Began { parent, lease, batch },
            Fed::Committed { batch, writes } => Input::Committed {
                parent,
                batch,
                writes,
            },
            Fed::Ended if self.drained.contains(&parent) || self.parked_at.is_some() => return Ok(()),
            Fed::Ended => {
                return Err(Failed::Copy(
                    "the shard went elsewhere, or was too busy to be followed",
                ));
            }
        };
        copy.handle(input, out);
        Ok(())
    }

    fn note(&mut self, input: &Input) {
        match input {
            Input::Leased { child, lease } => self.leases[*child] = Some(lease.clone()),
            Input::Put { .. } => {
                let took = self.put_at.map_or(Duration::ZERO, |at| at.elapsed());
                self.pause = (took * PAUSES).min(PAUSE_MAX);
            }
            Input::Began { .. }
            | Input::Detached { .. }
            | Input::Read { .. }
            | Input::Committed { .. }
            | Input::Drained { .. }
            | Input::Retaken { .. } => {}
        }
    }

    /// Begins what is wanted; `None` when the map is to be written.
    fn perform(
        &mut self,
        output: Output,
    ) -> Result<Option<BoxFuture<'static, Result<Input, Failed>>>, Failed> {
        let router = self.router.clone();
        let task = match output {
            Output::Detach { parent, lease } => async move {
                router.0.store.detach_histories(&lease).await?;
                Ok(Input::Detached { parent })
            }
            .boxed(),
            Output::Lease { child, above } => {
                let shard = self.children[child];
                async move {
                    let lease = router.0.store.acquire_above(shard, &router.0.node, above).await?;
                    Ok(Input::Leased { child, lease })
                }
                .boxed()
            }
            Output::Read { parent, from, limit } => {
                let (shard, pause) = (self.parents[parent], self.pause);
                async move {
                    sleep(pause).await;
                    let rows = moving::read(&*router.0.store, shard, &from, limit).await?;
                    Ok(Input::Read { parent, rows })
                }
                .boxed()
            }
            Output::Put { child, batch } => {
                self.put_at = Some(Instant::now());
                let lease = self.leases[child]
                    .clone()
                    .ok_or(Failed::Copy("a child has no lease"))?;
                async move {
                    router.0.store.commit(&lease, batch).await?;
                    Ok(Input::Put { child })
                }
                .boxed()
            }
            Output::Drain { parent } => {
                self.parked_at.get_or_insert_with(Instant::now);
                if self.alone.is_none() {
                    let alone = Arc::clone(&router.0.switching).try_lock_owned();
                    self.alone = Some(alone.map_err(|_| Failed::Copy("a parent is being taken up"))?);
                }
                let shard = self.parents[parent];
                async move {
                    router.finish(shard).await?;
                    Ok(Input::Drained { parent })
                }
                .boxed()
            }
            Output::Retake { parent } => {
                let shard = self.parents[parent];
                async move {
                    let lease = router.0.store.acquire(shard, &router.0.node).await?;
                    Ok(Input::Retaken { parent, lease })
                }
                .boxed()
            }
            Output::Switch => return Ok(None),
            Output::GiveUp(why) => return Err(Failed::Copy(why)),
        };
        Ok(Some(task))
    }

    /// Makes the children the shards. From a failure on nobody knows whether it was done: whoever takes a parent up
    /// finds out.
    async fn switch(self, done: &ShardMap, begun: &ShardMap) -> Result<(), Failed> {
        loop {
            let stored = self.router.read_map().await?;
            if !fills(&stored.map, &self.children) {
                // An earlier write of ours may have landed unheard.
                if self
                    .children
                    .iter()
                    .all(|child| stored.map.range(*child).is_some())
                {
                    break;
                }
                return Err(Failed::Copy(
                    "the change was taken back, or a parent taken up elsewhere",
                ));
            }
            match self.router.change_map(&stored, stored.map.finish()?).await {
                Ok(_) => break,
                // Something else of the map has changed.
                Err(RegistryError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.finish(done, begun).await;
        Ok(())
    }

    /// Lets the children be taken up and counts.
    async fn finish(self, done: &ShardMap, begun: &ShardMap) {
        let metrics = &self.router.0.metrics.node;
        let is_merge = begun.change.as_ref().is_some_and(Change::is_merge);
        if is_merge {
            metrics.merges.inc()
        } else {
            metrics.splits.inc()
        }
        drop(self.alone);
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
            map = done.version,
            parked_ms = u64::try_from(parked.as_millis()).unwrap_or(u64::MAX),
            "shards were split or merged"
        );
    }
}
