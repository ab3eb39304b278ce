//! Tests that cross crates.

pub mod process;
