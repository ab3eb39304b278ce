use expect_test::{Expect, expect};
use proto::temporal::command::v1::{
    RequestCancelExternalWorkflowExecutionCommandAttributes,
    SignalExternalWorkflowExecutionCommandAttributes, command::Attributes as Command,
};

use super::*;
use crate::{
    rig::{Rig, complete_workflow},
    trigger::{Signal, Trigger},
};

#[expect(deprecated, reason = "old SDKs set the control and read it back")]
fn signal() -> Command {
    Command::SignalExternalWorkflowExecutionCommandAttributes(Box::new(
        SignalExternalWorkflowExecutionCommandAttributes {
            execution: Some(WorkflowExecution {
                workflow_id: "target".to_owned(),
                ..Default::default()
            }),
            signal_name: "s".to_owned(),
            control: "ctl".to_owned(),
            ..Default::default()
        },
    ))
}

fn cancel() -> Command {
    Command::RequestCancelExternalWorkflowExecutionCommandAttributes(Box::new(
        RequestCancelExternalWorkflowExecutionCommandAttributes {
            workflow_id: "target".to_owned(),
            ..Default::default()
        },
    ))
}

/// A run with a signal under way since event 5 and a cancel request since event 6.
fn sender() -> Rig {
    let mut rig = Rig::new();
    rig.task(vec![signal(), cancel()]);
    rig.skip();
    rig
}

fn signaled(rig: &mut Rig, result: Result<(), ExternalFailure>) {
    rig.send(Trigger::ExternalSignalDone {
        initiated_event_id: 5,
        result,
    })
    .expect("answer");
}

fn canceled(rig: &mut Rig, result: Result<(), ExternalFailure>) {
    rig.send(Trigger::ExternalCancelDone {
        initiated_event_id: 6,
        result,
    })
    .expect("answer");
}

fn news(rig: &mut Rig, expected: Expect) {
    expected.assert_eq(&rig.news());
}

#[test]
fn success_is_told_once() {
    let mut rig = sender();
    signaled(&mut rig, Ok(()));
    canceled(&mut rig, Ok(()));
    signaled(&mut rig, Ok(()));
    canceled(&mut rig, Err(ExternalFailure::WorkflowNotFound));
    news(
        &mut rig,
        expect![[r#"
            7 0ns EXTERNAL_WORKFLOW_EXECUTION_SIGNALED 5 target in default
            8 0ns WORKFLOW_TASK_SCHEDULED
            9 0ns EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED 6 target in default"#]],
    );
    assert!(rig.run.state.signals_out.is_empty() && rig.run.state.cancels_out.is_empty());
    assert!(rig.run.live.in_flight.is_empty());
}

#[test]
fn failures_name_their_cause() {
    use ExternalFailure::{NamespaceNotFound, SignalLimit, WorkflowNotFound};
    let cases = [
        (
            WorkflowNotFound,
            "ExternalWorkflowExecutionNotFound",
            "ExternalWorkflowExecutionNotFound",
        ),
        (NamespaceNotFound, "NamespaceNotFound", "NamespaceNotFound"),
        (
            SignalLimit,
            "SignalCountLimitExceeded",
            "ExternalWorkflowExecutionNotFound",
        ),
    ];
    for (failure, signal_cause, cancel_cause) in cases {
        let mut rig = sender();
        signaled(&mut rig, Err(failure));
        canceled(&mut rig, Err(failure));
        assert_eq!(
            rig.news(),
            format!(
                "7 0ns SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED 5 target {signal_cause}\n8 0ns \
                 WORKFLOW_TASK_SCHEDULED\n9 0ns REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED 6 target \
                 {cancel_cause}"
            )
        );
    }
}

#[test]
#[expect(deprecated, reason = "old SDKs set the control and read it back")]
fn only_answers_to_signals_repeat_the_control() {
    for result in [Ok(()), Err(ExternalFailure::WorkflowNotFound)] {
        let mut rig = sender();
        signaled(&mut rig, result);
        let control = rig
            .events
            .iter()
            .find_map(|event| match event.attributes.as_ref()? {
                Attributes::ExternalWorkflowExecutionSignaledEventAttributes(a) => Some(a.control.clone()),
                Attributes::SignalExternalWorkflowExecutionFailedEventAttributes(a) => {
                    Some(a.control.clone())
                }
                _ => None,
            });
        assert_eq!(control.as_deref(), Some("ctl"));
    }
}

#[test]
fn answers_wait_while_a_task_runs() {
    let mut rig = sender();
    rig.send(Trigger::Signal(Box::new(Signal {
        name: "go".to_owned(),
        ..Default::default()
    })))
    .expect("signal");
    let task = rig.begin_task();
    signaled(&mut rig, Ok(()));
    signaled(&mut rig, Ok(()));
    rig.skip();
    rig.end_task(&task, Vec::new()).expect("complete task");
    news(
        &mut rig,
        expect![[r#"
            10 0ns WORKFLOW_TASK_COMPLETED
            11 0ns EXTERNAL_WORKFLOW_EXECUTION_SIGNALED 5 target in default
            12 0ns WORKFLOW_TASK_SCHEDULED"#]],
    );
}

#[test]
fn failed_delivery_is_handed_out_again() {
    let mut rig = sender();
    rig.send(Trigger::Wake).expect("wake");
    assert_eq!(rig.owed(), "", "both are on their way");
    rig.send(Trigger::DeliveryFailed {
        id: DeliveryId::Signal(5),
    })
    .expect("failed");
    expect!["deliver signal s to target"].assert_eq(&rig.owed());
}

#[test]
fn answers_that_come_too_late_change_nothing() {
    let mut rig = sender();
    rig.send(Trigger::Signal(Box::new(Signal {
        name: "go".to_owned(),
        ..Default::default()
    })))
    .expect("signal");
    rig.task(vec![complete_workflow()]);
    rig.skip();
    signaled(&mut rig, Ok(()));
    canceled(&mut rig, Ok(()));
    assert_eq!(rig.news(), "");
    assert!(rig.run.is_settled());
}
