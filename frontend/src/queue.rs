//! What operators ask of task queues: one file for each RPC.

pub(crate) mod describe;
pub(crate) mod list_partitions;
pub(crate) mod settings;
pub(crate) mod update_config;
