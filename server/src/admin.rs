//! Admin: what operators ask and tell the cluster.
//!
//! ```text
//! perdure admin -> HTTP, from the node's own machine -> pages -> operator -> this node, or another one by its rpc
//! ```
//!
//! Each command goes to one node, which asks the others itself. Why not by gRPC: docs/adr/0009.

pub mod command;
pub mod operator;
pub mod pages;

mod changes;
mod client;
mod question;
mod table;
