//! run: from settings to a server that answers, and back to nothing, in order.

#![expect(clippy::print_stdout, reason = "the one friendly line with the address")]

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cluster::host::{Host, StartError};
use frontend::frontend::{DefaultNamespace, Frontend, OpenError, Options};
use storage::{
    embedded::{self, EmbeddedStore},
    memory::MemoryStore,
    registry::Registry,
    shard::ShardStore,
    visibility::{
        VisibilityIndex,
        embedded::{EmbeddedIndex, EmbeddedOptions},
        error::VisibilityError,
    },
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::watch,
    task::JoinSet,
};

use crate::{
    admin::{self, operator::Operator},
    config::{Config, Data},
    files,
    membership::member::JoinError,
    node::{self, Node},
    persistence,
};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// How long calls that are under way may take to end after the signal.
const GRACE: Duration = Duration::from_secs(10);
/// How long the default namespaces keep closed workflows.
const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// The server could not start, or did not stop in order.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    #[error("open data in {0}: {1}")]
    Folder(PathBuf, io::Error),
    #[error(transparent)]
    Store(#[from] embedded::OpenError),
    #[error("open visibility index: {0}")]
    Visibility(#[from] VisibilityError),
    #[error(transparent)]
    Shared(#[from] persistence::OpenError),
    #[error(transparent)]
    Node(#[from] StartError),
    #[error(transparent)]
    Frontend(#[from] OpenError),
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error(
        "stop: this node was started again elsewhere, as generation {generation}; is its name used twice?"
    )]
    Superseded { generation: u64 },
    #[error("stop: membership has failed")]
    MembershipEnded,
    #[error("serve: {0}")]
    Serve(String),
    #[error("draw random bytes: {0}")]
    Random(String),
}

/// What the data is kept in.
pub(crate) struct Stores {
    pub(crate) shards: Arc<dyn ShardStore>,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) visibility: Arc<dyn VisibilityIndex>,
    pub(crate) embedded: Option<Arc<EmbeddedStore>>,
}

/// Runs the server until `stop` ends or an operator drains it, then stops it in order: shards go to other nodes, polls
/// are answered empty, calls end, batches finish.
pub async fn run(config: Config, stop: impl Future<Output = ()>) -> Result<(), RunError> {
    // First of all the addresses: a second server is told at once, and nothing is touched.
    let socket = reserve(config.listen)?;
    let address = socket.local_addr().unwrap_or(config.listen);
    let http = match config.http_listen {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let stores = open(&config).await?;
    let node = node::start(&config, &stores, address).await?;
    let frontend = Frontend::open(node.host.router().clone(), options(&config, &node.host)).await?;
    for namespace in &config.namespaces {
        frontend
            .add_search_attributes(namespace, &config.search_attributes)
            .await?;
    }
    let operator = operator(&frontend, &node);
    let (end, ended) = watch::channel(false);
    // Dropped, and with it ended, when this function is left.
    let mut tasks = JoinSet::new();
    {
        let frontend = Arc::clone(&frontend);
        tasks.spawn(async move { frontend.reclaim().await });
    }
    if let Some(listener) = http {
        let pages = admin::pages::pages(operator.clone());
        let served = frontend::http::serve(listener, Arc::clone(&frontend), pages, finished(ended.clone()));
        tasks.spawn(async move {
            if let Err(error) = served.await {
                tracing::error!(%error, "serve pages");
            }
        });
    }
    // Only here do clients find somebody: while a node starts they go to others.
    let listener = socket
        .listen(BACKLOG)
        .map_err(|error| RunError::Listen(address, error))?;
    let mut calls = tokio::spawn(frontend::grpc::serve(
        listener,
        Arc::clone(&frontend),
        finished(ended.clone()),
    ));
    println!(
        "Perdure {} answers on {address}; {}.",
        env!("CARGO_PKG_VERSION"),
        place(&config.data)
    );
    if !config.ignored_settings.is_empty() {
        let settings = config.ignored_settings.join(", ");
        tracing::warn!(settings, "some dynamic settings mean nothing here");
    }
    tracing::info!(%address, "server is up");
    let served = tokio::select! {
        () = stop => None,
        () = operator.drain_wanted() => None,
        served = &mut calls => Some(served),
        error = node.expelled() => {
            node.halt().await;
            return Err(error);
        }
    };
    tracing::info!("server stops");
    frontend.leave();
    node.hand_over().await;
    frontend.drain();
    node.host.drain_queues().await;
    end.send_replace(true);
    let served = match served {
        Some(served) => Some(served),
        None => tokio::time::timeout(GRACE, &mut calls).await.ok(),
    };
    tasks.shutdown().await;
    node.stop().await;
    if let Some(store) = stores.embedded {
        store.close().await;
    }
    match served {
        Some(Ok(Err(error))) => Err(RunError::Serve(error.to_string())),
        Some(Err(error)) if error.is_panic() => Err(RunError::Serve(error.to_string())),
        // Calls that did not end in time are cut: their clients try again.
        Some(_) | None => Ok(()),
    }
}

/// Lets operators ask this node, directly and through other nodes.
fn operator(frontend: &Arc<Frontend>, node: &Node) -> Operator {
    let router = node.host.router();
    let operator = Operator::new(Arc::clone(frontend), router.clone());
    let answers = operator.clone();
    router.set_operator(Arc::new(move |question| {
        let operator = answers.clone();
        Box::pin(async move { operator.answer(question).await })
    }));
    operator
}

/// Ends when the process is asked to stop.
pub async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be heard: stop the server with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

async fn finished(mut ended: watch::Receiver<bool>) {
    // The sender lives until the server has stopped.
    let _ = ended.wait_for(|ended| *ended).await;
}

/// Takes an address without listening yet: connections are refused.
fn reserve(address: SocketAddr) -> Result<TcpSocket, RunError> {
    let taken = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        // Connections of an earlier process may still be on their way out.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    };
    taken().map_err(|error| RunError::Listen(address, error))
}

pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| RunError::Listen(address, error))
}

async fn open(config: &Config) -> Result<Stores, RunError> {
    match &config.data {
        Data::Memory => {
            let store = Arc::new(MemoryStore::new());
            Ok(Stores {
                shards: store.clone(),
                registry: store,
                visibility: Arc::new(EmbeddedIndex::in_memory()?),
                embedded: None,
            })
        }
        Data::Folder(folder) => {
            std::fs::create_dir_all(folder).map_err(|error| RunError::Folder(folder.clone(), error))?;
            // The outbox forgets what the index has acknowledged.
            let index = EmbeddedOptions {
                survive_power_loss: true,
                ..EmbeddedOptions::default()
            };
            // The store takes the lock: the index is opened only after it.
            let store = EmbeddedStore::open(&folder.join("store"), &config.storage)?;
            let visibility = Arc::new(EmbeddedIndex::open(&folder.join("visibility.db"), &index)?);
            Ok(Stores {
                shards: store.clone(),
                registry: store.clone(),
                visibility,
                embedded: Some(store),
            })
        }
        Data::Shared(persistence) => Ok(persistence.open().await?),
    }
}

fn options(config: &Config, host: &Host) -> Options {
    Options {
        cluster_name: "active".to_owned(),
        cluster_id: String::new(),
        shard_count: u32::try_from(host.router().map().ranges.len()).unwrap_or(u32::MAX),
        store: match config.data {
            Data::Memory => "memory",
            Data::Folder(_) => "embedded",
            Data::Shared(_) => "cassandra",
        }
        .to_owned(),
        address: config.listen.to_string(),
        namespaces: config
            .namespaces
            .iter()
            .map(|name| DefaultNamespace {
                name: name.clone(),
                retention: RETENTION,
            })
            .collect(),
        calls: frontend::config::Config {
            connections_max: files::connections_max(config.frontend.connections_max),
            ..config.frontend.clone()
        },
    }
}

fn place(data: &Data) -> String {
    let shown = |folder: &Path| folder.display().to_string();
    match data {
        Data::Memory => "data is in memory and goes with it".to_owned(),
        Data::Folder(folder) => format!("data is kept in {}", shown(folder)),
        Data::Shared(persistence) => format!("data is kept in {persistence}"),
    }
}
