//! The load generator against a server that goes wrong: whatever it does, the verdict must say so.
//!
//! A load generator that finds nothing is only worth something if it would have found it.

mod fake;

use std::{process::Command, time::Duration};

use serde_json::Value;

use self::fake::{Fake, Fault};

/// The exit status and the result of a run against a server with this fault.
async fn run(fault: Fault, args: &str) -> (i32, Value) {
    let address = Fake::serve(fault).await;
    let json = std::env::temp_dir().join(format!("perdure-load-{}.json", address.port()));
    let mut command = Command::new(env!("CARGO_BIN_EXE_perdure-load"));
    command
        .args([
            "run",
            "--target",
            &address.to_string(),
            "--warm-up",
            "0",
            "--json",
        ])
        .arg(&json);
    command.args(args.split_whitespace());
    let ran = tokio::task::spawn_blocking(move || command.output()).await;
    let output = ran.expect("the thread ends").expect("the program runs");
    let text = std::fs::read_to_string(&json).unwrap_or_default();
    let _ = std::fs::remove_file(&json);
    let result = serde_json::from_str(&text);
    let result = result.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap_or(-1), result)
}

fn number(result: &Value, path: &str) -> u64 {
    result
        .pointer(path)
        .and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("no {path}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_server_is_clean() {
    for scenario in ["noop", "activity", "sequential", "parallel"] {
        let args = format!("--scenario {scenario} --workflows 50 --concurrency 8");
        let (code, result) = run(Fault::None, &args).await;
        assert_eq!(
            (code, number(&result, "/verdict/completed")),
            (0, 50),
            "{scenario}"
        );
        assert_eq!(number(&result, "/verification/counted"), 50);
        assert_eq!(number(&result, "/latency_ms/count"), 50);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_workflow_is_missed() {
    let (code, result) = run(Fault::Lose(7), "--workflows 20 --concurrency 4 --drain 300ms").await;
    assert_eq!((code, number(&result, "/verdict/missing")), (1, 1));
    assert_eq!(number(&result, "/verdict/completed"), 19);
    assert_eq!(
        number(&result, "/verification/missing/WORKFLOW_EXECUTION_STATUS_RUNNING"),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_that_ends_twice_is_noticed() {
    let (code, result) = run(Fault::Repeat(3), "--workflows 20 --concurrency 4").await;
    assert_eq!((code, number(&result, "/verdict/duplicated")), (1, 1));
    assert_eq!(number(&result, "/verdict/completed"), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_is_not_the_activitys_own_is_noticed() {
    let (code, result) = run(
        Fault::Mix(3),
        "--scenario parallel --workflows 10 --concurrency 4",
    )
    .await;
    assert_eq!((code, number(&result, "/verdict/wrong")), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_whose_acknowledgement_was_lost_is_found_out() {
    let (code, result) = run(Fault::LoseAcknowledgement(3), "--workflows 10 --concurrency 2").await;
    assert_eq!((code, number(&result, "/verdict/completed")), (0, 10));
    assert_eq!(
        number(&result, "/counts/errors"),
        2,
        "the lost answer and the task that is gone"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_start_is_made_again_only_if_allowed() {
    let (code, result) = run(Fault::RefuseOnce(3), "--workflows 10 --concurrency 2").await;
    assert_eq!((code, number(&result, "/counts/errors")), (0, 1));
    let (code, result) = run(
        Fault::RefuseOnce(3),
        "--workflows 10 --concurrency 2 --retry-for 0",
    )
    .await;
    assert_eq!((code, number(&result, "/verdict/not_started")), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stall_shows_in_the_open_loop_and_hides_in_the_closed() {
    let fault = Fault::Stall {
        from: Duration::from_millis(500),
        to: Duration::from_millis(1000),
    };
    let p90 = |result: &Value| result.pointer("/latency_ms/p90").and_then(Value::as_f64).unwrap();
    let (code, open) = run(fault, "--rate 200 --duration 1500ms").await;
    assert_eq!(code, 0);
    // A third of the starts meant for the window fell into the stall; a tenth waited 350 ms or longer.
    assert!(p90(&open) > 300.0, "{}", p90(&open));
    let (_, closed) = run(fault, "--concurrency 1 --duration 1500ms").await;
    assert!(p90(&closed) < 100.0, "{}", p90(&closed));
}
