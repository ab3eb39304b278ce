//! Workers: which worker processes there are, as their heartbeats show them (reference 1.4).
//!
//! What is known of a worker is at the node that the ring gives it to, and goes along when the ring changes. Any node
//! takes heartbeats and answers for all workers.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::future::join_all;
use proto::{ids::NamespaceId, temporal::worker::v1::WorkerHeartbeat};
use tokio::time::{Instant, timeout};

pub use self::fields::Query;
pub(crate) use self::roster::Roster;
use self::roster::{Heard, Page};
use crate::{
    placement::{Owner, Placement},
    router::{AskError, Router},
    rpc::{Call, WORKERS, peer::Peer},
    wire::{Wire, encode, wire_enum, wire_struct},
};

mod fields;
mod roster;

/// How long another node may take to answer: nobody waits for one that is dead.
const ANSWER: Duration = Duration::from_secs(2);
/// Workers that go to another node in one call.
const MOVED_AT_ONCE: usize = 500;

/// What one node asks another about workers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Question {
    /// Heartbeats of workers that belong to the other node. `()`
    Hear {
        namespace: NamespaceId,
        workers: Vec<Heard>,
    },
    /// `Page`
    List {
        namespace: NamespaceId,
        query: String,
        after: Option<String>,
        size: usize,
    },
    /// `usize`
    Count { namespace: NamespaceId, query: String },
    /// `Page`, of one or none
    Find { namespace: NamespaceId, key: String },
}

wire_enum!(Question {
    fields {
        1 Hear { 1 namespace, 2 workers },
        2 List { 1 namespace, 2 query, 3 after, 4 size },
        3 Count { 1 namespace, 2 query },
        4 Find { 1 namespace, 2 key },
    }
});

wire_struct!(Heard { 1 heartbeat, 2 age });
wire_struct!(Page { 1 workers, 2 more });

impl Router {
    /// Takes heartbeats down where their workers belong. What cannot be said is said again with the next heartbeat.
    pub async fn hear_workers(&self, namespace: NamespaceId, heartbeats: Vec<WorkerHeartbeat>) {
        let workers = heartbeats.into_iter().map(|heartbeat| {
            let age = Duration::ZERO;
            (namespace, Heard { heartbeat, age })
        });
        self.settle_workers(workers.collect()).await;
    }

    /// Returns workers in the order of their keys, and whether there are more.
    ///
    /// # Errors
    ///
    /// A node does not answer for its workers.
    pub async fn list_workers(
        &self,
        namespace: NamespaceId,
        query: &Query,
        after: Option<&str>,
        size: usize,
    ) -> Result<(Vec<WorkerHeartbeat>, bool), AskError> {
        let here = self.0.workers.page(namespace, query, after, size, Instant::now());
        let question = Question::List {
            namespace,
            query: query.text.clone(),
            after: after.map(str::to_owned),
            size,
        };
        let mut pages = self.ask_all(question).await?;
        pages.push(here);
        Ok(merge(pages, size))
    }

    /// Counts workers.
    ///
    /// # Errors
    ///
    /// A node does not answer for its workers.
    pub async fn count_workers(&self, namespace: NamespaceId, query: &Query) -> Result<usize, AskError> {
        let here = self.0.workers.count(namespace, query, Instant::now());
        let question = Question::Count {
            namespace,
            query: query.text.clone(),
        };
        let there: Vec<usize> = self.ask_all(question).await?;
        Ok(here + there.into_iter().sum::<usize>())
    }

    /// Returns the last heartbeat of a worker.
    ///
    /// # Errors
    ///
    /// The node that it belongs to does not answer.
    pub async fn find_worker(
        &self,
        namespace: NamespaceId,
        key: &str,
    ) -> Result<Option<WorkerHeartbeat>, AskError> {
        loop {
            let peer = match self.0.placement.borrow().worker(namespace, key) {
                Owner::Me => None,
                Owner::Other(node) => Some(self.0.peers.get(node)),
            };
            let Some(peer) = peer else {
                let found = self.0.workers.find(namespace, key, Instant::now());
                return Ok(found.map(|worker| worker.heartbeat));
            };
            let key = key.to_owned();
            let found: Result<Page, _> = ask(&peer, Question::Find { namespace, key }).await;
            match found {
                // It has left since: the worker is somebody else's now.
                Err(_) if self.placement().node(&peer.id).is_none() => {}
                Err(_) if !peer.knows(WORKERS) => return Ok(None),
                found => return Ok(found?.workers.into_iter().next().map(|worker| worker.heartbeat)),
            }
        }
    }

    /// The ring has changed: workers that belong elsewhere go there.
    pub(crate) async fn move_workers(&self, placement: Arc<Placement>) {
        let stays = |namespace, key: &str| placement.worker(namespace, key) == Owner::Me;
        let moved = self.0.workers.take(Instant::now(), stays);
        self.settle_workers(moved).await;
    }

    /// Answers another node.
    pub(crate) fn answer_of_workers(&self, question: Question) -> bytes::Bytes {
        let (roster, now) = (&self.0.workers, Instant::now());
        match question {
            Question::Hear { namespace, workers } => {
                roster.hear(namespace, workers, now);
                encode(&())
            }
            Question::List {
                namespace,
                query,
                after,
                size,
            } => encode(&match Query::parse(&query) {
                Ok(query) => roster.page(namespace, &query, after.as_deref(), size, now),
                // Written by a release that knows more.
                Err(_) => Page::default(),
            }),
            Question::Count { namespace, query } => encode(&match Query::parse(&query) {
                Ok(query) => roster.count(namespace, &query, now),
                Err(_) => 0,
            }),
            Question::Find { namespace, key } => {
                let found = roster.find(namespace, &key, now);
                encode(&Page {
                    workers: found.into_iter().collect(),
                    more: false,
                })
            }
        }
    }

    /// Takes workers down where they belong.
    async fn settle_workers(&self, workers: Vec<(NamespaceId, Heard)>) {
        let mut here: HashMap<NamespaceId, Vec<Heard>> = HashMap::new();
        let mut there: HashMap<_, (Arc<Peer>, Vec<Heard>)> = HashMap::new();
        {
            let placement = self.0.placement.borrow();
            for (namespace, worker) in workers {
                match placement.worker(namespace, &worker.heartbeat.worker_instance_key) {
                    Owner::Me => here.entry(namespace).or_default().push(worker),
                    Owner::Other(node) => {
                        let of = there
                            .entry((namespace, Arc::clone(node.name())))
                            .or_insert_with(|| (self.0.peers.get(node), Vec::new()));
                        of.1.push(worker);
                    }
                }
            }
        }
        for (namespace, workers) in here {
            self.0.workers.hear(namespace, workers, Instant::now());
        }
        join_all(
            there
                .into_iter()
                .map(|((namespace, _), (peer, workers))| async move {
                    for workers in workers.chunks(MOVED_AT_ONCE) {
                        let workers = workers.to_vec();
                        // Lost, it is said again within a minute.
                        drop(ask::<()>(&peer, Question::Hear { namespace, workers }).await);
                    }
                }),
        )
        .await;
    }

    /// Asks all other nodes. One that leaves meanwhile has given away what it knew; one of an older release knows of
    /// nobody.
    async fn ask_all<T: Wire>(&self, question: Question) -> Result<Vec<T>, AskError> {
        let peers: Vec<_> = {
            let placement = self.0.placement.borrow();
            placement.others().map(|node| self.0.peers.get(node)).collect()
        };
        let answers = join_all(peers.iter().map(|peer| ask(peer, question.clone()))).await;
        let placement = self.placement();
        let answers = peers.iter().zip(answers);
        answers
            .filter(|(peer, answer)| {
                answer.is_ok() || (placement.node(&peer.id).is_some() && peer.knows(WORKERS))
            })
            .map(|(_, answer)| answer)
            .collect()
    }
}

async fn ask<T: Wire>(peer: &Peer, question: Question) -> Result<T, AskError> {
    let unavailable = |why: String| AskError::Unavailable(why);
    match timeout(ANSWER, peer.call(&Call::Workers { question })).await {
        Ok(answer) => answer.map_err(|error| unavailable(error.to_string())),
        Err(_) => Err(unavailable(format!("node {} does not answer", peer.id.name))),
    }
}

/// Puts pages of several nodes in order. Of a worker that two know, as it moves, the one that heard of it last counts.
fn merge(pages: Vec<Page>, size: usize) -> (Vec<WorkerHeartbeat>, bool) {
    let key = |worker: &Heard| worker.heartbeat.worker_instance_key.clone();
    // Behind the end of a page that was cut there may be others that come first.
    let cut = pages.iter().filter(|page| page.more);
    let horizon = cut.filter_map(|page| page.workers.last()).map(key).min();
    let mut all: Vec<Heard> = pages.into_iter().flat_map(|page| page.workers).collect();
    all.sort_by_cached_key(|worker| (key(worker), worker.age));
    all.dedup_by(|later, first| later.heartbeat.worker_instance_key == first.heartbeat.worker_instance_key);
    let before = all.len();
    if let Some(horizon) = &horizon {
        all.retain(|worker| worker.heartbeat.worker_instance_key <= *horizon);
    }
    all.truncate(size);
    let more = horizon.is_some() || all.len() < before;
    (all.into_iter().map(|worker| worker.heartbeat).collect(), more)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(more: bool, workers: &[(&str, u64)]) -> Page {
        let heard = |(key, age): &(&str, u64)| Heard {
            heartbeat: WorkerHeartbeat {
                worker_instance_key: (*key).to_owned(),
                worker_identity: age.to_string(),
                ..Default::default()
            },
            age: Duration::from_secs(*age),
        };
        Page {
            workers: workers.iter().map(heard).collect(),
            more,
        }
    }

    fn merged(pages: Vec<Page>, size: usize) -> (Vec<String>, bool) {
        let (workers, more) = merge(pages, size);
        let name = |worker: WorkerHeartbeat| worker.worker_instance_key + &worker.worker_identity;
        (workers.into_iter().map(name).collect(), more)
    }

    #[test]
    fn pages_of_several_nodes_become_one() {
        let whole = || {
            vec![
                page(false, &[("a", 1), ("d", 2)]),
                page(false, &[("b", 3), ("d", 1)]),
            ]
        };
        assert_eq!(
            merged(whole(), 9),
            (vec!["a1".into(), "b3".into(), "d1".into()], false)
        );
        assert!(!merged(whole(), 3).1);
        assert_eq!(merged(whole(), 2), (vec!["a1".into(), "b3".into()], true));
    }

    #[test]
    fn nothing_is_shown_behind_what_was_not_read() {
        let cut = vec![page(true, &[("a", 1), ("b", 1)]), page(false, &[("c", 1)])];
        assert_eq!(merged(cut, 9), (vec!["a1".into(), "b1".into()], true));
    }
}
