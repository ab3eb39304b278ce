//! What a queue has to tell shards and the host, while the channel to the courier is full too.

use std::collections::VecDeque;

use proto::ids::QueueKey;
use tokio::sync::mpsc::{OwnedPermit, Sender, error::TrySendError};

use crate::{
    handle::{Notice, QueueNotice},
    limits::NOTICES_PENDING_MAX,
};

/// A bounded row of notices in front of a bounded channel.
pub(crate) struct Notices {
    queue: QueueKey,
    channel: Sender<QueueNotice>,
    pending: VecDeque<QueueNotice>,
    waiting: bool,
}

/// The notice was dropped: too many wait. Its shard announces again by itself.
pub(crate) struct Dropped;

impl Notices {
    pub(crate) fn new(queue: QueueKey, channel: Sender<QueueNotice>) -> Self {
        Self {
            queue,
            channel,
            pending: VecDeque::new(),
            waiting: false,
        }
    }

    pub(crate) fn send(&mut self, what: Notice) -> Result<(), Dropped> {
        if self.pending.len() >= NOTICES_PENDING_MAX {
            return Err(Dropped);
        }
        self.pending.push_back(QueueNotice {
            queue: self.queue.clone(),
            what,
        });
        if self.pending.len() == 1 {
            self.flush();
        }
        Ok(())
    }

    fn flush(&mut self) {
        while let Some(notice) = self.pending.pop_front() {
            // A closed channel means that the node stops: nobody is left to tell.
            if let Err(TrySendError::Full(notice)) = self.channel.try_send(notice) {
                self.pending.push_front(notice);
                return;
            }
        }
    }

    /// Returns what waits for room, unless nothing is pending or somebody waits already.
    pub(crate) fn room(&mut self) -> Option<impl Future<Output = Option<OwnedPermit<QueueNotice>>> + use<>> {
        if self.pending.is_empty() || self.waiting {
            return None;
        }
        self.waiting = true;
        let channel = self.channel.clone();
        Some(async move { channel.reserve_owned().await.ok() })
    }

    /// Takes the room that was waited for, and what more there is.
    pub(crate) fn go_on(&mut self, room: Option<OwnedPermit<QueueNotice>>) {
        self.waiting = false;
        if let Some(room) = room
            && let Some(notice) = self.pending.pop_front()
        {
            room.send(notice);
        }
        self.flush();
    }
}
