//! ShardHandle: how others ask a shard, from any thread.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use actix::{Addr, dev::SendError};
use engine::outcome::Reply;
use proto::time::Timestamp;
use tokio::sync::oneshot;

use crate::{
    actor::{Message, ShardActor},
    feed::Feed,
    input::{Input, Request, RunTarget, Token},
    output::AskError,
    view::ShardView,
};

/// A way to one shard. Clones are cheap and share the mailbox's bound.
#[derive(Clone)]
pub struct ShardHandle(Arc<Shared>);

struct Shared {
    /// Never cloned: every clone of an address widens the mailbox.
    addr: Addr<ShardActor>,
    tokens: AtomicU64,
}

impl ShardHandle {
    pub(crate) fn new(addr: Addr<ShardActor>) -> Self {
        Self(Arc::new(Shared {
            addr,
            tokens: AtomicU64::new(0),
        }))
    }

    /// Asks the shard and waits for the answer, which tells nothing that could still vanish (P3).
    ///
    /// Dropping the future gives the answer up, not the request: what was accepted is done. A request that the
    /// shard did not look at comes back. `received` is when the call came in that asks.
    pub async fn ask(&self, target: RunTarget, request: Request, received: Timestamp) -> Answer {
        let token = Token(self.0.tokens.fetch_add(1, Relaxed) + 1);
        let (reply, answer) = oneshot::channel();
        let envelope = Envelope(Some((token, target, request, received, reply)));
        if let Err(error) = self.0.addr.try_send(Message::Ask(envelope)) {
            let why = ask_error(&error);
            return match error.into_inner() {
                Message::Ask(envelope) => match envelope.open() {
                    Some((_, target, request, ..)) => Err(Unsent { why, target, request }),
                    None => Ok(Err(why)),
                },
                _ => Ok(Err(why)),
            };
        }
        let mut open = Open {
            handle: self,
            token,
            answered: false,
        };
        let answer = answer.await;
        open.answered = true;
        // The shard went down with the request: nobody knows whether it was done.
        match answer {
            Ok(answer) => answer,
            Err(_) => Ok(Err(AskError::Unavailable("shard restarts".to_owned()))),
        }
    }

    /// Says whether the actor is there; it may go at any time.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.0.addr.connected()
    }

    /// Tells the shard something; nobody waits for it.
    pub fn tell(&self, input: Input) -> Result<(), AskError> {
        self.send(Message::Input(input))
    }

    /// Lets the shard go: returns when all that it took is durable and its lease is released. From then on it gives
    /// back what it is asked.
    pub async fn drain(&self) -> Result<(), AskError> {
        let (reply, done) = oneshot::channel();
        self.send(Message::Drain(reply))?;
        done.await.map_err(|_| AskError::Moved)
    }

    /// Has the shard hand over what it commits. A feed that was there before ends.
    pub fn feed(&self, feed: Feed) -> Result<(), AskError> {
        self.send(Message::Feed(feed))
    }

    /// Returns a position with as many of the runs that were used lately below it as from it on.
    pub async fn median(&self) -> Result<Option<u64>, AskError> {
        let (reply, median) = oneshot::channel();
        self.send(Message::Median(reply))?;
        median.await.map_err(|_| AskError::Moved)
    }

    pub async fn view(&self) -> Result<ShardView, AskError> {
        let (reply, view) = oneshot::channel();
        self.send(Message::View(reply))?;
        view.await.map_err(|_| AskError::Moved)
    }

    fn send(&self, message: Message) -> Result<(), AskError> {
        self.0.addr.try_send(message).map_err(|error| ask_error(&error))
    }
}

/// What becomes of a request: it is answered, or it comes back.
pub type Answer = Result<Result<Reply, AskError>, Unsent>;

/// A request on its way. If the shard goes before it opens the envelope, the request comes back to its asker.
#[derive(Debug)]
pub(crate) struct Envelope(Option<Content>);

type Content = (Token, RunTarget, Request, Timestamp, oneshot::Sender<Answer>);

impl Envelope {
    pub(crate) fn open(mut self) -> Option<Content> {
        self.0.take()
    }
}

impl Drop for Envelope {
    fn drop(&mut self) {
        if let Some((_, target, request, _, reply)) = self.0.take() {
            let why = AskError::Moved;
            // Who gave up needs no answer.
            drop(reply.send(Err(Unsent { why, target, request })));
        }
    }
}

/// A request that the shard did not look at.
#[derive(Debug)]
pub struct Unsent {
    pub why: AskError,
    pub target: RunTarget,
    pub request: Request,
}

fn ask_error<T>(error: &SendError<T>) -> AskError {
    match error {
        SendError::Full(_) => AskError::Busy("mailbox is full"),
        SendError::Closed(_) => AskError::Moved,
    }
}

/// An answer that is waited for; given up, the shard forgets it.
struct Open<'a> {
    handle: &'a ShardHandle,
    token: Token,
    answered: bool,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if !self.answered {
            // A full mailbox only means that the shard finds out when it answers.
            drop(self.handle.send(Message::Input(Input::Gone(self.token))));
        }
    }
}
