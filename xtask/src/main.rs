//! Developer tasks: `cargo xtask <task>`. The same commands run by hand and in CI.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool speaks on the terminal"
)]

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Instant,
};

const USAGE: &str = "cargo xtask TASK

  verify    formatting and lints
  test      all tests: unit, property, simulation, then real SDK workers and the official server beside ours,
            then crashes under load
  order     start the server and run the example order workflow on it
  compat    only the comparison with the official server; further arguments go to tests/compat/compare.py
  chaos     only the crashes under load; further arguments go to it";

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let task = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let result = match task.as_str() {
        "verify" => verify(),
        "test" => test(),
        "order" => order(),
        "compat" => build().and_then(|()| compat(&rest)),
        "chaos" => build().and_then(|()| chaos(&rest)),
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
    cargo(&["test", "--workspace", "--locked"])?;
    simulate()?;
    build()?;
    compat(&[])?;
    chaos(&["--short".to_owned()])
}

/// Runs the simulation with many seeds.
fn simulate() -> Result<(), String> {
    const SEEDS: &str = "10000";
    let mut test = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    test.args([
        "test",
        "--release",
        "--locked",
        "--package",
        "perdure-tests",
        "--test",
        "sim",
    ]);
    run(test.env("PERDURE_SEEDS", SEEDS).current_dir(root()))
}

/// Builds the server as the tests run it.
fn build() -> Result<(), String> {
    cargo(&["build", "--release", "--locked", "--package", "perdure-server"])
}

fn compat(args: &[String]) -> Result<(), String> {
    let folder = root().join("tests/compat");
    run(Command::new("sh").arg(folder.join("setup.sh")))?;
    let server = server_binary().display().to_string();
    let ours =
        format!("{server} server start-dev --headless --ip 127.0.0.1 --port {{port}} --log-level error");
    let mut compare = Command::new(folder.join(".venv/bin/python"));
    compare
        .arg(folder.join("compare.py"))
        .args(["--b", &ours])
        .args(args);
    run(&mut compare)
}

fn chaos(args: &[String]) -> Result<(), String> {
    let mut all = vec![
        "run",
        "--release",
        "--locked",
        "--package",
        "perdure-tests",
        "--bin",
        "chaos",
        "--",
    ];
    all.extend(args.iter().map(String::as_str));
    let server = server_binary().display().to_string();
    all.extend(["--server", &server]);
    cargo(&all)
}

/// What the README's first command does after the build: a server with no settings, and a workflow on it.
fn order() -> Result<(), String> {
    build()?;
    let folder = root().join("tests/compat");
    run(Command::new("sh").arg(folder.join("setup.sh")))?;
    let data = env::temp_dir().join(format!("perdure-order-{}", std::process::id()));
    let mut server = Command::new(server_binary())
        .args(["server", "--data-dir"])
        .arg(&data)
        .spawn()
        .map_err(|error| format!("start server: {error}"))?;
    let example = run(Command::new(folder.join(".venv/bin/python")).arg(root().join("examples/order.py")));
    let stopped = stop(&mut server);
    // Only a folder of this run's own; a leftover in the temporary folder harms nobody.
    let _ = std::fs::remove_dir_all(&data);
    example.and(stopped)
}

/// Asks the server to stop and waits for it.
fn stop(server: &mut std::process::Child) -> Result<(), String> {
    run(Command::new("kill").args(["-TERM", &server.id().to_string()]))?;
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
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("release/perdure")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

fn cargo(args: &[&str]) -> Result<(), String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo).args(args).current_dir(root()))
}

fn run(command: &mut Command) -> Result<(), String> {
    println!("> {command:?}");
    let begun = Instant::now();
    let status = command
        .status()
        .map_err(|error| format!("start {command:?}: {error}"))?;
    println!("  {:.0} s", begun.elapsed().as_secs_f32());
    if status.success() {
        Ok(())
    } else {
        Err(format!("failed: {command:?}"))
    }
}
