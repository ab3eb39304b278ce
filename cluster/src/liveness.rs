//! Liveness: who is alive by the word of the store, for a node that sees fewer others than it has lost.
//!
//! Gossip cannot tell whether the others are dead or this node is cut off from them. The store can: each node of a
//! cluster writes a row again and again, and whoever's row goes on is alive, reached or not. A node that is on the
//! smaller side takes nothing up, so that the larger side is not fenced by it again and again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use prost::Message;
use storage::{
    error::StoreError,
    registry::{RegistryError, RegistryTable, RegistryWrite},
};
use tokio::time::{Instant, sleep_until};

use crate::{placement::Placement, reach, router::Router};

/// How often a node writes its row: one conditional write.
const BEAT: Duration = Duration::from_secs(2);
/// Until a row that was not taken is written again.
const AGAIN: Duration = Duration::from_millis(500);
/// How long the store may take no row until it counts as not reached: above what one call of it takes by default.
const SILENT: Duration = Duration::from_secs(15);
/// How long a row is watched to tell whether it goes on.
const WATCHED: Duration = Duration::from_secs(5);
/// Where the rows begin; the name of the node follows.
const PREFIX: &[u8] = b"node/";
/// Rows in one page.
const PAGE: usize = 100;

/// A node's row. Tags are part of the stored format: never reuse one.
#[derive(Clone, PartialEq, Eq, Message)]
struct Beat {
    #[prost(uint64, tag = "1")]
    generation: u64,
    #[prost(uint64, tag = "2")]
    count: u64,
}

/// Writes this node's row until its future is dropped.
pub(crate) async fn beat(router: Router) {
    let mut key = PREFIX.to_vec();
    key.extend_from_slice(router.0.node.name.as_bytes());
    let key = Bytes::from(key);
    let mut version = 0;
    let mut taken = Instant::now();
    for count in 0.. {
        let beat = Beat {
            generation: router.0.node.generation,
            count,
        };
        let write = RegistryWrite {
            table: RegistryTable::Cluster,
            key: key.clone(),
            value: Some(beat.encode_to_vec().into()),
            expected: version,
        };
        let written = watched(&router, taken, router.registry().write(vec![write])).await;
        match written {
            Ok(()) => {
                version += 1;
                taken = Instant::now();
                reach::tell(&router.0.reach, |reach| reach.store = true);
                tokio::time::sleep(BEAT).await;
                continue;
            }
            // It began with another life of this node, or the last write was perhaps done.
            Err(RegistryError::Conflict) => {
                let stored = router.registry().get(RegistryTable::Cluster, &key);
                match watched(&router, taken, stored).await {
                    Ok(entry) => {
                        version = entry.map_or(0, |entry| entry.version);
                        continue;
                    }
                    Err(error) => tracing::debug!(%error, "beat not read"),
                }
            }
            Err(RegistryError::Store(error)) => tracing::debug!(%error, "beat not written"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Waits for the store's answer, and says meanwhile that it is not reached if it has taken no row for too long.
async fn watched<T>(router: &Router, taken: Instant, answer: impl Future<Output = T>) -> T {
    let silent = async {
        sleep_until(taken + SILENT).await;
        reach::tell(&router.0.reach, |reach| reach.store = false);
        std::future::pending().await
    };
    tokio::select! {
        answer = answer => answer,
        never = silent => never,
    }
}

/// Tells whether this node sees more others than it has lost: it is then not the one that is cut off.
pub(crate) fn sees_enough(placement: &Placement) -> bool {
    placement.view().lost() < placement.view().members().len()
}

/// Tells whether this node is to take up shards by this placement; looks at the store if that is in doubt.
pub(crate) async fn may_take(router: &Router, placement: &Placement) -> bool {
    if sees_enough(placement) {
        return true;
    }
    let view = placement.view();
    let before = rows(router).await;
    tokio::time::sleep(WATCHED).await;
    match (before, rows(router).await) {
        (Ok(before), Ok(after)) => {
            let seen = view.members().iter().map(|member| member.name().to_string());
            is_larger_side(&seen.collect(), &going_on(&before, &after))
        }
        // Without the store there is nothing to take up.
        (Err(_), _) | (_, Err(_)) => false,
    }
}

/// Returns whose rows have changed.
fn going_on(before: &BTreeMap<String, Bytes>, after: &BTreeMap<String, Bytes>) -> BTreeSet<String> {
    let changed = after
        .iter()
        .filter(|(name, beat)| before.get(*name) != Some(beat));
    changed.map(|(name, _)| name.clone()).collect()
}

/// Of two sides of the same size the one with the first name is the larger one.
fn is_larger_side(seen: &BTreeSet<String>, alive: &BTreeSet<String>) -> bool {
    let unseen: BTreeSet<_> = alive.difference(seen).collect();
    match seen.len().cmp(&unseen.len()) {
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => seen.first() < unseen.first().copied(),
    }
}

async fn rows(router: &Router) -> Result<BTreeMap<String, Bytes>, StoreError> {
    let registry = Arc::clone(router.registry());
    let mut rows = BTreeMap::new();
    let mut after = Bytes::from_static(PREFIX);
    loop {
        let page = registry.list(RegistryTable::Cluster, Some(&after), PAGE).await?;
        let is_last = page.len() < PAGE;
        for entry in page {
            let Some(name) = entry.key.strip_prefix(PREFIX) else {
                return Ok(rows);
            };
            rows.insert(String::from_utf8_lossy(name).into_owned(), entry.value);
            after = entry.key;
        }
        if is_last {
            return Ok(rows);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn who_is_cut_off_from_most_takes_nothing() {
        let alive = names(&["a", "b", "c"]);
        assert!(!is_larger_side(&names(&["c"]), &alive));
        assert!(is_larger_side(&names(&["a", "b"]), &alive));
    }

    #[test]
    fn who_is_left_over_takes_all() {
        assert!(is_larger_side(&names(&["c"]), &names(&["c"])));
        assert!(is_larger_side(&names(&["c"]), &names(&[])));
    }

    #[test]
    fn of_two_halves_one_takes() {
        let alive = names(&["a", "b", "c", "d"]);
        let (one, other) = (names(&["b", "c"]), names(&["a", "d"]));
        assert!(!is_larger_side(&one, &alive));
        assert!(is_larger_side(&other, &alive));
    }
}
