//! Nodes: a whole cluster on loopback, of server processes and a real Cassandra, for tests and to try by hand.
//!
//! [`cluster::Cluster`] starts, stops and lists them. What it started stands in a file, so that another process can
//! go on with it. Knows no API of the server but its settings file and its health pages.

pub mod cluster;
pub mod cuts;
pub mod error;
pub mod page;
pub mod ports;
pub mod state;

mod node;
mod process;
