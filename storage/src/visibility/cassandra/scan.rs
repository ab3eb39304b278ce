//! Scan: the runs of a few terms, in the lists' order.
//!
//! Each term is a [`Stream`] that reads its slices one after the other; while they turn out small it reads several
//! at once. The scan takes the next run of all streams.

use std::{collections::VecDeque, sync::Arc};

use proto::ids::NamespaceId;
use tokio::task::JoinSet;

use super::{
    place::{Key, Partition, Term, WHOLE, closed_slice, open_slice},
    plan::Plan,
    read::{Place, Reader, Row},
    slices::Slices,
};
use crate::{
    cassandra::{OpenError, link::Link, stopped},
    error::StoreError,
    visibility::{error::VisibilityError, record::Record, token::Position},
};

/// Slices of one term that are read at once.
const SLICES_AT_ONCE: usize = 16;
/// Rows of one request, at least and at most; without their records.
const PAGE_ROWS_MIN: usize = 20;
const PAGE_ROWS_MAX: usize = 200;
const PAGE_KEYS: usize = 2000;

/// What is read of each run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Columns {
    /// All of it; so many runs are wanted.
    Record(usize),
    /// Its status, its times and its division.
    Key,
}

pub(super) struct Scanner {
    reader: Reader,
    slices: Arc<Slices>,
}

/// A run that was read.
pub(super) struct Found {
    pub(super) position: Position,
    pub(super) record: Record,
}

/// A scan under way.
pub(super) struct Scan {
    streams: Vec<Stream>,
}

impl Scanner {
    pub(super) async fn prepare(link: &Link, slices: Arc<Slices>) -> Result<Self, OpenError> {
        Ok(Self {
            reader: Reader::prepare(link).await?,
            slices,
        })
    }

    /// Begins a scan of what the plan reads, behind the position.
    pub(super) async fn start(
        self: &Arc<Self>,
        namespace_id: NamespaceId,
        plan: &Plan,
        after: Option<Position>,
        columns: Columns,
    ) -> Result<Scan, VisibilityError> {
        let mut streams = Vec::new();
        for term in &plan.terms {
            let mut slices: VecDeque<i32> = if term.is_sliced() {
                let found = self.slices.of(namespace_id, term).await?;
                found.into_iter().filter(|slice| plan.reads(*slice)).collect()
            } else {
                VecDeque::from([WHOLE])
            };
            let mut place = Place::top();
            if let Some(position) = after {
                let begun = slice_of(term, position);
                slices.retain(|slice| *slice <= begun);
                // A slice that is gone meanwhile leaves the later ones to be read from their top.
                if slices.front() == Some(&begun) {
                    place = Place::after(Key::of(position));
                }
            }
            streams.push(Stream {
                scanner: Arc::clone(self),
                namespace_id,
                term: term.clone(),
                slices,
                place,
                columns,
                width: 1,
                rows: VecDeque::new(),
            });
        }
        Ok(Scan { streams })
    }
}

fn slice_of(term: &Term, position: Position) -> i32 {
    if !term.is_sliced() {
        WHOLE
    } else if position.close_time == proto::time::Timestamp::MAX {
        open_slice(position.start_time.nanos())
    } else {
        closed_slice(position.close_time.nanos())
    }
}

impl Scan {
    /// Returns the next run.
    pub(super) async fn next(&mut self) -> Result<Option<Found>, VisibilityError> {
        for stream in &mut self.streams {
            stream.fill().await?;
        }
        let first = self.streams.iter_mut().max_by_key(|stream| stream.first());
        let Some(row) = first.and_then(|stream| stream.rows.pop_front()) else {
            return Ok(None);
        };
        let position = row.key.position();
        let record = row.record()?;
        Ok(Some(Found { position, record }))
    }
}

/// The runs of one term.
struct Stream {
    scanner: Arc<Scanner>,
    namespace_id: NamespaceId,
    term: Term,
    /// What is still to be read, the first one from `place` on.
    slices: VecDeque<i32>,
    place: Place,
    columns: Columns,
    width: usize,
    rows: VecDeque<Row>,
}

impl Stream {
    fn first(&self) -> Option<Key> {
        self.rows.front().map(|row| row.key)
    }

    /// Reads on until there is a row or nothing is left.
    async fn fill(&mut self) -> Result<(), StoreError> {
        while self.rows.is_empty() && !self.slices.is_empty() {
            let read = self.read().await?;
            let mut whole = true;
            for (slice, (rows, more)) in read {
                if !whole {
                    // It is read again behind the rows that are missing before it.
                    break;
                }
                let from_top = std::mem::replace(&mut self.place, Place::top()).is_top();
                if more {
                    whole = false;
                    self.place = rows.last().map_or(Place::top(), |row| Place::after(row.key));
                } else {
                    self.slices.pop_front();
                    if rows.is_empty() && from_top && self.term.is_sliced() {
                        self.scanner.slices.found_empty(&self.partition(slice)).await;
                    }
                }
                self.rows.extend(rows);
            }
            self.width = if whole {
                (self.width * 2).min(SLICES_AT_ONCE)
            } else {
                1
            };
        }
        Ok(())
    }

    /// Reads some rows of the next slices; tells of each whether it has more.
    async fn read(&self) -> Result<Vec<(i32, (Vec<Row>, bool))>, StoreError> {
        let mut tasks = JoinSet::new();
        for (number, slice) in self.slices.iter().take(self.width).copied().enumerate() {
            let place = if number == 0 {
                self.place.clone()
            } else {
                Place::top()
            };
            let (scanner, partition) = (Arc::clone(&self.scanner), self.partition(slice));
            let (columns, rows) = (self.columns, self.page());
            tasks.spawn(async move {
                let read = scanner.reader.read(&partition, place, columns, rows).await;
                (number, slice, read)
            });
        }
        let mut read = Vec::new();
        while let Some(joined) = tasks.join_next().await {
            let (number, slice, rows) = joined.map_err(|_| stopped())?;
            read.push((number, (slice, rows?)));
        }
        read.sort_by_key(|(number, _)| *number);
        Ok(read.into_iter().map(|(_, rows)| rows).collect())
    }

    fn page(&self) -> usize {
        match self.columns {
            Columns::Record(wanted) => wanted.clamp(PAGE_ROWS_MIN, PAGE_ROWS_MAX),
            Columns::Key => PAGE_KEYS,
        }
    }

    fn partition(&self, slice: i32) -> Partition {
        Partition {
            namespace_id: self.namespace_id,
            term: self.term.clone(),
            slice,
        }
    }
}
