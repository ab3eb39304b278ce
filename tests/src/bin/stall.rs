//! Stops a server for two seconds in the middle of an open-loop load and holds the load generator to it: the stall
//! must be in the 99th percentile, as each start counts from the moment for which it was intended.

#![expect(clippy::print_stdout, reason = "a program whose output is its report")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use perdure_tests::{client, process::Process};
use serde_json::Value;
use tokio::process::{Child, Command};

const START_MAX: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(25);
/// The warm-up and the first part of the window.
const BEFORE: Duration = Duration::from_secs(4);
const STALL: Duration = Duration::from_secs(2);
const LOAD: &[&str] = &[
    "--scenario",
    "noop",
    "--rate",
    "50",
    "--duration",
    "8s",
    "--warm-up",
    "1s",
];
/// A quarter of the window's starts fall into the stall and wait up to two seconds, evenly spread: one in a hundred
/// waits longer than 1.92 s.
const STALLED_P99_MS_MIN: f64 = 1_800.0;
const CALM_P99_MS_MAX: f64 = 1_000.0;
const STALLED_P50_MS_MAX: f64 = 500.0;

/// Shows that a stall of the server is not hidden.
#[derive(Debug, Parser)]
#[command(name = "stall")]
struct Args {
    /// The server's program.
    #[arg(long, value_name = "PATH", default_value = "target/release/perdure")]
    server: PathBuf,

    /// The load generator's program.
    #[arg(long, value_name = "PATH", default_value = "target/release/perdure-load")]
    load: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let directory = std::env::temp_dir().join(format!("perdure-stall-{}", std::process::id()));
    let outcome = run(&args, &directory).await;
    // Only a folder of this run's own; a leftover in the temporary folder harms nobody.
    let _ = fs::remove_dir_all(&directory);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!("FAIL {why}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args, directory: &Path) -> Result<(), String> {
    let mut server = Process::start(&args.server, directory, &[])?;
    let address = server.address.clone();
    let is_up = || async {
        let up = client::connect(&address).await.is_ok();
        if !up {
            tokio::time::sleep(PAUSE).await;
        }
        up
    };
    server.answers(is_up, START_MAX).await?;
    let pid = server.id().ok_or("the server is gone")?;

    let load = load(&args.load, &address, &directory.join("calm.json"))?;
    let calm = result(load, &directory.join("calm.json")).await?;
    println!("calm: {calm}");

    let load = self::load(&args.load, &address, &directory.join("stalled.json"))?;
    tokio::time::sleep(BEFORE).await;
    signal(pid, "STOP").await?;
    tokio::time::sleep(STALL).await;
    signal(pid, "CONT").await?;
    let stalled = result(load, &directory.join("stalled.json")).await?;
    println!("stopped for {STALL:?}: {stalled}");

    let p = |result: &Value, name: &str| result[name].as_f64().ok_or_else(|| format!("no {name}"));
    if p(&calm, "p99")? > CALM_P99_MS_MAX {
        return Err("this machine is too busy to tell a stall".to_owned());
    }
    if p(&stalled, "p99")? < STALLED_P99_MS_MIN || p(&stalled, "p50")? > STALLED_P50_MS_MAX {
        return Err(format!("the 99th percentile does not show a stall of {STALL:?}"));
    }
    println!("ok a stall shows");
    Ok(())
}

fn load(program: &Path, address: &str, json: &Path) -> Result<Child, String> {
    Command::new(program)
        .args(["run", "--target", address, "--json"])
        .arg(json)
        .args(LOAD)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("start {}: {error}", program.display()))
}

/// Waits for the load's end, which must be clean; gives its latencies.
async fn result(mut load: Child, json: &Path) -> Result<Value, String> {
    let status = load
        .wait()
        .await
        .map_err(|error| format!("wait for load: {error}"))?;
    let text = fs::read_to_string(json).map_err(|error| format!("read {}: {error}", json.display()))?;
    let result: Value = serde_json::from_str(&text).map_err(|error| format!("read result: {error}"))?;
    if !status.success() {
        return Err(format!("the load ends with {status}: {}", result["verdict"]));
    }
    Ok(result["latency_ms"].clone())
}

async fn signal(pid: u32, name: &str) -> Result<(), String> {
    // The shell's own: a bare machine has no program of that name.
    let sent = Command::new("sh")
        .args(["-c", &format!("kill -{name} {pid}")])
        .status()
        .await;
    match sent {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("send {name}: {other:?}")),
    }
}
