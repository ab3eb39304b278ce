//! Settings of a shard.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

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
    /// How long an owner answers from memory after its last proof that it is the owner. Where the store is shared,
    /// an owner that was cut off may give answers that are out of date by this much; 0 asks the store each time.
    pub lease_trust_millis: u32,
    /// How long the auditor rests between two reads of some twenty runs.
    pub audit_interval_seconds: NonZeroU32,
    /// How long after a pass of the auditor the next one begins, if something was written since.
    pub audit_period_seconds: NonZeroU32,
}

impl Config {
    #[must_use]
    pub fn lease_trust(&self) -> Duration {
        Duration::from_millis(self.lease_trust_millis.into())
    }

    pub(crate) fn audit_interval(&self) -> Duration {
        Duration::from_secs(self.audit_interval_seconds.get().into())
    }

    pub(crate) fn audit_period(&self) -> Duration {
        Duration::from_secs(self.audit_period_seconds.get().into())
    }
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
            lease_trust_millis: 1_000,
            audit_interval_seconds: NonZeroU32::new(5).unwrap_or(NonZeroU32::MIN),
            audit_period_seconds: NonZeroU32::new(24 * 60 * 60).unwrap_or(NonZeroU32::MIN),
        }
    }
}
