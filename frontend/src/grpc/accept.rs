//! Connections from outside: how many there may be at a time, and how long one may keep silent before it has said
//! anything.
//!
//! Over the limit nothing is accepted, and nothing is spent: who comes waits in the listener's backlog until a
//! connection ends.

use std::{
    io::{self, IoSlice},
    num::NonZeroU32,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::{Stream, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Sleep,
};
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::limits;

/// What every HTTP/2 client says first.
const PREFACE_BYTES: usize = 24;

/// The connections that come to a listener, never more than `connections_max` of them open at a time. It never ends
/// and never fails: an error of one connection, or a process without a free file, is waited out.
pub(super) fn incoming(
    listener: TcpListener,
    connections_max: NonZeroU32,
) -> impl Stream<Item = io::Result<Connection>> {
    let max = usize::try_from(connections_max.get()).unwrap_or(usize::MAX);
    let slots = Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
    stream::unfold((listener, slots), |(listener, slots)| async {
        let connection = accept(&listener, &slots).await;
        Some((Ok(connection), (listener, slots)))
    })
}

async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Connection {
    if slots.available_permits() == 0 {
        tracing::warn!("no more connections are accepted until one ends");
    }
    loop {
        let Ok(slot) = Arc::clone(slots).acquire_owned().await else {
            // Nobody closes it.
            return std::future::pending().await;
        };
        match listener.accept().await {
            Ok((stream, _)) => return Connection::new(stream, slot),
            // The client was gone before it was looked at.
            Err(error) if of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "connection cannot be accepted");
                tokio::time::sleep(limits::ACCEPT_PAUSE).await;
            }
        }
    }
}

fn of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// A connection that counts until it is dropped.
pub(super) struct Connection {
    stream: TcpStream,
    /// Until the client has said what it must say first.
    greeting: Option<Greeting>,
    _slot: OwnedSemaphorePermit,
}

struct Greeting {
    missing: usize,
    until: Pin<Box<Sleep>>,
}

impl Connection {
    fn new(stream: TcpStream, slot: OwnedSemaphorePermit) -> Self {
        // Without it answers only come later.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "answers are not sent at once");
        }
        let greeting = Some(Greeting {
            missing: PREFACE_BYTES,
            until: Box::pin(tokio::time::sleep(limits::GREETING_WAIT_MAX)),
        });
        Self {
            stream,
            greeting,
            _slot: slot,
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let Some(greeting) = &mut self.greeting else {
            return read;
        };
        if read.is_ready() {
            greeting.missing = greeting.missing.saturating_sub(buf.filled().len() - before);
            if greeting.missing == 0 {
                self.greeting = None;
            }
            return read;
        }
        ready!(greeting.until.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "client keeps silent",
        )))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn pair() -> (TcpStream, Connection) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address");
        let mut connections = Box::pin(incoming(listener, NonZeroU32::MIN));
        let client = TcpStream::connect(address).await.expect("connection");
        let connection = connections.next().await.expect("endless").expect("accepted");
        (client, connection)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_too_little_is_sent_away() {
        let (mut client, mut connection) = pair().await;
        let mut word = [0; PREFACE_BYTES];
        client.write_all(&word[1..]).await.expect("written");
        let error = connection.read_exact(&mut word).await.expect_err("silence");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_has_spoken_may_keep_silent() {
        let (mut client, mut connection) = pair().await;
        let mut word = [0; PREFACE_BYTES];
        client.write_all(&word).await.expect("written");
        connection.read_exact(&mut word).await.expect("read");
        let more = tokio::time::timeout(2 * limits::GREETING_WAIT_MAX, connection.read(&mut word)).await;
        assert!(more.is_err(), "still open");
    }
}
