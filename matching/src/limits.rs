//! Named maxima and spans; those that an operator may change are defaults of `config`.

use std::time::Duration;

/// Tickets that wait in one queue; the rest stay in their shards.
pub const TICKETS_MAX: usize = 10_000;
/// Bytes of the tickets that wait in one queue.
pub const TICKET_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What a ticket is taken to need while none waits to measure.
pub const TICKET_BYTES_USUAL: usize = 360;
/// Polls that wait in one queue.
pub const POLLS_MAX: usize = 20_000;
/// Queries that wait in one queue or are in its workers' hands.
pub const QUERIES_MAX: usize = 1_000;
/// Bytes of the queries that wait in one queue.
pub const QUERY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Messages in one queue's mailbox.
pub const MAILBOX_MESSAGES_MAX: usize = 4_096;
/// Pollers whose last access is remembered.
pub const POLLERS_REMEMBERED_MAX: usize = 1_000;
/// Shards that are remembered to hold tickets back.
pub const SHARDS_REMEMBERED_MAX: usize = 65_536;
/// Workers that are remembered to have shut down.
pub const SHUTDOWNS_REMEMBERED_MAX: usize = 1_000;
/// Notices that wait in a queue's actor while the channel to the courier is full.
pub const NOTICES_PENDING_MAX: usize = 16_384;
/// Tickets in one message to a queue.
pub const ANNOUNCE_BATCH_MAX: usize = 1_024;
/// Messages after which the actor lets others on its arbiter run.
pub const MESSAGES_PER_TURN: usize = 32;

/// Credit is given when this share of the tickets' bounds is free: one half.
pub const LOW_WATER_DIVISOR: usize = 2;
/// Credit that is not used for this long is given to others.
pub const CREDIT_TTL: Duration = Duration::from_secs(1);
/// Tickets that a shard is let announce at once, if it has so many: it reads its store for them.
pub const CREDIT_PORTION_MIN: usize = 32;
/// Credit is promised for this share of the mailbox, as each ticket may be a message: one half.
pub const CREDIT_MAILBOX_DIVISOR: usize = 2;
/// How often credit is offered again to a shard that says nothing: about a minute in all.
pub const CREDIT_TRIES_MAX: u32 = 5;

/// How long a poller counts as near: a query without one is refused (reference 2.17).
pub const QUERY_POLLER_WINDOW: Duration = Duration::from_secs(20);
/// How long a sticky queue's worker counts as near (reference 3.2).
pub const STICKY_POLLER_WINDOW: Duration = Duration::from_secs(10);
/// How long polls of a worker that shut down are answered empty (reference 3.4).
pub const SHUTDOWN_WINDOW: Duration = Duration::from_secs(30);
/// How long a poller is remembered (reference 3.4).
pub const POLLER_TTL: Duration = Duration::from_secs(5 * 60);
/// How long a queue that just started lets a query wait for its first poller: after a move they come back.
pub const REHOME_GRACE: Duration = Duration::from_secs(2);
/// How long a queue stays when nothing happens (reference 3.3).
pub const IDLE_AFTER: Duration = Duration::from_secs(5 * 60);

/// A poller that waited this long for a sync match is one too many (reference 3.4).
pub const SCALE_DOWN_WAIT: Duration = Duration::from_secs(1);
/// A backlog older than this wants another poller (reference 3.4).
pub const SCALE_UP_AGE: Duration = Duration::from_millis(200);
/// Adding this much faster than dispatching wants another poller (reference 3.4).
pub const SCALE_UP_RATIO: f64 = 1.2;
/// Scaling decisions a second for one poller (reference 3.4).
pub const SCALING_PER_SECOND: f64 = 10.0;
