//! Tests that cross crates.

pub mod client;
pub mod process;
