//! Falls: a shard that ends again and again waits longer and longer until it is taken up.

use std::time::Duration;

use tokio::time::Instant;

/// How long a shard that has fallen twice waits; doubles up to the last.
const WAIT_FIRST: Duration = Duration::from_millis(200);
const WAIT_LAST: Duration = Duration::from_secs(5);
/// A shard that stands for this long has not fallen before.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// How often a shard has ended lately.
#[derive(Default)]
pub(super) struct Falls {
    count: u32,
    last: Option<Instant>,
}

impl Falls {
    /// Returns how long to wait before the shard is taken up again: nothing, unless it falls again and again.
    pub(super) fn next_wait(&mut self) -> Duration {
        let now = Instant::now();
        let often = self.last.is_some_and(|last| now - last < FORGOTTEN);
        self.count = if often { self.count.saturating_add(1) } else { 0 };
        self.last = Some(now);
        match self.count {
            0 => Duration::ZERO,
            count => (WAIT_FIRST * (1 << (count - 1).min(10))).min(WAIT_LAST),
        }
    }
}
