//! The polls that wait, the longest-waiting first.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use proto::time::Timestamp;

use crate::input::PollToken;

#[derive(Clone, Debug)]
pub(super) struct Poll {
    pub(super) identity: Arc<str>,
    pub(super) worker_instance_key: Arc<str>,
    pub(super) since: Timestamp,
    pub(super) deadline: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct Polls {
    /// Tokens grow, so their order is that of arrival.
    waiting: BTreeMap<PollToken, Poll>,
    deadlines: BTreeSet<(Timestamp, PollToken)>,
}

impl Polls {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn add(&mut self, token: PollToken, poll: Poll) {
        self.deadlines.insert((poll.deadline, token));
        self.waiting.insert(token, poll);
    }

    pub(super) fn pop_first(&mut self) -> Option<(PollToken, Poll)> {
        let (token, poll) = self.waiting.pop_first()?;
        self.deadlines.remove(&(poll.deadline, token));
        Some((token, poll))
    }

    pub(super) fn remove(&mut self, token: PollToken) -> bool {
        let Some(poll) = self.waiting.remove(&token) else {
            return false;
        };
        self.deadlines.remove(&(poll.deadline, token))
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Takes out one poll whose deadline has come.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<PollToken> {
        let (deadline, token) = *self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        self.remove(token);
        Some(token)
    }

    /// Returns the polls of one worker process.
    pub(super) fn of_worker(&self, worker_instance_key: &str) -> Vec<PollToken> {
        let of_worker = |poll: &Poll| &*poll.worker_instance_key == worker_instance_key;
        self.waiting
            .iter()
            .filter(|(_, poll)| of_worker(poll))
            .map(|(token, _)| *token)
            .collect()
    }
}
