//! Takes one workflow task to its end: tally, decision, answer, and what the acknowledgement means.

use std::{collections::HashMap, sync::Arc, time::Duration, time::Instant};

use proto::temporal::{
    common::v1::WorkflowExecution,
    enums::v1::{QueryResultType, WorkflowExecutionStatus},
    query::v1::{WorkflowQuery, WorkflowQueryResult},
    taskqueue::v1::StickyExecutionAttributes,
    workflowservice::v1::{
        DescribeWorkflowExecutionRequest, PollWorkflowTaskQueueResponse, RespondQueryTaskCompletedRequest,
        RespondWorkflowTaskCompletedRequest, RespondWorkflowTaskCompletedResponse,
        respond_workflow_task_completed_request::Capabilities,
    },
};
use tonic::Code;

use super::{
    CACHED_RUNS_MAX, Worker, command,
    decide::{Context, Decision, Milestone, decide},
    message, sticky_queue,
    tally::Tally,
};
use crate::{
    client::{Failure, Service, within},
    plan::Plan,
    rpc::Rpc,
};

/// How long a task may wait on the sticky queue before any worker may take it.
const STICKY_TIMEOUT: Duration = Duration::from_secs(10);

impl Worker {
    /// Works on a task and on those that come back with its answer.
    pub(super) async fn work_on(self: Arc<Self>, task: PollWorkflowTaskQueueResponse) {
        let mut next = Some(task);
        while let Some(task) = next {
            next = if task.query.is_some() {
                self.answer_query(&task).await;
                None
            } else {
                self.answer_task(task).await
            };
        }
    }

    async fn answer_task(
        self: &Arc<Self>,
        task: PollWorkflowTaskQueueResponse,
    ) -> Option<PollWorkflowTaskQueueResponse> {
        // Without its history a task cannot be answered: the server times it out and offers it again.
        let tally = self.tally(&task).await.ok()?;
        let execution = task.workflow_execution.clone().unwrap_or_default();
        let queue = task
            .workflow_execution_task_queue
            .as_ref()
            .map_or("", |queue| &queue.name)
            .to_owned();
        let plan = task
            .workflow_type
            .as_ref()
            .and_then(|kind| Plan::parse(&kind.name))?;
        let (number, _) = self.ledger.number_of(&execution.workflow_id)?;
        let answers = message::answer(&task.messages, &self.filler);
        let context = Context {
            queue: &queue,
            workflow_id: &execution.workflow_id,
            number,
            filler: &self.filler,
            eager_activities: self.settings.eager_activities,
        };
        let Decision {
            mut commands,
            milestone,
            force_new_task,
            wrong,
        } = decide(plan, &tally, answers.updates, &context);
        commands.splice(0..0, answers.commands);
        let request = RespondWorkflowTaskCompletedRequest {
            task_token: task.task_token,
            commands,
            identity: self.identity.clone(),
            sticky_attributes: self.settings.sticky.then(|| StickyExecutionAttributes {
                worker_task_queue: Some(sticky_queue(&queue)),
                schedule_to_start_timeout: Some(command::wire(STICKY_TIMEOUT)),
            }),
            return_new_workflow_task: true,
            force_create_new_workflow_task: force_new_task,
            query_results: self.query_results(&task.queries),
            namespace: self.settings.namespace.clone(),
            messages: answers.messages,
            capabilities: Some(Capabilities {
                discard_speculative_workflow_task_with_events: true,
            }),
            ..Default::default()
        };
        // Remembered before the answer is sent: the next task may come to another poller before it returns.
        self.remember(&execution.run_id, tally, milestone);
        match self.respond(&request).await {
            Ok(response) => self.acknowledged(&execution, response, milestone, wrong),
            Err(failure) => {
                self.cache().remove(&execution.run_id);
                self.refused(&execution, &failure, milestone, wrong).await;
                None
            }
        }
    }

    fn remember(&self, run_id: &str, tally: Tally, milestone: Milestone) {
        let mut cache = self.cache();
        if self.settings.sticky && milestone == Milestone::Under && cache.len() < CACHED_RUNS_MAX {
            cache.insert(run_id.to_owned(), tally);
        }
    }

    async fn respond(
        &self,
        request: &RespondWorkflowTaskCompletedRequest,
    ) -> Result<RespondWorkflowTaskCompletedResponse, Failure> {
        let respond = |mut service: Service, deadline| {
            let request = within(deadline, request.clone());
            async move { service.respond_workflow_task_completed(request).await }
        };
        self.api.call(Rpc::RespondWorkflowTaskCompleted, respond).await
    }

    fn acknowledged(
        self: &Arc<Self>,
        execution: &WorkflowExecution,
        response: RespondWorkflowTaskCompletedResponse,
        milestone: Milestone,
        wrong: bool,
    ) -> Option<PollWorkflowTaskQueueResponse> {
        if matches!(milestone, Milestone::Closed | Milestone::Asleep) {
            self.ledger.ended(&execution.workflow_id, wrong, Instant::now());
        }
        if response.reset_history_event_id > 0
            && let Some(tally) = self.cache().get_mut(&execution.run_id)
        {
            tally.last_event_id = response.reset_history_event_id;
        }
        for activity in response.activity_tasks {
            tokio::spawn(self.clone().run_activity(activity));
        }
        response.workflow_task
    }

    /// An answer that failed after several attempts may have been taken: the server is asked.
    async fn refused(
        &self,
        execution: &WorkflowExecution,
        failure: &Failure,
        milestone: Milestone,
        wrong: bool,
    ) {
        let ambiguous = failure.attempts > 1 || failure.status.code() != Code::NotFound;
        if milestone != Milestone::Closed || !ambiguous {
            return;
        }
        let describe = |mut service: Service, deadline| {
            let request = DescribeWorkflowExecutionRequest {
                namespace: self.settings.namespace.clone(),
                execution: Some(execution.clone()),
            };
            async move {
                service
                    .describe_workflow_execution(within(deadline, request))
                    .await
            }
        };
        let described = self.api.call(Rpc::DescribeWorkflowExecution, describe).await;
        let status = described
            .ok()
            .and_then(|answer| answer.workflow_execution_info)
            .map(|info| info.status);
        if status == Some(WorkflowExecutionStatus::Completed.into()) {
            self.ledger.ended(&execution.workflow_id, wrong, Instant::now());
        }
    }

    async fn answer_query(&self, task: &PollWorkflowTaskQueueResponse) {
        let respond = |mut service: Service, deadline| {
            let request = RespondQueryTaskCompletedRequest {
                task_token: task.task_token.clone(),
                completed_type: QueryResultType::Answered.into(),
                query_result: Some(self.filler.plain()),
                namespace: self.settings.namespace.clone(),
                ..Default::default()
            };
            async move {
                service
                    .respond_query_task_completed(within(deadline, request))
                    .await
            }
        };
        // A failure is in the books, and the one who asked sees it too.
        let _ = self.api.call(Rpc::RespondQueryTaskCompleted, respond).await;
    }

    fn query_results(
        &self,
        queries: &HashMap<String, WorkflowQuery>,
    ) -> HashMap<String, WorkflowQueryResult> {
        let answer = || WorkflowQueryResult {
            result_type: QueryResultType::Answered.into(),
            answer: Some(self.filler.plain()),
            ..Default::default()
        };
        queries.keys().map(|id| (id.clone(), answer())).collect()
    }
}
