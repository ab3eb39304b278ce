//! The words that every other crate uses: the API's generated messages, ids, time, tokens and metrics.
//!
//! Owns no behaviour. Everything depends on it; it depends on nothing of ours.

pub mod ids;
pub mod metrics;
pub mod time;
pub mod token;

/// The API's messages and, under the feature `grpc`, its service traits, as protobuf packages nest.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    elided_lifetimes_in_paths,
    clippy::all,
    reason = "generated code"
)]
pub mod api {
    include!(concat!(env!("OUT_DIR"), "/api.rs"));
}

pub use api::{perdure::node::v1 as node, temporal::api as temporal};

/// The encoded descriptor set of the API, with `google.api.http` kept: for reflection and the HTTP gateway.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
