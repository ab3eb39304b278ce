//! Matching: task queues, where tickets meet pollers.
//!
//! `queue` is the core, a plain struct without clock, random or I/O; `actor` runs it and `handle` talks to it.
//! It keeps nothing that cannot be announced again, and never calls a shard: whoever polls redeems the ticket.

pub mod actor;
pub mod config;
pub mod error;
pub mod handle;
pub mod input;
mod life;
pub mod limits;
mod message;
pub mod metrics;
mod notices;
pub mod output;
pub mod queue;
mod replies;
mod returns;
pub mod ticket;
pub mod view;
