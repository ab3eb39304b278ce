//! The shell of membership: one thread with the socket and the clock, which drives the core and publishes views.
//!
//! A thread and a runtime of its own, so that load on the node's other work cannot make it miss a probe.

mod seeds;

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    thread::{self, JoinHandle},
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

use self::seeds::Seeds;
use crate::{
    config::{Config, Seed},
    error::{Gone, StartError},
    gossip::{Gossip, Input, Moment, Output, Parts},
    limits,
    metrics::Metrics,
    view::{Profile, View},
};

/// How an agent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It said goodbye.
    Left,
    /// It was stopped without a word: the others will find it dead.
    Stopped,
    /// A later start of this node is in the cluster. The process must stop too.
    Superseded { generation: u64 },
    /// A bug.
    Panicked,
}

enum Command {
    SetLeaving(bool),
    Leave,
    Join(Vec<Seed>),
}

/// One node's membership, running. Dropping it stops it without a goodbye, and waits for its thread to end.
pub struct Agent {
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<Arc<View>>,
    ended: watch::Receiver<Option<Ended>>,
    metrics: Arc<Metrics>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Agent {
    /// Binds the socket and starts the thread. `profile.gossip` is replaced by what the configuration advertises.
    ///
    /// # Errors
    ///
    /// The configuration is refused, the socket cannot be bound, or there is no thread or randomness to be had.
    pub fn start(config: Config, mut profile: Profile) -> Result<Self, StartError> {
        config.check()?;
        let (socket, address) = bind(config.bind)?;
        profile.gossip = config
            .advertise
            .unwrap_or_else(|| SocketAddr::new(config.bind.ip(), address.port()));
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| StartError::Random(error.to_string()))?;
        let metrics = Arc::<Metrics>::default();
        let core = Gossip::new(Parts {
            profile,
            config: config.clone(),
            seed,
            metrics: Arc::clone(&metrics),
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StartError::Thread)?;
        let (commands, received) = mpsc::channel(limits::COMMANDS_MAX);
        let (publish, view) = watch::channel(Arc::clone(core.view()));
        let (end, ended) = watch::channel(None);
        let (stop, stopped) = oneshot::channel();
        let shell = Shell {
            core,
            origin: Instant::now(),
            publish,
            metrics: Arc::clone(&metrics),
            ipv6: address.is_ipv6(),
            out: Vec::new(),
        };
        let seeds = Seeds::new(&config);
        let run = move || {
            let mut guard = EndGuard {
                end,
                how: Ended::Panicked,
            };
            guard.how = runtime.block_on(async {
                match tokio::net::UdpSocket::from_std(socket) {
                    Ok(socket) => shell.run(socket, received, seeds, stopped).await,
                    Err(error) => {
                        tracing::error!(%error, "register gossip socket");
                        Ended::Stopped
                    }
                }
            });
            // A resolution that hangs must not hold the thread.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new()
            .name("membership".to_owned())
            .spawn(run)
            .map_err(StartError::Thread)?;
        Ok(Self {
            commands,
            view,
            ended,
            metrics,
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Returns what this node sees at the moment.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// Returns a receiver of all later views; a slow one sees only the last.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Returns the bound address.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Says to all that this node goes soon and shall own nothing, or that it stays after all.
    ///
    /// # Errors
    ///
    /// The agent has ended.
    pub async fn set_leaving(&self, leaving: bool) -> Result<(), Gone> {
        self.tell(Command::SetLeaving(leaving)).await
    }

    /// Looks for others at more places.
    ///
    /// # Errors
    ///
    /// The agent has ended.
    pub async fn join(&self, seeds: Vec<Seed>) -> Result<(), Gone> {
        self.tell(Command::Join(seeds)).await
    }

    /// Says goodbye and waits until it was said.
    pub async fn leave(&self) -> Ended {
        // An agent that has ended says how.
        let _ = self.tell(Command::Leave).await;
        self.ended().await
    }

    /// Waits until the agent has ended, for whatever reason.
    pub async fn ended(&self) -> Ended {
        let mut ended = self.ended.clone();
        let how = ended.wait_for(Option::is_some).await.map(|how| *how);
        how.ok().flatten().unwrap_or(Ended::Panicked)
    }

    /// Ends without a goodbye, as a crash would, and waits for the thread.
    pub fn stop(mut self) {
        self.halt();
    }

    fn halt(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic was reported through `ended`.
            let _ = thread.join();
        }
    }

    async fn tell(&self, command: Command) -> Result<(), Gone> {
        self.commands.send(command).await.map_err(|_| Gone)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.halt();
    }
}

/// Says how the thread ended, even if it panicked.
struct EndGuard {
    end: watch::Sender<Option<Ended>>,
    how: Ended,
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.end.send_replace(Some(self.how));
    }
}

fn bind(address: SocketAddr) -> Result<(UdpSocket, SocketAddr), StartError> {
    let bound = || -> io::Result<_> {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        Ok((socket, local))
    };
    bound().map_err(|source| StartError::Bind { address, source })
}

struct Shell {
    core: Gossip,
    origin: Instant,
    publish: watch::Sender<Arc<View>>,
    metrics: Arc<Metrics>,
    ipv6: bool,
    out: Vec<Output>,
}

/// Why the shell woke up.
enum Event {
    Readable,
    Deadline,
    Command(Option<Command>),
    Resolved(Vec<SocketAddr>),
    Stopped,
}

impl Shell {
    async fn run(
        mut self,
        socket: tokio::net::UdpSocket,
        mut commands: mpsc::Receiver<Command>,
        mut seeds: Seeds,
        mut stopped: oneshot::Receiver<()>,
    ) -> Ended {
        // Until the runtime has looked at the socket once it takes it for full.
        if socket.writable().await.is_err() {
            self.metrics.error("socket");
        }
        loop {
            let deadline = self.core.next_deadline().map(|at| self.origin + at);
            let event = tokio::select! {
                _ = &mut stopped => Event::Stopped,
                ready = socket.readable() => {
                    if ready.is_err() {
                        self.pause_after_error().await;
                    }
                    Event::Readable
                }
                command = commands.recv() => Event::Command(command),
                addresses = seeds.resolved(&self.metrics) => Event::Resolved(addresses),
                () = until(deadline) => Event::Deadline,
            };
            let ended = match event {
                Event::Stopped => Some(Ended::Stopped),
                Event::Readable => self.receive(&socket).await,
                Event::Command(None) => Some(Ended::Stopped),
                Event::Command(Some(Command::SetLeaving(leaving))) => {
                    self.handle(Input::SetLeaving(leaving), &socket)
                }
                Event::Command(Some(Command::Leave)) => self.handle(Input::Leave, &socket),
                Event::Command(Some(Command::Join(more))) => {
                    seeds.add(more);
                    None
                }
                Event::Resolved(addresses) => self.handle(Input::Seeds(addresses), &socket),
                // What has come may be the answer that a timer waits for.
                Event::Deadline => match self.receive(&socket).await {
                    None => self.handle(Input::Tick, &socket),
                    ended => ended,
                },
            };
            if let Some(ended) = ended {
                return ended;
            }
        }
    }

    /// Hands what has come to the core, up to a turn's worth.
    async fn receive(&mut self, socket: &tokio::net::UdpSocket) -> Option<Ended> {
        // One byte more than allowed shows that a datagram is too long.
        let mut buffer = [0; limits::DATAGRAM_BYTES_MAX + 1];
        for _ in 0..limits::DATAGRAMS_PER_TURN {
            match socket.try_recv_from(&mut buffer) {
                Ok((length, _)) => {
                    let ended = self.handle(Input::Datagram(&buffer[..length]), socket);
                    if ended.is_some() {
                        return ended;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(_) => {
                    self.pause_after_error().await;
                    return None;
                }
            }
        }
        None
    }

    async fn pause_after_error(&self) {
        self.metrics.error("socket");
        tokio::time::sleep(limits::SOCKET_ERROR_PAUSE).await;
    }

    fn handle(&mut self, input: Input<'_>, socket: &tokio::net::UdpSocket) -> Option<Ended> {
        let now: Moment = self.origin.elapsed();
        let mut out = std::mem::take(&mut self.out);
        self.core.handle(input, now, &mut out);
        let mut ended = None;
        for output in out.drain(..) {
            match output {
                Output::Send { to, bytes } => self.send(socket, to, &bytes),
                Output::View(view) => {
                    self.publish.send_replace(view);
                }
                Output::Left => ended = Some(Ended::Left),
                Output::Superseded { generation } => {
                    tracing::error!(generation, "a later start of this node is in the cluster");
                    ended = Some(Ended::Superseded { generation });
                }
            }
        }
        self.out = out;
        ended
    }

    /// Sends or drops: the protocol lives with loss, and nothing may wait for a full socket.
    fn send(&self, socket: &tokio::net::UdpSocket, to: SocketAddr, bytes: &[u8]) {
        let to = match to {
            // An IPv6 socket reaches IPv4 by mapped addresses.
            SocketAddr::V4(v4) if self.ipv6 => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
            to => to,
        };
        if socket.try_send_to(bytes, to).is_err() {
            self.metrics.error("unsent");
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
