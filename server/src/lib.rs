//! Server: puts the parts together. A program can embed it: load a [`config::Config`] and call [`run::run`].

pub mod cli;
pub mod config;
pub mod membership;
pub mod run;
pub mod telemetry;
