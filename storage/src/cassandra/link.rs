//! Link: the session with Cassandra and its prepared statements.
//!
//! Owns reconnecting. The driver tries a lost node again after pauses that grow to ten seconds; here a session
//! that has lost every node is replaced by a new one as soon as one can be made, so that work goes on within
//! about a second of the store's return. One attempt at a time; calls meanwhile wait no longer than their bound.

use std::{
    future::Future,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use scylla::{
    client::{
        PoolSize, execution_profile::ExecutionProfile, session::Session, session_builder::SessionBuilder,
    },
    errors::ExecutionError,
    policies::{load_balancing::DefaultPolicy, retry::FallthroughRetryPolicy},
    response::query_result::QueryResult,
    serialize::row::SerializeRow,
    statement::{Consistency, SerialConsistency, batch::Batch, prepared::PreparedStatement},
};
use tokio::{runtime::Handle, sync::Notify, time::Instant};

use super::{
    OpenError,
    config::{CassandraConfig, Level, SerialLevel},
    routing::OneReplicaFirst,
    rows::Values,
    tls,
};
use crate::error::StoreError;

/// The pause before a failed request is sent again grows from the first to the second. All of a node's requests wait
/// so while the store is away, and this long at most after its return.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_LAST: Duration = Duration::from_millis(250);
/// The pause between two attempts to make a new session.
const RENEW_PAUSE: Duration = Duration::from_millis(100);
/// How often a connection that carries nothing is tried.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// A connection to the cluster, cheap to clone.
#[derive(Clone)]
pub(crate) struct Link {
    shared: Arc<Shared>,
}

struct Shared {
    config: CassandraConfig,
    session: RwLock<Arc<Session>>,
    renewing: AtomicBool,
    /// Wakes those who wait for another session.
    renewed: Notify,
    /// Work that must not end with its caller runs here.
    runtime: Handle,
}

/// When a call stops trying.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    pause: Duration,
}

impl Link {
    /// Connects to the cluster. Needs a tokio runtime, which lives longer than the link.
    pub(crate) async fn open(config: &CassandraConfig) -> Result<Self, OpenError> {
        let session = connect(config).await?;
        Ok(Self {
            shared: Arc::new(Shared {
                config: config.clone(),
                session: RwLock::new(Arc::new(session)),
                renewing: AtomicBool::new(false),
                renewed: Notify::new(),
                runtime: Handle::current(),
            }),
        })
    }

    pub(crate) fn session(&self) -> Arc<Session> {
        Arc::clone(&self.shared.session.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn config(&self) -> &CassandraConfig {
        &self.shared.config
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.shared.runtime
    }

    pub(crate) fn deadline(&self) -> Deadline {
        self.deadline_of(std::time::Instant::now())
    }

    /// Of a call that has waited since then.
    pub(crate) fn deadline_of(&self, since: std::time::Instant) -> Deadline {
        Deadline {
            at: Instant::from_std(since) + self.shared.config.call_timeout,
            pause: PAUSE_FIRST,
        }
    }

    /// Prepares a statement, in whose text `ks.` stands for the keyspace: Cassandra warns of statements that leave
    /// it out.
    pub(crate) async fn prepare(&self, text: &str, page: i32) -> Result<PreparedStatement, OpenError> {
        let text = text.replace(" ks.", &format!(" {}.", self.config().keyspace));
        let mut statement = self
            .session()
            .prepare(text.as_str())
            .await
            .map_err(|error| refused(&text, &error))?;
        statement.set_page_size(page);
        Ok(statement)
    }

    /// Runs a read or a write that may be done twice, again and again until the deadline.
    pub(crate) async fn execute(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
        deadline: &mut Deadline,
    ) -> Result<QueryResult, StoreError> {
        loop {
            let result = self.session().execute_unpaged(statement, &values).await;
            match result {
                Ok(result) => return Ok(result),
                Err(error) => self.after(&error, deadline).await?,
            }
        }
    }

    /// Sends a batch once.
    pub(crate) async fn batch(
        &self,
        batch: &Batch,
        values: Vec<Values>,
    ) -> Result<QueryResult, ExecutionError> {
        self.session().batch(batch, values).await
    }

    /// Sends a batch that may be done twice, again and again until the deadline; `values` makes its values anew.
    pub(crate) async fn batch_again(
        &self,
        batch: &Batch,
        values: impl Fn() -> Vec<Values>,
        deadline: &mut Deadline,
    ) -> Result<(), StoreError> {
        loop {
            match self.batch(batch, values()).await {
                Ok(_) => return Ok(()),
                Err(error) => self.after(&error, deadline).await?,
            }
        }
    }

    /// Waits before the next attempt, or gives up: the deadline has come, or trying again cannot help.
    pub(crate) async fn after(
        &self,
        error: &ExecutionError,
        deadline: &mut Deadline,
    ) -> Result<(), StoreError> {
        let goes_on = if lost(error) {
            let renewed = self.shared.renewed.notified();
            self.renew();
            deadline.pause_until(renewed).await
        } else {
            !is_refusal(error) && deadline.pause().await
        };
        if !goes_on {
            return Err(StoreError::Unavailable(format!("ask Cassandra: {error}")));
        }
        Ok(())
    }

    /// Makes a new session in the background, unless that is under way.
    fn renew(&self) {
        if self.shared.renewing.swap(true, Ordering::AcqRel) {
            return;
        }
        let shared = Arc::downgrade(&self.shared);
        self.shared.runtime.spawn(async move {
            while let Some(link) = shared.upgrade() {
                match connect(&link.config).await {
                    Ok(session) => {
                        *link.session.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(session);
                        link.renewing.store(false, Ordering::Release);
                        link.renewed.notify_waiters();
                        tracing::info!("Cassandra answers again");
                        return;
                    }
                    Err(error) => tracing::debug!(%error, "Cassandra does not answer"),
                }
                drop(link);
                tokio::time::sleep(RENEW_PAUSE).await;
            }
        });
    }

    /// Runs the future to its end, whether or not somebody still waits for it.
    pub(crate) async fn finish<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.shared.runtime.spawn(future).await.ok()
    }
}

impl Deadline {
    /// Waits for the future until the deadline.
    pub(crate) async fn bound<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout_at(self.at, future).await.ok()
    }

    /// Waits before another attempt; false when there is no time for one.
    pub(crate) async fn pause(&mut self) -> bool {
        self.pause_until(std::future::pending()).await
    }

    /// As `pause`, and no longer than until the future ends.
    async fn pause_until(&mut self, sooner: impl Future<Output = ()>) -> bool {
        let now = Instant::now();
        if now >= self.at {
            return false;
        }
        // Which of both it was is the same.
        let _ = tokio::time::timeout(self.pause.min(self.at - now), sooner).await;
        self.pause = (self.pause * 2).min(PAUSE_LAST);
        true
    }
}

/// Whether no node could be reached.
fn lost(error: &ExecutionError) -> bool {
    matches!(
        error,
        ExecutionError::ConnectionPoolError(_) | ExecutionError::EmptyPlan | ExecutionError::MetadataError(_)
    )
}

/// Whether the request itself is at fault.
fn is_refusal(error: &ExecutionError) -> bool {
    use scylla::errors::{DbError, RequestAttemptError};
    match error {
        ExecutionError::BadQuery(_) => true,
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, _)) => matches!(
            error,
            DbError::SyntaxError | DbError::Invalid | DbError::Unauthorized | DbError::ConfigError
        ),
        _ => false,
    }
}

pub(crate) fn refused(action: &str, error: &dyn std::error::Error) -> OpenError {
    OpenError::Refused {
        action: action.to_owned(),
        why: error.to_string(),
    }
}

/// Makes a session, which is not bound to a keyspace.
pub(crate) async fn connect(config: &CassandraConfig) -> Result<Session, OpenError> {
    let mut builder = SessionBuilder::new()
        .known_nodes(config.contact_points())
        .default_execution_profile_handle(profile(config, false).into_handle())
        .connection_timeout(config.connect_timeout)
        .pool_size(PoolSize::PerHost(config.max_conns))
        .tcp_nodelay(true)
        .keepalive_interval(KEEPALIVE)
        .keepalive_timeout(KEEPALIVE)
        // Replicas are found from the ring and the keyspace's strategy; columns are not looked at.
        .fetch_full_schema_metadata(false)
        .tls_context(tls::context(&config.tls)?);
    if let Some((user, password)) = config.credentials()? {
        builder = builder.user(user, password.reveal());
    }
    builder
        .build()
        .await
        .map_err(|error| refused(&format!("connect to {}", config.hosts), &error))
}

/// How statements are run: tried once, since each caller knows what a second attempt means.
pub(crate) fn profile(config: &CassandraConfig, conditional: bool) -> ExecutionProfile {
    let mut policy = DefaultPolicy::builder().token_aware(true);
    if let Some(datacenter) = &config.datacenter {
        policy = policy.prefer_datacenter(datacenter.clone());
    }
    let policy = policy.build();
    ExecutionProfile::builder()
        .request_timeout(Some(config.timeout))
        .consistency(match config.consistency.default.consistency {
            Level::LocalQuorum => Consistency::LocalQuorum,
            Level::Quorum => Consistency::Quorum,
        })
        .serial_consistency(Some(match config.consistency.default.serial_consistency {
            SerialLevel::LocalSerial => SerialConsistency::LocalSerial,
            SerialLevel::Serial => SerialConsistency::Serial,
        }))
        .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
        .load_balancing_policy(if conditional {
            Arc::new(OneReplicaFirst(policy))
        } else {
            policy
        })
        .build()
}
