//! Connections to the servers under load, and calls that are booked and made again as official clients do.
//!
//! Owns no meaning of a call. Used by `flow` (the client side), `worker` and `verify`.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use proto::temporal::workflowservice::v1::workflow_service_client::WorkflowServiceClient;
use tonic::{
    Request, Response, Status,
    transport::{Channel, Endpoint},
};

use crate::{recorder::Recorder, rpc, rpc::Rpc};

pub(crate) type Service = WorkflowServiceClient<Channel>;

/// Largest message accepted; a large history comes in one.
const MESSAGE_BYTES_MAX: usize = 128 << 20;
const WINDOW_BYTES: u32 = 4 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// How long calls may take and be made again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// One attempt.
    pub attempt: Duration,
    /// All attempts; zero means one attempt.
    pub retry_for: Duration,
}

/// Connections to all targets; cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    services: Arc<[Service]>,
    next: Arc<AtomicUsize>,
    recorder: Arc<Recorder>,
    patience: Patience,
}

/// A call that did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub status: Status,
    /// Attempts made; after more than one, an earlier one may have taken effect.
    pub attempts: u32,
}

impl Api {
    /// Opens so many connections to each target; they connect when first used.
    pub(crate) fn new(
        targets: &[String],
        connections: usize,
        patience: Patience,
        recorder: Arc<Recorder>,
    ) -> Result<Self, String> {
        let endpoint = |target: &String| {
            Endpoint::from_shared(format!("http://{target}"))
                .map(|endpoint| {
                    endpoint
                        .connect_timeout(CONNECT_TIMEOUT)
                        .initial_stream_window_size(WINDOW_BYTES)
                        .initial_connection_window_size(WINDOW_BYTES)
                        .http2_adaptive_window(false)
                })
                .map_err(|error| format!("read target {target:?}: {error}"))
        };
        let endpoints = targets.iter().map(endpoint).collect::<Result<Vec<_>, _>>()?;
        let services = (0..connections.max(1)).flat_map(|_| &endpoints).map(|endpoint| {
            WorkflowServiceClient::new(endpoint.connect_lazy())
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX)
        });
        let services: Arc<[Service]> = services.collect();
        if services.is_empty() {
            return Err("no target given".to_owned());
        }
        Ok(Self {
            services,
            next: Arc::default(),
            recorder,
            patience,
        })
    }

    /// The next connection, for calls that are not part of the load.
    pub(crate) fn service(&self) -> Service {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % self.services.len();
        self.services[at].clone()
    }

    /// Makes a call until it succeeds, cannot succeed or patience ends; each attempt goes to the next server.
    pub(crate) async fn call<T, F>(
        &self,
        rpc: Rpc,
        attempt: impl Fn(Service, Duration) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let began = Instant::now();
        let mut backoff = BACKOFF_FIRST;
        for attempts in 1.. {
            let status = match self.once(rpc, self.patience.attempt, &attempt).await {
                Ok(answer) => return Ok(answer),
                Err(status) => status,
            };
            let tired = began.elapsed() + backoff > self.patience.retry_for;
            if tired || !rpc::retryable(status.code()) {
                return Err(Failure { status, attempts });
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
        unreachable!("the loop has no end")
    }

    /// Makes a call once, with a deadline of its own.
    pub(crate) async fn once<T, F>(
        &self,
        rpc: Rpc,
        deadline: Duration,
        attempt: &impl Fn(Service, Duration) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let began = Instant::now();
        let result = attempt(self.service(), deadline).await;
        self.recorder.called(rpc, began.elapsed());
        match result {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => {
                self.recorder.failed(rpc, status.code(), status.message());
                Err(status)
            }
        }
    }
}

/// A request with its deadline.
pub(crate) fn within<T>(deadline: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}
