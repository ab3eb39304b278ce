//! Journal check: reads the engine's journals before the engine does, and changes nothing that was acknowledged.
//!
//! The engine takes the first bytes that it cannot read for the journal's end, cuts the file there and opens with
//! what is left; and it refuses a last commit that a power failure tore, which nobody was ever promised.
//! Here the two are told apart: a commit is only written after the one before it was synced, so broken bytes with
//! a whole commit behind them are damage, and broken bytes at the very end are a commit that was under way.
//!
//! The format is that of fjall 3: `start (1) | count u32 | seqno u64`, then the items, then
//! `end (3) | xxh3 of the items u64 | trailer`; all numbers little endian.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::Xxh3;

use super::{OpenError, layout};

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: [u8; 4] = *b"FJL\x03";
const BUFFER: usize = 64 << 10;
static ZEROS: [u8; BUFFER] = [0; BUFFER];

/// What a journal file holds.
#[derive(Debug, PartialEq, Eq)]
struct Contents {
    /// Where the last whole commit ends.
    end: u64,
    /// Our numbers of the first and the last commit that has one.
    sequences: Option<(u64, u64)>,
    tail: Tail,
}

/// What stands behind the last whole commit.
#[derive(Debug, PartialEq, Eq)]
enum Tail {
    /// Nothing, or the zeros of a file that was made longer than needed.
    Clean,
    /// A part of one commit.
    Torn,
    /// Bytes that cannot be read, and a whole commit behind them.
    Damaged,
}

/// Refuses journals that have lost a commit; cuts off a commit that was never whole, so that the engine opens.
///
/// `acknowledged` is what the high-water mark says. A journal is cut only if it reaches that far.
pub(super) fn check(directory: &Path, database: &Path, acknowledged: u64) -> Result<(), OpenError> {
    let mut journals = list(database)?;
    let newest = journals.pop();
    let mut last = None;
    for path in &journals {
        let contents = inspect(path)?;
        if contents.tail != Tail::Clean {
            return Err(damaged(path, contents.end));
        }
        last = follow(path, last, contents.sequences)?;
    }
    let Some(path) = newest else {
        return Ok(());
    };
    let contents = inspect(&path)?;
    if contents.tail == Tail::Damaged {
        return Err(damaged(&path, contents.end));
    }
    let last = follow(&path, last, contents.sequences)?;
    if let Some(found) = last
        && found < acknowledged
    {
        return Err(OpenError::truncated(directory, found, acknowledged));
    }
    if contents.tail == Tail::Torn {
        tracing::warn!(path = %path.display(), end = contents.end, "cutting off a commit that was not whole");
        cut(&path, contents.end).map_err(|source| OpenError::Io {
            action: "cut journal",
            path,
            source,
        })?;
    }
    Ok(())
}

fn damaged(path: &Path, offset: u64) -> OpenError {
    OpenError::Damaged {
        path: path.to_owned(),
        offset,
    }
}

/// Checks that the commits of a journal go on where those of the one before it ended. Returns the last number.
fn follow(path: &Path, before: Option<u64>, sequences: Option<(u64, u64)>) -> Result<Option<u64>, OpenError> {
    match (before, sequences) {
        (Some(before), Some((first, _))) if first != before + 1 => Err(damaged(path, 0)),
        (_, Some((_, last))) => Ok(Some(last)),
        (before, None) => Ok(before),
    }
}

/// Returns the journals, oldest first.
fn list(database: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let failed = |source| OpenError::Io {
        action: "list journals of",
        path: database.to_owned(),
        source,
    };
    let entries = match std::fs::read_dir(database) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut journals = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .and_then(|stem| stem.parse::<u64>().ok());
        if let (Some(number), Some("jnl")) =
            (number, path.extension().and_then(|extension| extension.to_str()))
        {
            journals.push((number, path));
        }
    }
    journals.sort_unstable();
    Ok(journals.into_iter().map(|(_, path)| path).collect())
}

fn inspect(path: &Path) -> Result<Contents, OpenError> {
    let read = || Source::open(path)?.contents();
    read().map_err(|source| OpenError::Io {
        action: "read journal",
        path: path.to_owned(),
        source,
    })
}

fn cut(path: &Path, end: u64) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    file.set_len(end)?;
    file.sync_all()
}

/// A journal being read; knows where it is and how much is left, so that a broken length asks for no memory.
struct Source {
    reader: BufReader<File>,
    at: u64,
    length: u64,
    /// The engine's number of the last commit; they grow, and the checksum does not cover them.
    seqno: Option<u64>,
    scratch: Vec<u8>,
}

/// Tells bytes that are not a commit from a disk that does not answer.
fn is_broken(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
}

fn expect(condition: bool) -> io::Result<()> {
    if condition {
        Ok(())
    } else {
        Err(ErrorKind::InvalidData.into())
    }
}

impl Source {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let reader = BufReader::with_capacity(BUFFER, file);
        Ok(Self {
            reader,
            at: 0,
            length,
            seqno: None,
            scratch: Vec::new(),
        })
    }

    /// Reads commits until one does not parse or does not follow the one before, then what stands behind.
    fn contents(&mut self) -> io::Result<Contents> {
        let mut contents = Contents {
            end: 0,
            sequences: None,
            tail: Tail::Clean,
        };
        loop {
            match self.commit() {
                Ok(None) => {}
                Ok(Some(number)) => {
                    let (first, last) = contents.sequences.unwrap_or((number, number.saturating_sub(1)));
                    if last + 1 != number {
                        contents.tail = Tail::Damaged;
                        return Ok(contents);
                    }
                    contents.sequences = Some((first, number));
                }
                Err(error) if is_broken(&error) => {
                    contents.tail = self.tail(contents.end)?;
                    return Ok(contents);
                }
                Err(error) => return Err(error),
            }
            contents.end = self.at;
        }
    }

    /// Reads one commit. Returns our number of it, if it has one.
    fn commit(&mut self) -> io::Result<Option<u64>> {
        expect(self.byte()? == START)?;
        let count = u32::from_le_bytes(self.array()?);
        let seqno = u64::from_le_bytes(self.array()?);
        expect(self.seqno.is_none_or(|before| before < seqno))?;
        let mut hash = Xxh3::new();
        let mut number = None;
        for _ in 0..count {
            number = self.item(&mut hash)?.or(number);
        }
        expect(self.byte()? == END)?;
        let sum = u64::from_le_bytes(self.array()?);
        expect(self.array()? == TRAILER)?;
        expect(sum == hash.digest())?;
        self.seqno = Some(seqno);
        Ok(number)
    }

    /// Reads one row. Returns the number in it, if it is the sequence row.
    fn item(&mut self, hash: &mut Xxh3) -> io::Result<Option<u64>> {
        let tag = self.byte()?;
        hash.update(&[tag]);
        if tag == CLEAR {
            hash.update(&self.array::<8>()?);
            return Ok(None);
        }
        expect(tag == ITEM)?;
        // kind u8 | compression u8 | keyspace u64 | key length u16 | value length u32 | length here u32
        let head: [u8; 20] = self.array()?;
        hash.update(&head);
        let [.., k0, k1, _, _, _, _, v0, v1, v2, v3] = head;
        let key = u64::from(u16::from_le_bytes([k0, k1]));
        let value = u64::from(u32::from_le_bytes([v0, v1, v2, v3]));
        self.fill(key + value)?;
        hash.update(&self.scratch);
        let (key, value) = self.scratch.split_at(key as usize);
        Ok(layout::is_sequence(key)
            .then(|| value.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)))
            .flatten())
    }

    /// Looks at what stands behind the last whole commit.
    fn tail(&mut self, end: u64) -> io::Result<Tail> {
        let mut tail = Tail::Clean;
        let mut window = [0; TRAILER.len()];
        self.seek(end)?;
        while self.at < self.length {
            if window == [0; TRAILER.len()] && self.skip_zeros()? {
                continue;
            }
            window.rotate_left(1);
            window[TRAILER.len() - 1] = self.byte()?;
            tail = Tail::Torn;
            if window != TRAILER {
                continue;
            }
            let behind = self.at;
            match self.commit() {
                Ok(_) => return Ok(Tail::Damaged),
                Err(error) if is_broken(&error) => self.seek(behind)?,
                Err(error) => return Err(error),
            }
        }
        Ok(tail)
    }

    /// Passes what is buffered if it is all zeros: a journal is made with 64 MiB of them.
    fn skip_zeros(&mut self) -> io::Result<bool> {
        let buffered = self.reader.fill_buf()?;
        let length = buffered.len();
        let zeros = !buffered.is_empty() && buffered == &ZEROS[..length];
        if zeros {
            self.reader.consume(length);
            self.at += length as u64;
        }
        Ok(zeros)
    }

    fn seek(&mut self, to: u64) -> io::Result<()> {
        self.reader.seek(SeekFrom::Start(to))?;
        self.at = to;
        Ok(())
    }

    fn byte(&mut self) -> io::Result<u8> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn fill(&mut self, length: u64) -> io::Result<()> {
        expect(length <= self.length.saturating_sub(self.at))?;
        self.scratch.resize(length as usize, 0);
        self.reader.read_exact(&mut self.scratch)?;
        self.at += length;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
