//! Slices: the directory of slices that may have rows.
//!
//! A slice is entered before its first row is written, and again from time to time while rows are written to it.
//! A list that finds one empty which is old enough removes the entry as of a while ago: what was entered since
//! then stays, so no row is ever written where no list looks.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use proto::ids::NamespaceId;
use scylla::statement::prepared::PreparedStatement;
use tokio::time::Instant;

use super::place::{Partition, SLICE_NANOS, Term, slice_begin};
use crate::{
    cassandra::{
        OpenError,
        link::{Deadline, Link},
        rows::{own, rows, typed},
    },
    error::StoreError,
};

/// How long an entry is not written again.
const ENTERED: Duration = Duration::from_secs(30 * 60);
/// Entries older than this are removed with their empty slice: more than [`ENTERED`] and what clocks may differ by.
const REMOVED: Duration = Duration::from_secs(2 * 60 * 60);
/// Hours after which an empty slice is removed.
const EMPTY_HOURS: i64 = 6;
/// Entries that this node remembers.
const KNOWN_MAX: usize = 10_000;

pub(super) struct Slices {
    link: Link,
    insert: PreparedStatement,
    delete: PreparedStatement,
    select: PreparedStatement,
    select_all: PreparedStatement,
    known: Mutex<HashMap<Partition, Instant>>,
}

impl Slices {
    pub(super) async fn prepare(link: &Link) -> Result<Self, OpenError> {
        Ok(Self {
            link: link.clone(),
            insert: link
                .prepare(
                    "INSERT INTO ks.visibility_slice (namespace_id, term, slice) VALUES (?, ?, ?) USING TIMESTAMP ?",
                    1,
                )
                .await?,
            delete: link
                .prepare(
                    "DELETE FROM ks.visibility_slice USING TIMESTAMP ? WHERE namespace_id = ? AND term = ? AND slice = ?",
                    1,
                )
                .await?,
            select: link
                .prepare("SELECT slice FROM ks.visibility_slice WHERE namespace_id = ? AND term = ?", 5000)
                .await?,
            select_all: link
                .prepare("SELECT term, slice FROM ks.visibility_slice WHERE namespace_id = ?", 5000)
                .await?,
            known: Mutex::default(),
        })
    }

    /// Enters the partition's slice, unless this node has lately.
    pub(super) async fn enter(
        &self,
        partition: &Partition,
        deadline: &mut Deadline,
    ) -> Result<(), StoreError> {
        let now = Instant::now();
        let is_known = |at: &Instant| now.duration_since(*at) < ENTERED;
        if self.known().get(partition).is_some_and(is_known) {
            return Ok(());
        }
        let values = (
            partition.namespace_id.as_bytes().to_vec(),
            partition.term.to_bytes(),
            partition.slice,
            micros(SystemTime::now()),
        );
        self.link.execute(&self.insert, values, deadline).await?;
        let mut known = self.known();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(partition.clone(), now);
        Ok(())
    }

    /// Returns the term's slices, latest first.
    pub(super) async fn of(&self, namespace_id: NamespaceId, term: &Term) -> Result<Vec<i32>, StoreError> {
        let mut deadline = self.link.deadline();
        let values = (namespace_id.as_bytes().to_vec(), term.to_bytes());
        let found = rows(self.link.execute(&self.select, values, &mut deadline).await?)?;
        let found = typed::<(i32,)>(&found)?;
        Ok(found.into_iter().map(|(slice,)| slice).collect())
    }

    /// Returns every slice of the namespace, with its term as it is stored.
    pub(super) async fn all(
        &self,
        namespace_id: NamespaceId,
    ) -> Result<Vec<(bytes::Bytes, i32)>, StoreError> {
        let mut deadline = self.link.deadline();
        let values = (namespace_id.as_bytes().to_vec(),);
        let found = rows(self.link.execute(&self.select_all, values, &mut deadline).await?)?;
        let found = typed::<(&[u8], i32)>(&found)?;
        Ok(found
            .into_iter()
            .map(|(term, slice)| (own(term), slice))
            .collect())
    }

    /// The partition was found empty: removes its entry if nobody can be about to write there.
    pub(super) async fn found_empty(&self, partition: &Partition) {
        let now = SystemTime::now();
        let old = slice_begin(partition.slice).saturating_add(EMPTY_HOURS * SLICE_NANOS);
        if micros(now) < old / 1000 {
            return;
        }
        self.known().remove(partition);
        let mut deadline = self.link.deadline();
        let values = (
            micros(now.checked_sub(REMOVED).unwrap_or(UNIX_EPOCH)),
            partition.namespace_id.as_bytes().to_vec(),
            partition.term.to_bytes(),
            partition.slice,
        );
        if let Err(error) = self.link.execute(&self.delete, values, &mut deadline).await {
            tracing::debug!(%error, "empty slice of visibility not removed yet");
        }
    }

    /// The namespace is gone: forgets what this node has entered of it.
    pub(super) fn forget(&self, namespace_id: NamespaceId) {
        self.known()
            .retain(|partition, _| partition.namespace_id != namespace_id);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Partition, Instant>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn micros(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
