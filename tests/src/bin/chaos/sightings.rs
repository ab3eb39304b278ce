//! Sightings: what the nodes say of their shards, looked at again and again while the run goes on.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use proto::ids::ShardId;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{fences::Beliefs, fleet::Fleet};

/// How often all nodes are looked at.
const EVERY: Duration = Duration::from_millis(250);

/// Collects what nodes believe of their leases until it is dropped.
pub(crate) struct Sightings {
    beliefs: Arc<Mutex<Beliefs>>,
    looks: JoinHandle<()>,
}

impl Sightings {
    pub(crate) fn begin(fleet: &Fleet) -> Self {
        let beliefs = Arc::new(Mutex::default());
        let looks = tokio::spawn(look(fleet.clone(), Arc::clone(&beliefs)));
        Self { beliefs, looks }
    }

    pub(crate) fn beliefs(&self) -> Beliefs {
        self.beliefs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Sightings {
    fn drop(&mut self) {
        self.looks.abort();
    }
}

async fn look(fleet: Fleet, beliefs: Arc<Mutex<Beliefs>>) {
    let mut pages = fleet.pages().unwrap_or_default();
    loop {
        // Kept while a node is being moved: those that are there are the same.
        if let Some(known) = fleet.pages() {
            pages = known;
        }
        let asked = pages.clone();
        let seen = spawn_blocking(move || {
            asked
                .into_iter()
                .flat_map(|(node, page)| ask(&node, page))
                .collect()
        });
        note(&beliefs, seen.await.unwrap_or_default());
        tokio::time::sleep(EVERY).await;
    }
}

fn note(beliefs: &Mutex<Beliefs>, seen: Vec<(String, ShardId, u64, u64)>) {
    let mut known = beliefs.lock().unwrap_or_else(PoisonError::into_inner);
    for (node, shard, epoch, batch) in seen {
        let believed = known.entry((shard, epoch)).or_default().entry(node).or_default();
        *believed = batch.max(*believed);
    }
}

/// Returns node, shard, epoch and batch of each shard; nothing of a node that does not answer.
fn ask(node: &str, page: SocketAddr) -> Vec<(String, ShardId, u64, u64)> {
    let text = nodes::page::text(page, "/debug/shards").unwrap_or_default();
    let shards: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap_or_default();
    let seen = shards.iter().filter_map(|shard| {
        let number = |name: &str| shard[name].as_u64();
        let id = ShardId(u32::try_from(number("shard")?).ok()?);
        Some((node.to_owned(), id, number("epoch")?, number("batch")?))
    });
    seen.collect()
}
