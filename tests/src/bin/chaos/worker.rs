//! Workers: poll, do, answer. An answer counts only once it is acknowledged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use proto::temporal::{
    history::v1::HistoryEvent,
    workflowservice::v1::{
        PollActivityTaskQueueRequest, PollActivityTaskQueueResponse, PollWorkflowTaskQueueRequest,
        PollWorkflowTaskQueueResponse, RespondActivityTaskCompletedRequest, RespondActivityTaskFailedRequest,
        RespondWorkflowTaskCompletedRequest,
    },
};
use tonic::{Code, Status};

use crate::{
    client::{Api, NAMESPACE, payloads},
    command,
    decide::decide,
    kind::Kind,
    model::{Model, Sent},
    past::Past,
    random::{Random, number_of},
};

/// How long activities take, at most.
const ACTIVITY_MAX: Duration = Duration::from_millis(200);

/// What every poller needs.
pub(crate) struct Worker {
    pub api: Arc<Api>,
    pub model: Arc<Model>,
    pub seed: u64,
    /// Tells results of different attempts apart.
    pub marks: AtomicU64,
}

impl Worker {
    /// Polls for workflow tasks until the task is aborted.
    pub(crate) async fn poll_workflow_tasks(self: Arc<Self>) {
        let request = PollWorkflowTaskQueueRequest {
            namespace: NAMESPACE.to_owned(),
            task_queue: Some(command::queue()),
            identity: "chaos".to_owned(),
            ..Default::default()
        };
        loop {
            let answer = self.api.call(&request, |mut service, request| async move {
                service.poll_workflow_task_queue(request).await
            });
            let mut next = self.expected("poll workflow task", answer.await, &[]);
            while let Some(task) = next.filter(|task| !task.task_token.is_empty()) {
                next = self.answer_workflow_task(task).await;
            }
        }
    }

    /// Polls for activity tasks until the task is aborted.
    pub(crate) async fn poll_activity_tasks(self: Arc<Self>, number: u64) {
        let mut random = Random::new(self.seed, number_of("activities") ^ number);
        let request = PollActivityTaskQueueRequest {
            namespace: NAMESPACE.to_owned(),
            task_queue: Some(command::queue()),
            identity: "chaos".to_owned(),
            ..Default::default()
        };
        loop {
            let answer = self.api.call(&request, |mut service, request| async move {
                service.poll_activity_task_queue(request).await
            });
            let task = self.expected("poll activity task", answer.await, &[]);
            if let Some(task) = task.filter(|task| !task.task_token.is_empty()) {
                tokio::time::sleep(random.duration(ACTIVITY_MAX)).await;
                self.answer_activity_task(task).await;
            }
        }
    }

    /// Answers a task; the answer may bring the next one.
    async fn answer_workflow_task(
        &self,
        task: PollWorkflowTaskQueueResponse,
    ) -> Option<PollWorkflowTaskQueueResponse> {
        let execution = task.workflow_execution.clone().unwrap_or_default();
        let name = task.workflow_type.as_ref().map_or("", |kind| &kind.name);
        let Some(kind) = Kind::of(name) else {
            self.api.violation(format!(
                "{}: task of unknown workflow type {name:?}",
                execution.workflow_id
            ));
            return None;
        };
        let events = self.events(&task).await?;
        let dense = events.iter().zip(1..).all(|(event, id)| event.event_id == id);
        if !dense || events.last().map(|event| event.event_id) != Some(task.started_event_id) {
            let ids: Vec<i64> = events.iter().map(|event| event.event_id).collect();
            self.api.violation(format!(
                "{} {}: task with started event {} came with events {ids:?}",
                execution.workflow_id, execution.run_id, task.started_event_id
            ));
            return None;
        }
        let mark = self.marks.fetch_add(1, Ordering::Relaxed);
        let decision = decide(
            kind,
            &execution.workflow_id,
            Past::of(&events),
            &task.messages,
            mark,
        );
        let counts = !decision.commands.is_empty();
        let request = RespondWorkflowTaskCompletedRequest {
            task_token: task.task_token,
            commands: decision.commands,
            messages: decision.messages,
            identity: "chaos".to_owned(),
            return_new_workflow_task: true,
            namespace: NAMESPACE.to_owned(),
            ..Default::default()
        };
        let answer = self.api.call(&request, |mut service, request| async move {
            service.respond_workflow_task_completed(request).await
        });
        // Invalid: new events came before the end that was decided; the task comes again.
        let unhandled = |status: &Status| status.message().contains("UnhandledCommand");
        let answer = match answer.await {
            Err(status) if status.code() == Code::InvalidArgument && unhandled(&status) => return None,
            answer => {
                self.count_lost(&request, kind, &answer);
                self.expected("answer workflow task", answer, &[Code::NotFound])?
            }
        };
        if counts {
            let acknowledged = (execution.run_id, task.started_event_id);
            self.model.note(&execution.workflow_id, kind, |record| {
                record.tasks.push(acknowledged)
            });
        }
        answer.workflow_task
    }

    /// The whole history up to the task's start.
    async fn events(&self, task: &PollWorkflowTaskQueueResponse) -> Option<Vec<HistoryEvent>> {
        if task.next_page_token.is_empty() {
            return Some(task.history.clone().unwrap_or_default().events);
        }
        let execution = task.workflow_execution.clone().unwrap_or_default();
        let events = self.api.history(&execution.workflow_id, &execution.run_id).await;
        let mut events = self.expected("read history of task", events, &[])?;
        events.retain(|event| event.event_id <= task.started_event_id);
        Some(events)
    }

    async fn answer_activity_task(&self, task: PollActivityTaskQueueResponse) {
        let execution = task.workflow_execution.clone().unwrap_or_default();
        let activity_type = task.activity_type.as_ref().map_or("", |kind| &kind.name);
        let name = format!(
            "{}/{}/{}",
            execution.workflow_id, execution.run_id, task.activity_id
        );
        // A third of the activities fails once, some of them twice.
        let failures = match number_of(&name) % 9 {
            0 => 2,
            1 | 2 => 1,
            _ => 0,
        };
        if activity_type == command::DOOMED || task.attempt <= failures {
            return self.fail_activity(task).await;
        }
        let mark = self.marks.fetch_add(1, Ordering::Relaxed);
        let result = format!("{name} attempt {} by {mark}", task.attempt);
        let kind = task.workflow_type.as_ref().and_then(|kind| Kind::of(&kind.name));
        let kind = kind.unwrap_or(Kind::Leaf);
        let sent = Sent {
            run_id: execution.run_id,
            activity_id: task.activity_id,
            acknowledged: false,
        };
        self.model.note(&execution.workflow_id, kind, |record| {
            record.results.insert(result.clone(), sent);
        });
        let request = RespondActivityTaskCompletedRequest {
            task_token: task.task_token,
            result: Some(payloads(&result)),
            identity: "chaos".to_owned(),
            namespace: NAMESPACE.to_owned(),
            ..Default::default()
        };
        let answer = self.api.call(&request, |mut service, request| async move {
            service.respond_activity_task_completed(request).await
        });
        let answer = answer.await;
        self.count_lost(&request, kind, &answer);
        let answer = self.expected("answer activity task", answer, &[Code::NotFound]);
        if answer.is_some() {
            self.model.note(&execution.workflow_id, kind, |record| {
                if let Some(sent) = record.results.get_mut(&result) {
                    sent.acknowledged = true;
                }
            });
        }
    }

    async fn fail_activity(&self, task: PollActivityTaskQueueResponse) {
        let request = RespondActivityTaskFailedRequest {
            task_token: task.task_token,
            failure: Some(command::failure("not yet")),
            identity: "chaos".to_owned(),
            namespace: NAMESPACE.to_owned(),
            ..Default::default()
        };
        let answer = self.api.call(&request, |mut service, request| async move {
            service.respond_activity_task_failed(request).await
        });
        self.expected("fail activity task", answer.await, &[Code::NotFound]);
    }

    /// Not found: the task timed out, its owner died with it in memory, or an earlier attempt of this call was taken.
    /// While nodes come and go in good order nothing of that happens; only a workflow that somebody else has ended
    /// has no tasks any more. A machine that is too slow for the tasks' time-outs shows as well: what a hand-over holds
    /// up for so long would look the same.
    fn count_lost<Q, A>(&self, request: &Q, kind: Kind, answer: &Result<A, Status>) {
        if let Err(status) = answer
            && status.code() == Code::NotFound
            && kind != Kind::Terminated
        {
            self.api.lost(request, status);
        }
    }

    /// The answer; an error that is not among the allowed ones is a violation.
    fn expected<T>(&self, what: &str, answer: Result<T, Status>, allowed: &[Code]) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(status) => {
                if !allowed.contains(&status.code()) {
                    self.api.violation(format!("{what}: {status:?}"));
                }
                None
            }
        }
    }
}
