//! What clients do with workflows: one file for each RPC.

pub(crate) mod cancel;
pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod get_history;
pub(crate) mod get_history_reverse;
pub(crate) mod multi_operation;
pub(crate) mod poll_update;
pub(crate) mod query;
pub(crate) mod reset;
pub(crate) mod reset_sticky;
pub(crate) mod signal;
pub(crate) mod signal_with_start;
pub(crate) mod start;
pub(crate) mod terminate;
pub(crate) mod update;
pub(crate) mod update_options;
