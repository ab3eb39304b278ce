use proto::temporal::failure::v1::{ServerFailureInfo, failure::FailureInfo};

use super::{activity, beat, boom, complete, fail, give_up, started, token};
use crate::{
    outcome::{Rejection, Reply},
    rig::{Rig, payloads},
    trigger::{ActivityRef, FailActivity, Trigger},
};

type Call = fn(&mut Rig, ActivityRef, &str) -> Result<Reply, Rejection>;

#[test]
fn what_is_too_large_fails_the_activity() {
    let long = "x".repeat(300);
    let cases: [(&str, Call, Reply); 3] = [
        ("Complete result exceeds size limit.", complete, Reply::Done),
        ("Cancel details exceed size limit.", give_up, Reply::Done),
        (
            "Heartbeat details exceed size limit.",
            beat,
            Reply::Heartbeat {
                cancel_requested: true,
            },
        ),
    ];
    for (message, call, reply) in cases {
        let mut rig = started(|_| {});
        rig.limits.blob_bytes = 200;
        let activity = token(&rig);
        assert_eq!(call(&mut rig, activity, &long), Ok(reply));
        let news = rig.news();
        let expected = format!("7 0ns ACTIVITY_TASK_FAILED 5 6 [{message} server] NonRetryableFailure");
        assert!(news.contains(&expected), "{news}");
    }
}

#[test]
fn failure_too_large_is_replaced_and_ends_the_activity() {
    let mut rig = started(|_| {});
    rig.limits.blob_bytes = 400;
    let activity_ref = token(&rig);
    let reply = rig.send(Trigger::FailActivity(Box::new(FailActivity {
        activity: activity_ref,
        failure: Some(boom(&"x".repeat(500), false)),
        identity: "worker".to_owned(),
        last_heartbeat_details: payloads(&"y".repeat(500)),
    })));
    let Ok(Reply::ActivityFailed { oversized }) = reply else {
        panic!("{reply:?}")
    };
    let messages: Vec<_> = oversized.iter().map(|failure| failure.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "Heartbeat details exceed size limit.",
            "Failure exceeds size limit."
        ]
    );
    let is_final = FailureInfo::ServerFailureInfo(ServerFailureInfo { non_retryable: true });
    assert!(
        oversized
            .iter()
            .all(|failure| failure.failure_info.as_ref() == Some(&is_final))
    );
    assert!(rig.news().contains("[Failure exceeds size limit. server < [xxx"));
}

#[test]
fn last_failure_is_kept_short() {
    let mut rig = started(|_| {});
    let activity_ref = token(&rig);
    fail(&mut rig, activity_ref, boom(&"x".repeat(10_000), false)).expect("fail");
    let kept = activity(&rig).last_failure.as_ref().expect("failure");
    assert_eq!(kept.message, "Failure exceeds size limit.");
    assert!(prost::Message::encoded_len(kept) < rig.limits.last_failure_bytes + 100);
}
