//! The simulated cluster: nodes with their gossip, leases, shards and queues over one store, and everything between
//! them that can fail. One clock decides in which order things happen; the same seed tells the same story.

mod calls;
mod carrier;
mod deeds;
mod gossip;
mod maps;
mod network;
mod node;
mod shards;
mod store;
mod story;
mod sweeper;
mod work;
mod world;

pub(crate) use world::World;
