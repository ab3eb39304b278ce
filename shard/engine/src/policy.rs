//! Pure rules: when something is tried again, and what follows a run that closes.

pub(crate) mod chain;
pub mod cron;
pub(crate) mod priority;
pub(crate) mod retry;
pub mod versioning;
