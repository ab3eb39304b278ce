use expect_test::{Expect, expect};
use proto::temporal::{
    command::v1::{StartChildWorkflowExecutionCommandAttributes, command::Attributes as Command},
    common::v1::{Header, Payload},
    enums::v1::{ParentClosePolicy, RetryState},
    failure::v1::Failure,
};

use super::*;
use crate::{
    rig::{Rig, complete_workflow, namespace_id, payloads, workflow},
    state::Parent,
    trigger::{Signal, StartWorkflow, Terminate, Trigger},
};

/// The initiated event of the first child of a run.
const ID: i64 = 5;

fn start_child(policy: ParentClosePolicy) -> Command {
    Command::StartChildWorkflowExecutionCommandAttributes(Box::new(
        StartChildWorkflowExecutionCommandAttributes {
            workflow_id: "kid".to_owned(),
            workflow_type: Some(WorkflowType {
                name: "Child".to_owned(),
            }),
            parent_close_policy: policy.into(),
            header: Some(Header {
                fields: [("h".to_owned(), Payload::default())].into(),
            }),
            control: "ctl".to_owned(),
            ..Default::default()
        },
    ))
}

/// A run whose child's start is on its way.
fn parent(policy: ParentClosePolicy) -> Rig {
    let mut rig = Rig::new();
    rig.task(vec![start_child(policy)]);
    rig.skip();
    rig
}

/// A run that knows that its child runs.
fn with_child(policy: ParentClosePolicy) -> Rig {
    let mut rig = parent(policy);
    started(&mut rig).expect("started");
    rig.send(Trigger::FirstTaskScheduled {
        initiated_event_id: ID,
    })
    .expect("scheduled");
    rig.task(Vec::new());
    rig.skip();
    rig
}

fn started(rig: &mut Rig) -> Result<Reply, Rejection> {
    rig.send(Trigger::ChildStarted {
        initiated_event_id: ID,
        run_id: "first".to_owned(),
    })
}

fn report(status: WorkflowExecutionStatus) -> ChildClosed {
    ChildClosed {
        initiated_event_id: ID,
        child: WorkflowExecution {
            workflow_id: "kid".to_owned(),
            run_id: "last".to_owned(),
        },
        first_run_id: "first".to_owned(),
        workflow_type: "Renamed".to_owned(),
        status,
        result: payloads("out"),
        failure: Some(Failure {
            message: "broke".to_owned(),
            ..Default::default()
        }),
        retry_state: RetryState::Timeout.into(),
    }
}

fn tell(rig: &mut Rig, report: ChildClosed) -> Result<Reply, Rejection> {
    rig.send(Trigger::ChildClosed(Box::new(report)))
}

fn signal(rig: &mut Rig) {
    rig.send(Trigger::Signal(Box::new(Signal {
        name: "go".to_owned(),
        ..Default::default()
    })))
    .expect("signal");
}

fn close(rig: &mut Rig) {
    rig.send(Trigger::Terminate(Box::default())).expect("terminate");
    rig.news();
}

fn news(rig: &mut Rig, expected: Expect) {
    expected.assert_eq(&rig.news());
}

#[test]
fn recorded_child_is_told_to_run() {
    let mut rig = parent(ParentClosePolicy::Terminate);
    assert_eq!(started(&mut rig), Ok(Reply::Done));
    assert_eq!(started(&mut rig), Ok(Reply::Done));
    expect![[r#"
        ready Workflow queue 7 attempt 1 since 0ns priority 3
        deliver first task to kid"#]]
    .assert_eq(&rig.owed());
    let header = rig
        .events
        .iter()
        .find_map(|event| match event.attributes.as_ref()? {
            Attributes::ChildWorkflowExecutionStartedEventAttributes(a) => a.header.clone(),
            _ => None,
        });
    assert!(header.is_some_and(|header| header.fields.contains_key("h")));
    let child = &rig.run.state.children[&ID];
    assert_eq!(
        (&child.header, child.control.as_str()),
        (&None, ""),
        "kept no longer than needed"
    );
    for _ in 0..2 {
        rig.send(Trigger::FirstTaskScheduled {
            initiated_event_id: ID,
        })
        .expect("scheduled");
        assert!(!rig.run.owes_delivery());
    }
    news(
        &mut rig,
        expect![[r#"
            6 0ns CHILD_WORKFLOW_EXECUTION_STARTED 5 kid first
            7 0ns WORKFLOW_TASK_SCHEDULED"#]],
    );
}

#[test]
#[expect(deprecated, reason = "old SDKs set the control and read it back")]
fn child_that_cannot_start_is_told_once() {
    let mut rig = parent(ParentClosePolicy::Terminate);
    for _ in 0..2 {
        let cause = StartChildWorkflowExecutionFailedCause::WorkflowAlreadyExists;
        rig.send(Trigger::ChildStartFailed {
            initiated_event_id: ID,
            cause,
        })
        .expect("failed");
    }
    news(
        &mut rig,
        expect![[r#"
            6 0ns START_CHILD_WORKFLOW_EXECUTION_FAILED 5 kid WorkflowAlreadyExists
            7 0ns WORKFLOW_TASK_SCHEDULED"#]],
    );
    let control = rig
        .events
        .iter()
        .find_map(|event| match event.attributes.as_ref()? {
            Attributes::StartChildWorkflowExecutionFailedEventAttributes(a) => Some(a.control.clone()),
            _ => None,
        });
    assert_eq!(control.as_deref(), Some("ctl"));
    assert_eq!(rig.run.state.children.len(), 0);
}

#[test]
fn start_that_failed_does_not_undo_a_recorded_one() {
    let mut rig = with_child(ParentClosePolicy::Terminate);
    let cause = StartChildWorkflowExecutionFailedCause::WorkflowAlreadyExists;
    rig.send(Trigger::ChildStartFailed {
        initiated_event_id: ID,
        cause,
    })
    .expect("failed");
    assert_eq!(rig.news(), "");
    assert_eq!(rig.run.state.children.len(), 1);
}

#[test]
fn every_end_has_its_event() {
    use WorkflowExecutionStatus as Status;
    let cases = [
        (Status::Completed, "COMPLETED 5 6 kid last out"),
        (Status::Failed, "FAILED 5 6 kid last [broke None] Timeout"),
        (Status::Canceled, "CANCELED 5 6 kid last out"),
        (Status::TimedOut, "TIMED_OUT 5 6 kid last Timeout"),
        (Status::Terminated, "TERMINATED 5 6 kid last"),
    ];
    for (status, expected) in cases {
        let mut rig = with_child(ParentClosePolicy::Terminate);
        for _ in 0..2 {
            assert_eq!(tell(&mut rig, report(status)), Ok(Reply::Done));
        }
        let expected = format!("10 0ns CHILD_WORKFLOW_EXECUTION_{expected}\n11 0ns WORKFLOW_TASK_SCHEDULED");
        assert_eq!(rig.news(), expected);
        let last = rig
            .events
            .iter()
            .rev()
            .nth(1)
            .and_then(|event| event.attributes.clone());
        assert!(
            format!("{last:?}").contains("\"Child\""),
            "the type that was asked for"
        );
        assert_eq!(rig.run.state.children.len(), 0);
    }
    let mut rig = with_child(ParentClosePolicy::Terminate);
    assert_eq!(tell(&mut rig, report(Status::ContinuedAsNew)), Ok(Reply::Done));
    assert_eq!((rig.news().as_str(), rig.run.state.children.len()), ("", 1));
}

#[test]
fn end_that_overtakes_the_start_brings_it_along() {
    let mut rig = parent(ParentClosePolicy::Terminate);
    tell(&mut rig, report(WorkflowExecutionStatus::Completed)).expect("closed");
    assert_eq!(started(&mut rig), Ok(Reply::Done));
    news(
        &mut rig,
        expect![[r#"
            6 0ns CHILD_WORKFLOW_EXECUTION_STARTED 5 kid first
            7 0ns CHILD_WORKFLOW_EXECUTION_COMPLETED 5 6 kid last out
            8 0ns WORKFLOW_TASK_SCHEDULED"#]],
    );
    assert!(!rig.run.owes_delivery());
}

#[test]
fn start_and_end_wait_while_a_task_runs() {
    let mut rig = parent(ParentClosePolicy::Terminate);
    signal(&mut rig);
    let task = rig.begin_task();
    rig.skip();
    started(&mut rig).expect("started");
    tell(&mut rig, report(WorkflowExecutionStatus::Completed)).expect("closed");
    rig.end_task(&task, Vec::new()).expect("complete task");
    news(
        &mut rig,
        expect![[r#"
            9 0ns WORKFLOW_TASK_COMPLETED
            10 0ns CHILD_WORKFLOW_EXECUTION_STARTED 5 kid first
            11 0ns CHILD_WORKFLOW_EXECUTION_COMPLETED 5 10 kid last out
            12 0ns WORKFLOW_TASK_SCHEDULED"#]],
    );
}

#[test]
fn stranger_is_not_taken_for_the_child() {
    let not_found = Err(Rejection::NotFound(
        "pending child workflow execution not found".to_owned(),
    ));
    let mut rig = with_child(ParentClosePolicy::Terminate);
    let other_chain = ChildClosed {
        first_run_id: "other".to_owned(),
        ..report(WorkflowExecutionStatus::Failed)
    };
    assert_eq!(tell(&mut rig, other_chain), not_found);
    let mut other_id = report(WorkflowExecutionStatus::Failed);
    other_id.child.workflow_id = "other".to_owned();
    assert_eq!(tell(&mut rig, other_id), not_found);
    let unknown = ChildClosed {
        initiated_event_id: 9,
        ..report(WorkflowExecutionStatus::Failed)
    };
    assert_eq!(tell(&mut rig, unknown), Ok(Reply::Done));
    assert_eq!(rig.news(), "");
}

#[test]
fn closing_parent_applies_its_policy() {
    let cases = [
        (ParentClosePolicy::Unspecified, "deliver terminate child to kid"),
        (ParentClosePolicy::Terminate, "deliver terminate child to kid"),
        (ParentClosePolicy::RequestCancel, "deliver cancel child to kid"),
        (ParentClosePolicy::Abandon, ""),
    ];
    for (policy, expected) in cases {
        let mut rig = with_child(policy);
        close(&mut rig);
        assert_eq!(rig.owed(), expected);
        assert_eq!(rig.run.is_settled(), expected.is_empty());
        assert_eq!(started(&mut rig).is_ok(), !expected.is_empty(), "{policy:?}");
        for _ in 0..2 {
            rig.send(Trigger::ClosePolicyApplied {
                initiated_event_id: ID,
            })
            .expect("applied");
        }
        assert!(rig.run.is_settled() && rig.run.state.children.is_empty());
        assert_eq!(rig.news(), "");
    }
}

#[test]
fn parent_that_closed_before_the_start_refuses_the_child() {
    let closed = Err(Rejection::NotFound(
        "workflow execution already completed".to_owned(),
    ));
    let mut rig = parent(ParentClosePolicy::Abandon);
    close(&mut rig);
    assert_eq!(started(&mut rig), closed);
    assert_eq!(tell(&mut rig, report(WorkflowExecutionStatus::Completed)), closed);
    let cause = StartChildWorkflowExecutionFailedCause::WorkflowAlreadyExists;
    rig.send(Trigger::ChildStartFailed {
        initiated_event_id: ID,
        cause,
    })
    .expect("failed");
    assert!(rig.run.is_settled());
}

#[test]
fn abandoned_child_still_gets_its_first_task() {
    let mut rig = parent(ParentClosePolicy::Abandon);
    started(&mut rig).expect("started");
    rig.skip();
    close(&mut rig);
    rig.effects.clear();
    assert!(rig.run.owes_delivery());
    rig.send(Trigger::FirstTaskScheduled {
        initiated_event_id: ID,
    })
    .expect("scheduled");
    assert!(rig.run.is_settled() && rig.run.state.children.is_empty());
}

#[test]
fn report_goes_on_to_the_run_that_a_reset_made() {
    let mut rig = with_child(ParentClosePolicy::Abandon);
    close(&mut rig);
    rig.run.state.reset_run_id = "next".to_owned();
    assert_eq!(
        tell(&mut rig, report(WorkflowExecutionStatus::Completed)),
        Ok(Reply::Forward {
            run_id: "next".to_owned()
        })
    );
}

fn child() -> Rig {
    let parent = Parent {
        namespace_id: namespace_id(),
        namespace: "default".to_owned(),
        workflow_id: "parent".to_owned(),
        run_id: "run".to_owned(),
        initiated_event_id: ID,
    };
    Rig::start(StartWorkflow {
        parent: Some(parent),
        ..workflow()
    })
}

fn schedule_first_task(rig: &mut Rig, run_id: &str) -> Result<Reply, Rejection> {
    let parent = WorkflowExecution {
        workflow_id: "parent".to_owned(),
        run_id: run_id.to_owned(),
    };
    rig.send(Trigger::ScheduleFirstTask { parent })
}

#[test]
fn child_runs_when_its_parent_says_so() {
    let mut rig = child();
    assert!(rig.run.state.task.is_none());
    assert!(matches!(
        schedule_first_task(&mut rig, "other"),
        Err(Rejection::NotFound(_))
    ));
    assert_eq!(schedule_first_task(&mut rig, "run"), Ok(Reply::Done));
    assert_eq!(schedule_first_task(&mut rig, "run"), Ok(Reply::Done));
    rig.task(Vec::new());
    assert_eq!(schedule_first_task(&mut rig, "run"), Ok(Reply::Done));
    news(
        &mut rig,
        expect![[r#"
            1 0ns WORKFLOW_EXECUTION_STARTED
            2 0ns WORKFLOW_TASK_SCHEDULED
            3 0ns WORKFLOW_TASK_STARTED
            4 0ns WORKFLOW_TASK_COMPLETED"#]],
    );
}

#[test]
fn orphan_ends_unless_it_was_told_to_run() {
    let orphaned = |rig: &mut Rig, run_id: &str| {
        let parent = WorkflowExecution {
            workflow_id: "parent".to_owned(),
            run_id: run_id.to_owned(),
        };
        rig.send(Trigger::EndOrphan { parent })
    };
    let mut rig = child();
    assert!(matches!(orphaned(&mut rig, "other"), Err(Rejection::NotFound(_))));
    for _ in 0..2 {
        assert_eq!(orphaned(&mut rig, "run"), Ok(Reply::Done));
    }
    assert_eq!(rig.run.status(), WorkflowExecutionStatus::Terminated);
    for delay in [0, 60] {
        let parent = child().run.state.parent;
        let start_delay = std::time::Duration::from_secs(delay);
        let mut rig = Rig::start(StartWorkflow {
            parent,
            start_delay,
            ..workflow()
        });
        schedule_first_task(&mut rig, "run").expect("scheduled");
        assert_eq!(orphaned(&mut rig, "run"), Ok(Reply::Done));
        assert!(rig.run.is_open());
    }
}

#[test]
fn child_in_backoff_goes_on_to_wait() {
    let parent = child().run.state.parent;
    let delay = std::time::Duration::from_secs(60);
    let mut rig = Rig::start(StartWorkflow {
        parent,
        start_delay: delay,
        ..workflow()
    });
    schedule_first_task(&mut rig, "run").expect("scheduled");
    assert!(rig.run.state.task.is_none());
    rig.pass(60.0);
    assert!(rig.run.state.task.is_some());
}

#[test]
fn child_reports_its_end_until_the_parent_knows() {
    let mut rig = child();
    schedule_first_task(&mut rig, "run").expect("scheduled");
    rig.task(vec![complete_workflow()]);
    assert!(rig.owed().ends_with("deliver child closed Completed to parent"));
    for _ in 0..2 {
        rig.send(Trigger::ReportDelivered).expect("delivered");
        assert!(rig.run.is_settled());
    }
    assert_eq!(
        schedule_first_task(&mut rig, "run"),
        Ok(Reply::Done),
        "it is too late"
    );
    let mut rig = child();
    rig.send(Trigger::Terminate(Box::<Terminate>::default()))
        .expect("terminate");
    assert!(rig.owed().ends_with("deliver child closed Terminated to parent"));
}
