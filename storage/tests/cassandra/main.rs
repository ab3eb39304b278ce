//! The Cassandra backend on a real server: the whole contract, and what only a network can do to it.
//!
//! `PERDURE_CASSANDRA` names the server, as `127.0.0.1:9042`; `cargo xtask test` starts one. On several nodes
//! (`cargo xtask cassandra 3`) set `PERDURE_CASSANDRA_COPIES=3`.

#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

mod faults;
mod outages;
mod proxy;
mod server;
mod tails;
mod tombstones;
mod visibility;

use server::Keyspace;

perdure_storage::suite!(contract, Keyspace::new());
