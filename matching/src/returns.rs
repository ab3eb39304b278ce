//! What handles leave for the actor beside its mailbox, as it must not be lost when that is full.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use proto::{ids::ShardId, time::Timestamp};

use crate::{
    input::{Input, PollToken, QueryId},
    limits::SHARDS_REMEMBERED_MAX,
    output::Give,
    ticket::Ticket,
};

/// A list that the actor takes before each message. Bounded by the polls and queries that wait, and by the shards.
#[derive(Debug, Default)]
pub(crate) struct Returns(Mutex<Left>);

#[derive(Debug, Default)]
pub(crate) struct Left {
    pub(crate) futures: Vec<Return>,
    shards: BTreeMap<ShardId, News>,
    /// The last rate that the API has set, or unset.
    rate: Option<Option<f64>>,
}

/// What comes back from a future that was dropped.
#[derive(Debug)]
pub(crate) enum Return {
    PollGone(PollToken),
    /// Given, but the future was dropped before it took it.
    Undelivered(Box<Give>),
    QueryGone(QueryId),
}

/// What a shard holds back, as far as the mailbox did not take it.
#[derive(Debug)]
enum News {
    /// So many tickets found the mailbox full.
    Missed { count: u64, oldest: Timestamp },
    /// The shard's own word.
    Said { count: u64, oldest: Timestamp },
}

impl Returns {
    pub(crate) fn take(&self) -> Left {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says whether nothing was there before: then the actor is to be woken.
    pub(crate) fn add(&self, what: Return) -> bool {
        self.change(|left| left.futures.push(what))
    }

    /// Notes that a ticket found the mailbox full; as `add`.
    pub(crate) fn missed(&self, ticket: &Ticket) -> bool {
        self.change(|left| {
            let now = News::Missed {
                count: 1,
                oldest: ticket.scheduled_time,
            };
            let news = match left.shards.remove(&ticket.shard) {
                None => now,
                Some(News::Missed { count, oldest }) => News::Missed {
                    count: count + 1,
                    oldest: oldest.min(ticket.scheduled_time),
                },
                Some(News::Said { count, oldest }) => News::Said {
                    count: count + 1,
                    oldest: oldest.min(ticket.scheduled_time),
                },
            };
            left.tell(ticket.shard, news);
        })
    }

    /// Keeps what a shard says until the actor takes it; as `add`.
    pub(crate) fn said(&self, shard: ShardId, count: u64, oldest: Timestamp) -> bool {
        self.change(|left| left.tell(shard, News::Said { count, oldest }))
    }

    /// Keeps the rate of the API until the actor takes it, the last one if there are several; as `add`.
    pub(crate) fn rate(&self, rate: Option<f64>) -> bool {
        self.change(|left| left.rate = Some(rate))
    }

    fn change(&self, change: impl FnOnce(&mut Left)) -> bool {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = left.futures.is_empty() && left.shards.is_empty() && left.rate.is_none();
        change(&mut left);
        was_empty
    }
}

impl Left {
    fn tell(&mut self, shard: ShardId, news: News) {
        if self.shards.len() < SHARDS_REMEMBERED_MAX || self.shards.contains_key(&shard) {
            self.shards.insert(shard, news);
        }
    }

    /// Returns what the queue is to hear of shards, and of its rate.
    pub(crate) fn news(&mut self) -> impl Iterator<Item = Input> + use<> {
        let shards = std::mem::take(&mut self.shards)
            .into_iter()
            .map(|(shard, news)| match news {
                News::Missed { count, oldest } => Input::Missed { shard, count, oldest },
                News::Said { count, oldest } => Input::HeldBack { shard, count, oldest },
            });
        shards.chain(self.rate.take().map(Input::SetRate))
    }
}
