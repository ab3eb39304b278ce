//! A server that speaks just enough of the API to be loaded, and that goes wrong on demand.
//!
//! It keeps everything in memory, knows no sticky queues, and is honest unless told otherwise: what the load
//! generator says about it can be checked against what it was told to do.

mod state;
mod wire;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use proto::temporal::{
    enums::v1::WorkflowExecutionStatus,
    workflow::v1::WorkflowExecutionInfo,
    workflowservice::v1::{
        CountWorkflowExecutionsRequest, CountWorkflowExecutionsResponse, DescribeNamespaceRequest,
        DescribeNamespaceResponse, DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse,
        GetSystemInfoRequest, GetSystemInfoResponse, PollActivityTaskQueueRequest,
        PollActivityTaskQueueResponse, PollWorkflowTaskQueueRequest, PollWorkflowTaskQueueResponse,
        RespondActivityTaskCompletedRequest, RespondActivityTaskCompletedResponse,
        RespondWorkflowTaskCompletedRequest, RespondWorkflowTaskCompletedResponse,
        StartWorkflowExecutionRequest, StartWorkflowExecutionResponse,
    },
};
use tokio::{net::TcpListener, sync::Notify, time::timeout};
use tonic::{Status, transport::Server, transport::server::TcpIncoming};

use self::state::State;

const POLL: Duration = Duration::from_secs(20);

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Acknowledges this start and forgets the workflow.
    Lose(usize),
    /// Hands out the last task of this workflow again after it closed, and takes the answer.
    Repeat(usize),
    /// Gives this workflow somebody else's activity result.
    Mix(usize),
    /// Commits this workflow's end but does not acknowledge it at first.
    LoseAcknowledgement(usize),
    /// Answers no start between these times after the first.
    Stall {
        from: Duration,
        to: Duration,
    },
    /// Refuses this start once.
    RefuseOnce(usize),
}

/// The server; its state ends with it.
pub(crate) struct Fake {
    fault: Fault,
    state: Mutex<State>,
    changed: Notify,
}

impl Fake {
    /// Serves on a free port until the runtime ends.
    pub(crate) async fn serve(fault: Fault) -> SocketAddr {
        let fake = Arc::new(Self {
            fault,
            state: Mutex::default(),
            changed: Notify::new(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        tokio::spawn(Server::builder().serve_with_incoming(wire::Service(fake), incoming));
        address
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn system_info(&self, _: GetSystemInfoRequest) -> Result<GetSystemInfoResponse, Status> {
        Ok(GetSystemInfoResponse {
            server_version: "fake".to_owned(),
            ..Default::default()
        })
    }

    fn describe_namespace(&self, _: DescribeNamespaceRequest) -> Result<DescribeNamespaceResponse, Status> {
        Ok(DescribeNamespaceResponse::default())
    }

    async fn start(
        self: Arc<Self>,
        request: StartWorkflowExecutionRequest,
    ) -> Result<StartWorkflowExecutionResponse, Status> {
        let now = Instant::now();
        let first = *self.state().first_start.get_or_insert(now);
        if let Fault::Stall { from, to } = self.fault
            && (from..to).contains(&(now - first))
        {
            tokio::time::sleep_until((first + to).into()).await;
        }
        let mut state = self.state();
        let number = state.starts;
        state.starts += 1;
        if self.fault == Fault::RefuseOnce(number) {
            return Err(Status::unavailable("told to refuse"));
        }
        let lost = self.fault == Fault::Lose(number);
        let run_id = state.start(&request, lost);
        self.changed.notify_waiters();
        Ok(StartWorkflowExecutionResponse {
            run_id,
            started: true,
            ..Default::default()
        })
    }

    async fn poll_workflow(
        self: Arc<Self>,
        request: PollWorkflowTaskQueueRequest,
    ) -> Result<PollWorkflowTaskQueueResponse, Status> {
        let queue = request.task_queue.unwrap_or_default().name;
        self.poll(|state| state.next_workflow_task(&queue)).await
    }

    async fn poll_activity(
        self: Arc<Self>,
        request: PollActivityTaskQueueRequest,
    ) -> Result<PollActivityTaskQueueResponse, Status> {
        let queue = request.task_queue.unwrap_or_default().name;
        self.poll(|state| state.next_activity_task(&queue)).await
    }

    async fn poll<T: Default>(&self, take: impl Fn(&mut State) -> Option<T>) -> Result<T, Status> {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                let task = take(&mut self.state());
                match task {
                    Some(task) => return task,
                    None => changed.await,
                }
            }
        };
        Ok(timeout(POLL, wait).await.unwrap_or_default())
    }

    fn complete_workflow_task(
        &self,
        request: RespondWorkflowTaskCompletedRequest,
    ) -> Result<RespondWorkflowTaskCompletedResponse, Status> {
        let mut state = self.state();
        let (run, closed) = state.complete_workflow_task(&request)?;
        let answer = match self.fault {
            Fault::Repeat(at) if at == run && closed => {
                state.repeat(run);
                Ok(RespondWorkflowTaskCompletedResponse::default())
            }
            Fault::LoseAcknowledgement(at) if at == run && closed => {
                Err(Status::unavailable("told to lose it"))
            }
            _ => Ok(RespondWorkflowTaskCompletedResponse::default()),
        };
        self.changed.notify_waiters();
        answer
    }

    fn complete_activity(
        &self,
        request: RespondActivityTaskCompletedRequest,
    ) -> Result<RespondActivityTaskCompletedResponse, Status> {
        let mixed = match self.fault {
            Fault::Mix(at) => Some(at),
            _ => None,
        };
        self.state().complete_activity(request, mixed)?;
        self.changed.notify_waiters();
        Ok(RespondActivityTaskCompletedResponse::default())
    }

    fn describe(
        &self,
        request: DescribeWorkflowExecutionRequest,
    ) -> Result<DescribeWorkflowExecutionResponse, Status> {
        let id = request.execution.unwrap_or_default().workflow_id;
        let closed = self
            .state()
            .is_closed(&id)
            .ok_or_else(|| Status::not_found("no such workflow"))?;
        let status = if closed {
            WorkflowExecutionStatus::Completed
        } else {
            WorkflowExecutionStatus::Running
        };
        let info = WorkflowExecutionInfo {
            status: status.into(),
            ..Default::default()
        };
        Ok(DescribeWorkflowExecutionResponse {
            workflow_execution_info: Some(info),
            ..Default::default()
        })
    }

    fn count(&self, _: CountWorkflowExecutionsRequest) -> Result<CountWorkflowExecutionsResponse, Status> {
        Ok(CountWorkflowExecutionsResponse {
            count: self.state().closed(),
            ..Default::default()
        })
    }
}
