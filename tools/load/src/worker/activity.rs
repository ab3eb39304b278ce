//! An activity of the load: its result is its input.

use std::sync::Arc;

use proto::temporal::workflowservice::v1::{
    PollActivityTaskQueueResponse, RespondActivityTaskCompletedRequest,
};

use super::Worker;
use crate::{
    client::{Service, within},
    rpc::Rpc,
};

impl Worker {
    /// Answers one activity task; a failure is in the books and the server will time the attempt out.
    pub(super) async fn run_activity(self: Arc<Self>, task: PollActivityTaskQueueResponse) {
        let respond = |mut service: Service, deadline| {
            let request = RespondActivityTaskCompletedRequest {
                task_token: task.task_token.clone(),
                result: task.input.clone(),
                identity: self.identity.clone(),
                namespace: self.settings.namespace.clone(),
                ..Default::default()
            };
            async move {
                service
                    .respond_activity_task_completed(within(deadline, request))
                    .await
            }
        };
        let _ = self.api.call(Rpc::RespondActivityTaskCompleted, respond).await;
    }
}
