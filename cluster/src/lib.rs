//! Cluster: places, routes and connects shards and queues.
//!
//! `host` runs the actors on arbiters, `router` finds the one that is meant, `courier` carries what leaves a shard
//! and `indexer` feeds the visibility index. A caller cannot tell whether what it asks is local.

pub mod config;
pub mod host;
pub mod leases;
pub mod map;
pub mod metrics;
pub mod router;
pub mod view;

mod courier;
mod indexer;
mod quarantine;
