//! Storage: keeps bytes for shards, the registry and the visibility index. Knows no workflow.
//!
//! `shard` holds the contract that every backend keeps and `suite` the tests that hold it to that.

pub mod batch;
#[cfg(feature = "cassandra")]
pub mod cassandra;
pub mod config;
pub mod counted;
pub mod embedded;
pub mod error;
mod fence;
pub mod memory;
pub mod metrics;
pub mod registry;
pub mod shard;
#[cfg(any(test, feature = "suite"))]
pub mod suite;
pub mod visibility;
