//! The core of a task queue: tickets meet pollers. Pure; the actor calls it.

use std::sync::Arc;

use proto::{ids::QueueKey, time::Timestamp};

use crate::{
    config::Config,
    input::Input,
    output::{Output, Why},
    view::QueueView,
};

/// One task queue.
#[derive(Debug)]
pub struct Queue {
    config: Arc<Config>,
}

impl Queue {
    #[must_use]
    pub fn new(_key: &QueueKey, config: Arc<Config>, _now: Timestamp) -> Self {
        Self { config }
    }

    /// Takes one input and says what follows from it.
    pub fn handle(&mut self, _input: Input, _now: Timestamp, _out: &mut Vec<Output>) {
        let _ = &self.config;
    }

    /// Returns when the queue wants a `Tick`, at the latest, and why.
    #[must_use]
    pub fn next_deadline(&self) -> Option<(Timestamp, Why)> {
        None
    }

    /// Says that nothing waits and that nobody came for `idle_after`.
    #[must_use]
    pub fn is_idle(&self, _now: Timestamp) -> bool {
        false
    }

    /// Returns how many polls wait.
    #[must_use]
    pub fn polls(&self) -> usize {
        0
    }

    /// Returns about how many tasks wait here and in the shards.
    #[must_use]
    pub fn backlog(&self) -> i64 {
        0
    }

    /// Shows the queue as it is.
    #[must_use]
    pub fn view(&self, _now: Timestamp) -> QueueView {
        unimplemented!()
    }
}
