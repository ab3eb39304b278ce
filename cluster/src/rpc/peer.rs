//! Peer: another node of the cluster, as one asks it.

use std::{
    error::Error,
    net::SocketAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use proto::{
    ids::NodeId,
    node::{Frame, node_client::NodeClient},
};
use tokio::sync::{Semaphore, mpsc, watch};
use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint},
};

use crate::{
    rpc::{Call, Hint, Lost, VERSION, metrics::Counts},
    wire::{Wire, encode},
};

/// Calls that wait for one node at the same time; long polls have a limit of their own.
const CALLS_MAX: usize = 8_192;
const POLLS_MAX: usize = 100_000;
/// Hints that wait for their way to one node.
const HINTS_MAX: usize = 16_384;
/// Hints that go in one call.
const HINTS_PER_CALL: usize = 512;
/// How long a node that is gone is waited for.
const CONNECT: Duration = Duration::from_secs(1);
/// A connection that is silent is asked whether it is there; both together are how long a dead peer is believed.
const PING_EVERY: Duration = Duration::from_secs(2);
const PING_WAIT: Duration = Duration::from_secs(2);
/// How long a call may take that does not wait for a worker. Above what a client waits for an update or an event.
const CALL_MAX: Duration = Duration::from_secs(75);
const HINTS_CALL_MAX: Duration = Duration::from_secs(5);
/// The largest answer: a page of history with what protobuf adds.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// What may be under way on one stream, and on all: a page of history should not wait for window updates.
pub(crate) const STREAM_WINDOW: u32 = 4 << 20;
pub(crate) const CONNECTION_WINDOW: u32 = 16 << 20;

/// What becomes of hints that did not reach their node.
pub(crate) type Returned = Arc<dyn Fn(Vec<Hint>) + Send + Sync>;

/// Another node.
pub(crate) struct Peer {
    pub(crate) id: NodeId,
    client: NodeClient<Channel>,
    /// Polls wait long: on a connection of their own they hold up nothing.
    polls: NodeClient<Channel>,
    calls_left: Semaphore,
    polls_left: Semaphore,
    hints: mpsc::Sender<Hint>,
    /// The newest version that the node has shown.
    version: AtomicU32,
    /// The node has left the cluster: nobody waits for it any longer.
    gone: watch::Sender<bool>,
    counts: Arc<Counts>,
}

impl Peer {
    /// Connects when it is first asked. Needs a tokio runtime.
    pub(crate) fn new(id: NodeId, address: SocketAddr, returned: Returned, counts: Arc<Counts>) -> Arc<Self> {
        let endpoint = endpoint(address)
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WAIT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let client = |endpoint: &Endpoint| {
            NodeClient::new(endpoint.connect_lazy())
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX)
        };
        let (hints, outbox) = mpsc::channel(HINTS_MAX);
        let peer = Arc::new(Self {
            client: client(&endpoint),
            polls: client(&endpoint),
            calls_left: Semaphore::new(CALLS_MAX),
            polls_left: Semaphore::new(POLLS_MAX),
            hints,
            version: AtomicU32::new(0),
            gone: watch::Sender::new(false),
            counts,
            id,
        });
        tokio::spawn(send_hints(Arc::downgrade(&peer), outbox, returned));
        peer
    }

    /// Asks and waits, unless the node does not know what is asked. Dropping the future cancels the call.
    pub(crate) async fn call<T: Wire>(&self, call: &Call) -> Result<T, Lost> {
        if call.since() > 1 && self.version().await? < call.since() {
            return Err(Lost::NotSent(self.id.name.to_string()));
        }
        let begun = Instant::now();
        self.counts.begun(call);
        let answer = self.ask(call).await;
        self.counts.ended(call, begun.elapsed(), answer.as_ref().err());
        answer
    }

    async fn ask<T: Wire>(&self, call: &Call) -> Result<T, Lost> {
        let (client, left) = if call.is_long() {
            (&self.polls, &self.polls_left)
        } else {
            (&self.client, &self.calls_left)
        };
        let Ok(_permit) = left.try_acquire() else {
            return Err(Lost::Busy(self.id.name.to_string()));
        };
        let wait = match call {
            // The other node keeps the time; this one only outlives it.
            Call::Poll { wait, .. } | Call::Query { wait, .. } => *wait + PING_WAIT,
            Call::Hints { .. } => HINTS_CALL_MAX,
            _ => CALL_MAX,
        };
        let mut gone = self.gone.subscribe();
        tokio::select! {
            answer = self.send(client.clone(), encode(call), wait) => answer,
            _ = gone.wait_for(|gone| *gone) => Err(Lost::Unknown(self.id.name.to_string())),
        }
    }

    /// Returns the version of the words that the node knows; asks it if it has shown none yet.
    pub(crate) async fn version(&self) -> Result<u32, Lost> {
        if self.version.load(Relaxed) == 0 {
            let nothing = Call::Hints { hints: Vec::new() };
            self.ask::<()>(&nothing).await?;
        }
        Ok(self.version.load(Relaxed))
    }

    /// Tells whether the node knows words of this version, as far as it has shown.
    pub(crate) fn knows(&self, version: u32) -> bool {
        let shown = self.version.load(Relaxed);
        shown == 0 || shown >= version
    }

    /// Leaves out what the node would not understand: it knows of nothing that this is about.
    async fn understood(&self, hints: Vec<Hint>) -> Vec<Hint> {
        if hints.iter().all(|hint| hint.since() <= 1) {
            return hints;
        }
        // Who is not reached is told nothing anyway.
        let version = self.version().await.unwrap_or(VERSION);
        hints.into_iter().filter(|hint| hint.since() <= version).collect()
    }

    /// Ends all calls that wait for the node.
    pub(crate) fn close(&self) {
        self.gone.send_replace(true);
    }

    async fn send<T: Wire>(
        &self,
        mut client: NodeClient<Channel>,
        body: Bytes,
        wait: Duration,
    ) -> Result<T, Lost> {
        let request = Request::new(Frame {
            version: VERSION,
            body,
        });
        let answer = tokio::time::timeout(wait, client.call(request)).await;
        let name = || self.id.name.to_string();
        let frame = match answer {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) if never_left(&status) => return Err(Lost::NotSent(name())),
            Ok(Err(status)) => {
                tracing::debug!(node = %self.id.name, %status, "call of another node failed");
                return Err(Lost::Unknown(name()));
            }
            Err(_) => return Err(Lost::Unknown(name())),
        };
        self.version.store(frame.version, Relaxed);
        T::take(frame.body).map_err(|error| {
            tracing::error!(node = %self.id.name, %error, "answer of another node");
            Lost::Unknown(name())
        })
    }

    /// Says something; it comes back through `returned` if it cannot be said.
    pub(crate) fn hint(&self, hint: Hint) -> Result<(), Box<Hint>> {
        self.hints
            .try_send(hint)
            .map_err(|error| Box::new(error.into_inner()))
    }
}

fn endpoint(address: SocketAddr) -> Endpoint {
    // Without an IPv6 scope, which no URI may have.
    let address = SocketAddr::new(address.ip(), address.port());
    Endpoint::from_shared(format!("http://{address}")).expect("an address makes a URI")
}

/// The connection was refused or never made: the other node has seen nothing.
fn never_left(status: &Status) -> bool {
    if status.code() != Code::Unavailable {
        return false;
    }
    let mut source: Option<&(dyn Error + 'static)> = status.source();
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// Says what there is to say, one call at a time: what comes meanwhile goes together in the next one.
async fn send_hints(peer: Weak<Peer>, mut outbox: mpsc::Receiver<Hint>, returned: Returned) {
    let mut hints = Vec::with_capacity(HINTS_PER_CALL);
    while outbox.recv_many(&mut hints, HINTS_PER_CALL).await > 0 {
        let Some(peer) = peer.upgrade() else {
            returned(std::mem::take(&mut hints));
            continue;
        };
        let call = Call::Hints {
            hints: peer.understood(std::mem::take(&mut hints)).await,
        };
        let said = peer.call::<()>(&call).await;
        if let (Err(error), Call::Hints { hints }) = (said, call) {
            tracing::debug!(%error, count = hints.len(), "hints not said");
            returned(hints);
        }
    }
}
