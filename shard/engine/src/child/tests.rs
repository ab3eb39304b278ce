use std::time::Duration;

use proto::{
    temporal::{
        common::v1::{Header, Memo, Priority, RetryPolicy, WorkflowExecution, WorkflowType},
        history::v1::StartChildWorkflowExecutionInitiatedEventAttributes,
        sdk::v1::UserMetadata,
        taskqueue::v1::TaskQueue,
    },
    time::duration_to_proto,
};

use super::*;
use crate::state::Parent;

fn start() -> ChildStart {
    ChildStart {
        initiated_event_id: 5,
        initiated_node: 3,
        event: None,
        parent: Parent {
            workflow_id: "parent".to_owned(),
            initiated_event_id: 5,
            ..Default::default()
        },
        root: WorkflowExecution {
            workflow_id: "root".to_owned(),
            ..Default::default()
        },
        request_id: "run:5:0".to_owned(),
        parent_priority: Some(Priority {
            priority_key: 2,
            fairness_key: "parent".to_owned(),
            ..Default::default()
        }),
    }
}

fn event(change: impl FnOnce(&mut StartChildWorkflowExecutionInitiatedEventAttributes)) -> HistoryEvent {
    let mut a = StartChildWorkflowExecutionInitiatedEventAttributes {
        namespace_id: "ns".to_owned(),
        workflow_id: "kid".to_owned(),
        workflow_type: Some(WorkflowType {
            name: "Child".to_owned(),
        }),
        task_queue: Some(TaskQueue {
            name: "queue".to_owned(),
            ..Default::default()
        }),
        workflow_run_timeout: Some(duration_to_proto(Duration::from_secs(60))),
        workflow_task_timeout: Some(duration_to_proto(Duration::from_secs(6))),
        workflow_id_reuse_policy: WorkflowIdReusePolicy::RejectDuplicate.into(),
        retry_policy: Some(RetryPolicy {
            maximum_attempts: 3,
            ..Default::default()
        }),
        cron_schedule: "@daily".to_owned(),
        header: Some(Header::default()),
        memo: Some(Memo::default()),
        priority: Some(Priority {
            priority_key: 5,
            ..Default::default()
        }),
        ..Default::default()
    };
    change(&mut a);
    HistoryEvent {
        attributes: Some(Attributes::StartChildWorkflowExecutionInitiatedEventAttributes(
            Box::new(a),
        )),
        user_metadata: Some(UserMetadata::default()),
        ..Default::default()
    }
}

#[test]
fn child_starts_as_the_event_says() {
    let expected = StartWorkflow {
        namespace_id: "ns".to_owned(),
        workflow_id: "kid".to_owned(),
        workflow_type: "Child".to_owned(),
        task_queue: "queue".to_owned(),
        run_timeout: Duration::from_secs(60),
        task_timeout: Duration::from_secs(6),
        request_id: "run:5:0".to_owned(),
        reuse: WorkflowIdReusePolicy::RejectDuplicate,
        conflict: WorkflowIdConflictPolicy::Fail,
        retry_policy: Some(RetryPolicy {
            maximum_attempts: 3,
            ..Default::default()
        }),
        cron_schedule: "@daily".to_owned(),
        header: Some(Header::default()),
        memo: Some(Memo::default()),
        user_metadata: Some(UserMetadata::default()),
        priority: Some(Priority {
            priority_key: 5,
            fairness_key: "parent".to_owned(),
            ..Default::default()
        }),
        parent: Some(start().parent),
        root: Some(start().root),
        ..Default::default()
    };
    assert_eq!(start_of(&start(), &event(|_| {})), Some(expected));
}

#[test]
#[expect(deprecated, reason = "old SDKs send a reuse policy that is a conflict policy")]
fn reuse_policies() {
    use WorkflowIdConflictPolicy::{Fail, TerminateExisting};
    use WorkflowIdReusePolicy::{AllowDuplicate, AllowDuplicateFailedOnly, TerminateIfRunning, Unspecified};
    let cases = [
        (Unspecified, AllowDuplicate, Fail),
        (AllowDuplicateFailedOnly, AllowDuplicateFailedOnly, Fail),
        (TerminateIfRunning, AllowDuplicate, TerminateExisting),
    ];
    for (given, reuse, conflict) in cases {
        let started = start_of(&start(), &event(|a| a.set_workflow_id_reuse_policy(given))).expect("start");
        assert_eq!((started.reuse, started.conflict), (reuse, conflict), "{given:?}");
    }
}

#[test]
fn other_event_starts_nothing() {
    assert_eq!(start_of(&start(), &HistoryEvent::default()), None);
}
