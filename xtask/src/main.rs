//! Developer tasks: `cargo xtask <task>`. The same commands run by hand and in CI.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool speaks on the terminal"
)]

mod bench;
mod bench_cassandra;
mod cassandra;
mod cluster;
mod flame;
mod profile;

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Instant,
};

const USAGE: &str = "cargo xtask TASK

  verify    formatting and lints
  test      all tests: unit, property, simulation, the storage suite on a real Cassandra, golden histories replayed by a real SDK, then real SDK workers
            and the official server beside ours, the SDKs' own test environments, abuse, crashes under load, and a cluster whose nodes come and go
  order     start the server and run the example order workflow on it
  replay    only the replay of the golden histories
  compat    only the comparison with the official server; further arguments go to tests/compat/compare.py
  bad-input only the bad requests, against the official server; further arguments go to tests/compat/bad_input.py
  sdk       only the SDKs' own test environments; further arguments go to tests/compat/sdk.py
  abuse     only the clients that misbehave; further arguments go to it
  chaos     only the crashes under load; further arguments go to it
  churn     only a cluster whose nodes are restarted, added, drained and killed under load; further arguments go to it
  metrics   only the metrics, scraped by a real Prometheus
  stall     only the proof that the load generator shows a stall of the server
  bench     write docs/benchmarks.md: this server against the official one in all scenarios, on a quiet machine; further
            arguments go to perdure-load bench
  bench-cassandra
            print what workflows cost the server and Cassandra, one node of each, on a quiet machine; with --server PATH and
            --load PATH for programs that are built already, --seconds N, --nodes N of each, --only noop,activity,
            --concurrency 64,512; with --sleepers N what so many workflows cost while they sleep
  profile   SCENARIO: a CPU profile of the server under a load, as a flame graph; further arguments go to perdure-load run
  metrics-table
            write the table of docs/metrics.md from the code
  cassandra-suite
            only what runs on a real Cassandra node: the storage suite, the example order and scenarios
  cassandra start real Cassandra nodes, as many as the first argument says, until ENTER is pressed; on port 9042,
            or the one that the second argument says; with Paxos v2, or v1 as the third";

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let task = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let result = match task.as_str() {
        "verify" => verify(),
        "test" => test(),
        "order" => order(),
        "replay" => replay(),
        "compat" => build().and_then(|()| compat(&rest)),
        "bad-input" => build().and_then(|()| compare("bad_input.py", &rest)),
        "sdk" => build().and_then(|()| sdk(&rest)),
        "abuse" => build().and_then(|()| program("abuse", &rest)),
        "chaos" => build().and_then(|()| program("chaos", &rest)),
        "churn" => build().and_then(|()| churn(&rest)),
        "cassandra-suite" => cassandra::suite(),
        "cassandra" => cassandra::by_hand(&rest),
        "metrics" => build().and_then(|()| metrics(&rest)),
        "stall" => build().and_then(|()| stall()),
        "bench" => bench::bench(&rest),
        "bench-cassandra" => bench_cassandra::bench(&rest),
        "profile" => profile::profile(&rest),
        "metrics-table" => metrics_table(),
        "cluster" => cluster::run(&rest),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn verify() -> Result<(), String> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ])
}

fn test() -> Result<(), String> {
    // First, as it wants most of the machine: what is missing is said at once.
    cassandra::suite()?;
    cargo(&["test", "--workspace", "--locked"])?;
    simulate()?;
    replay()?;
    build()?;
    compat(&[])?;
    compare("bad_input.py", &[])?;
    sdk(&[])?;
    metrics(&[])?;
    stall()?;
    program("abuse", &["--short".to_owned()])?;
    program("chaos", &["--short".to_owned()])?;
    // Outages of the store take longer than the test command may: `churn` without --only makes them.
    churn(&[
        "--short".to_owned(),
        "--only".to_owned(),
        "restart,add,kill,split".to_owned(),
    ])
}

/// Restarts, adds, drains and kills nodes of a cluster under load.
fn churn(args: &[String]) -> Result<(), String> {
    with_target("chaos", &["--nodes".to_owned(), "3".to_owned()], args)
}

/// Has a real Prometheus scrape real servers.
fn metrics(args: &[String]) -> Result<(), String> {
    with_target("metrics", &[], args)
}

/// Runs a program that starts Cassandra.
fn with_target(name: &str, first: &[String], args: &[String]) -> Result<(), String> {
    let target = ["--target".to_owned(), target().display().to_string()];
    program(name, &[first, &target, args].concat())
}

/// Runs the simulations with many seeds.
fn simulate() -> Result<(), String> {
    const SEEDS: &str = "10000";
    const CLUSTER_SEEDS: &str = "2000";
    let mut test = Command::new(cargo_program());
    test.args([
        "test",
        "--release",
        "--locked",
        "--package",
        "perdure-tests",
        "--test",
        "sim",
    ]);
    test.env("PERDURE_SEEDS", SEEDS)
        .env("PERDURE_CLUSTER_SEEDS", CLUSTER_SEEDS);
    run(test.current_dir(root()))
}

/// Stops a server under the load generator.
fn stall() -> Result<(), String> {
    cargo(&["build", "--release", "--locked", "--package", "perdure-load"])?;
    let load = target().join("release/perdure-load").display().to_string();
    program("stall", &["--load".to_owned(), load])
}

/// Lets the test of the table write what it compares.
fn metrics_table() -> Result<(), String> {
    let mut write = Command::new(cargo_program());
    write.args([
        "test",
        "--locked",
        "--package",
        "perdure-tests",
        "--test",
        "metrics_table",
    ]);
    run(write.env("PERDURE_WRITE_DOCS", "1").current_dir(root()))
}

/// Builds the server as the tests run it.
fn build() -> Result<(), String> {
    cargo(&["build", "--release", "--locked", "--package", "perdure-server"])
}

fn compat(args: &[String]) -> Result<(), String> {
    compare("compare.py", args)
}

/// Runs a script that compares our server with the official one.
fn compare(script: &str, args: &[String]) -> Result<(), String> {
    let server = server_binary().display().to_string();
    let ours =
        format!("{server} server start-dev --headless --ip 127.0.0.1 --port {{port}} --log-level error");
    run(python(script)?.args(["--b", &ours]).args(args))
}

fn sdk(args: &[String]) -> Result<(), String> {
    run(python("sdk.py")?.arg("--server").arg(server_binary()).args(args))
}

/// Lets the Python SDK replay the histories of the engine's golden scripts.
fn replay() -> Result<(), String> {
    let folder = env::temp_dir().join(format!("perdure-histories-{}", std::process::id()));
    let mut write = Command::new(cargo_program());
    write.args([
        "test",
        "--locked",
        "--package",
        "perdure-engine",
        "--test",
        "golden",
    ]);
    run(write.env("GOLDEN_HISTORIES", &folder).current_dir(root()))?;
    let replayed = run(python("replay_golden.py")?.arg(&folder));
    // Only a folder of this run's own; a leftover in the temporary folder harms nobody.
    let _ = std::fs::remove_dir_all(&folder);
    replayed
}

/// A script of the compatibility tests, with what it needs installed.
fn python(script: &str) -> Result<Command, String> {
    let folder = root().join("tests/compat");
    run(Command::new("sh").arg(folder.join("setup.sh")))?;
    let mut python = Command::new(folder.join(".venv/bin/python"));
    python.arg(folder.join(script));
    Ok(python)
}

/// Runs a program of the tests against the server that was built.
fn program(name: &str, args: &[String]) -> Result<(), String> {
    let mut all = vec![
        "run",
        "--release",
        "--locked",
        "--package",
        "perdure-tests",
        "--bin",
        name,
        "--",
    ];
    all.extend(args.iter().map(String::as_str));
    let server = server_binary().display().to_string();
    all.extend(["--server", &server]);
    cargo(&all)
}

/// What the README's first command does after the build: a server with no settings, and a workflow on it.
fn order() -> Result<(), String> {
    const ADDRESS: &str = "127.0.0.1:7233";
    build()?;
    let mut example = python("../../examples/order.py")?;
    let data = env::temp_dir().join(format!("perdure-order-{}", std::process::id()));
    let mut server = Command::new(server_binary())
        .args(["server", "--listen", ADDRESS, "--data-dir"])
        .arg(&data)
        .spawn()
        .map_err(|error| format!("start server: {error}"))?;
    let done = run(example.args(["--address", ADDRESS])).and(stop(&mut server));
    // Only a folder of this run's own; a leftover in the temporary folder harms nobody.
    let _ = std::fs::remove_dir_all(&data);
    done
}

/// Asks the server to stop and waits for it.
fn stop(server: &mut std::process::Child) -> Result<(), String> {
    // The shell's own: a bare machine has no program of that name.
    run(Command::new("sh").args(["-c", "kill -TERM \"$0\"", &server.id().to_string()]))?;
    let status = server
        .wait()
        .map_err(|error| format!("wait for server: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("server ended with {status}"))
    }
}

fn server_binary() -> PathBuf {
    target().join("release/perdure")
}

fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

fn cargo(args: &[&str]) -> Result<(), String> {
    run(Command::new(cargo_program()).args(args).current_dir(root()))
}

fn cargo_program() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn run(command: &mut Command) -> Result<(), String> {
    // Not on standard output, which may be read by another program.
    eprintln!("> {command:?}");
    let begun = Instant::now();
    let status = command
        .status()
        .map_err(|error| format!("start {command:?}: {error}"))?;
    eprintln!("  {:.0} s", begun.elapsed().as_secs_f32());
    if status.success() {
        Ok(())
    } else {
        Err(format!("failed: {command:?}"))
    }
}
