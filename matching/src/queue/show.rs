//! What the queue shows of itself, and when it wants to be told the time.

use std::time::Duration;

use proto::time::Timestamp;

use super::{Queue, flow::Rates};
use crate::{
    output::Why,
    ticket::Priority,
    view::{QueueView, RateView, Stats},
};

impl Queue {
    /// Returns when the queue wants a `Tick`, at the latest, and why.
    #[must_use]
    pub fn next_deadline(&self) -> Option<(Timestamp, Why)> {
        let throttled = !self.polls.is_empty() && !self.backlog.is_empty();
        let hopeless = self.queries.waiting() > 0 && self.poller_seen.is_none();
        [
            self.polls.next_deadline().map(|at| (at, Why::Poll)),
            self.queries.next_deadline().map(|at| (at, Why::Query)),
            hopeless.then(|| (self.started + self.config.rehome_grace, Why::Query)),
            self.rate
                .pacer
                .ready_at()
                .filter(|_| throttled)
                .map(|at| (at, Why::Rate)),
            self.shards.next_deadline().map(|at| (at, Why::Credit)),
            self.idle_at().map(|at| (at, Why::Idle)),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Says that nothing waits and that nobody came for `idle_after`.
    #[must_use]
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.is_quiet() && now.since(self.used) >= self.config.idle_after
    }

    /// Returns when to say that the queue is idle, as long as nobody comes.
    pub(super) fn idle_at(&self) -> Option<Timestamp> {
        let since = self.idle_said.map_or(self.used, |said| said.max(self.used));
        self.is_quiet().then(|| since + self.config.idle_after)
    }

    fn is_quiet(&self) -> bool {
        self.backlog.is_empty() && self.polls.is_empty() && self.queries.len() == 0 && self.shards.is_empty()
    }

    /// Returns how many polls wait.
    #[must_use]
    pub fn polls(&self) -> usize {
        self.polls.len()
    }

    /// Returns about how many tasks wait here and in the shards.
    #[must_use]
    pub fn backlog(&self) -> i64 {
        let waiting = i64::try_from(self.backlog.len()).unwrap_or(i64::MAX);
        waiting.saturating_add(i64::try_from(self.shards.count()).unwrap_or(i64::MAX))
    }

    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.backlog
            .oldest()
            .into_iter()
            .chain(self.shards.oldest())
            .min()
    }

    /// Shows the queue as it is.
    #[must_use]
    pub fn view(&self, now: Timestamp) -> QueueView {
        let held_back = self.shards.count();
        let count = self.backlog.len() as u64 + held_back;
        let stats_by_priority = Priority::all()
            .map(|priority| {
                let count = self.backlog.level_len(priority) as u64;
                let oldest = self.backlog.level_oldest(priority);
                (
                    priority.key(),
                    self.stats(count, oldest, self.flow.level_rates(priority, now), now),
                )
            })
            .filter(|(_, stats)| *stats != Stats::default())
            .collect();
        QueueView {
            stats: self.stats(count, self.oldest(), self.flow.rates(now), now),
            stats_by_priority,
            tickets: self.backlog.len(),
            ticket_bytes: self.backlog.bytes(),
            held_back,
            shards_held_back: self.shards.len(),
            polls: self.polls.len(),
            queries_waiting: self.queries.waiting(),
            queries_given: self.queries.len() - self.queries.waiting(),
            rate: RateView {
                api: self.rate.api,
                worker: self.rate.worker,
                effective: self.rate.effective(),
            },
            pollers: self.history.view(now),
            draining: self.draining,
        }
    }

    fn stats(&self, count: u64, oldest: Option<Timestamp>, rates: Rates, now: Timestamp) -> Stats {
        Stats {
            approximate_backlog_count: count,
            approximate_backlog_age: oldest.map_or(Duration::ZERO, |oldest| now.since(oldest)),
            tasks_add_rate: rates.add,
            tasks_dispatch_rate: rates.dispatch,
            rate_limiting_active: count > 0 && self.rate.pacer.holds(now),
        }
    }
}
