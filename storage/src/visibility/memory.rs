//! Memory index: the reference model of the contract, for tests and the simulation.
//!
//! It goes through every run for each call, and has no threads: the same calls give the same answers in the
//! same order, always.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use proto::{
    ids::{NamespaceId, RunId},
    time::Timestamp,
};

use super::{
    Count, Page, Update, VisibilityIndex,
    error::VisibilityError,
    limits::{APPLY_UPDATES_MAX, PAGE_SIZE_MAX},
    query::{CountQuery, Filter, ListQuery},
    record::Record,
    tally::Tally,
    token::Position,
};

/// Keeps records in a map. What it has of deleted runs it keeps until their namespace is deleted.
#[derive(Debug, Default)]
pub struct MemoryIndex {
    runs: Mutex<BTreeMap<(NamespaceId, RunId), Run>>,
}

/// A run's last update.
#[derive(Debug)]
struct Run {
    version: u64,
    /// `None` if the run was deleted.
    record: Option<Record>,
}

impl MemoryIndex {
    fn runs(&self) -> MutexGuard<'_, BTreeMap<(NamespaceId, RunId), Run>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the matching runs in the lists' order.
    fn matching(&self, namespace: NamespaceId, filter: &Filter) -> Vec<Record> {
        let runs = self.runs();
        let records = runs.values().filter_map(|run| run.record.as_ref());
        let mut matching: Vec<_> = records
            .filter(|record| record.namespace_id == namespace && filter.matches(record))
            .cloned()
            .collect();
        matching.sort_by_key(|record| order(Position::of(record)));
        matching
    }
}

/// Returns what sorts as the lists' order does.
fn order(position: Position) -> (Reverse<(Timestamp, Timestamp)>, RunId) {
    (
        Reverse((position.close_time, position.start_time)),
        position.run_id,
    )
}

#[async_trait]
impl VisibilityIndex for MemoryIndex {
    async fn apply(&self, updates: Vec<Update>) -> Result<(), VisibilityError> {
        if updates.len() > APPLY_UPDATES_MAX {
            return Err(VisibilityError::TooMany {
                updates: updates.len(),
                limit: APPLY_UPDATES_MAX,
            });
        }
        let mut runs = self.runs();
        for update in updates {
            let (key, version) = (update.run(), update.version());
            if runs.get(&key).is_none_or(|run| run.version < version) {
                let record = match update {
                    Update::Upsert(record) => Some(*record),
                    Update::Delete(_) => None,
                };
                runs.insert(key, Run { version, record });
            }
        }
        Ok(())
    }

    async fn list(
        &self,
        namespace_id: NamespaceId,
        query: ListQuery,
        page_size: usize,
        page_token: Bytes,
    ) -> Result<Page, VisibilityError> {
        let after = Position::from_bytes(&page_token)?.map(order);
        let page_size = if page_size == 0 {
            PAGE_SIZE_MAX
        } else {
            page_size.min(PAGE_SIZE_MAX)
        };
        let mut records = self.matching(namespace_id, &query.filter);
        records.retain(|record| after.is_none_or(|after| order(Position::of(record)) > after));
        records.truncate(page_size);
        let next_page_token = match records.last() {
            Some(last) if records.len() == page_size => Position::of(last).to_bytes(),
            _ => Bytes::new(),
        };
        Ok(Page {
            records,
            next_page_token,
        })
    }

    async fn count(&self, namespace_id: NamespaceId, query: CountQuery) -> Result<Count, VisibilityError> {
        let matching = self.matching(namespace_id, &query.filter);
        let mut tally = Tally::new(query.group_by);
        for record in &matching {
            tally.add(record);
        }
        Ok(tally.count())
    }

    async fn delete_namespace(&self, namespace_id: NamespaceId) -> Result<(), VisibilityError> {
        self.runs().retain(|(namespace, _), _| *namespace != namespace_id);
        Ok(())
    }
}
