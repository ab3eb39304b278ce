//! Cluster: places, routes and connects shards and queues.
//!
//! `placement` says what belongs to which node, `leases` what a node takes up and gives up accordingly, `keeper` does it
//! on the threads of `host`, `router` finds the one that is meant, here or by `rpc` on another node, `courier` carries
//! what leaves a shard and `indexer` feeds the visibility index. A caller cannot tell whether what it asks is local.

pub mod config;
pub mod host;
pub mod leases;
pub mod map;
pub mod metrics;
pub mod operate;
pub mod placement;
pub mod queue;
pub mod reach;
pub mod router;
pub mod split;
pub mod tickets;
pub mod view;
pub mod workers;

mod aside;
mod courier;
mod indexer;
mod keeper;
mod liveness;
mod maps;
mod peers;
mod quarantine;
mod queues;
mod rpc;
mod threads;
mod wire;
