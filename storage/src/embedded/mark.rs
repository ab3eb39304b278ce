//! Mark: the sequence number of the last commit known to be durable, kept outside the engine's journal.
//!
//! An engine that takes a broken journal for a short one opens without a word and has lost commits that were
//! acknowledged. The mark notices: it is only ever written after the sync that it speaks of.

use std::{
    fs::{File, rename},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::xxh3_64;

use super::OpenError;

const NAME: &str = "high-water";
/// Two records in different pages: a torn write spoils one at most.
const SLOTS: [u64; 2] = [0, 4096];
const MAGIC: [u8; 8] = *b"perdmark";
const RECORD: usize = 24;
/// Syncs of the mark itself. Between them it rests in the page cache, which a killed process leaves intact.
const SYNC_EVERY: u64 = 1024;

pub(super) struct Mark {
    file: File,
    written: u64,
}

impl Mark {
    pub(super) fn path(directory: &Path) -> PathBuf {
        directory.join(NAME)
    }

    /// Returns the number in the mark, `None` if there is no mark.
    pub(super) fn read(directory: &Path) -> Result<Option<u64>, OpenError> {
        let path = Self::path(directory);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(OpenError::Io {
                    action: "read high-water mark",
                    path,
                    source,
                });
            }
        };
        let newest = SLOTS
            .iter()
            .filter_map(|at| decode(bytes.get(*at as usize..)?))
            .max();
        newest.map(Some).ok_or(OpenError::BrokenMark { path })
    }

    /// Makes the mark anew with `sequence` in it, durably.
    pub(super) fn create(directory: &Path, sequence: u64) -> Result<Self, OpenError> {
        let path = Self::path(directory);
        let make = || {
            let fresh = path.with_extension("new");
            let mut file = File::options()
                .create(true)
                .truncate(true)
                .write(true)
                .open(&fresh)?;
            for at in SLOTS {
                write(&mut file, at, sequence)?;
            }
            file.sync_all()?;
            rename(&fresh, &path)?;
            #[cfg(unix)]
            File::open(directory)?.sync_all()?;
            Ok(file)
        };
        let file = make().map_err(|source| OpenError::Io {
            action: "write high-water mark",
            path: path.clone(),
            source,
        })?;
        Ok(Self { file, written: 0 })
    }

    /// Records that commit `sequence` is durable. Returns whether the mark itself was synced.
    pub(super) fn advance(&mut self, sequence: u64) -> io::Result<bool> {
        let slot = SLOTS[(self.written % 2) as usize];
        write(&mut self.file, slot, sequence)?;
        self.written += 1;
        let sync = self.written.is_multiple_of(SYNC_EVERY);
        if sync {
            self.file.sync_data()?;
        }
        Ok(sync)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn write(file: &mut File, at: u64, sequence: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.write_all(&encode(sequence))
}

fn encode(sequence: u64) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..8].copy_from_slice(&MAGIC);
    record[8..16].copy_from_slice(&sequence.to_be_bytes());
    let sum = xxh3_64(&record[..16]);
    record[16..].copy_from_slice(&sum.to_be_bytes());
    record
}

fn decode(bytes: &[u8]) -> Option<u64> {
    let record: &[u8; RECORD] = bytes.first_chunk()?;
    let sequence = u64::from_be_bytes(*record[8..].first_chunk()?);
    (*record == encode(sequence)).then_some(sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spoil(directory: &Path, slots: &[u64]) {
        let mut file = File::options().write(true).open(Mark::path(directory)).unwrap();
        for slot in slots {
            file.seek(SeekFrom::Start(slot + 10)).unwrap();
            file.write_all(b"torn").unwrap();
        }
    }

    #[test]
    fn reads_the_newest_record_that_is_whole() {
        let cases: [(&[u64], Option<u64>); 4] = [
            (&[], Some(9)),
            (&[0], Some(9)),
            (&[4096], Some(8)),
            (&[0, 4096], None),
        ];
        for (torn, expected) in cases {
            let directory = tempfile::tempdir().unwrap();
            assert_eq!(Mark::read(directory.path()).unwrap(), None);
            let mut mark = Mark::create(directory.path(), 7).unwrap();
            mark.advance(8).unwrap();
            mark.advance(9).unwrap();
            spoil(directory.path(), torn);
            match Mark::read(directory.path()) {
                Ok(found) => assert_eq!(found, expected),
                Err(error) => {
                    assert!(matches!(error, OpenError::BrokenMark { .. }), "{error}");
                    assert_eq!(expected, None);
                }
            }
        }
    }

    #[test]
    fn syncs_itself_now_and_then() {
        let directory = tempfile::tempdir().unwrap();
        let mut mark = Mark::create(directory.path(), 0).unwrap();
        let synced: Vec<u64> = (1..=2 * SYNC_EVERY)
            .filter(|number| mark.advance(*number).unwrap())
            .collect();
        assert_eq!(synced, [SYNC_EVERY, 2 * SYNC_EVERY]);
    }
}
