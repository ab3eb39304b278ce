//! Membership: how this process finds the other nodes of its cluster, and what it tells the host of them.

pub mod member;
pub mod settings;
