use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use engine::{
    outcome::{QueryAnswer, QueryDispatch, Rejection, Reply, Started, StartedWorkflowTask},
    trigger::{ActivityRef, Signal, Start, StartWith, StartWorkflow, Trigger},
};
use proto::{
    ids::{NamespaceId, WorkflowId, WorkflowKey},
    temporal::common::v1::{Payload, Payloads},
};
use shard::{
    input::{Request, RunTarget},
    output::AskError,
};

use super::*;

fn round<T: Wire + PartialEq + std::fmt::Debug>(value: &T) {
    assert_eq!(T::take(encode(value)).as_ref(), Ok(value));
}

fn payloads(text: &str) -> Payloads {
    Payloads {
        payloads: vec![Payload {
            data: Bytes::copy_from_slice(text.as_bytes()),
            ..Default::default()
        }],
    }
}

#[test]
fn a_trigger_comes_as_it_went() {
    round(&Trigger::Delete);
    round(&Trigger::Position { wait_after: None });
    round(&Trigger::Position { wait_after: Some(0) });
    round(&Trigger::Signal(Box::new(Signal {
        name: "paid".to_owned(),
        input: Some(payloads("7")),
        links: vec![Default::default(), Default::default()],
        child_only: true,
        ..Default::default()
    })));
    round(&Trigger::CompleteActivity {
        activity: ActivityRef::Token {
            scheduled_event_id: 5,
            attempt: -1,
            started_time: i64::MIN,
        },
        result: None,
        identity: String::new(),
    });
    round(&Trigger::ExternalSignalDone {
        initiated_event_id: 3,
        result: Ok(()),
    });
}

#[test]
fn a_start_keeps_what_is_empty_and_what_is_absent_apart() {
    let workflow = StartWorkflow {
        input: Some(Payloads::default()),
        header: None,
        run_timeout: Duration::from_nanos(1),
        ..Default::default()
    };
    let start = Start {
        workflow: Box::new(workflow),
        with: StartWith::Nothing,
    };
    let Request::Start(read) = Request::take(encode(&Request::Start(start.clone()))).expect("readable")
    else {
        panic!("another request came");
    };
    assert_eq!(read, start);
}

#[test]
fn replies_come_as_they_went() {
    let task = StartedWorkflowTask {
        queries: HashMap::from([("q".to_owned(), Default::default())]),
        recent: vec![(1, Bytes::from_static(b"node")), (4, Bytes::new())],
        ..Default::default()
    };
    round(&Reply::WorkflowTask(Box::new(task.clone())));
    round(&Reply::Signaled {
        event_id: 2,
        request_id: "r".to_owned(),
        run_id: "x".to_owned(),
        started: Some(Box::new(Started {
            eager: Some(Box::new(task)),
            ..Default::default()
        })),
    });
    round(&Reply::Update(Box::default()));
    round(&Reply::Query(Box::new(QueryAnswer::Dispatch(Box::new(
        QueryDispatch {
            run_id: "x".to_owned(),
            workflow_type: "w".to_owned(),
            task_queue: "q".to_owned(),
            sticky: Some(("s".to_owned(), 7)),
            next_event_id: 4,
            previous_started_event_id: 3,
        },
    )))));
    round::<Result<Reply, AskError>>(&Err(AskError::Rejected(Rejection::MultiOperation {
        start: Box::new(Rejection::Aborted),
        update: Box::new(Rejection::NotFound("gone".to_owned())),
    })));
}

#[test]
fn ids_come_as_they_went() {
    round(&RunTarget {
        workflow: WorkflowKey {
            namespace_id: NamespaceId::from_bytes([3; 16]),
            workflow_id: WorkflowId::from("ж order"),
        },
        run_id: None,
    });
}

#[test]
fn an_unknown_field_is_skipped() {
    let mut bytes = encode(&Signal::default()).to_vec();
    put_body(999, &mut bytes, |to| to.extend_from_slice(b"of a later release"));
    assert_eq!(Signal::take(bytes.into()), Ok(Signal::default()));
}

#[test]
fn what_is_missing_or_cut_off_is_refused() {
    assert!(Trigger::take(Bytes::new()).is_err());
    assert!(RunTarget::take(Bytes::new()).is_err());
    let whole = encode(&Trigger::Signal(Box::new(Signal {
        name: "a name".to_owned(),
        ..Default::default()
    })));
    for length in 0..whole.len() {
        assert!(Trigger::take(whole.slice(..length)).is_err(), "cut at {length}");
    }
}

#[test]
fn the_bytes_of_a_signal_stay_as_they_are() {
    let signal = Trigger::Signal(Box::new(Signal {
        name: "paid".to_owned(),
        child_only: true,
        ..Default::default()
    }));
    let bytes = encode(&signal);
    // Tag and padded length of the variant, of its value, then name and flag.
    let expected =
        b"\x0a\x94\x80\x80\x00\x0a\x8f\x80\x80\x00\x0a\x84\x80\x80\x00paid\x42\x81\x80\x80\x00\x01";
    assert_eq!(
        bytes.as_ref(),
        expected,
        "nodes of two releases must understand each other"
    );
}
