use expect_test::expect;
use proto::temporal::command::v1::command::Attributes as Command;

use super::*;
use crate::rig::{Rig, complete_workflow, payloads};

const UNKNOWN_RUN: &str = "11111111-2222-4333-8444-555555555555";

fn signal_to(change: impl FnOnce(&mut SignalExternalWorkflowExecutionCommandAttributes)) -> Command {
    let mut a = SignalExternalWorkflowExecutionCommandAttributes {
        execution: Some(WorkflowExecution {
            workflow_id: "target".to_owned(),
            ..Default::default()
        }),
        signal_name: "s".to_owned(),
        ..Default::default()
    };
    change(&mut a);
    Command::SignalExternalWorkflowExecutionCommandAttributes(Box::new(a))
}

fn cancel_of(change: impl FnOnce(&mut RequestCancelExternalWorkflowExecutionCommandAttributes)) -> Command {
    let mut a = RequestCancelExternalWorkflowExecutionCommandAttributes {
        workflow_id: "target".to_owned(),
        ..Default::default()
    };
    change(&mut a);
    Command::RequestCancelExternalWorkflowExecutionCommandAttributes(Box::new(a))
}

fn target(workflow_id: &str, run_id: &str) -> Option<WorkflowExecution> {
    Some(WorkflowExecution {
        workflow_id: workflow_id.to_owned(),
        run_id: run_id.to_owned(),
    })
}

#[test]
fn messages_are_owed_from_their_events_on() {
    let mut rig = Rig::new();
    rig.skip();
    let by_run = signal_to(|a| a.execution = target("target", UNKNOWN_RUN));
    rig.task(vec![by_run, cancel_of(|a| a.reason = "why".to_owned())]);
    expect![[r#"
        3 0ns WORKFLOW_TASK_STARTED
        4 0ns WORKFLOW_TASK_COMPLETED
        5 0ns SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED target 11111111-2222-4333-8444-555555555555 s
        6 0ns REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED target"#]]
    .assert_eq(&rig.news());
    expect![[r#"
        unready Workflow 2 attempt 1
        deliver signal s to target
        deliver cancel to target"#]]
    .assert_eq(&rig.owed());
    let state = &rig.run.state;
    let ids = [
        &state.signals_out[&5].request_id,
        &state.cancels_out[&6].request_id,
    ];
    assert!(
        ids[0] != ids[1] && ids.iter().all(|id| id.parse::<RunId>().is_ok()),
        "{ids:?}"
    );
}

#[test]
#[expect(deprecated, reason = "SDKs still name the namespace and the run")]
fn bad_attributes_fail_the_task() {
    let long = "x".repeat(1_001);
    const SIGNAL: &str = "BadSignalWorkflowExecutionAttributes";
    const CANCEL: &str = "BadRequestCancelExternalWorkflowExecutionAttributes";
    let cases = [
        (
            signal_to(|a| a.execution = None),
            SIGNAL,
            "Execution is not set on SignalExternalWorkflowExecutionCommand.".to_owned(),
        ),
        (
            signal_to(|a| a.execution = target("", "")),
            SIGNAL,
            "WorkflowId is not set on SignalExternalWorkflowExecutionCommand. Namespace= RunId= SignalName=s"
                .to_owned(),
        ),
        (
            signal_to(|a| a.execution = target(&long, "")),
            SIGNAL,
            format!(
                "WorkflowId on SignalExternalWorkflowExecutionCommand exceeds length limit. WorkflowId={long} \
                 Length=1001 Limit=1000 Namespace= RunId= SignalName=s"
            ),
        ),
        (
            signal_to(|a| a.execution = target("t", "nonsense")),
            SIGNAL,
            "Invalid RunId set on SignalExternalWorkflowExecutionCommand. WorkflowId=t Namespace= RunId=nonsense \
             SignalName=s"
                .to_owned(),
        ),
        (
            signal_to(|a| a.signal_name.clear()),
            SIGNAL,
            "SignalName is not set on SignalExternalWorkflowExecutionCommand. WorkflowId=target Namespace= RunId="
                .to_owned(),
        ),
        (
            signal_to(|a| a.namespace = "other".to_owned()),
            SIGNAL,
            "cross namespace commands are not allowed".to_owned(),
        ),
        (
            cancel_of(|a| a.workflow_id.clear()),
            CANCEL,
            "WorkflowId is not set on RequestCancelExternalWorkflowExecutionCommand. Namespace= RunId=".to_owned(),
        ),
        (
            cancel_of(|a| a.workflow_id.clone_from(&long)),
            CANCEL,
            format!(
                "WorkflowId on RequestCancelExternalWorkflowExecutionCommand exceeds length limit. \
                 WorkflowId={long} Length=1001 Limit=1000 RunId= Namespace="
            ),
        ),
        (
            cancel_of(|a| a.run_id = "nonsense".to_owned()),
            CANCEL,
            "Invalid RunId set on RequestCancelExternalWorkflowExecutionCommand. WorkflowId=target RunId=nonsense \
             Namespace="
                .to_owned(),
        ),
        (
            cancel_of(|a| a.namespace = "other".to_owned()),
            CANCEL,
            "cross namespace commands are not allowed".to_owned(),
        ),
    ];
    for (command, cause, message) in cases {
        assert_eq!(Rig::new().refused(vec![command]), format!("{cause}: {message}"));
    }
}

#[test]
#[expect(deprecated, reason = "SDKs still name the namespace")]
fn long_names_and_the_own_namespace_are_allowed() {
    let long = "x".repeat(1_001);
    Rig::new().task(vec![
        signal_to(|a| a.signal_name = long),
        signal_to(|a| a.namespace = "default".to_owned()),
        cancel_of(|a| a.namespace = "default".to_owned()),
    ]);
}

#[test]
fn input_too_large_ends_the_run() {
    let mut rig = Rig::new();
    rig.limits.blob_bytes = 200;
    assert_eq!(
        rig.refused(vec![signal_to(|a| a.input = payloads(&"x".repeat(300)))]),
        "BadSignalWorkflowExecutionAttributes: SignalExternalWorkflowExecutionCommandAttributes.Input exceeds size \
         limit."
    );
    assert!(!rig.run.is_open());
}

#[test]
fn pending_limits() {
    let mut rig = Rig::new();
    rig.limits.pending_signals = 2;
    assert_eq!(
        rig.refused(vec![signal_to(|_| {}), signal_to(|_| {}), signal_to(|_| {})]),
        "PendingSignalsLimitExceeded: the number of pending signals to external workflows, 2, has reached the \
         per-workflow limit of 2"
    );
    let mut rig = Rig::new();
    rig.limits.pending_cancels = 2;
    assert_eq!(
        rig.refused(vec![cancel_of(|_| {}), cancel_of(|_| {}), cancel_of(|_| {})]),
        "PendingRequestCancelLimitExceeded: the number of pending requests to cancel external workflows, 2, has \
         reached the per-workflow limit of 2"
    );
}

#[test]
fn run_that_closes_at_once_sends_nothing() {
    let mut rig = Rig::new();
    rig.skip();
    rig.task(vec![signal_to(|_| {}), cancel_of(|_| {}), complete_workflow()]);
    assert!(!rig.owed().contains("deliver"));
    assert!(rig.run.is_settled());
}
