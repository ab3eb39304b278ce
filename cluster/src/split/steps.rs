//! Steps: a split or merge from its beginning in the map to the one write that makes it true, or back out of it; the
//! numbers are those of `docs/adr/0007`.
//!
//! Pure: maps, answers and what the parents say come in, what to do goes out; the carrier does it, and the simulation
//! too. Between the two writes of the map [`super::copy`] says what is done.
//!
//! ```text
//! Beginning (1) -> Copying (2-5) -> Switching (6) -> Over
//!     |               |                |              ^
//!     |               +----------------+-> Withdrawing|
//!     +-----------------------------------------------+
//! ```

use std::sync::Arc;

use proto::ids::ShardId;
use shard::feed::Fed;
use storage::shard::BatchLimits;

use super::copy::{self, Copy, Progress};
use crate::map::{PlanError, ShardMap, change::Change};

const TAKEN_BACK: &str = "the change was taken back, or a parent taken up elsewhere";

/// What happens.
#[derive(Debug)]
pub enum Input<'a> {
    /// The stored map, as it was asked for.
    Map(Arc<ShardMap>),
    /// The map was written.
    Written,
    /// Somebody else has changed the map: it was not written.
    Refused,
    /// This node knows this map.
    Heard(&'a ShardMap),
    /// What has come of what was wanted, or what a parent has said.
    Copied(copy::Input),
    /// A parent says nothing more.
    Ended,
    /// Something could not be done, or nobody knows whether it was.
    Failed,
}

impl Input<'_> {
    /// What a parent has said.
    #[must_use]
    pub fn said(parent: usize, fed: Fed) -> Self {
        match fed {
            Fed::Began { lease, batch } => Self::Copied(copy::Input::Began { parent, lease, batch }),
            Fed::Committed { batch, writes } => Self::Copied(copy::Input::Committed {
                parent,
                batch,
                writes,
            }),
            Fed::Ended => Self::Ended,
        }
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Read the stored map.
    ReadMap,
    /// Put this map in the place of the one that was read last.
    WriteMap(ShardMap),
    /// Have the parents tell what they commit. The children are given by their places from here on.
    Follow { children: Vec<ShardId> },
    /// Never [`copy::Output::Switch`] or [`copy::Output::GiveUp`].
    Copy(copy::Output),
    /// Nothing of the copy is wanted any more, and the parents may be taken up here again.
    Stop,
    /// The children are the shards.
    Done,
    /// Everything is as it was, or whoever takes a parent up next sees to it.
    Failed(Why),
}

/// Why a change is not made this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    #[error("{0}")]
    Said(&'static str),
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Whoever did it knows.
    #[error("a step failed")]
    Step,
}

#[derive(Debug)]
enum Stage {
    /// With the map that is being written.
    Beginning(Option<ShardMap>),
    Copying {
        copy: Box<Copy>,
        drains: bool,
    },
    Switching,
    Withdrawing(Why),
    Over,
}

/// A split or merge while it is made.
#[derive(Debug)]
pub struct Steps {
    parents: Vec<u32>,
    children: Vec<u32>,
    /// Of the runs that were used lately: where a split is made of which nobody has said where.
    median: Option<u64>,
    limits: BatchLimits,
    /// Of the map that names the children: what is older says nothing of them.
    version: u64,
    stage: Stage,
}

impl Steps {
    /// Begins.
    #[must_use]
    pub fn new(change: &Change, median: Option<u64>, limits: BatchLimits, out: &mut Vec<Output>) -> Self {
        out.push(Output::ReadMap);
        Self {
            parents: change.parents.clone(),
            children: Vec::new(),
            median,
            limits,
            version: 0,
            stage: Stage::Beginning(None),
        }
    }

    /// Returns how far it is; `None` before and after the copy.
    #[must_use]
    pub fn progress(&self) -> Option<Progress> {
        match &self.stage {
            Stage::Copying { copy, .. } => Some(copy.progress()),
            Stage::Beginning(_) | Stage::Switching | Stage::Withdrawing(_) | Stage::Over => None,
        }
    }

    /// Takes one input in.
    pub fn handle(&mut self, input: Input<'_>, out: &mut Vec<Output>) {
        match input {
            Input::Map(map) => self.map(&map, out),
            Input::Written => self.written(out),
            Input::Refused => out.push(Output::ReadMap),
            Input::Heard(map) => {
                let copies = matches!(self.stage, Stage::Copying { .. });
                if copies && map.version >= self.version && !self.fills(map) {
                    self.withdraw(Why::Said(TAKEN_BACK), out);
                }
            }
            Input::Copied(input) => self.copied(input, out),
            Input::Ended => {
                // One that is drained for this ends, too. What it has not told is found by its lease.
                if matches!(self.stage, Stage::Copying { drains: false, .. }) {
                    let why = "the shard went elsewhere, or was too busy to be followed";
                    self.withdraw(Why::Said(why), out);
                }
            }
            Input::Failed => match self.stage {
                // Nobody knows of children, or whoever begins next discards them.
                Stage::Beginning(_) => self.fail(Why::Step, out),
                // Also settles whether the map was written after all.
                Stage::Copying { .. } | Stage::Switching => self.withdraw(Why::Step, out),
                // Whoever takes a parent up, or begins anew, does the same.
                Stage::Withdrawing(why) => self.fail(why, out),
                Stage::Over => {}
            },
        }
    }

    /// Says what the map is to be.
    fn map(&mut self, map: &ShardMap, out: &mut Vec<Output>) {
        let done = || {
            self.children
                .iter()
                .all(|child| map.range(ShardId(*child)).is_some())
        };
        match &self.stage {
            Stage::Beginning(_) => match self.begin(map) {
                Ok(begun) => {
                    out.push(Output::WriteMap(begun.clone()));
                    self.stage = Stage::Beginning(Some(begun));
                }
                Err(why) => self.fail(why, out),
            },
            Stage::Switching if self.fills(map) => match map.finish() {
                Ok(done) => out.push(Output::WriteMap(done)),
                Err(why) => self.withdraw(why.into(), out),
            },
            Stage::Withdrawing(_) if self.fills(map) => out.push(Output::WriteMap(map.withdraw())),
            // An earlier write of this one may have landed unheard.
            Stage::Switching | Stage::Withdrawing(_) if done() => self.end(Output::Done, out),
            Stage::Switching => self.fail(Why::Said(TAKEN_BACK), out),
            Stage::Withdrawing(why) => self.fail(*why, out),
            Stage::Copying { .. } | Stage::Over => {}
        }
    }

    /// Sets ids for the new shards aside.
    fn begin(&self, map: &ShardMap) -> Result<ShardMap, Why> {
        let wanted = map.change.as_ref();
        if wanted.is_none_or(|change| change.parents != self.parents) {
            return Err(Why::Said("the change was taken back"));
        }
        let at = match self.parents[..] {
            [shard] => map.middle(ShardId(shard), self.median),
            _ => 0,
        };
        Ok(map.begin(at)?)
    }

    fn written(&mut self, out: &mut Vec<Output>) {
        match &mut self.stage {
            Stage::Beginning(begun) => {
                if let Some(begun) = begun.take() {
                    self.follow(&begun, out);
                }
            }
            Stage::Switching => self.end(Output::Done, out),
            Stage::Withdrawing(why) => {
                let why = *why;
                self.fail(why, out);
            }
            Stage::Copying { .. } | Stage::Over => {}
        }
    }

    fn follow(&mut self, begun: &ShardMap, out: &mut Vec<Output>) {
        self.version = begun.version;
        let change = begun.change.as_ref();
        self.children = change.map_or_else(Vec::new, |change| change.children.clone());
        let done = match begun.finish() {
            Ok(done) => done,
            Err(why) => return self.withdraw(why.into(), out),
        };
        let children: Vec<_> = self.children.iter().copied().map(ShardId).collect();
        let ranges: Vec<_> = children.iter().filter_map(|child| done.range(*child)).collect();
        let copy = Copy::new(self.parents.len(), &ranges, self.limits);
        self.stage = Stage::Copying {
            copy: Box::new(copy),
            drains: false,
        };
        out.push(Output::Follow { children });
    }

    fn copied(&mut self, input: copy::Input, out: &mut Vec<Output>) {
        let Stage::Copying { copy, drains } = &mut self.stage else {
            return;
        };
        let mut wanted = Vec::new();
        copy.handle(input, &mut wanted);
        *drains |= wanted
            .iter()
            .any(|output| matches!(output, copy::Output::Drain { .. }));
        for output in wanted {
            match output {
                copy::Output::Switch => {
                    self.stage = Stage::Switching;
                    out.push(Output::ReadMap);
                }
                copy::Output::GiveUp(why) => return self.withdraw(Why::Said(why), out),
                other => out.push(Output::Copy(other)),
            }
        }
    }

    /// Says that nobody fills the children any more.
    fn withdraw(&mut self, why: Why, out: &mut Vec<Output>) {
        // What was wanted of the copy a moment ago is not any more.
        out.retain(|output| !matches!(output, Output::Copy(_)));
        self.stage = Stage::Withdrawing(why);
        out.extend([Output::Stop, Output::ReadMap]);
    }

    fn fail(&mut self, why: Why, out: &mut Vec<Output>) {
        self.end(Output::Failed(why), out);
    }

    fn end(&mut self, how: Output, out: &mut Vec<Output>) {
        self.stage = Stage::Over;
        out.push(how);
    }

    /// Tells whether the map says that these children are being filled.
    fn fills(&self, map: &ShardMap) -> bool {
        let change = map.change.as_ref();
        change.is_some_and(|change| !self.children.is_empty() && change.children == self.children)
    }
}

#[cfg(test)]
mod tests;
