//! run: from settings to a server that answers, and back to nothing, in order.

#![expect(clippy::print_stdout, reason = "the one friendly line with the address")]

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use cluster::host::{self, Host, Parts, StartError};
use frontend::frontend::{DefaultNamespace, Frontend, OpenError, Options};
use proto::ids::NodeId;
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
use tokio::net::TcpListener;

use crate::{
    config::{Config, Data},
    persistence,
};

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

/// Runs the server until `stop` ends, then stops it in order: polls are answered empty, calls end, batches finish.
pub async fn run(config: Config, stop: impl Future<Output = ()>) -> Result<(), RunError> {
    // First of all the addresses: a second server is told at once, and nothing is touched.
    let listener = listen(config.listen).await?;
    let http = match config.http_listen {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let stores = open(&config).await?;
    let host = start_node(&config, &stores).await?;
    let frontend = Frontend::open(host.router().clone(), options(&config, &host)).await?;
    for namespace in &config.namespaces {
        frontend
            .add_search_attributes(namespace, &config.search_attributes)
            .await?;
    }
    let address = listener.local_addr().unwrap_or(config.listen);
    println!(
        "Perdure {} answers on {address}; {}.",
        env!("CARGO_PKG_VERSION"),
        place(&config.data)
    );
    tracing::info!(%address, "server is up");

    let (end, ended) = tokio::sync::watch::channel(false);
    let reclaim = {
        let frontend = Arc::clone(&frontend);
        tokio::spawn(async move { frontend.reclaim().await })
    };
    let pages = http.map(|listener| {
        tokio::spawn(frontend::http::serve(
            listener,
            Arc::clone(&frontend),
            finished(ended.clone()),
        ))
    });
    let mut calls = tokio::spawn(frontend::grpc::serve(
        listener,
        Arc::clone(&frontend),
        finished(ended.clone()),
    ));
    let served = tokio::select! {
        () = stop => None,
        served = &mut calls => Some(served),
    };
    tracing::info!("server stops");
    frontend.drain();
    host.drain_queues().await;
    end.send_replace(true);
    let served = match served {
        Some(served) => Some(served),
        None => tokio::time::timeout(GRACE, &mut calls).await.ok(),
    };
    reclaim.abort();
    if let Some(pages) = pages {
        pages.abort();
    }
    host.stop().await;
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

async fn finished(mut ended: tokio::sync::watch::Receiver<bool>) {
    // The sender lives until the server has stopped.
    let _ = ended.wait_for(|ended| *ended).await;
}

async fn listen(address: SocketAddr) -> Result<TcpListener, RunError> {
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

async fn start_node(config: &Config, stores: &Stores) -> Result<Host, RunError> {
    // Fails here if it ever does, not within a shard.
    seed().map_err(|error| RunError::Random(error.to_string()))?;
    let generation = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let node = NodeId {
        name: "perdure".into(),
        generation,
    };
    let parts = Parts {
        view: cluster::placement::alone(&node),
        peers: None,
        node,
        store: Arc::clone(&stores.shards),
        registry: Arc::clone(&stores.registry),
        visibility: Arc::clone(&stores.visibility),
        config: config.cluster.clone(),
        namespaces: frontend::namespace::read(&*stores.registry).await?,
        seed: Arc::new(|| seed().unwrap_or_default()),
    };
    Ok(host::start(parts).await?)
}

fn seed() -> Result<[u8; 16], getrandom::Error> {
    let mut seed = [0; 16];
    getrandom::fill(&mut seed)?;
    Ok(seed)
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
        calls: config.frontend.clone(),
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
