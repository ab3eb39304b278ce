//! Engine: one run. A trigger goes in, changes, effects and a reply come out.
//!
//! `start`, `step` and `replay` are the verbs. Pure: no async, no clock, no randomness, no I/O; what a step needs
//! of these is in its [`trigger::Context`]. It fails only by [`outcome::Rejection`], which changes nothing. The
//! shard calls it; it knows nothing of shards, stores or queues.

pub mod describe;
pub mod effect;
pub mod invariants;
pub mod limits;
pub mod metrics;
pub mod options;
pub mod outcome;
pub mod run;
pub mod state;
pub mod trigger;

pub mod child;
pub mod replay;
pub mod reset;

mod apply;
mod close;
mod command;
mod deliver;
mod event_type;
mod hand_over;
mod nesting;
pub mod policy;
mod query;
mod start;
mod step;
mod task;
mod tx;
mod update;

#[cfg(test)]
mod rig;

pub use hand_over::{hand_over, is_in_hand};
pub use start::{Current, Last, start};
pub use step::step;
