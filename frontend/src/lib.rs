//! Frontend: the public face. Parses calls, so that what goes on cannot be wrong; asks the router; renders the answer.
//!
//! `grpc` serves the API: its services name the function that answers each RPC, one file each in `workflow`,
//! `worker`, `activity`, `visibility`, `queue`, `namespace` and `operator`. `status` alone makes a `tonic::Status`.
//! Decides nothing about a workflow and keeps nothing of one.

pub mod config;
pub mod frontend;
pub mod grpc;
pub mod http;
pub mod limits;
pub mod metrics;
pub mod namespace;

mod activity;
mod call;
mod error;
mod history;
mod news;
mod operator;
mod queue;
mod rate;
mod render;
mod status;
mod system;
mod validate;
mod versions;
mod visibility;
mod worker;
mod workflow;
