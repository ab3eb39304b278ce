//! The worker side: pollers that take tasks, decide and answer, as an official worker would on the wire.
//!
//! Owns the sticky cache. Never starts a workflow; tells the ledger when one ended. `run` starts and stops it.

mod activity;
pub(crate) mod command;
pub(crate) mod decide;
mod history;
mod message;
pub(crate) mod tally;
mod workflow;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use proto::temporal::{
    enums::v1::TaskQueueKind,
    taskqueue::v1::TaskQueue,
    workflowservice::v1::{PollActivityTaskQueueRequest, PollWorkflowTaskQueueRequest},
};
use tokio::{sync::Semaphore, task::JoinSet};
use tonic::Status;

use self::tally::Tally;
use crate::{
    client::{Api, within},
    ledger::Ledger,
    payload::Filler,
    rpc::Rpc,
};

/// Longer than the server holds a poll (60 s), so that the server ends it.
const POLL_DEADLINE: Duration = Duration::from_secs(70);
const POLL_BACKOFF: Duration = Duration::from_millis(200);
/// Runs remembered; a task of another run is answered from its full history.
const CACHED_RUNS_MAX: usize = 100_000;

/// How the worker behaves.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub namespace: String,
    pub queues: Vec<String>,
    /// Pollers of each kind (workflow, sticky, activity) and queue.
    pub pollers: usize,
    /// Tasks of each kind worked on at a time.
    pub slots: usize,
    pub sticky: bool,
    pub eager_activities: bool,
    pub activities: bool,
}

/// See the module.
pub(crate) struct Worker {
    api: Api,
    ledger: Arc<Ledger>,
    filler: Filler,
    settings: Settings,
    identity: String,
    cache: Mutex<HashMap<String, Tally>>,
    workflow_slots: Arc<Semaphore>,
    activity_slots: Arc<Semaphore>,
}

impl Worker {
    pub(crate) fn new(api: Api, ledger: Arc<Ledger>, filler: Filler, settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            api,
            ledger,
            filler,
            identity: format!("{}@load", std::process::id()),
            cache: Mutex::default(),
            workflow_slots: Arc::new(Semaphore::new(settings.slots)),
            activity_slots: Arc::new(Semaphore::new(settings.slots)),
            settings,
        })
    }

    /// Starts the pollers; dropping the set stops them.
    pub(crate) fn spawn(self: &Arc<Self>) -> JoinSet<()> {
        let mut pollers = JoinSet::new();
        for queue in &self.settings.queues {
            for _ in 0..self.settings.pollers {
                pollers.spawn(self.clone().poll_workflows(command::task_queue(queue)));
                if self.settings.sticky {
                    pollers.spawn(self.clone().poll_workflows(sticky_queue(queue)));
                }
                if self.settings.activities {
                    pollers.spawn(self.clone().poll_activities(queue.clone()));
                }
            }
        }
        pollers
    }

    async fn poll_workflows(self: Arc<Self>, queue: TaskQueue) {
        loop {
            let Ok(slot) = self.workflow_slots.clone().acquire_owned().await else {
                return;
            };
            let task = match self.poll_workflow(&queue).await {
                Ok(task) => task,
                Err(_) => {
                    tokio::time::sleep(POLL_BACKOFF).await;
                    continue;
                }
            };
            if !task.task_token.is_empty() {
                let worker = self.clone();
                tokio::spawn(async move {
                    worker.work_on(task).await;
                    drop(slot);
                });
            }
        }
    }

    async fn poll_workflow(
        &self,
        queue: &TaskQueue,
    ) -> Result<proto::temporal::workflowservice::v1::PollWorkflowTaskQueueResponse, Status> {
        let poll = |mut service: crate::client::Service, deadline| {
            let request = PollWorkflowTaskQueueRequest {
                namespace: self.settings.namespace.clone(),
                task_queue: Some(queue.clone()),
                identity: self.identity.clone(),
                ..Default::default()
            };
            async move { service.poll_workflow_task_queue(within(deadline, request)).await }
        };
        self.api
            .once(Rpc::PollWorkflowTaskQueue, POLL_DEADLINE, &poll)
            .await
    }

    async fn poll_activities(self: Arc<Self>, queue: String) {
        loop {
            let Ok(slot) = self.activity_slots.clone().acquire_owned().await else {
                return;
            };
            let poll = |mut service: crate::client::Service, deadline| {
                let request = PollActivityTaskQueueRequest {
                    namespace: self.settings.namespace.clone(),
                    task_queue: Some(command::task_queue(&queue)),
                    identity: self.identity.clone(),
                    ..Default::default()
                };
                async move { service.poll_activity_task_queue(within(deadline, request)).await }
            };
            match self
                .api
                .once(Rpc::PollActivityTaskQueue, POLL_DEADLINE, &poll)
                .await
            {
                Err(_) => tokio::time::sleep(POLL_BACKOFF).await,
                Ok(task) if task.task_token.is_empty() => {}
                Ok(task) => {
                    let worker = self.clone();
                    tokio::spawn(async move {
                        worker.run_activity(task).await;
                        drop(slot);
                    });
                }
            }
        }
    }

    fn cache(&self) -> MutexGuard<'_, HashMap<String, Tally>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The queue that only this worker polls for the runs it remembers.
fn sticky_queue(queue: &str) -> TaskQueue {
    TaskQueue {
        name: format!("{queue}-sticky"),
        kind: TaskQueueKind::Sticky.into(),
        normal_name: queue.to_owned(),
    }
}
