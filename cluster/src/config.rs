//! Settings of a node.

use std::num::{NonZeroU32, NonZeroUsize};

use serde::Deserialize;

/// Settings of a node; the number of shards counts only when a cluster is first set up.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Shards that a new cluster begins with.
    pub shards: NonZeroU32,
    /// Threads that run shards and queues.
    pub actor_threads: NonZeroUsize,
    pub shard: shard::config::Config,
    pub matching: matching::config::Config,
    /// What a run may grow to; set by the names of dynamic settings only.
    #[serde(skip)]
    pub limits: engine::limits::Limits,
}

impl Default for Config {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            shards: NonZeroU32::new(8).unwrap_or(NonZeroU32::MIN),
            actor_threads: NonZeroUsize::new(cores.div_ceil(2)).unwrap_or(NonZeroUsize::MIN),
            shard: shard::config::Config::default(),
            matching: matching::config::Config::default(),
            limits: engine::limits::Limits::default(),
        }
    }
}
