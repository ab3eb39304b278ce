//! Server: puts the parts together. A program can embed it: load a [`config::Config`] and call [`run::run`].

pub mod admin;
pub mod cli;
pub mod config;
mod dynamic;
mod files;
pub mod membership;
#[cfg(feature = "cassandra")]
pub mod persistence;
#[cfg(not(feature = "cassandra"))]
#[path = "persistence/without.rs"]
pub mod persistence;
pub mod run;
#[cfg(feature = "cassandra")]
pub mod schema;
pub mod telemetry;

mod node;
