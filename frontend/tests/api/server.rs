//! A server on a port of its own, with its data in memory, and clients that speak to it.

use std::{sync::Arc, time::Duration};

use cluster::host::{self, Host, Parts};
use perdure_frontend::{
    config::Config,
    frontend::{DefaultNamespace, Frontend, Options},
    grpc,
};
use prost::Message;
use proto::{
    api::google::rpc,
    ids::NodeId,
    temporal::{
        operatorservice::v1::operator_service_client::OperatorServiceClient,
        taskqueue::v1::TaskQueue,
        workflowservice::v1::{DescribeTaskQueueRequest, workflow_service_client::WorkflowServiceClient},
    },
};
use storage::{memory::MemoryStore, visibility::embedded::EmbeddedIndex};
use tokio::{net::TcpListener, sync::watch};
use tonic::{Request, Response, Status, transport::Channel};

pub(crate) const NAMESPACE: &str = "default";

/// A server of this process.
pub(crate) struct Server {
    pub(crate) address: String,
    pub(crate) frontend: Arc<Frontend>,
    /// Set to stop it.
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) served: tokio::task::JoinHandle<Result<(), grpc::ServeError>>,
    host: Host,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_on(Arc::new(MemoryStore::new())).await
    }

    pub(crate) async fn start_with(calls: Config) -> Self {
        Self::open(Arc::new(MemoryStore::new()), calls).await
    }

    /// Starts over what another server may have stored.
    pub(crate) async fn start_on(store: Arc<MemoryStore>) -> Self {
        Self::open(store, Config::default()).await
    }

    async fn open(store: Arc<MemoryStore>, calls: Config) -> Self {
        let node = NodeId {
            name: "test".into(),
            generation: 1,
        };
        let parts = Parts {
            view: cluster::placement::alone(&node),
            gossip: Arc::default(),
            peers: None,
            node,
            store: store.clone(),
            registry: store,
            visibility: Arc::new(EmbeddedIndex::in_memory().expect("visibility")),
            config: cluster::config::Config::default(),
            namespaces: shard::namespaces::Namespaces::default(),
            seed: Arc::new(|| {
                let mut seed = [0; 16];
                getrandom::fill(&mut seed).expect("random bytes");
                seed
            }),
        };
        let host = host::start(parts).await.expect("node");
        let options = Options {
            cluster_name: "active".to_owned(),
            cluster_id: String::new(),
            shard_count: 8,
            store: "memory".to_owned(),
            address: String::new(),
            namespaces: vec![DefaultNamespace {
                name: NAMESPACE.to_owned(),
                retention: Duration::from_secs(86_400),
            }],
            calls,
        };
        let frontend = Frontend::open(host.router().clone(), options)
            .await
            .expect("frontend");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = format!("http://{}", listener.local_addr().expect("address"));
        let (stop, mut stopped) = watch::channel(false);
        let served = tokio::spawn(grpc::serve(listener, Arc::clone(&frontend), async move {
            drop(stopped.wait_for(|stopped| *stopped).await);
        }));
        Self {
            address,
            frontend,
            stop,
            served,
            host,
        }
    }

    /// Waits until a poll is gone whose client gave it up.
    pub(crate) async fn wait_poll_cancelled(&self) {
        let cancelled = &self.host.router().metrics().queues.polls_cancelled;
        while cancelled.value() == 0 {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(self.address.clone()).expect("address");
        endpoint.connect().await.expect("connection")
    }

    pub(crate) async fn client(&self) -> WorkflowServiceClient<Channel> {
        WorkflowServiceClient::new(self.channel().await)
    }

    pub(crate) async fn operator(&self) -> OperatorServiceClient<Channel> {
        OperatorServiceClient::new(self.channel().await)
    }
}

/// A request that its client waits for so many seconds.
pub(crate) fn within<T>(seconds: u64, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_secs(seconds));
    request
}

/// Shows how a call ended: "ok", or code, message and the names of the details.
pub(crate) fn outcome<T>(result: Result<Response<T>, Status>) -> String {
    let Err(status) = result else {
        return "ok".to_owned();
    };
    let details = rpc::Status::decode(status.details()).expect("details").details;
    let names: Vec<_> = details
        .iter()
        .filter_map(|any| any.type_url.rsplit('.').next())
        .collect();
    let names = if names.is_empty() {
        String::new()
    } else {
        format!(" [{}]", names.join(" "))
    };
    format!("{:?}: {}{names}", status.code(), status.message())
}

/// Asks again and again until the answer is yes; fails if it does not come.
pub(crate) async fn eventually(mut ask: impl AsyncFnMut() -> bool) {
    const PATIENCE: Duration = Duration::from_secs(30);
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let until = tokio::time::Instant::now() + PATIENCE;
    while !ask().await {
        assert!(ticks.tick().await < until, "it did not happen");
    }
}

/// Waits until somebody polls the queue.
pub(crate) async fn polled(client: &mut WorkflowServiceClient<Channel>, queue: Option<TaskQueue>) {
    let describe = DescribeTaskQueueRequest {
        namespace: NAMESPACE.to_owned(),
        task_queue: queue,
        ..Default::default()
    };
    eventually(async || {
        let view = client
            .describe_task_queue(describe.clone())
            .await
            .expect("described");
        !view.into_inner().pollers.is_empty()
    })
    .await;
}

/// Compares how calls ended with how they should.
pub(crate) fn check(rows: &[(String, &str)]) {
    for (index, (shown, expected)) in rows.iter().enumerate() {
        assert_eq!(shown, expected, "row {index}");
    }
}
