//! Membership: who is in the cluster, and what each node shall own.
//!
//! ```text
//! seeds, datagrams, time -> agent -> gossip (core, around foca) -> View -> Ring -> owner of a shard or queue
//! ```
//!
//! [`agent::Agent`] is the shell: a thread with a UDP socket that publishes a [`view::View`] on each change.
//! [`gossip::Gossip`] is the core: SWIM with suspicion by foca, and around it our identity, the envelope of each
//! datagram, announcements to seeds and lost members, and the view. It has no clock, socket or randomness of its own.
//! [`ring::Ring`] tells from a view which node shall own what, the same on every node that sees the same.
//!
//! A node is its name and a generation that grows with each start, never an address. Gossip is a hint: two nodes may
//! see different views for a while, and then both believe to own a shard. Who may write is decided by the shard's
//! lease in the store, never here.
//!
//! Knows ids and time of `proto` and nothing else of ours. `cluster` and `server` use it.

pub mod agent;
pub mod config;
pub mod error;
pub mod gossip;
pub mod limits;
pub mod metrics;
pub mod name;
pub mod ring;
pub mod secret;
pub mod view;

mod envelope;
mod identity;
mod replay;
mod wire;
