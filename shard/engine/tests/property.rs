//! Random stories: whatever happens to a workflow, in whatever order, its invariants hold, its history tells what it
//! is, nobody waits for ever, and it can be brought to an end. The stories are scripts as in `golden.rs`: one that
//! fails is printed, and makes a golden.

mod support;

use proptest::prelude::*;
use support::script::Player;

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn any_story_holds(
        limits in limits(),
        start in start(),
        moves in prop::collection::vec(a_move(), 1..60),
    ) {
        let mut player = Player::default();
        player.play(&limits);
        player.play(&start);
        for line in moves.iter().flat_map(|lines| lines.lines()) {
            player.play(line);
        }
        bring_to_an_end(&mut player);
    }
}

/// A faithful worker and a patient clock close the newest run.
fn bring_to_an_end(player: &mut Player) {
    const ROUNDS: usize = 30;
    player.play("limit signals=1000 history-events=1000 blob-bytes=1000");
    for _ in 0..ROUNDS {
        let known = player.world.runs.last().expect("the story began with a start");
        if !known.run.is_open() {
            return;
        }
        let state = known.run.state();
        let line = match &state.task {
            None if state.backoff_until != 0 => "wait 1h",
            None => "signal wake-up",
            Some(task) if task.started_event_id == 0 => "begin",
            Some(task) if task.attempt > 1 && !state.buffered.is_empty() => "fail-task",
            Some(_) => "complete: cancel",
        };
        player.play(line);
    }
    panic!("the workflow does not end:\n{}", player.out);
}

/// One or a few triggers.
fn a_move() -> impl Strategy<Value = String> {
    prop_oneof![
        16 => worker(),
        8 => client(),
        8 => activity(),
        6 => time(),
        6 => others(),
        1 => operator(),
        1 => start().prop_map(|line| format!("{line} conflict=terminate")),
    ]
}

fn one_of(lines: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(lines).prop_map(str::to_owned)
}

fn limits() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => one_of(&["limit"]),
        1 => one_of(&[
            "limit buffered-events=2",
            "limit history-events=40",
            "limit updates-in-flight=1 updates-total=2",
            "limit pending-activities=1",
            "limit signals=2",
            "limit blob-bytes=8",
            "limit buffered-queries=3",
        ]),
    ]
}

fn start() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => one_of(&["start"]),
        4 => one_of(&[
            "start delay=20s",
            "start retry=3",
            "start retry=3 run-timeout=8s",
            "start run-timeout=20s execution-timeout=40s retry=2",
            "start execution-timeout=60s cron=\"@every 5s\"",
            "start eager",
            "start parent=parent",
            "start with-signal=hello",
            "start with-update=u1",
            "start task-timeout=2s",
            "start priority=1 memo=m input=x",
        ]),
    ]
}

fn client() -> impl Strategy<Value = String> {
    one_of(&[
        "signal one",
        "signal one",
        "signal two request=same",
        "request-cancel stop",
        "query state",
        "query state",
        "query state reject=not-open",
        "update u0",
        "update u0",
        "update u1 wait=accepted",
        "update u2",
        "poll-update u0",
        "poll-update u1 wait=completed",
        "describe",
        "position",
        "start",
        "start request=request-1",
        "start conflict=use-existing attach",
        "start conflict=use-existing with-signal=hello",
        "start conflict=use-existing with-update=u0",
        "start request=request-1 with-update=u2",
    ])
}

fn worker() -> impl Strategy<Value = String> {
    let flags = one_of(&[
        "",
        " return",
        " force",
        " sticky=mine",
        " sticky=mine return",
        " answer=42",
        " discard",
    ]);
    let commands = prop::collection::vec(command(), 0..5);
    let completion = (flags, commands).prop_map(|(flags, commands)| {
        let colon = if commands.is_empty() { "" } else { ": " };
        format!("complete{flags}{colon}{}", commands.join("; "))
    });
    let begin = one_of(&["begin", "begin", "begin", "begin queue=main"]);
    prop_oneof![
        6 => (begin.boxed(), completion).prop_map(|(begin, completion)| format!("{begin}\n{completion}")),
        3 => (one_of(&["begin"]), completion_of_updates()).prop_map(|(begin, completion)| format!("{begin}\n{completion}")),
        2 => one_of(&["begin", "begin\nfail-task", "fail-task", "complete", "complete return"]),
    ]
}

fn completion_of_updates() -> impl Strategy<Value = String> {
    one_of(&[
        "complete: accept u0; respond u0 done",
        "complete: accept u1",
        "complete: respond u1 done",
        "complete: reject u0 no",
        "complete: reject u0 no; reject u1 no; reject u2 no",
        "complete return: accept u2; timer t 3s",
        "complete: accept u0; respond u0 done; complete done",
    ])
}

fn command() -> impl Strategy<Value = String> {
    let common = one_of(&[
        "timer t0 1s",
        "timer t1 4s",
        "timer t2 0s",
        "activity a0",
        "activity a1 retry=2 start-to-close=3s",
        "activity a2 heartbeat=2s schedule-to-close=9s",
        "activity a3 eager",
        "activity a4 schedule-to-start=2s",
        "marker m",
        "child k0",
        "child k1 close=cancel",
        "child k2 close=abandon",
        "signal-external other hello",
        "cancel-external other",
        "upsert CustomKeyword:red",
        "memo place:home",
    ]);
    let rare = one_of(&[
        "cancel-timer t0",
        "cancel-timer t1",
        "cancel-activity $activity0",
        "cancel-activity $activity1",
        "accept u0",
        "accept u1 with-request",
        "respond u1 done",
        "message nothing",
        "activity a0 no-timeout",
        "complete done",
        "fail oops",
        "fail oops non-retryable",
        "cancel",
        "continue-as-new",
    ]);
    prop_oneof![6 => common, 1 => rare]
}

fn activity() -> impl Strategy<Value = String> {
    one_of(&[
        "begin-activity $activity0",
        "begin-activity $activity1",
        "begin-activity $activity0\ncomplete-activity $activity0 done",
        "begin-activity $activity0\ncomplete-activity $activity0 done",
        "begin-activity $activity0\nfail-activity $activity0 oops",
        "begin-activity $activity1\nfail-activity $activity1 oops non-retryable",
        "begin-activity $activity0\nheartbeat $activity0 half",
        "complete-activity $activity0 done",
        "fail-activity $activity0 oops next-delay=2s",
        "cancel-activity $activity0 stopped",
        "heartbeat $activity1 half",
    ])
}

fn time() -> impl Strategy<Value = String> {
    one_of(&[
        "wake", "wait 0s", "wait 1s", "wait 2s", "wait 5s", "wait 11s", "sleep 1s", "sleep 7s", "wait 1h",
    ])
}

/// Answers and messages from other runs.
fn others() -> impl Strategy<Value = String> {
    one_of(&[
        "child-started $child0",
        "child-started $child0\nfirst-task-scheduled $child0",
        "child-started $child1",
        "child-start-failed $child0",
        "first-task-scheduled $child0",
        "child-closed $child0 completed result id=k0",
        "child-closed $child0 failed result id=k1",
        "child-closed $child1 terminated result id=k2",
        "policy-applied $child0",
        "signal-done $signal0",
        "signal-done $signal0 not-found",
        "cancel-done $cancel0",
        "cancel-done $cancel0 not-found",
        "delivery-failed $signal0 signal",
        "delivery-failed $child0 start-child",
        "schedule-first-task",
        "report-delivered",
        "signal hello from-parent",
    ])
}

fn operator() -> impl Strategy<Value = String> {
    one_of(&[
        "terminate enough\nstart",
        "delete\nstart",
        "reload",
        "reload\nwake",
        "forget",
        "forget",
        "reset 4",
        "reset 3 no-signals",
        "reset 7 no-updates",
        "reset 10",
        "reset-sticky",
        "run-1: wake",
        "run-1: describe",
        "run-1: reset 4",
    ])
}
