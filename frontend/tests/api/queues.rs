//! What clients set for queues, and the workers that say they are there.

use std::sync::Arc;

use proto::temporal::{
    enums::v1::{RateLimitSource, TaskQueueType, WorkerStatus},
    taskqueue::v1::{RateLimit, TaskQueue, TaskQueueConfig},
    worker::v1::WorkerHeartbeat,
    workflowservice::v1::{
        update_task_queue_config_request::RateLimitUpdate, workflow_service_client::WorkflowServiceClient, *,
    },
};
use storage::memory::MemoryStore;
use tonic::transport::Channel;

use crate::server::{NAMESPACE, Server, check, outcome};

const QUEUE: &str = "slow";

fn update(task_type: TaskQueueType, rate: Option<f32>) -> UpdateTaskQueueConfigRequest {
    UpdateTaskQueueConfigRequest {
        namespace: NAMESPACE.to_owned(),
        identity: "operator".to_owned(),
        task_queue: QUEUE.to_owned(),
        task_queue_type: task_type.into(),
        update_queue_rate_limit: Some(RateLimitUpdate {
            rate_limit: rate.map(|requests_per_second| RateLimit { requests_per_second }),
            reason: "busy".to_owned(),
        }),
        ..Default::default()
    }
}

/// Returns what is set for the queue, and how fast it goes by whose word.
async fn describe(
    client: &mut WorkflowServiceClient<Channel>,
) -> (Option<TaskQueueConfig>, f32, RateLimitSource) {
    let request = DescribeTaskQueueRequest {
        namespace: NAMESPACE.to_owned(),
        task_queue: Some(TaskQueue {
            name: QUEUE.to_owned(),
            ..Default::default()
        }),
        task_queue_type: TaskQueueType::Activity.into(),
        report_config: true,
        ..Default::default()
    };
    let answer = client.describe_task_queue(request).await.expect("described");
    let answer = answer.into_inner();
    let rate = answer.effective_rate_limit.expect("rate");
    (answer.config, rate.requests_per_second, rate.rate_limit_source())
}

#[tokio::test]
async fn a_rate_holds_from_when_it_is_set_and_after_a_restart() {
    let store = Arc::new(MemoryStore::new());
    let server = Server::start_on(Arc::clone(&store)).await;
    let mut client = server.client().await;
    assert_eq!(describe(&mut client).await.2, RateLimitSource::System);
    let set = client
        .update_task_queue_config(update(TaskQueueType::Activity, Some(2.5)))
        .await;
    let config = set.expect("set").into_inner().config;
    let expected = (config.clone(), 2.5, RateLimitSource::Api);
    assert_eq!(describe(&mut client).await, expected);
    drop((client, server));

    let server = Server::start_on(store).await;
    let mut client = server.client().await;
    assert_eq!(describe(&mut client).await, expected);
    let unset = client
        .update_task_queue_config(update(TaskQueueType::Activity, None))
        .await;
    unset.expect("unset");
    let (config, _, source) = describe(&mut client).await;
    assert_eq!(source, RateLimitSource::System);
    // Who took it away, and why, is kept.
    let limit = config.and_then(|config| config.queue_rate_limit).expect("limit");
    assert_eq!(limit.rate_limit, None);
    assert_eq!(limit.metadata.expect("metadata").reason, "busy");
}

#[tokio::test]
async fn settings_are_refused_in_official_words() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut rows = Vec::new();
    let table = [
        (
            update(TaskQueueType::Workflow, Some(1.0)),
            "InvalidArgument: Setting rate limit on workflow task queues is not allowed.",
        ),
        (
            update(TaskQueueType::Activity, Some(-1.0)),
            "InvalidArgument: RequestsPerSecond for UpdateQueueRateLimit rate limit must be non-negative.",
        ),
        (
            UpdateTaskQueueConfigRequest {
                set_fairness_weight_overrides: [("k".to_owned(), 0.0)].into(),
                ..update(TaskQueueType::Activity, None)
            },
            "InvalidArgument: invalid fairness weight weight for key \"k\": must be greater than zero",
        ),
        (
            UpdateTaskQueueConfigRequest {
                set_fairness_weight_overrides: [("k".to_owned(), 1.0)].into(),
                unset_fairness_weight_overrides: vec!["k".to_owned()],
                ..update(TaskQueueType::Activity, None)
            },
            "InvalidArgument: fairness weight override key \"k\" present in both set and unset lists",
        ),
    ];
    for (request, expected) in table {
        rows.push((outcome(client.update_task_queue_config(request).await), expected));
    }
    check(&rows);
    assert_eq!(describe(&mut client).await.0, None);
}

async fn listed(
    client: &mut WorkflowServiceClient<Channel>,
    query: &str,
    page_size: i32,
) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut request = ListWorkersRequest {
        namespace: NAMESPACE.to_owned(),
        query: query.to_owned(),
        page_size,
        ..Default::default()
    };
    loop {
        let answer = client
            .list_workers(request.clone())
            .await
            .expect("listed")
            .into_inner();
        pages.push(
            answer
                .workers
                .into_iter()
                .map(|worker| worker.worker_instance_key)
                .collect(),
        );
        if answer.next_page_token.is_empty() {
            return pages;
        }
        request.next_page_token = answer.next_page_token;
    }
}

#[tokio::test]
async fn workers_are_listed_as_they_show_themselves() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let worker = |key: &str, queue: &str| WorkerHeartbeat {
        worker_instance_key: key.to_owned(),
        task_queue: queue.to_owned(),
        status: WorkerStatus::Running.into(),
        ..Default::default()
    };
    let heartbeat = RecordWorkerHeartbeatRequest {
        namespace: NAMESPACE.to_owned(),
        worker_heartbeat: vec![worker("b", "q1"), worker("a", "q1"), worker("c", "q2")],
        ..Default::default()
    };
    client.record_worker_heartbeat(heartbeat).await.expect("heard");
    assert_eq!(listed(&mut client, "", 2).await, [vec!["a", "b"], vec!["c"]]);
    assert_eq!(listed(&mut client, "TaskQueue = 'q1'", 0).await, [["a", "b"]]);
    let shutdown = ShutdownWorkerRequest {
        namespace: NAMESPACE.to_owned(),
        worker_heartbeat: Some(WorkerHeartbeat {
            status: WorkerStatus::Shutdown.into(),
            ..worker("a", "q1")
        }),
        ..Default::default()
    };
    client.shutdown_worker(shutdown).await.expect("shut down");
    assert_eq!(listed(&mut client, "", 0).await, [["b", "c"]]);
    let describe = |key: &str| DescribeWorkerRequest {
        namespace: NAMESPACE.to_owned(),
        worker_instance_key: key.to_owned(),
    };
    let found = client.describe_worker(describe("c")).await.expect("described");
    let found = found
        .into_inner()
        .worker_info
        .and_then(|info| info.worker_heartbeat);
    assert_eq!(found, Some(worker("c", "q2")));
    let gone = outcome(client.describe_worker(describe("a")).await);
    assert_eq!(gone, "NotFound: Worker a not found [NotFoundFailure]");
}
