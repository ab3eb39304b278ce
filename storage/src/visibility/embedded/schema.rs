//! The tables of the embedded index, and how a connection to them is set up.
//!
//! A *scope* is one division of one namespace: what nearly every query is about, so each index begins with it.
//! Attributes that are not columns rest in a row's JSON, under the attribute's number; `posting` finds rows by
//! them. There are as many attributes as are used, of any type, at no cost to rows that lack them.
//!
//! Plans are forced (`INDEXED BY`, `CROSS JOIN`): `plan` counts before it chooses, so no statistics are kept.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::super::error::VisibilityError;

/// What `close_time` holds while a run is open, so that open runs come first in the order.
pub(super) const OPEN: i64 = i64::MAX;

/// Grows when the tables change.
const VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE scope (
    id INTEGER PRIMARY KEY,
    namespace BLOB NOT NULL,
    division TEXT
);
CREATE INDEX scope_by_namespace ON scope (namespace, division);

CREATE TABLE attribute (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    type INTEGER NOT NULL,
    UNIQUE (name, type)
);

CREATE TABLE execution (
    id INTEGER PRIMARY KEY,
    scope INTEGER NOT NULL,
    run BLOB NOT NULL,
    version INTEGER NOT NULL,
    status INTEGER NOT NULL,
    close_time INTEGER NOT NULL,
    start_time INTEGER NOT NULL,
    execution_time INTEGER NOT NULL,
    execution_duration INTEGER,
    history_length INTEGER,
    history_size INTEGER,
    state_transitions INTEGER,
    workflow_id TEXT NOT NULL,
    workflow_type TEXT NOT NULL,
    task_queue TEXT NOT NULL,
    parent_workflow_id TEXT,
    parent_run BLOB,
    root_workflow_id TEXT,
    root_run BLOB,
    attributes TEXT,
    memo BLOB
);
CREATE UNIQUE INDEX execution_by_run ON execution (run, scope);
CREATE INDEX execution_by_order ON execution (scope, close_time DESC, start_time DESC, run);
CREATE INDEX execution_by_workflow ON execution (scope, workflow_id);
CREATE INDEX execution_by_type ON execution (scope, workflow_type);
CREATE INDEX execution_by_queue ON execution (scope, task_queue);
CREATE INDEX execution_by_failure ON execution (scope, status) WHERE status IN (3, 4, 5, 7, 8);
CREATE INDEX execution_by_parent ON execution (scope, parent_workflow_id) WHERE parent_workflow_id IS NOT NULL;
CREATE INDEX execution_by_root ON execution (scope, root_workflow_id) WHERE root_workflow_id IS NOT NULL;

CREATE TABLE posting (
    attribute INTEGER NOT NULL,
    scope INTEGER NOT NULL,
    value NOT NULL,
    execution INTEGER NOT NULL,
    PRIMARY KEY (attribute, scope, value, execution)
) WITHOUT ROWID;

CREATE TABLE tally (
    scope INTEGER NOT NULL,
    workflow_type TEXT NOT NULL,
    status INTEGER NOT NULL,
    runs INTEGER NOT NULL,
    PRIMARY KEY (scope, workflow_type, status)
) WITHOUT ROWID;
";

/// Pages that the write-ahead log may hold before it is copied into the file: few copies of hot pages.
const CHECKPOINT_PAGES: u32 = 8_192;

const WRITER_CACHE_KIB: u32 = 32 * 1024;
const READER_CACHE_KIB: u32 = 16 * 1024;

/// Opens the writer's connection, and makes the tables if they are not there.
pub(super) fn open_writer(
    path: Option<&Path>,
    survive_power_loss: bool,
) -> Result<Connection, VisibilityError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match path {
        Some(path) => Connection::open_with_flags(path, flags)?,
        None => Connection::open_in_memory()?,
    };
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(
        None,
        "synchronous",
        if survive_power_loss { "FULL" } else { "NORMAL" },
    )?;
    connection.pragma_update(None, "cache_size", -i64::from(WRITER_CACHE_KIB))?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", CHECKPOINT_PAGES, |_| Ok(()))?;
    match connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? {
        VERSION => {}
        0 => {
            connection.execute_batch(&format!(
                "BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;"
            ))?;
        }
        other => {
            return Err(VisibilityError::Broken(format!(
                "index has format {other}, not {VERSION}"
            )));
        }
    }
    Ok(connection)
}

/// Opens one more connection, for reads only. The file is not mapped: an error of the disk would then be a
/// signal that ends the process.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "cache_size", -i64::from(READER_CACHE_KIB))?;
    Ok(connection)
}
