//! Shard: many runs, one writer.
//!
//! `shard` is the pure core, `actor` its shell and `handle` the way to it. The core owns the runs in memory, what
//! the next commit writes, the timers and what is owed; it never does I/O, and nothing leaves it before the batch
//! that decided it is durable. The cluster's host starts shards and does their outputs.

pub mod actor;
pub mod auditor;
pub mod config;
pub mod courier;
pub mod feed;
pub mod handle;
pub mod input;
pub mod metrics;
pub mod moving;
pub mod namespaces;
pub mod output;
pub mod reads;
pub mod report;
pub mod shard;
pub mod view;

mod absorb;
mod ask;
mod cache;
mod codec;
mod drain;
mod fill;
mod indexing;
mod limits;
mod loads;
mod outbox;
mod proof;
mod ready;
mod rows;
mod seal;
mod stage;
pub mod tally;
mod timers;
mod unit;
mod watchers;
