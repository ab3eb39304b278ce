use expect_test::expect;
use proto::temporal::{
    command::v1::{RequestCancelExternalWorkflowExecutionCommandAttributes, command::Attributes as Command},
    common::v1::{Memo, Payload, Priority, RetryPolicy, SearchAttributes, WorkflowType},
};

use super::*;
use crate::{
    effect::{Effect, Message as Sent},
    rig::{Rig, complete_workflow, payloads, seconds, workflow},
    trigger::StartWorkflow,
};

fn attributes(id: &str) -> StartChildWorkflowExecutionCommandAttributes {
    StartChildWorkflowExecutionCommandAttributes {
        workflow_id: id.to_owned(),
        workflow_type: Some(WorkflowType {
            name: "Child".to_owned(),
        }),
        ..Default::default()
    }
}

fn start_child(id: &str) -> Command {
    with(id, |_| {})
}

fn with(id: &str, change: impl FnOnce(&mut StartChildWorkflowExecutionCommandAttributes)) -> Command {
    let mut a = attributes(id);
    change(&mut a);
    Command::StartChildWorkflowExecutionCommandAttributes(Box::new(a))
}

fn initiated(rig: &Rig) -> StartChildWorkflowExecutionInitiatedEventAttributes {
    let event = rig.events.last().and_then(|event| event.attributes.clone());
    match event {
        Some(Attributes::StartChildWorkflowExecutionInitiatedEventAttributes(a)) => *a,
        other => panic!("{other:?}"),
    }
}

#[test]
fn start_is_owed_from_the_event_on() {
    let mut rig = Rig::new();
    rig.skip();
    rig.task(vec![start_child("kid")]);
    expect![[r#"
        3 0ns WORKFLOW_TASK_STARTED
        4 0ns WORKFLOW_TASK_COMPLETED
        5 0ns START_CHILD_WORKFLOW_EXECUTION_INITIATED kid queue - 0ns 10s Terminate"#]]
    .assert_eq(&rig.news());
    let run_id = rig.run.state.run_id.clone();
    let start = rig.effects.iter().find_map(|effect| match effect {
        Effect::Deliver(delivery) => match &delivery.message {
            Sent::StartChild(start) => Some(start),
            _ => None,
        },
        _ => None,
    });
    let start = start.expect("start");
    assert_eq!(start.request_id, format!("{run_id}:5:0"));
    assert_eq!(
        (
            start.initiated_event_id,
            start.initiated_node,
            start.parent.run_id.as_str()
        ),
        (5, 4, &*run_id)
    );
    assert_eq!(start.event.as_ref().map(|event| event.event_id), Some(5));
}

#[test]
fn event_holds_defaults() {
    let mut rig = Rig::new();
    rig.task(vec![with("kid", |a| {
        a.retry_policy = Some(RetryPolicy {
            initial_interval: seconds(3.0),
            ..Default::default()
        });
        a.memo = Some(Memo::default());
        a.search_attributes = Some(SearchAttributes::default());
        a.priority = Some(Priority::default());
    })]);
    let event = initiated(&rig);
    assert_eq!(event.namespace, "default");
    assert_eq!(event.namespace_id, rig.run.state.namespace_id);
    assert_eq!(
        event.workflow_id_reuse_policy(),
        WorkflowIdReusePolicy::AllowDuplicate
    );
    assert_eq!(
        event.retry_policy.and_then(|policy| policy.maximum_interval),
        seconds(300.0)
    );
    assert_eq!((event.memo, event.search_attributes), (None, None));
    assert_eq!(
        event.priority,
        Some(Priority::default()),
        "the parent's is taken over when the child starts"
    );
    assert_eq!(event.workflow_task_completed_event_id, 4);
}

#[test]
fn timeouts_are_derived_and_capped() {
    // execution, run, task => the same
    let cases = [
        ((0, 0, 0), (0, 0, 10)),
        ((90, 60, 6), (90, 60, 6)),
        ((10, 20, 30), (10, 10, 10)),
        ((10, 0, 0), (10, 10, 10)),
        ((5, 0, 0), (5, 5, 5)),
        ((0, 1, 0), (0, 1, 1)),
        ((0, 0, 500), (0, 0, 120)),
        // The parent's own time does not matter: the child may outlive it.
        ((500, 400, 0), (500, 400, 10)),
    ];
    for (given, expected) in cases {
        let parent = StartWorkflow {
            run_timeout: Duration::from_secs(50),
            ..workflow()
        };
        let mut rig = Rig::start(parent);
        let set = |seconds: u64| (seconds > 0).then(|| duration_to_proto(Duration::from_secs(seconds)));
        rig.task(vec![with("kid", |a| {
            a.workflow_execution_timeout = set(given.0);
            a.workflow_run_timeout = set(given.1);
            a.workflow_task_timeout = set(given.2);
        })]);
        let event = initiated(&rig);
        let read = |span: &Option<prost_types::Duration>| duration_from_proto(span.as_ref()).as_secs();
        let resolved = (
            read(&event.workflow_execution_timeout),
            read(&event.workflow_run_timeout),
            read(&event.workflow_task_timeout),
        );
        assert_eq!(resolved, expected, "{given:?}");
        assert_eq!(event.workflow_execution_timeout.is_some(), given.0 > 0);
    }
}

#[test]
#[expect(deprecated, reason = "SDKs still name the namespace")]
fn bad_attributes_fail_the_task() {
    let long = "x".repeat(1_001);
    let queue = |name: &str| {
        Some(TaskQueue {
            name: name.to_owned(),
            ..Default::default()
        })
    };
    let at = "WorkflowId=kid WorkflowType=Child Namespace=default";
    let cases = [
        (
            start_child(""),
            "Required field WorkflowId is not set on StartChildWorkflowExecutionCommand. WorkflowType=Child \
             Namespace=default"
                .to_owned(),
        ),
        (
            with("kid", |a| a.workflow_type = None),
            "Required field WorkflowType is not set on StartChildWorkflowExecutionCommand. WorkflowId=kid \
             Namespace=default"
                .to_owned(),
        ),
        (
            start_child(&long),
            format!(
                "WorkflowId on StartChildWorkflowExecutionCommand exceeds length limit. WorkflowId={long} \
                 Length=1001 Limit=1000 WorkflowType=Child Namespace=default"
            ),
        ),
        (
            with("kid", |a| a.workflow_run_timeout = seconds(-1.0)),
            format!(
                "Invalid WorkflowRunTimeout on StartChildWorkflowExecutionCommand: negative duration. {at}"
            ),
        ),
        (
            with("kid", |a| a.cron_schedule = "never".to_owned()),
            format!(
                "invalid CronSchedule on StartChildWorkflowExecutionCommand: invalid CronSchedule.. {at}"
            ),
        ),
        (
            with("kid", |a| {
                a.retry_policy = Some(RetryPolicy {
                    backoff_coefficient: 0.1,
                    ..Default::default()
                });
            }),
            format!(
                "invalid WorkflowRetryPolicy on StartChildWorkflowExecutionCommand: BackoffCoefficient cannot be \
                 less than 1 on retry policy.. {at}"
            ),
        ),
        (
            with("kid", |a| a.task_queue = queue("/_sys/x")),
            format!(
                "invalid TaskQueue on StartChildWorkflowExecutionCommand: task queue name cannot start with \
                 reserved prefix /_sys/. {at} TaskQueue=name:\"/_sys/x\"  kind:TASK_QUEUE_KIND_NORMAL"
            ),
        ),
        (
            with("kid", |a| {
                a.priority = Some(Priority {
                    priority_key: -1,
                    ..Default::default()
                })
            }),
            "priority key can't be negative".to_owned(),
        ),
        (
            with("kid", |a| a.namespace = "other".to_owned()),
            "cross namespace commands are not allowed".to_owned(),
        ),
    ];
    for (command, message) in cases {
        let mut rig = Rig::new();
        assert_eq!(
            rig.refused(vec![command]),
            format!("BadStartChildExecutionAttributes: {message}")
        );
        assert!(rig.run.is_open() && rig.run.state.children.is_empty());
    }
}

#[test]
fn what_is_too_large_ends_the_run() {
    let large = "x".repeat(300);
    let fields = [(
        "m".to_owned(),
        Payload {
            data: large.clone().into(),
            ..Default::default()
        },
    )];
    let cases = [
        (with("kid", |a| a.input = payloads(&large)), ". Input"),
        (
            with("kid", |a| {
                a.memo = Some(Memo {
                    fields: fields.into(),
                })
            }),
            ".Memo",
        ),
    ];
    for (command, what) in cases {
        let mut rig = Rig::new();
        (rig.limits.blob_bytes, rig.limits.memo_bytes) = (200, 200);
        assert_eq!(
            rig.refused(vec![command]),
            format!(
                "BadStartChildExecutionAttributes: StartChildWorkflowExecutionCommandAttributes{what} exceeds \
                 size limit."
            )
        );
        assert!(!rig.run.is_open());
    }
}

#[test]
fn pending_limit_counts_every_start() {
    let mut rig = Rig::new();
    rig.limits.pending_children = 2;
    assert_eq!(
        rig.refused(vec![start_child("kid"), start_child("kid"), start_child("kid")]),
        "PendingChildWorkflowsLimitExceeded: the number of pending child workflow executions, 2, has reached the \
         per-workflow limit of 2"
    );
}

#[test]
fn child_cannot_be_canceled_in_the_task_that_starts_it() {
    let cancel = |id: &str| {
        Command::RequestCancelExternalWorkflowExecutionCommandAttributes(Box::new(
            RequestCancelExternalWorkflowExecutionCommandAttributes {
                workflow_id: id.to_owned(),
                run_id: String::new(),
                child_workflow_only: true,
                ..Default::default()
            },
        ))
    };
    assert_eq!(
        Rig::new().refused(vec![start_child("kid"), cancel("kid")]),
        "BadRequestCancelExternalWorkflowExecutionAttributes: Start and RequestCancel for child workflow is not \
         allowed in same workflow task. WorkflowId=kid RunId= Namespace="
    );
    Rig::new().task(vec![cancel("kid"), start_child("kid"), cancel("other")]);
}

#[test]
fn child_of_a_run_that_closes_at_once_never_starts() {
    let mut rig = Rig::new();
    rig.skip();
    let abandoned = with("kid", |a| a.set_parent_close_policy(ParentClosePolicy::Abandon));
    rig.task(vec![abandoned, complete_workflow()]);
    assert!(!rig.owed().contains("deliver"));
    assert!(rig.run.is_settled());
}
