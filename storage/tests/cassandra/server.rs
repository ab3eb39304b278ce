//! The server under test, and an empty keyspace on it for each test.

use std::{
    env,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use perdure_storage::{
    cassandra::{CassandraStore, config::CassandraConfig},
    suite::{Backend, Store},
};

use scylla::client::{session::Session, session_builder::SessionBuilder};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// An empty keyspace.
pub(crate) struct Keyspace {
    name: String,
}

pub(crate) fn address() -> SocketAddr {
    env::var("PERDURE_CASSANDRA")
        .expect(
            "PERDURE_CASSANDRA names a server: run cargo xtask test, or start one with cargo xtask cassandra",
        )
        .parse()
        .expect("an address and a port")
}

/// Copies of each row: `PERDURE_CASSANDRA_COPIES`, for a cluster of several nodes.
fn copies() -> NonZeroUsize {
    let text = env::var("PERDURE_CASSANDRA_COPIES").unwrap_or_else(|_| "1".to_owned());
    text.parse().expect("a number of copies")
}

/// A plain session, for what Cassandra says of itself.
pub(crate) async fn session(address: SocketAddr) -> Session {
    let builder = SessionBuilder::new().known_node(address.to_string());
    builder.build().await.unwrap()
}

impl Keyspace {
    pub(crate) fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            name: format!("perdure_{}_{number}", std::process::id()),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Cassandra's own figure: the most tombstones that one read of the keyspace's shards has met.
    pub(crate) async fn tombstones_max(&self) -> f64 {
        let session = session(address()).await;
        let text = "SELECT max FROM system_views.tombstones_per_read WHERE keyspace_name = ? AND table_name = 'shard'";
        let found = session.query_unpaged(text, (self.name(),)).await.unwrap();
        let rows = found.into_rows_result().unwrap();
        rows.single_row::<(f64,)>().unwrap().0
    }

    /// How the keyspace is reached through `address`.
    pub(crate) fn config(&self, address: SocketAddr) -> CassandraConfig {
        CassandraConfig {
            port: address.port(),
            keyspace: self.name.clone(),
            auto_setup: true,
            replication_factor: copies(),
            // A machine that is busy with other tests is slow, and no test waits for these.
            timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(30),
            ..CassandraConfig::new(address.ip().to_string())
        }
    }
}

impl Keyspace {
    /// Opens the keyspace of the settings without the proxy that they name.
    pub(crate) async fn open_direct(config: &CassandraConfig) -> CassandraStore {
        let config = CassandraConfig {
            port: address().port(),
            ..config.clone()
        };
        CassandraStore::open(&config).await.unwrap()
    }
}

impl Backend for Keyspace {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(CassandraStore::open(&self.config(address())).await.unwrap())
    }

    fn runtime(&self) -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    }
}
