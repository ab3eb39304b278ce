//! The server under test: one child process at a time on one data directory.

use std::{
    fs,
    fs::OpenOptions,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::process::{Child, Command};

use crate::client::Api;

/// Below the range from which clients' own ports are taken: a client that connects while the server is down
/// could otherwise be given the server's port and talk to itself.
const PORTS: std::ops::Range<u16> = 11_000..31_000;

/// Starts and kills the server; the child dies with this value.
pub(crate) struct Process {
    program: PathBuf,
    directory: PathBuf,
    pub address: String,
    child: Child,
}

impl Process {
    /// Makes the directory and starts the server for the first time.
    pub(crate) fn start(program: &Path, directory: &Path) -> Result<Self, String> {
        fs::create_dir_all(directory).map_err(|error| format!("make {}: {error}", directory.display()))?;
        let address = free_address()?;
        let child = spawn(program, directory, &address)?;
        Ok(Self {
            program: program.to_owned(),
            directory: directory.to_owned(),
            address,
            child,
        })
    }

    /// Kills without warning and waits until the process is gone.
    pub(crate) async fn kill(&mut self) -> Result<(), String> {
        if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
            return Err(format!("server ended by itself with {status}"));
        }
        self.child
            .kill()
            .await
            .map_err(|error| format!("kill server: {error}"))
    }

    /// Starts the server again on the same data.
    pub(crate) fn restart(&mut self) -> Result<(), String> {
        self.child = spawn(&self.program, &self.directory, &self.address)?;
        Ok(())
    }

    /// Waits for the first answer of the server.
    pub(crate) async fn answers(&mut self, api: &Api, limit: Duration) -> Result<(), String> {
        let began = Instant::now();
        while !api.answers().await {
            if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
                return Err(format!("server ended by itself with {status}"));
            }
            if began.elapsed() > limit {
                return Err(format!("server gave no answer within {limit:?}"));
            }
        }
        Ok(())
    }
}

fn spawn(program: &Path, directory: &Path, address: &str) -> Result<Child, String> {
    let log = directory.join("server.log");
    let open = || OpenOptions::new().create(true).append(true).open(&log);
    let output = open().map_err(|error| format!("open {}: {error}", log.display()))?;
    let errors = open().map_err(|error| format!("open {}: {error}", log.display()))?;
    Command::new(program)
        .arg("server")
        .args(["--listen", address, "--data-dir"])
        .arg(directory.join("data"))
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("start {}: {error}", program.display()))
}

/// An address that nobody listens on; different processes look in different places first.
fn free_address() -> Result<String, String> {
    let count = u32::from(PORTS.end - PORTS.start);
    let first = std::process::id().wrapping_mul(97) % count;
    (0..count)
        .filter_map(|step| u16::try_from((first + step) % count).ok())
        .map(|offset| format!("127.0.0.1:{}", PORTS.start + offset))
        .find(|address| TcpListener::bind(address).is_ok())
        .ok_or_else(|| "no free port".to_owned())
}
