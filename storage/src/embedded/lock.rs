//! DirectoryLock: keeps a second process out of a data directory for as long as it lives.

use std::{
    fs::{File, TryLockError},
    path::Path,
};

use super::OpenError;

/// Held by the operating system, so a killed process leaves nothing behind.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    pub(super) fn take(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|source| OpenError::Io {
                action: "open lock file",
                path,
                source,
            })?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked {
                path: directory.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(OpenError::Io {
                action: "lock data directory",
                path: directory.to_owned(),
                source,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_holder_is_refused_until_the_first_goes() {
        let directory = tempfile::tempdir().unwrap();
        let first = DirectoryLock::take(directory.path()).unwrap();
        let refused = DirectoryLock::take(directory.path()).unwrap_err();
        assert!(matches!(refused, OpenError::Locked { .. }), "{refused}");
        drop(first);
        DirectoryLock::take(directory.path()).unwrap();
    }
}
