//! The server that is scraped, and what clients and workers do to it.

use std::{fs, path::Path, time::Duration};

use perdure_tests::{
    client::{self, NAMESPACE, Service, answer, of, start, timed},
    process::{Process, free_address},
};
use proto::temporal::{
    command::v1::Command,
    workflowservice::v1::{
        PollActivityTaskQueueResponse, PollWorkflowTaskQueueResponse, SignalWorkflowExecutionRequest,
        StartWorkflowExecutionRequest,
    },
};

use crate::prometheus;

const START_MAX: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(25);
pub(crate) const TASK_TIMEOUT: Duration = Duration::from_secs(10);

/// Small enough that each limit is met.
const SETTINGS: &str = "\
cluster:
  shards: 2
  shard:
    cache_bytes_max: 100000
  matching:
    tickets_max: 5
    polls_max: 4
    idle_after: 3s
";

/// A server with small limits.
pub(crate) struct Stage {
    process: Process,
    pub(crate) pages: String,
    pub(crate) service: Service,
}

impl Stage {
    pub(crate) async fn start(program: &Path, directory: &Path) -> Result<Self, String> {
        let settings = directory.join("settings.yaml");
        fs::create_dir_all(directory)
            .and_then(|()| fs::write(&settings, SETTINGS))
            .map_err(|error| format!("write {}: {error}", settings.display()))?;
        Self::start_with(
            program,
            directory,
            &["--config".to_owned(), settings.display().to_string()],
        )
        .await
    }

    pub(crate) async fn start_with(
        program: &Path,
        directory: &Path,
        options: &[String],
    ) -> Result<Self, String> {
        let pages = free_address()?;
        let mut options = options.to_vec();
        options.extend(["--http-listen".to_owned(), pages.clone()]);
        let mut process = Process::start(program, directory, &options)?;
        let address = process.address.clone();
        let is_up = || async {
            let up = client::connect(&address).await.is_ok();
            if !up {
                tokio::time::sleep(PAUSE).await;
            }
            up
        };
        process.answers(is_up, START_MAX).await?;
        let service = client::connect(&address).await?;
        Ok(Self {
            process,
            pages,
            service,
        })
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    pub(crate) async fn page(&self) -> Result<String, String> {
        prometheus::get(&self.pages, "/metrics").await
    }

    /// Checks that the server lives and has logged no error, and ends it.
    pub(crate) async fn finish(&mut self) -> Result<(), String> {
        let log = self.process.log()?;
        self.process.kill().await?;
        match log.lines().find(|line| line.contains("ERROR")) {
            Some(line) => Err(format!("the server logged: {line}")),
            None => Ok(()),
        }
    }

    /// Starts a workflow under the name of its queue.
    pub(crate) async fn start_workflow(&self, id: &str) -> Result<(), String> {
        self.start_as(start(id, id, TASK_TIMEOUT)).await
    }

    pub(crate) async fn start_as(&self, request: StartWorkflowExecutionRequest) -> Result<(), String> {
        let mut service = self.service.clone();
        let started = service.start_workflow_execution(timed(request)).await;
        started.map(|_| ()).map_err(of("start workflow"))
    }

    pub(crate) async fn task(&self, queue: &str) -> Result<PollWorkflowTaskQueueResponse, String> {
        let mut service = self.service.clone();
        let (task, _) = client::poll(&mut service, queue).await.map_err(of("poll"))?;
        task.ok_or_else(|| format!("queue {queue} has no task"))
    }

    /// Answers the queue's next workflow task with the commands.
    pub(crate) async fn decide(&self, queue: &str, commands: Vec<Command>) -> Result<(), String> {
        let task = self.task(queue).await?;
        let mut service = self.service.clone();
        let answer = timed(answer(task.task_token, commands));
        let answered = service.respond_workflow_task_completed(answer).await;
        answered.map(|_| ()).map_err(of("complete workflow task"))
    }

    pub(crate) async fn activity(&self, queue: &str) -> Result<PollActivityTaskQueueResponse, String> {
        let mut service = self.service.clone();
        let polled = service
            .poll_activity_task_queue(client::long(client::poll_activity(queue)))
            .await;
        let task = polled.map_err(of("poll activity"))?.into_inner();
        if task.task_token.is_empty() {
            return Err(format!("queue {queue} has no activity"));
        }
        Ok(task)
    }

    pub(crate) async fn signal(&self, id: &str) -> Result<(), String> {
        let request = SignalWorkflowExecutionRequest {
            namespace: NAMESPACE.to_owned(),
            workflow_execution: client::execution(id),
            signal_name: "go".to_owned(),
            ..Default::default()
        };
        let mut service = self.service.clone();
        let signaled = service.signal_workflow_execution(timed(request)).await;
        signaled.map(|_| ()).map_err(of("signal"))
    }
}
