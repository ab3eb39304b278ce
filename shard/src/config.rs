//! Settings of a shard.

use std::num::NonZeroUsize;

use serde::Deserialize;

/// Settings of a shard; all shards of a node share them.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Memory that the resident runs of one shard may take, in bytes, by estimate.
    pub cache_bytes_max: NonZeroUsize,
    /// Bytes that may wait for the next commit; over it requests are refused as busy.
    pub stage_bytes_max: NonZeroUsize,
    /// Messages in one shard's mailbox; over it a call is refused as busy.
    pub mailbox_messages_max: NonZeroUsize,
}

const fn non_zero(value: usize) -> NonZeroUsize {
    match NonZeroUsize::new(value) {
        Some(value) => value,
        None => NonZeroUsize::MIN,
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cache_bytes_max: non_zero(8 << 20),
            stage_bytes_max: non_zero(16 << 20),
            mailbox_messages_max: non_zero(10_000),
        }
    }
}
