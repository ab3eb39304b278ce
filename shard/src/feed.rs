//! Feed: hands what a shard commits, batch by batch, to whoever copies its rows.
//!
//! Bounded in bytes. A follower that is too slow is left behind: the feed ends, and the copy with it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use storage::{
    batch::{Batch, Write},
    shard::Lease,
};
use tokio::sync::mpsc;

/// Bytes on their way to a follower.
const BYTES_MAX: usize = 16 << 20;

/// What a follower hears.
#[derive(Debug)]
pub enum Fed {
    /// Every batch after this one is handed over.
    Began { lease: Lease, batch: u64 },
    /// The batch is durable.
    Committed { batch: u64, writes: Vec<Write> },
    /// Nothing more comes.
    Ended,
}

/// The shard's end of a feed. Several feeds may end in one place: `tag` tells them apart there.
#[derive(Debug)]
pub struct Feed {
    tag: usize,
    to: mpsc::UnboundedSender<(usize, Fed)>,
    waiting: Arc<AtomicUsize>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// A batch is under way that was not seen.
    Waiting,
    Following {
        /// The batch under way.
        sent: Option<(u64, Vec<Write>)>,
    },
    Over,
}

/// Where feeds end.
#[derive(Debug)]
pub struct Follower {
    from: mpsc::UnboundedReceiver<(usize, Fed)>,
    to: mpsc::UnboundedSender<(usize, Fed)>,
    waiting: Arc<AtomicUsize>,
}

impl Default for Follower {
    #[expect(
        clippy::disallowed_methods,
        reason = "bounded in bytes, and the end is always heard"
    )]
    fn default() -> Self {
        let (to, from) = mpsc::unbounded_channel();
        Self {
            from,
            to,
            waiting: Arc::default(),
        }
    }
}

impl Follower {
    /// Returns a feed that ends here.
    #[must_use]
    pub fn feed(&self, tag: usize) -> Feed {
        Feed {
            tag,
            to: self.to.clone(),
            waiting: Arc::clone(&self.waiting),
            state: State::Waiting,
        }
    }

    /// Waits for what comes next.
    pub async fn next(&mut self) -> Option<(usize, Fed)> {
        let next = self.from.recv().await;
        self.took(next)
    }

    /// Returns what has come already.
    pub fn try_next(&mut self) -> Option<(usize, Fed)> {
        let next = self.from.try_recv().ok();
        self.took(next)
    }

    fn took(&self, next: Option<(usize, Fed)>) -> Option<(usize, Fed)> {
        if let Some((_, Fed::Committed { writes, .. })) = &next {
            self.waiting.fetch_sub(size(writes), Relaxed);
        }
        next
    }
}

impl Feed {
    /// No batch is under way.
    pub fn begin(&mut self, lease: &Lease, batch: u64) {
        self.state = State::Following { sent: None };
        self.tell(Fed::Began {
            lease: lease.clone(),
            batch,
        });
    }

    /// The batch is about to be sent.
    pub fn committing(&mut self, batch: &Batch) {
        if let State::Following { sent } = &mut self.state {
            *sent = Some((batch.number, batch.writes.clone()));
        }
    }

    /// The batch is durable.
    pub fn committed(&mut self, lease: &Lease, batch: u64) {
        match &mut self.state {
            State::Waiting => self.begin(lease, batch),
            State::Following { sent } => {
                let Some((_, writes)) = sent.take().filter(|(number, _)| *number == batch) else {
                    return self.end();
                };
                let size = size(&writes);
                if self.waiting.fetch_add(size, Relaxed) + size > BYTES_MAX {
                    return self.end();
                }
                self.tell(Fed::Committed { batch, writes });
            }
            State::Over => {}
        }
    }

    fn end(&mut self) {
        if !matches!(self.state, State::Over) {
            self.state = State::Over;
            self.tell(Fed::Ended);
        }
    }

    fn tell(&self, fed: Fed) {
        // A follower that has gone needs nothing.
        let _ = self.to.send((self.tag, fed));
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.end();
    }
}

fn size(writes: &[Write]) -> usize {
    // What a message takes by itself.
    const MESSAGE: usize = 64;
    let size = |write: &Write| write.key.len() + write.value.as_ref().map_or(0, bytes::Bytes::len);
    MESSAGE + writes.iter().map(size).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proto::ids::ShardId;
    use storage::batch::Table;

    use super::*;

    fn lease() -> Lease {
        Lease {
            shard: ShardId(1),
            epoch: 2,
            batch: 3,
        }
    }

    fn batch(number: u64, bytes: usize) -> Batch {
        Batch {
            number,
            writes: vec![Write {
                table: Table::Run,
                key: Bytes::from_static(b"k"),
                value: Some(vec![0; bytes].into()),
            }],
            ..Batch::default()
        }
    }

    fn heard(follower: &mut Follower) -> Vec<String> {
        std::iter::from_fn(|| follower.try_next())
            .map(|(tag, fed)| match fed {
                Fed::Began { batch, .. } => format!("{tag} began {batch}"),
                Fed::Committed { batch, writes } => format!("{tag} committed {batch}: {}", writes.len()),
                Fed::Ended => format!("{tag} ended"),
            })
            .collect()
    }

    #[test]
    fn it_begins_after_a_batch_that_it_did_not_see() {
        let mut follower = Follower::default();
        let mut feed = follower.feed(7);
        feed.committed(&lease(), 4);
        feed.committing(&batch(5, 9));
        assert_eq!(heard(&mut follower), ["7 began 4"], "not durable yet");
        feed.committed(&lease(), 5);
        drop(feed);
        assert_eq!(heard(&mut follower), ["7 committed 5: 1", "7 ended"]);
    }

    #[test]
    fn a_follower_that_is_too_slow_is_left_behind() {
        let mut follower = Follower::default();
        let mut feed = follower.feed(0);
        feed.begin(&lease(), 3);
        for number in 4..8 {
            feed.committing(&batch(number, BYTES_MAX / 2));
            feed.committed(&lease(), number);
        }
        assert_eq!(heard(&mut follower), ["0 began 3", "0 committed 4: 1", "0 ended"]);
    }
}
