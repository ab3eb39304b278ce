//! A way to the server on which replies are lost, connections are cut or nothing moves.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// What happens to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// Requests arrive, replies do not.
    LoseReplies,
    /// Nothing moves, connections stay open.
    Stall,
    /// Connections are cut, new ones as well.
    Gone,
}

/// Forwards connections to one address.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    mode: watch::Sender<Mode>,
    open: Arc<AtomicUsize>,
    lost: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mode = watch::Sender::new(Mode::Pass);
        let open = Arc::new(AtomicUsize::new(0));
        let lost = Arc::new(AtomicUsize::new(0));
        let (watcher, counter, losses) = (mode.clone(), Arc::clone(&open), Arc::clone(&lost));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *watcher.borrow() == Mode::Gone {
                    continue;
                }
                let Ok(server) = TcpStream::connect(server).await else {
                    continue;
                };
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let way = forward(client, server, watcher.subscribe(), Arc::clone(&losses));
                let counter = Arc::clone(&counter);
                tokio::spawn(async move {
                    counter.fetch_add(1, Ordering::Relaxed);
                    way.await;
                    counter.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self {
            address,
            mode,
            open,
            lost,
        }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Connections that are open now.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Pieces of replies that were lost so far.
    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Ordering::Relaxed)
    }
}

async fn forward(client: TcpStream, server: TcpStream, mode: watch::Receiver<Mode>, lost: Arc<AtomicUsize>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut gone = mode.clone();
    tokio::select! {
        () = copy(from_client, to_server, mode.clone(), None) => {}
        () = copy(from_server, to_client, mode, Some(lost)) => {}
        _ = gone.wait_for(|mode| *mode == Mode::Gone) => {}
    }
}

/// Copies until one side ends or the mode ends it. Replies may get lost, which is counted.
async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    lost: Option<Arc<AtomicUsize>>,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => count,
        };
        let Ok(now) = mode.wait_for(|mode| *mode != Mode::Stall).await.map(|mode| *mode) else {
            return;
        };
        if now == Mode::LoseReplies
            && let Some(lost) = &lost
        {
            lost.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
