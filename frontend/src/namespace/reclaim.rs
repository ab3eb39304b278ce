//! Reclaim: removes the runs of a deleted namespace, then its records in the index, then the namespace itself.
//!
//! It begins anew after a restart, since the record says that it is under way, and does no harm twice.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use cluster::router::{AskError, RunTarget};
use engine::{outcome::Rejection, trigger::Trigger};
use futures::future::join_all;
use proto::ids::{NamespaceId, WorkflowKey};
use storage::visibility::{
    query::{CountQuery, Filter, ListQuery},
    record::Record,
};
use tokio::sync::Notify;

use crate::{error::Error, frontend::Frontend, limits};

/// Deleted namespaces that wait for their clean-up.
#[derive(Debug, Default)]
pub(crate) struct Reclaims {
    waiting: Mutex<VecDeque<NamespaceId>>,
    added: Notify,
}

impl Reclaims {
    /// Remembers the namespace. One that finds no room is cleaned up after the next start.
    pub(crate) fn add(&self, id: NamespaceId) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < limits::RECLAIM_QUEUE_MAX && !waiting.contains(&id) {
            waiting.push_back(id);
            self.added.notify_one();
        }
    }

    async fn next(&self) -> NamespaceId {
        loop {
            let next = self
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            if let Some(id) = next {
                return id;
            }
            self.added.notified().await;
        }
    }
}

/// Cleans up after deleted namespaces, one after another, until the future is dropped.
pub(crate) async fn run(frontend: &Frontend) {
    loop {
        let id = frontend.reclaims.next().await;
        if let Err(error) = reclaim(frontend, id).await {
            tracing::warn!(namespace_id = %id, %error, "reclaim namespace");
            tokio::time::sleep(limits::RECLAIM_PAUSE).await;
            frontend.reclaims.add(id);
        }
    }
}

async fn reclaim(frontend: &Frontend, id: NamespaceId) -> Result<(), Error> {
    // Other nodes may still start workflows for as long as they believe in what they know of the namespace.
    tokio::time::sleep(limits::NAMESPACE_FRESH + limits::RECLAIM_PAUSE).await;
    let visibility = frontend.router.visibility();
    while count(frontend, id).await? > 0 {
        delete_listed(frontend, id).await?;
        tokio::time::sleep(limits::RECLAIM_PAUSE).await;
    }
    visibility.delete_namespace(id).await?;
    crate::queue::settings::forget(frontend, id).await?;
    frontend.namespaces.remove(id).await?;
    tracing::info!(namespace_id = %id, "namespace reclaimed");
    Ok(())
}

async fn count(frontend: &Frontend, id: NamespaceId) -> Result<u64, Error> {
    let query = CountQuery {
        filter: everything(),
        group_by: None,
    };
    Ok(frontend.router.visibility().count(id, query).await?.total)
}

/// Runs of every kind.
fn everything() -> Filter {
    Filter::All(Vec::new())
}

/// Asks every listed run to go away.
async fn delete_listed(frontend: &Frontend, id: NamespaceId) -> Result<(), Error> {
    let mut token = Bytes::new();
    loop {
        let query = ListQuery { filter: everything() };
        let page = frontend
            .router
            .visibility()
            .list(id, query, limits::RECLAIM_BATCH, token)
            .await?;
        join_all(page.records.iter().map(|record| delete(frontend, id, record)))
            .await
            .into_iter()
            .collect::<Result<Vec<()>, Error>>()?;
        token = page.next_page_token;
        if token.is_empty() {
            return Ok(());
        }
    }
}

async fn delete(frontend: &Frontend, id: NamespaceId, record: &Record) -> Result<(), Error> {
    let target = RunTarget {
        workflow: WorkflowKey {
            namespace_id: id,
            workflow_id: record.workflow_id.clone(),
        },
        run_id: Some(record.run_id),
    };
    match frontend.router.ask(&target, Trigger::Delete).await {
        // Gone already: the index hears of it soon.
        Ok(_) | Err(AskError::Rejected(Rejection::NotFound(_))) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
