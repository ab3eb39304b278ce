//! Writer: turns updates into rows and removals of rows, and writes them, many of one partition at a time.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use proto::ids::NamespaceId;
use scylla::statement::{
    batch::{Batch, BatchType},
    prepared::PreparedStatement,
};
use tokio::task::JoinSet;

use super::{
    place::{Key, Partition, Term, rows, rows_while_open, status, written_at},
    plan::Plan,
    scan::{Columns, Scanner},
    slices::Slices,
};
use crate::{
    cassandra::{OpenError, link::Link, rows::Values, stopped},
    error::StoreError,
    visibility::{Update, error::VisibilityError, record::Record},
};

/// Batches in flight of one call.
const BATCHES_AT_ONCE: usize = 32;
/// A batch is cut when it has more rows or bytes than this.
const BATCH_ROWS_MAX: usize = 200;
const BATCH_BYTES_MAX: usize = 256 << 10;

pub(super) struct Writer {
    link: Link,
    slices: Arc<Slices>,
    insert: PreparedStatement,
    delete: PreparedStatement,
    delete_partition: PreparedStatement,
    delete_slices: PreparedStatement,
}

/// What becomes of one row.
#[derive(Clone, Debug, PartialEq)]
struct Change {
    key: Key,
    at: i64,
    /// `None` removes it.
    put: Option<Cells>,
}

/// The columns of a row besides its key.
#[derive(Clone, Debug, PartialEq)]
struct Cells {
    status: u8,
    division: Option<String>,
    record: Bytes,
}

type Changes = BTreeMap<Partition, Vec<Change>>;

impl Writer {
    pub(super) async fn prepare(link: &Link, slices: Arc<Slices>) -> Result<Self, OpenError> {
        let row = "namespace_id = ? AND term = ? AND slice = ?";
        Ok(Self {
            link: link.clone(),
            slices,
            insert: link
                .prepare(
                    "INSERT INTO ks.visibility (namespace_id, term, slice, close_time, start_time, run, status, division, \
                     record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
                    1,
                )
                .await?,
            delete: link
                .prepare(
                    &format!(
                        "DELETE FROM ks.visibility USING TIMESTAMP ? WHERE {row} AND close_time = ? AND start_time = ? \
                         AND run = ?"
                    ),
                    1,
                )
                .await?,
            delete_partition: link
                .prepare(&format!("DELETE FROM ks.visibility WHERE {row}"), 1)
                .await?,
            delete_slices: link
                .prepare("DELETE FROM ks.visibility_slice WHERE namespace_id = ?", 1)
                .await?,
        })
    }

    pub(super) async fn apply(&self, updates: Vec<Update>) -> Result<(), VisibilityError> {
        let mut changes = Changes::new();
        for update in &updates {
            change(&mut changes, update);
        }
        let mut deadline = self.link.deadline();
        for (partition, rows) in &changes {
            if partition.term.is_sliced() && rows.iter().any(|row| row.put.is_some()) {
                self.slices.enter(partition, &mut deadline).await?;
            }
        }
        self.write(changes).await?;
        Ok(())
    }

    /// Sends all batches, some at a time, and waits for each of them.
    async fn write(&self, changes: Changes) -> Result<(), StoreError> {
        let mut flying = JoinSet::new();
        for (partition, rows) in changes {
            for part in parts(rows) {
                if flying.len() >= BATCHES_AT_ONCE
                    && let Some(landed) = flying.join_next().await
                {
                    landed.map_err(|_| stopped())??;
                }
                flying.spawn(self.batch(&partition, part));
            }
        }
        while let Some(landed) = flying.join_next().await {
            landed.map_err(|_| stopped())??;
        }
        Ok(())
    }

    /// Rows of one partition, which land together.
    fn batch(
        &self,
        partition: &Partition,
        rows: Vec<Change>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        let mut batch = Batch::new(BatchType::Unlogged);
        for row in &rows {
            batch.append_statement(if row.put.is_some() {
                self.insert.clone()
            } else {
                self.delete.clone()
            });
        }
        let (link, partition) = (self.link.clone(), partition.clone());
        async move {
            let mut deadline = link.deadline();
            let values = || rows.iter().map(|row| values(&partition, row)).collect();
            link.batch_again(&batch, values, &mut deadline).await
        }
    }

    /// Removes every row of the namespace. What was done stays done when it fails: it goes on when called again.
    pub(super) async fn delete_namespace(
        &self,
        namespace_id: NamespaceId,
        scanner: &Arc<Scanner>,
    ) -> Result<(), VisibilityError> {
        let mut scan = scanner
            .start(
                namespace_id,
                &Plan::everything(),
                None,
                Columns::Record(usize::MAX),
            )
            .await?;
        let mut deadline = self.link.deadline();
        // Workflow ids stand in no directory: the runs name them.
        let mut last = None;
        while let Some(found) = scan.next().await? {
            let term = Term::WorkflowId(found.record.workflow_id.as_str().to_owned());
            if last.as_ref() != Some(&term) {
                deadline = self.link.deadline();
                let values = (id(namespace_id), term.to_bytes(), super::place::WHOLE);
                self.link
                    .execute(&self.delete_partition, values, &mut deadline)
                    .await?;
                last = Some(term);
            }
        }
        for (term, slice) in self.slices.all(namespace_id).await? {
            deadline = self.link.deadline();
            let values = (id(namespace_id), term, slice);
            self.link
                .execute(&self.delete_partition, values, &mut deadline)
                .await?;
        }
        let values = (id(namespace_id),);
        self.link
            .execute(&self.delete_slices, values, &mut deadline)
            .await?;
        self.slices.forget(namespace_id);
        Ok(())
    }
}

/// Adds what the update writes and removes, by partition.
fn change(changes: &mut Changes, update: &Update) {
    let (record, put) = match update {
        Update::Upsert(record) => (record, Some(cells(record))),
        Update::Delete(record) => (record, None),
    };
    let at = written_at(record);
    let mut add = |(partitions, key): (Vec<Partition>, Key), put: Option<&Cells>| {
        for partition in partitions {
            let put = put.cloned();
            changes
                .entry(partition)
                .or_default()
                .push(Change { key, at, put });
        }
    };
    if record.close.is_some() {
        add(rows_while_open(record), None);
    }
    add(rows(record), put.as_ref());
}

fn cells(record: &Record) -> Cells {
    Cells {
        status: status(record),
        division: record.search_attributes.division().map(str::to_owned),
        record: record.encode(),
    }
}

/// Cuts the rows of one partition into batches.
fn parts(rows: Vec<Change>) -> Vec<Vec<Change>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = 0;
    for row in rows {
        let size = row.put.as_ref().map_or(0, |cells| cells.record.len());
        let is_full = parts.last().is_some_and(|part: &Vec<Change>| {
            part.len() >= BATCH_ROWS_MAX || (!part.is_empty() && bytes + size > BATCH_BYTES_MAX)
        });
        if is_full {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(part) = parts.last_mut() {
            part.push(row);
        }
    }
    parts
}

fn values(partition: &Partition, row: &Change) -> Values {
    let (namespace, term, slice) = (
        id(partition.namespace_id),
        partition.term.to_bytes(),
        partition.slice,
    );
    let Key {
        close_time,
        start_time,
        run,
    } = row.key;
    let run = run.to_vec();
    match &row.put {
        Some(cells) => Box::new((
            namespace,
            term,
            slice,
            close_time,
            start_time,
            run,
            cells.status.cast_signed(),
            cells.division.clone(),
            cells.record.clone(),
            row.at,
        )),
        None => Box::new((row.at, namespace, term, slice, close_time, start_time, run)),
    }
}

fn id(namespace_id: NamespaceId) -> Vec<u8> {
    namespace_id.as_bytes().to_vec()
}
