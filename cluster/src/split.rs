//! Split: makes new shards of others while these serve; see `docs/adr/0007`.
//!
//! An operator's wish stands in the map ([`crate::map::change`]). The node that has the parents carries it out
//! (`carrier`, which does what [`steps`] and [`copy`] say), and when it cannot, whoever has them next begins anew.
//! `sweep` deletes the rows that nobody reads any more.

pub mod copy;
pub mod steps;
pub mod sweep;

mod carrier;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use proto::ids::ShardId;
use serde::Serialize;
use shard::handle::ShardHandle;
use storage::{error::StoreError, registry::RegistryError};

use crate::{
    map::{PlanError, ShardMap, change::Change},
    placement::Placement,
    router::Router,
    rpc::SPLITS,
};

/// Until a change that failed is tried again; doubles up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LAST: Duration = Duration::from_secs(30);

/// What this node is about, as an operator sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ChangeView {
    pub phase: &'static str,
    /// Rows that were read so far.
    pub rows: u64,
    /// How often it had to begin anew, and why the last time.
    pub failures: u32,
    pub last_failure: Option<String>,
}

/// The change that the node is about.
#[derive(Debug, Default)]
pub(crate) struct Standing(Mutex<Option<ChangeView>>);

impl Standing {
    fn update(&self, update: impl FnOnce(&mut ChangeView)) {
        let mut view = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        update(view.get_or_insert_default());
    }

    fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// A wish that is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("node {0} runs a release that does not know splits and merges: bring all nodes up to date first")]
    Older(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Router {
    /// Has a shard split, at the position or where its owner finds best. Returns the map that says so; the split is
    /// made in the background. A wish that is there already is no error.
    ///
    /// # Errors
    ///
    /// It cannot be split so, a node is too old for it, or the map cannot be read or written.
    pub async fn want_split(&self, shard: ShardId, at: Option<u64>) -> Result<Arc<ShardMap>, ChangeError> {
        self.all_know_splits().await?;
        self.want(&[shard.0], |map| map.want_split(shard, at)).await
    }

    /// Has two neighbours merged, the left one first, as [`Self::want_split`].
    ///
    /// # Errors
    ///
    /// They are not neighbours, a node is too old for it, or the map cannot be read or written.
    pub async fn want_merge(&self, left: ShardId, right: ShardId) -> Result<Arc<ShardMap>, ChangeError> {
        self.all_know_splits().await?;
        self.want(&[left.0, right.0], |map| map.want_merge(left, right))
            .await
    }

    /// Who does not hear that the map has changed would go on with shards that are no more.
    async fn all_know_splits(&self) -> Result<(), ChangeError> {
        let placement = self.placement();
        match self.0.peers.older_than(&placement, SPLITS).await {
            None => Ok(()),
            Some(node) => Err(ChangeError::Older(node.name.to_string())),
        }
    }

    /// Takes the wish back, unless it has come true.
    ///
    /// # Errors
    ///
    /// There is none, or the map cannot be read or written.
    pub async fn cancel_change(&self) -> Result<Arc<ShardMap>, ChangeError> {
        let cancel = |map: &ShardMap| match map.change {
            Some(_) => Ok(map.cancel()),
            None => Err(PlanError::NoChange),
        };
        self.want(&[], cancel).await
    }

    async fn want(
        &self,
        parents: &[u32],
        plan: impl Fn(&ShardMap) -> Result<ShardMap, PlanError>,
    ) -> Result<Arc<ShardMap>, ChangeError> {
        loop {
            let stored = self.read_map().await?;
            let wanted = stored.map.change.as_ref();
            if wanted.is_some_and(|change| change.parents == parents) {
                return Ok(stored.map);
            }
            match self.change_map(&stored, plan(&stored.map)?).await {
                Ok(stored) => return Ok(stored.map),
                Err(RegistryError::Conflict) => {}
                Err(RegistryError::Store(error)) => return Err(error.into()),
            }
        }
    }

    /// Returns the split or merge that this node is about.
    #[must_use]
    pub fn change_view(&self) -> Option<ChangeView> {
        let view = self.0.changing.0.lock();
        view.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Carries out the changes whose parents this node has, for as long as it runs.
pub(crate) async fn run(router: Router) {
    let mut placement = router.0.placement.subscribe();
    let mut shards = router.0.shards.subscribe();
    let mut wait = RETRY_FIRST;
    loop {
        let known = Arc::clone(&placement.borrow_and_update());
        shards.borrow_and_update();
        let Some((change, parents)) = mine(&router, &known) else {
            router.0.changing.clear();
            wait = RETRY_FIRST;
            tokio::select! {
                _ = placement.changed() => {}
                _ = shards.changed() => {}
            }
            continue;
        };
        let metrics = &router.0.metrics.node;
        metrics.changes_under_way.set(1);
        let carried = carrier::carry(&router, &change, parents).await;
        metrics.changes_under_way.set(0);
        if let Err(why) = carried {
            tracing::warn!(parents = ?change.parents, %why, "split or merge of shards begins anew");
            metrics.changes_failed.inc();
            router.0.changing.update(|view| {
                view.phase = "waits";
                view.failures += 1;
                view.last_failure = Some(why.to_string());
            });
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY_LAST);
        }
    }
}

/// Returns the change and its parents if all of them are here and belong here.
fn mine(router: &Router, placement: &Placement) -> Option<(Change, Vec<(ShardId, ShardHandle)>)> {
    let change = placement.map().change.clone()?;
    let shards = router.0.shards.borrow();
    let parent = |id: &u32| {
        let shard = ShardId(*id);
        let handle = shards.get(&shard).filter(|handle| handle.is_alive())?;
        placement.is_mine(shard).then(|| (shard, handle.clone()))
    };
    let parents = change.parents.iter().map(parent).collect::<Option<_>>()?;
    Some((change, parents))
}
