//! Copy: what comes next in a split or merge, from following the parents to the one write of the map.
//!
//! Pure: what was read, committed and leased comes in, what to do goes out; the carrier does it, and the simulation
//! too. Nothing here is stored: a copy that ends early leaves shards behind that nobody reads, and begins anew with
//! others.
//!
//! ```text
//! Following -> Detaching -> Leasing -> Copying -> Draining -> Switching
//! ```
//!
//! A page of rows goes to a child first, then what was committed since its read began; so each row ends with its
//! newest value, whatever the order in which the two arrive. What is committed to rows that are not read yet is
//! left to the reading.

use std::collections::VecDeque;

use shard::moving::{self, Rows, Spot};
use storage::{
    batch::{Batch, Write},
    shard::{BatchLimits, Lease},
};

/// Bytes of commits that wait to be put into the children; over it the copy is given up.
pub const KEPT_BYTES_MAX: usize = 16 << 20;
/// A batch into a child carries at most this, so that it is no burden to the store's other work.
const PUT_BYTES_MAX: usize = 512 << 10;
const PUT_WRITES_MAX: usize = 1_000;
/// Rows of the first page; later ones are as large as fits.
const PAGE_ROWS_FIRST: usize = 50;
const PAGE_ROWS_MAX: usize = 500;
const PAGE_BYTES_WANTED: usize = 256 << 10;
/// What of the commits may be left when the parents are drained: calls wait until it is put.
const REST_BYTES_MAX: usize = 64 << 10;
/// How far the children's batches are numbered above their parents': the parents go on during the copy.
const NUMBERS_APART: u64 = 1 << 32;

/// What happens. Parents and children go by their places.
#[derive(Debug)]
pub enum Input {
    /// Every batch of the parent after this one is handed over. The lease is the one it serves under.
    Began { parent: usize, lease: Lease, batch: u64 },
    /// The parent's rows hold nothing of histories any more, and will not.
    Detached { parent: usize },
    /// The child's lease is taken.
    Leased { child: usize, lease: Lease },
    /// A page of the parent was read.
    Read { parent: usize, rows: Rows },
    /// The parent has committed.
    Committed {
        parent: usize,
        batch: u64,
        writes: Vec<Write>,
    },
    /// The child has what was put last.
    Put { child: usize },
    /// The parent takes nothing more, and all that it committed was handed over.
    Drained { parent: usize },
    /// The parent's lease was taken once more.
    Retaken { parent: usize, lease: Lease },
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Move what the parent's rows hold of histories to where it stands for all shards.
    Detach { parent: usize, lease: Lease },
    /// Take the child's lease; its batches are numbered above this.
    Lease { child: usize, above: u64 },
    /// Read rows of the parent; they may be read in one's own time.
    Read { parent: usize, from: Spot, limit: usize },
    /// Put these rows into the child.
    Put { child: usize, batch: Batch },
    /// Let the parent finish what it has taken, and take nothing more.
    Drain { parent: usize },
    /// Take the parent's lease, so that nobody can commit there who does not look at the map first.
    Retake { parent: usize },
    /// Write the map.
    Switch,
    /// It cannot be finished.
    GiveUp(&'static str),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Following,
    Detaching,
    Leasing,
    Copying,
    Draining,
    Switching,
    GivenUp,
}

/// A split or merge while it is made.
#[derive(Debug)]
pub struct Copy {
    parents: Vec<Parent>,
    children: Vec<Child>,
    limits: BatchLimits,
    phase: Phase,
    page_rows: usize,
    /// Of commits that wait in the children's queues or for a page.
    kept_bytes: usize,
    rows: u64,
}

#[derive(Debug)]
struct Parent {
    /// The lease under which it serves, and its last batch.
    lease: Option<(Lease, u64)>,
    /// Where the next page begins; `None` when all is read.
    spot: Option<Spot>,
    /// Commits since the page's read began; `None` while none is read.
    during: Option<Vec<Write>>,
    detached: bool,
    retaken: bool,
}

#[derive(Debug)]
struct Child {
    start: u64,
    last: u64,
    lease: Option<Lease>,
    /// The last batch that was sent.
    batch: u64,
    queue: VecDeque<Queued>,
    putting: bool,
}

impl Child {
    /// Tells whether rows that were read still wait.
    fn has_page(&self) -> bool {
        self.queue.iter().any(|queued| !queued.kept)
    }
}

#[derive(Debug)]
struct Queued {
    write: Write,
    /// A commit, and not a row that was read.
    kept: bool,
}

/// How far it is, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub phase: &'static str,
    /// Rows that were read.
    pub rows: u64,
}

impl Copy {
    /// Begins a copy of so many parents into the ranges' shards: first and last position of each.
    #[must_use]
    pub fn new(parents: usize, children: &[(u64, u64)], limits: BatchLimits) -> Self {
        let parent = |_| Parent {
            lease: None,
            spot: Some(Spot::default()),
            during: None,
            detached: false,
            retaken: false,
        };
        let child = |&(start, last): &(u64, u64)| Child {
            start,
            last,
            lease: None,
            batch: 0,
            queue: VecDeque::new(),
            putting: false,
        };
        Self {
            parents: (0..parents).map(parent).collect(),
            children: children.iter().map(child).collect(),
            limits,
            phase: Phase::Following,
            page_rows: PAGE_ROWS_FIRST,
            kept_bytes: 0,
            rows: 0,
        }
    }

    #[must_use]
    pub fn progress(&self) -> Progress {
        let phase = match self.phase {
            Phase::Following | Phase::Detaching | Phase::Leasing => "begins",
            Phase::Copying => "copies",
            Phase::Draining => "drains",
            Phase::Switching => "switches",
            Phase::GivenUp => "gives up",
        };
        Progress {
            phase,
            rows: self.rows,
        }
    }

    /// Takes one input in.
    pub fn handle(&mut self, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Began { parent, lease, batch } => self.parents[parent].lease = Some((lease, batch)),
            Input::Detached { parent } => self.parents[parent].detached = true,
            Input::Leased { child, lease } => {
                self.children[child].batch = lease.batch;
                self.children[child].lease = Some(lease);
            }
            Input::Read { parent, rows } => self.read(parent, rows, out),
            Input::Committed {
                parent,
                batch,
                writes,
            } => self.committed(parent, batch, writes, out),
            Input::Put { child } => self.children[child].putting = false,
            Input::Drained { parent } => {
                out.push(Output::Retake { parent });
            }
            Input::Retaken { parent, lease } => self.retaken(parent, &lease, out),
        }
        self.go_on(out);
    }

    /// Puts what waits, and goes to the next phase if this one is over.
    fn go_on(&mut self, out: &mut Vec<Output>) {
        self.put(out);
        match self.phase {
            Phase::Following => {
                let leases = self.parents.iter().map(|parent| parent.lease.clone());
                if let Some(leases) = leases.collect::<Option<Vec<_>>>() {
                    self.phase = Phase::Detaching;
                    let leases = leases.into_iter().enumerate();
                    out.extend(leases.map(|(parent, (lease, _))| Output::Detach { parent, lease }));
                }
            }
            Phase::Detaching => {
                if self.parents.iter().all(|parent| parent.detached) {
                    self.phase = Phase::Leasing;
                    let served = self.parents.iter().filter_map(|parent| parent.lease.as_ref());
                    let above = served.map(|(_, batch)| *batch).max().unwrap_or(0) + NUMBERS_APART;
                    out.extend((0..self.children.len()).map(|child| Output::Lease { child, above }));
                }
            }
            Phase::Leasing => {
                if self.children.iter().all(|child| child.lease.is_some()) {
                    self.phase = Phase::Copying;
                    self.go_on(out);
                }
            }
            Phase::Copying => self.copy(out),
            Phase::Draining => {
                if self.parents.iter().all(|parent| parent.retaken) && self.is_put() {
                    self.phase = Phase::Switching;
                    out.push(Output::Switch);
                }
            }
            Phase::Switching | Phase::GivenUp => {}
        }
    }

    /// Reads the next page when the last one is put; drains the parents when there is none.
    fn copy(&mut self, out: &mut Vec<Output>) {
        let reading = self.parents.iter().any(|parent| parent.during.is_some());
        if reading || self.children.iter().any(Child::has_page) {
            return;
        }
        for (place, parent) in self.parents.iter_mut().enumerate() {
            if let Some(from) = parent.spot.clone() {
                parent.during = Some(Vec::new());
                let limit = self.page_rows;
                return out.push(Output::Read {
                    parent: place,
                    from,
                    limit,
                });
            }
        }
        if self.kept_bytes <= REST_BYTES_MAX {
            self.phase = Phase::Draining;
            out.extend((0..self.parents.len()).map(|parent| Output::Drain { parent }));
        }
    }

    fn read(&mut self, place: usize, rows: Rows, out: &mut Vec<Output>) {
        let parent = &mut self.parents[place];
        parent.spot = rows.next;
        let during = parent.during.take().unwrap_or_default();
        self.rows += rows.writes.len() as u64;
        let bytes: usize = rows.writes.iter().map(size).sum();
        // A page of rows of the same size would be as large as wanted.
        let fitting = self.page_rows * PAGE_BYTES_WANTED / bytes.max(PAGE_BYTES_WANTED / PAGE_ROWS_MAX);
        self.page_rows = fitting.clamp(1, PAGE_ROWS_MAX);
        for write in rows.writes {
            self.queue(write, false, out);
        }
        for write in during {
            self.kept_bytes -= size(&write);
            self.keep(place, write, out);
        }
    }

    fn committed(&mut self, place: usize, batch: u64, writes: Vec<Write>, out: &mut Vec<Output>) {
        let parent = &mut self.parents[place];
        if let Some((_, last)) = &mut parent.lease {
            *last = batch;
        }
        if let Some(during) = &mut parent.during {
            self.kept_bytes += writes.iter().map(size).sum::<usize>();
            during.extend(writes);
        } else {
            for write in writes {
                self.keep(place, write, out);
            }
        }
        if self.kept_bytes > KEPT_BYTES_MAX {
            self.give_up("more is committed than can be copied", out);
        }
    }

    /// Queues a commit, unless reading will find the row.
    fn keep(&mut self, parent: usize, write: Write, out: &mut Vec<Output>) {
        let spot = self.parents[parent].spot.as_ref();
        if spot.is_none_or(|spot| spot.has_passed(write.table, &write.key)) {
            self.kept_bytes += size(&write);
            self.queue(write, true, out);
        }
    }

    fn queue(&mut self, write: Write, kept: bool, out: &mut Vec<Output>) {
        let position = moving::position(write.table, &write.key);
        let child = position.and_then(|position| {
            let mut children = self.children.iter_mut();
            children.find(|child| (child.start..=child.last).contains(&position))
        });
        match child {
            Some(child) => child.queue.push_back(Queued { write, kept }),
            // It would be lost.
            None => self.give_up("a row belongs to none of the new shards", out),
        }
    }

    /// Sends each child that waits for nothing what is queued for it.
    fn put(&mut self, out: &mut Vec<Output>) {
        if self.phase == Phase::GivenUp {
            return;
        }
        let (bytes_max, writes_max) = (
            self.limits.bytes.min(PUT_BYTES_MAX),
            self.limits.writes.min(PUT_WRITES_MAX),
        );
        for (place, child) in self.children.iter_mut().enumerate() {
            if child.putting || child.lease.is_none() || child.queue.is_empty() {
                continue;
            }
            let (mut writes, mut bytes) = (Vec::new(), 0);
            while let Some(queued) = child.queue.pop_front() {
                let size = size(&queued.write);
                if !writes.is_empty() && (bytes + size > bytes_max || writes.len() >= writes_max) {
                    child.queue.push_front(queued);
                    break;
                }
                bytes += size;
                if queued.kept {
                    self.kept_bytes -= size;
                }
                writes.push(queued.write);
            }
            child.batch += 1;
            child.putting = true;
            out.push(Output::Put {
                child: place,
                batch: Batch {
                    number: child.batch,
                    writes,
                    ..Batch::default()
                },
            });
        }
    }

    fn retaken(&mut self, place: usize, lease: &Lease, out: &mut Vec<Output>) {
        let parent = &mut self.parents[place];
        parent.retaken = true;
        let unbroken = parent
            .lease
            .as_ref()
            .is_some_and(|(served, last)| lease.epoch == served.epoch + 1 && lease.batch == *last);
        if !unbroken {
            // What that one has committed was not handed over.
            self.give_up("another owner was between", out);
        }
    }

    fn is_put(&self) -> bool {
        let mut children = self.children.iter();
        children.all(|child| child.queue.is_empty() && !child.putting)
    }

    fn give_up(&mut self, why: &'static str, out: &mut Vec<Output>) {
        if self.phase != Phase::GivenUp {
            self.phase = Phase::GivenUp;
            out.push(Output::GiveUp(why));
        }
    }
}

fn size(write: &Write) -> usize {
    write.key.len() + write.value.as_ref().map_or(0, bytes::Bytes::len)
}

#[cfg(test)]
mod tests;
