//! Opening a data directory: what is checked, in which order, and how a new one is made.
//!
//! ```text
//! lock          held while a store is open
//! high-water    the last commit known to be durable
//! database/     the engine's files
//! ```

use std::{
    fs::{create_dir_all, remove_dir_all, rename},
    io,
    path::Path,
};

use fjall::{CompressionType, Database};

use super::{OpenError, journal, layout::Layout, lock::DirectoryLock, mark::Mark};
use crate::{config::EmbeddedConfig, error::StoreError};

/// What the rows look like; a release that changes it says how it reads the older one.
pub(super) const FORMAT: u64 = 1;

/// A directory that nothing is missing from.
pub(super) struct Opened {
    pub(super) lock: DirectoryLock,
    pub(super) layout: Layout,
    pub(super) mark: Mark,
    /// Number of the last commit.
    pub(super) sequence: u64,
}

pub(super) fn open(path: &Path, config: &EmbeddedConfig) -> Result<Opened, OpenError> {
    attempt("make data directory", path, create_dir_all(path))?;
    let lock = DirectoryLock::take(path)?;
    let acknowledged = Mark::read(path)?;
    let files = path.join("database");
    if attempt("look for database", &files, files.try_exists())? {
        journal::check(path, &files, acknowledged.unwrap_or(0))?;
    } else {
        make(path, &files, config)?;
    }
    let layout = database(&files, config)?;
    let sequence = check(path, &layout, acknowledged)?;
    let mark = Mark::create(path, sequence)?;
    Ok(Opened {
        lock,
        layout,
        mark,
        sequence,
    })
}

pub(super) fn database(files: &Path, config: &EmbeddedConfig) -> Result<Layout, OpenError> {
    let open = || {
        let database = Database::builder(files)
            // The journal check reads it, and rows are encoded by their owners.
            .journal_compression(CompressionType::None)
            .cache_size(config.cache.as_bytes())
            .max_journaling_size(config.journal_max.as_bytes())
            .worker_threads(config.compaction_threads.get())
            .max_cached_files(Some(config.open_files_max))
            .open()?;
        Layout::open(database, config)
    };
    open().map_err(|source| OpenError::Engine {
        path: files.to_owned(),
        source,
    })
}

/// Makes an empty database under another name first: the engine does not open one whose making was cut short.
fn make(path: &Path, files: &Path, config: &EmbeddedConfig) -> Result<(), OpenError> {
    let fresh = path.join("database.new");
    match remove_dir_all(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => attempt("remove", &fresh, Err(error))?,
        _ => {}
    }
    let layout = database(&fresh, config)?;
    layout.write_format(FORMAT).map_err(|source| OpenError::Engine {
        path: fresh.clone(),
        source,
    })?;
    drop(layout);
    attempt("rename database to", files, rename(&fresh, files))?;
    #[cfg(unix)]
    attempt(
        "sync data directory",
        path,
        std::fs::File::open(path).and_then(|file| file.sync_all()),
    )?;
    Ok(())
}

/// Checks the format and that no acknowledged commit is missing. Returns the number of the last commit.
fn check(path: &Path, layout: &Layout, acknowledged: Option<u64>) -> Result<u64, OpenError> {
    let read = |error: StoreError| OpenError::Io {
        action: "read format of",
        path: path.to_owned(),
        source: io::Error::other(error),
    };
    let sequence = layout.sequence().map_err(read)?.unwrap_or(0);
    let expected = acknowledged.unwrap_or(0);
    if sequence < expected {
        return Err(OpenError::truncated(path, sequence, expected));
    }
    let found = layout.format().map_err(read)?.unwrap_or(0);
    if found != FORMAT {
        return Err(OpenError::Format {
            path: path.to_owned(),
            found,
            known: FORMAT,
        });
    }
    if acknowledged.is_none() && sequence > 0 {
        let path = path.display();
        tracing::warn!(%path, sequence, "high-water mark is missing: a lost end of the journal goes unnoticed");
    }
    Ok(sequence)
}

fn attempt<T>(action: &'static str, path: &Path, result: io::Result<T>) -> Result<T, OpenError> {
    result.map_err(|source| OpenError::Io {
        action,
        path: path.to_owned(),
        source,
    })
}
