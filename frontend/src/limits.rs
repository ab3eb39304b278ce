//! Named maxima and spans of the public face, with the official server's values (reference 7).

use std::time::Duration;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Names, ids, identities and request ids (`limit.maxIDLength`).
pub const ID_BYTES_MAX: usize = 1_000;
/// One blob of payloads (`limit.blobSize.error`).
pub const BLOB_BYTES_MAX: usize = 2 * MIB;
/// A memo (`limit.memoSize.error`).
pub const MEMO_BYTES_MAX: usize = 2 * MIB;
/// What a completed workflow task may carry; told to clients, who split what is larger.
pub const TASK_COMPLETION_BYTES_MAX: usize = 40 * MIB;
/// Links of one request (`frontend.maxlinksPerRequest`).
pub const LINKS_MAX: usize = 10;
/// One link (`frontend.linkMaxSize`).
pub const LINK_BYTES_MAX: usize = 4_000;
/// A callback's URL (`frontend.callbackURLMaxLength`).
pub const CALLBACK_URL_BYTES_MAX: usize = 1_000;
/// A fairness key (reference 2.25).
pub const FAIRNESS_KEY_BYTES_MAX: usize = 64;
/// The build that a worker names (`limit.workerBuildIdSize`).
pub const BUILD_ID_BYTES_MAX: usize = 255;
/// Runs of an archive on one page; there is none, but a larger page is refused first (reference 1.3).
pub const ARCHIVED_PAGE_MAX: i32 = 10_000;
/// Fairness weights that clients set for one queue (`matching.maxFairnessKeyWeightOverrides`).
pub const FAIRNESS_WEIGHTS_MAX: usize = 1_000;
/// Settings of queues that are read from the registry at once.
pub const QUEUE_SETTINGS_PAGE: usize = 100;
/// Workers on one page.
pub const WORKER_PAGE_DEFAULT: usize = 100;
pub const WORKER_PAGE_MAX: usize = 1_000;
/// A status message; the rest is cut off (`system.maxServiceErrorMessageLength`).
pub const STATUS_MESSAGE_BYTES_MAX: usize = 4_000;

/// A request (reference 0.1); a larger one is refused with RESOURCE_EXHAUSTED.
pub const REQUEST_BYTES_MAX: usize = 4 * MIB;
/// A response; nothing that the server builds should come near it.
pub const RESPONSE_BYTES_MAX: usize = 128 * MIB;
/// Headers of a request.
pub const HEADER_BYTES_MAX: u32 = 64 * KIB as u32;
/// Connections of clients at a time, if the process may open so many files.
pub const CONNECTIONS_MAX: u32 = 50_000;
/// How long nothing is accepted after an accept failed, such as for want of files.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a client that has connected may take to say the first word.
pub const GREETING_WAIT_MAX: Duration = Duration::from_secs(20);
/// Calls that one connection may have open: each poll is one.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 20_000;
/// Calls that a client may take back before the server has looked at them.
pub const RESET_STREAMS_MAX: usize = 1_024;
pub const STREAM_WINDOW_BYTES: u32 = MIB as u32;
pub const CONNECTION_WINDOW_BYTES: u32 = 8 * MIB as u32;
/// A connection that has been silent for this long is asked whether it is alive (reference 0.1).
pub const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How old a connection gets before it ends gracefully (reference 0.1).
pub const CONNECTION_AGE_MAX: Duration = Duration::from_secs(5 * 60);

/// Calls of one kind that wait for something, such as polls, for one namespace (reference 0.3). The official server
/// allows 1,200; here a waiting call costs a few kilobytes.
pub const WAITING_CALLS_MAX: u32 = 20_000;

/// A poll is answered empty after this long (reference 3.4).
pub const POLL_MAX: Duration = Duration::from_secs(60);
/// A client that waits less long than this cannot poll.
pub const POLL_MIN: Duration = Duration::from_secs(2);
/// How often a poll tries a queue whose mailbox is full before it is refused: for about two seconds.
pub const BUSY_POLLS_MAX: usize = 40;
/// How long before the client gives up an answer is on its way.
pub const DEADLINE_BUFFER: Duration = Duration::from_secs(1);
/// How long a reader of history or of an update waits for news (`history.longPollExpirationInterval`).
pub const NEWS_WAIT_MAX: Duration = Duration::from_secs(20);
/// How long a query waits for its answer if the client sets no deadline.
pub const QUERY_WAIT_DEFAULT: Duration = Duration::from_secs(10);
/// How often one query is asked anew after its queue has moved or its sticky worker is gone.
pub const QUERY_ATTEMPTS_MAX: usize = 20;
/// How long a query rests after its queue has moved.
pub const QUERY_PAUSE: Duration = Duration::from_millis(50);
/// How often the pieces of a reset are read anew when the run moves meanwhile.
pub const RESET_ATTEMPTS_MAX: usize = 3;

/// Transactions on one page of history (`frontend.historyMaxPageSize`).
pub const HISTORY_PAGE_NODES_MAX: usize = 256;
/// Bytes on one page of history, so that clients with the usual limit of 4 MiB can read it.
pub const HISTORY_PAGE_BYTES_MAX: usize = 3 * MIB;
/// Runs of a chain that a reset follows to apply their signals again.
pub const RESET_CHAIN_MAX: usize = 100;

/// How long the registry is not asked again about a namespace that is in use (reference 6.1).
pub const NAMESPACE_FRESH: Duration = Duration::from_secs(2);
/// Unknown namespaces that are looked up in the registry at the same time.
pub const NAMESPACE_LOOKUPS_MAX: usize = 16;
/// Namespaces of one page of the registry.
pub const NAMESPACE_PAGE_MAX: usize = 1_000;
pub const NAMESPACE_PAGE_DEFAULT: usize = 100;
/// How often a write to the registry that met another one is tried again.
pub const REGISTRY_ATTEMPTS_MAX: usize = 5;
/// Shortest time that closed runs are kept (reference 6.1).
pub const RETENTION_MIN: Duration = Duration::from_secs(60 * 60);
pub const BAD_BINARIES_MAX: usize = 10;
/// Custom search attributes of one namespace, of all types.
pub const CUSTOM_ATTRIBUTES_MAX: usize = 200;

/// Runs that the clean-up of a deleted namespace asks to go away at the same time.
pub const RECLAIM_BATCH: usize = 100;
/// How long the clean-up of a deleted namespace rests between rounds.
pub const RECLAIM_PAUSE: Duration = Duration::from_secs(2);
/// Deleted namespaces that wait for their clean-up.
pub const RECLAIM_QUEUE_MAX: usize = 1_024;

/// Workflow task time-out (reference 7).
pub const TASK_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
pub const TASK_TIMEOUT_MAX: Duration = Duration::from_secs(120);
/// A longer span is taken for this one.
pub const SPAN_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
