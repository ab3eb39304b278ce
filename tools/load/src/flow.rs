//! The client side: what a caller does with one workflow, from its start to its end.
//!
//! Owns no pace; `drive` says when. Every call is booked by `client`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use proto::temporal::{
    common::v1::{WorkflowExecution, WorkflowType},
    enums::v1::UpdateWorkflowExecutionLifecycleStage,
    query::v1::WorkflowQuery,
    update::v1::{Input, Meta, Outcome, Request as UpdateRequest, WaitPolicy, outcome::Value},
    workflowservice::v1::{
        QueryWorkflowRequest, SignalWithStartWorkflowExecutionRequest, SignalWorkflowExecutionRequest,
        StartWorkflowExecutionRequest, UpdateWorkflowExecutionRequest,
    },
};
use tokio::task::JoinSet;
use tonic::Status;

use crate::{
    client::{Api, Failure, Service, within},
    ledger::Ledger,
    mix::Mix,
    payload::Filler,
    recorder::Recorder,
    rpc::Rpc,
    scenario::{Opening, Operation},
    worker::command,
};

/// Times an update is asked for again while the server says that it is not done yet.
const UPDATE_WAITS_MAX: u32 = 5;

/// What every caller needs.
pub(crate) struct Flow {
    pub api: Api,
    pub ledger: Arc<Ledger>,
    pub recorder: Arc<Recorder>,
    pub filler: Filler,
    pub namespaces: Vec<String>,
    pub queues: Vec<String>,
    pub mix: Mix,
    /// Whether a caller stays with its workflow until it ended.
    pub waits: bool,
}

impl Flow {
    /// Brings one workflow into being and does what the scenario asks; returns when it ended if `stay`.
    pub(crate) async fn play(
        self: &Arc<Self>,
        intended: Instant,
        measured: bool,
        stay: bool,
    ) -> Result<(), Failure> {
        let (number, end) = self.ledger.open(intended, measured);
        if let Err(failure) = self.begin(number).await {
            self.ledger.start_failed(number);
            return Err(failure);
        }
        self.ledger.start_acknowledged(number);
        let shape = *self.mix.shape(number);
        if let Some((operation, count)) = shape.operation {
            self.operate(operation, count, shape.callers, number).await?;
        }
        if shape.finish_by_signal {
            self.signal(number, u32::MAX).await?;
        }
        if stay {
            // An error means that nobody can tell any more, which the ledger counts.
            let _ = end.await;
        }
        Ok(())
    }

    async fn begin(&self, number: u64) -> Result<(), Failure> {
        match self.mix.shape(number).opening {
            Opening::Start => self.start(number).await,
            Opening::SignalWithStart => self.signal_with_start(number).await,
        }
    }

    async fn start(&self, number: u64) -> Result<(), Failure> {
        let start = |mut service: Service, deadline| {
            let request = StartWorkflowExecutionRequest {
                namespace: self.namespace(number).to_owned(),
                workflow_id: self.ledger.workflow_id(number),
                workflow_type: Some(self.workflow_type(number)),
                task_queue: Some(command::task_queue(self.queue(number))),
                input: Some(self.filler.plain()),
                identity: "load".to_owned(),
                request_id: self.ledger.workflow_id(number),
                ..Default::default()
            };
            async move { service.start_workflow_execution(within(deadline, request)).await }
        };
        self.api
            .call(Rpc::StartWorkflowExecution, start)
            .await
            .map(|_| ())
    }

    async fn signal_with_start(&self, number: u64) -> Result<(), Failure> {
        let start = |mut service: Service, deadline| {
            let request = SignalWithStartWorkflowExecutionRequest {
                namespace: self.namespace(number).to_owned(),
                workflow_id: self.ledger.workflow_id(number),
                workflow_type: Some(self.workflow_type(number)),
                task_queue: Some(command::task_queue(self.queue(number))),
                input: Some(self.filler.plain()),
                identity: "load".to_owned(),
                request_id: self.ledger.workflow_id(number),
                signal_name: "go".to_owned(),
                signal_input: Some(self.filler.plain()),
                ..Default::default()
            };
            async move {
                service
                    .signal_with_start_workflow_execution(within(deadline, request))
                    .await
            }
        };
        self.api
            .call(Rpc::SignalWithStartWorkflowExecution, start)
            .await?;
        self.recorder.operated();
        Ok(())
    }

    /// Shares the operations among the callers; the first failure ends its caller's share.
    async fn operate(
        self: &Arc<Self>,
        operation: Operation,
        count: u32,
        callers: u32,
        number: u64,
    ) -> Result<(), Failure> {
        let next = Arc::new(AtomicU32::new(0));
        if callers <= 1 {
            return self.clone().caller(operation, count, number, next).await;
        }
        let mut shares = JoinSet::new();
        for _ in 0..callers {
            shares.spawn(self.clone().caller(operation, count, number, next.clone()));
        }
        shares.join_all().await.into_iter().collect()
    }

    async fn caller(
        self: Arc<Self>,
        operation: Operation,
        count: u32,
        number: u64,
        next: Arc<AtomicU32>,
    ) -> Result<(), Failure> {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                return Ok(());
            }
            match operation {
                Operation::Signal => self.signal(number, at).await?,
                Operation::Update => self.update(number, at).await?,
                Operation::Query => self.query(number).await?,
            }
            self.recorder.operated();
        }
    }

    async fn signal(&self, number: u64, at: u32) -> Result<(), Failure> {
        let signal = |mut service: Service, deadline| {
            let request = SignalWorkflowExecutionRequest {
                namespace: self.namespace(number).to_owned(),
                workflow_execution: Some(self.execution(number)),
                signal_name: "go".to_owned(),
                input: Some(self.filler.plain()),
                identity: "load".to_owned(),
                request_id: format!("{number}-{at}"),
                ..Default::default()
            };
            async move { service.signal_workflow_execution(within(deadline, request)).await }
        };
        self.api
            .call(Rpc::SignalWorkflowExecution, signal)
            .await
            .map(|_| ())
    }

    async fn update(&self, number: u64, at: u32) -> Result<(), Failure> {
        let update_id = format!("{number}-{at}");
        for _ in 0..UPDATE_WAITS_MAX {
            match self.update_once(number, &update_id).await? {
                None => {}
                Some(Outcome {
                    value: Some(Value::Success(_)),
                }) => return Ok(()),
                Some(_) => return Err(odd("update answered with a failure")),
            }
        }
        Err(odd("update stayed without an outcome"))
    }

    async fn update_once(&self, number: u64, update_id: &str) -> Result<Option<Outcome>, Failure> {
        let update = |mut service: Service, deadline| {
            let request = UpdateWorkflowExecutionRequest {
                namespace: self.namespace(number).to_owned(),
                workflow_execution: Some(self.execution(number)),
                wait_policy: Some(WaitPolicy {
                    lifecycle_stage: UpdateWorkflowExecutionLifecycleStage::Completed.into(),
                }),
                request: Some(UpdateRequest {
                    meta: Some(Meta {
                        update_id: update_id.to_owned(),
                        identity: "load".to_owned(),
                    }),
                    input: Some(Input {
                        name: "do".to_owned(),
                        args: Some(self.filler.plain()),
                        ..Default::default()
                    }),
                    ..Default::default()
                }),
                ..Default::default()
            };
            async move { service.update_workflow_execution(within(deadline, request)).await }
        };
        Ok(self.api.call(Rpc::UpdateWorkflowExecution, update).await?.outcome)
    }

    async fn query(&self, number: u64) -> Result<(), Failure> {
        let query = |mut service: Service, deadline| {
            let request = QueryWorkflowRequest {
                namespace: self.namespace(number).to_owned(),
                execution: Some(self.execution(number)),
                query: Some(WorkflowQuery {
                    query_type: "state".to_owned(),
                    ..Default::default()
                }),
                ..Default::default()
            };
            async move { service.query_workflow(within(deadline, request)).await }
        };
        let answer = self.api.call(Rpc::QueryWorkflow, query).await?;
        answer
            .query_result
            .map(|_| ())
            .ok_or_else(|| odd("query came back without an answer"))
    }

    fn workflow_type(&self, number: u64) -> WorkflowType {
        WorkflowType {
            name: self.mix.shape(number).plan.to_string(),
        }
    }

    fn queue(&self, number: u64) -> &str {
        &self.queues[number as usize / self.namespaces.len() % self.queues.len()]
    }

    pub(crate) fn namespace(&self, number: u64) -> &str {
        &self.namespaces[number as usize % self.namespaces.len()]
    }

    fn execution(&self, number: u64) -> WorkflowExecution {
        WorkflowExecution {
            workflow_id: self.ledger.workflow_id(number),
            run_id: String::new(),
        }
    }
}

fn odd(text: &'static str) -> Failure {
    Failure {
        status: Status::internal(text),
        attempts: 1,
    }
}
