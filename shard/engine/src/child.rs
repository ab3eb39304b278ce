//! What a child workflow starts with (reference 2.9).

use proto::{
    temporal::{
        enums::v1::{WorkflowIdConflictPolicy, WorkflowIdReusePolicy},
        history::v1::{HistoryEvent, history_event::Attributes},
    },
    time::duration_from_proto,
};

use crate::{effect::ChildStart, policy::priority, trigger::StartWorkflow};

/// Returns the start that the parent's initiated event asks for; `None` if the event is another one. Nothing
/// but the priority, the root and what the event itself holds is taken over from the parent.
#[must_use]
#[expect(deprecated, reason = "old SDKs send a reuse policy that is a conflict policy")]
pub fn start_of(start: &ChildStart, event: &HistoryEvent) -> Option<StartWorkflow> {
    let Some(Attributes::StartChildWorkflowExecutionInitiatedEventAttributes(a)) = &event.attributes else {
        return None;
    };
    // Once the two were one policy.
    let (reuse, conflict) = match a.workflow_id_reuse_policy() {
        WorkflowIdReusePolicy::TerminateIfRunning => (
            WorkflowIdReusePolicy::AllowDuplicate,
            WorkflowIdConflictPolicy::TerminateExisting,
        ),
        WorkflowIdReusePolicy::Unspecified => (
            WorkflowIdReusePolicy::AllowDuplicate,
            WorkflowIdConflictPolicy::Fail,
        ),
        given => (given, WorkflowIdConflictPolicy::Fail),
    };
    Some(StartWorkflow {
        namespace_id: a.namespace_id.clone(),
        workflow_id: a.workflow_id.clone(),
        workflow_type: a
            .workflow_type
            .as_ref()
            .map(|kind| kind.name.clone())
            .unwrap_or_default(),
        task_queue: a
            .task_queue
            .as_ref()
            .map(|queue| queue.name.clone())
            .unwrap_or_default(),
        input: a.input.clone(),
        header: a.header.clone(),
        execution_timeout: duration_from_proto(a.workflow_execution_timeout.as_ref()),
        run_timeout: duration_from_proto(a.workflow_run_timeout.as_ref()),
        task_timeout: duration_from_proto(a.workflow_task_timeout.as_ref()),
        request_id: start.request_id.clone(),
        reuse,
        conflict,
        retry_policy: a.retry_policy.clone(),
        cron_schedule: a.cron_schedule.clone(),
        memo: a.memo.clone(),
        search_attributes: a.search_attributes.clone(),
        user_metadata: event.user_metadata.clone(),
        priority: priority::inherit(a.priority.as_ref(), start.parent_priority.as_ref()),
        versioning_override: a.versioning_override.clone(),
        parent: Some(start.parent.clone()),
        root: Some(start.root.clone()),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests;
