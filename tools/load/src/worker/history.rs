//! Brings a run's tally up to a task: from the cache and the new events, or from the full history.

use proto::temporal::{
    common::v1::WorkflowExecution,
    history::v1::History,
    workflowservice::v1::{GetWorkflowExecutionHistoryRequest, PollWorkflowTaskQueueResponse},
};

use super::{Worker, tally::Tally};
use crate::{
    client::{Failure, Service, within},
    rpc::Rpc,
};

impl Worker {
    /// Takes the run's tally out of the cache and folds in what the task brought.
    pub(super) async fn tally(&self, task: &PollWorkflowTaskQueueResponse) -> Result<Tally, Failure> {
        let execution = task.workflow_execution.clone().unwrap_or_default();
        let events = task.history.as_ref().map_or(&[][..], |history| &history.events);
        let cached = self.cache().remove(&execution.run_id);
        let mut tally = match events.first() {
            Some(first) if first.event_id == 1 => Tally::default(),
            _ => cached.unwrap_or_default(),
        };
        let known = tally.fold(events).is_ok();
        if known && task.next_page_token.is_empty() && !events.is_empty() {
            return Ok(tally);
        }
        let (mut tally, token) = if known {
            (tally, task.next_page_token.clone())
        } else {
            (Tally::default(), vec![])
        };
        self.fold_pages(&mut tally, &execution, token).await?;
        // A later attempt's task events are not stored: the history may end before them.
        tally.last_event_id = tally.last_event_id.max(task.started_event_id);
        Ok(tally)
    }

    async fn fold_pages(
        &self,
        tally: &mut Tally,
        execution: &WorkflowExecution,
        mut token: Vec<u8>,
    ) -> Result<(), Failure> {
        loop {
            let read = |mut service: Service, deadline| {
                let request = GetWorkflowExecutionHistoryRequest {
                    namespace: self.settings.namespace.clone(),
                    execution: Some(execution.clone()),
                    next_page_token: token.clone(),
                    ..Default::default()
                };
                async move {
                    service
                        .get_workflow_execution_history(within(deadline, request))
                        .await
                }
            };
            let page = self.api.call(Rpc::GetWorkflowExecutionHistory, read).await?;
            let History { events } = page.history.unwrap_or_default();
            tally.fold(&events).map_err(|event_id| Failure {
                status: tonic::Status::data_loss(format!("history has a gap before event {event_id}")),
                attempts: 1,
            })?;
            token = page.next_page_token;
            if token.is_empty() {
                return Ok(());
            }
        }
    }
}
