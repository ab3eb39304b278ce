//! Records on their way to the index: what may be sent at once, and what the outbox keeps until there is room.

use std::collections::HashMap;

use bytes::Bytes;
use proto::ids::RunKey;
use storage::{batch::Table, shard::Row, visibility::Update};

use crate::{
    codec,
    input::Scan,
    limits::{INDEXING_RECORDS_MAX, SCAN_ROWS_MAX},
    outbox,
    output::Output,
    ready::after,
    unit::Unit,
};

/// Records on their way to the index.
#[derive(Debug, Default)]
pub(crate) struct Indexing {
    /// The version that each run was last sent with.
    versions: HashMap<RunKey, u64>,
    /// Where the outbox rows begin that were not sent since the shard started.
    from: Option<Bytes>,
}

impl Indexing {
    /// Stores the record beside the run, and sends it once it is durable.
    pub(crate) fn write(&mut self, unit: &mut Unit, run: &RunKey, version: u64, update: Update) {
        unit.put(Table::Outbox, codec::run_key(run), outbox::write(&update));
        if self.versions.len() >= INDEXING_RECORDS_MAX && !self.versions.contains_key(run) {
            // The row is enough for now: it is read when the index has caught up.
            return self.from = Some(Bytes::new());
        }
        self.versions.insert(run.clone(), version);
        unit.park(Output::Index {
            run: run.clone(),
            update: Box::new(update),
        });
    }

    /// Outbox rows were read.
    pub(crate) fn scanned(&mut self, rows: Vec<Row>, out: &mut Vec<Output>) -> Result<(), codec::Malformed> {
        let full = rows.len() == SCAN_ROWS_MAX;
        self.from = None;
        for row in rows {
            let (run, version, update) = outbox::read(&row.value).ok_or(codec::Malformed("outbox row"))?;
            if full {
                self.from = Some(after(&row.key));
            }
            self.versions.entry(run.clone()).or_insert(version);
            out.push(Output::Index {
                run,
                update: Box::new(update),
            });
        }
        self.read_more(out);
        Ok(())
    }

    /// The index has the run at this version. Tells whether that is the newest one.
    pub(crate) fn indexed(&mut self, run: &RunKey, version: u64) -> bool {
        let newest = self.versions.get(run) == Some(&version);
        if newest {
            self.versions.remove(run);
        }
        newest
    }

    /// Reads more of the outbox if there is room.
    pub(crate) fn read_more(&mut self, out: &mut Vec<Output>) {
        if self.versions.len() < INDEXING_RECORDS_MAX
            && let Some(from) = self.from.take()
        {
            out.push(Output::Scan(Scan::Outbox { from }));
        }
    }

    /// Forgets that the run was sent: what the outbox holds of it is sent when the shard starts again.
    pub(crate) fn forget(&mut self, run: &RunKey) {
        self.versions.remove(run);
    }

    pub(crate) fn len(&self) -> usize {
        self.versions.len()
    }
}
