//! A CPU profile of the server under a scenario of the load generator, as a flame graph. Needs perf.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{cargo, flame::Stacks, root, run, stop, target};

const SECONDS: u64 = 10;
const START_MAX: Duration = Duration::from_secs(30);
const WARM_UP: Duration = Duration::from_secs(3);
const TOP: usize = 25;

/// `cargo xtask profile SCENARIO [--server PATH --load PATH] [options of perdure-load run]`.
pub(crate) fn profile(args: &[String]) -> Result<(), String> {
    let usage = "cargo xtask profile SCENARIO [--server PATH --load PATH] [options of perdure-load run]";
    let (scenario, rest) = args.split_first().ok_or(usage)?;
    let mut rest = rest.to_vec();
    let (server, load) = match (take(&mut rest, "--server"), take(&mut rest, "--load")) {
        (Some(server), Some(load)) => (server.into(), load.into()),
        (None, None) => build()?,
        _ => return Err(usage.to_owned()),
    };
    let folder = target().join("profile");
    let data = folder.join("data");
    let _ = fs::remove_dir_all(&data);
    fs::create_dir_all(&data).map_err(|error| format!("make {}: {error}", data.display()))?;
    let address = free_address()?;
    let mut process = Command::new(&server)
        .args([
            "server",
            "--log-level",
            "warn",
            "--listen",
            &address,
            "--data-dir",
        ])
        .arg(&data)
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("start {}: {error}", server.display()))?;
    let recorded =
        wait_until_up(&address).and_then(|()| record(&process, &load, &address, scenario, &rest, &folder));
    let stopped = stop(&mut process);
    let _ = fs::remove_dir_all(&data);
    recorded.and(stopped)?;
    write(scenario, &folder)
}

/// Takes an option and its value out.
fn take(args: &mut Vec<String>, name: &str) -> Option<String> {
    let at = args.iter().position(|arg| arg == name)?;
    if at + 1 >= args.len() {
        return None;
    }
    args.remove(at);
    Some(args.remove(at))
}

/// Builds with all optimisations; that profile keeps the names of functions.
pub(crate) fn build() -> Result<(PathBuf, PathBuf), String> {
    cargo(&[
        "build",
        "--profile",
        "dist",
        "--locked",
        "--package",
        "perdure-server",
        "--package",
        "perdure-load",
    ])?;
    let folder = target().join("dist");
    Ok((folder.join("perdure"), folder.join("perdure-load")))
}

fn free_address() -> Result<String, String> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener
        .map(|address| address.to_string())
        .map_err(|error| format!("find a free port: {error}"))
}

#[expect(clippy::disallowed_methods, reason = "a developer's tool has no runtime")]
fn wait_until_up(address: &str) -> Result<(), String> {
    let deadline = Instant::now() + START_MAX;
    while std::net::TcpStream::connect(address).is_err() {
        if Instant::now() > deadline {
            return Err("the server does not listen".to_owned());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Loads the server and records it meanwhile.
#[expect(clippy::disallowed_methods, reason = "a developer's tool has no runtime")]
fn record(
    server: &Child,
    load: &Path,
    address: &str,
    scenario: &str,
    options: &[String],
    folder: &Path,
) -> Result<(), String> {
    let pid = server.id().to_string();
    let window = format!("{}s", SECONDS + 2);
    let mut load = Command::new(load)
        .args(["run", "--target", address, "--server-pid", &pid])
        .args(["--scenario", scenario, "--warm-up", "2s", "--duration", &window])
        .args(options)
        .spawn()
        .map_err(|error| format!("start {}: {error}", load.display()))?;
    std::thread::sleep(WARM_UP);
    let recorded = run(Command::new("perf")
        .args([
            "record",
            "--event",
            "cpu-clock",
            "--freq",
            "499",
            "--call-graph",
            "dwarf,8192",
        ])
        .args(["--pid", &pid, "--output"])
        .arg(folder.join("perf.data"))
        .args(["--", "sleep", &SECONDS.to_string()]));
    let status = load.wait().map_err(|error| format!("wait for load: {error}"))?;
    recorded.map_err(|why| format!("{why}\nperf is in Debian's package linux-perf"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("load ended with {status}"))
    }
}

/// Writes the stacks and the flame graph, and tells what cost most.
fn write(scenario: &str, folder: &Path) -> Result<(), String> {
    let script = Command::new("perf")
        .args(["script", "--no-inline", "--fields", "comm,ip,sym", "--input"])
        .arg(folder.join("perf.data"))
        .stderr(Stdio::null())
        .current_dir(root())
        .output()
        .map_err(|error| format!("start perf: {error}"))?;
    let stacks = Stacks::parse(&String::from_utf8_lossy(&script.stdout));
    let all = stacks.samples();
    if all == 0 {
        return Err("perf has recorded nothing".to_owned());
    }
    for (title, counts) in [
        ("by itself", stacks.by_self()),
        ("with all it calls", stacks.by_total()),
    ] {
        println!("\n{title}, of {all} samples:");
        for (name, count) in counts.into_iter().take(TOP) {
            println!("{:6.2} %  {name}", 100.0 * count as f64 / all as f64);
        }
    }
    let [folded, svg] = ["folded", "svg"].map(|ending| folder.join(format!("{scenario}.{ending}")));
    fs::write(&folded, stacks.folded())
        .and_then(|()| fs::write(&svg, stacks.svg(scenario)))
        .map_err(|error| format!("write {}: {error}", svg.display()))?;
    println!("\nflame graph: {}", svg.display());
    Ok(())
}
