//! The server under test: one child process at a time on one data directory.

use std::{
    fs,
    fs::OpenOptions,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use tokio::process::{Child, Command};

/// Below the range from which clients' own ports are taken: a client that connects while the server is down
/// could otherwise be given the server's port and talk to itself.
const PORTS: std::ops::Range<u16> = 11_000..31_000;

/// Starts and kills the server; the child dies with this value.
pub struct Process {
    program: PathBuf,
    directory: PathBuf,
    options: Vec<String>,
    pub address: String,
    child: Child,
}

impl Process {
    /// Makes the directory and starts the server for the first time, with these options beside its address and
    /// where its data is. Its log is in the directory.
    pub fn start(program: &Path, directory: &Path, options: &[String]) -> Result<Self, String> {
        fs::create_dir_all(directory).map_err(|error| format!("make {}: {error}", directory.display()))?;
        let address = free_address()?;
        let child = spawn(program, directory, &address, options)?;
        Ok(Self {
            program: program.to_owned(),
            directory: directory.to_owned(),
            options: options.to_vec(),
            address,
            child,
        })
    }

    /// Kills without warning and waits until the process is gone.
    pub async fn kill(&mut self) -> Result<(), String> {
        self.check_lives()?;
        self.child
            .kill()
            .await
            .map_err(|error| format!("kill server: {error}"))
    }

    /// Starts the server again on the same data.
    pub fn restart(&mut self) -> Result<(), String> {
        self.child = spawn(&self.program, &self.directory, &self.address, &self.options)?;
        Ok(())
    }

    /// Waits until `probe`, which takes its time, has had an answer.
    pub async fn answers<F>(&mut self, probe: impl Fn() -> F, limit: Duration) -> Result<(), String>
    where
        F: Future<Output = bool>,
    {
        let began = Instant::now();
        while !probe().await {
            self.check_lives()?;
            if began.elapsed() > limit {
                return Err(format!("server gave no answer within {limit:?}"));
            }
        }
        Ok(())
    }

    /// Fails if the server has ended by itself.
    pub fn check_lives(&mut self) -> Result<(), String> {
        match self.child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => Err(format!("server ended by itself with {status}")),
            None => Ok(()),
        }
    }

    /// The process; none once it was killed.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// What the server has logged, over all its lives.
    pub fn log(&self) -> Result<String, String> {
        let path = log(&self.directory);
        fs::read_to_string(&path).map_err(|error| format!("read {}: {error}", path.display()))
    }
}

fn log(directory: &Path) -> PathBuf {
    directory.join("server.log")
}

fn spawn(program: &Path, directory: &Path, address: &str, options: &[String]) -> Result<Child, String> {
    let log = log(directory);
    let open = || OpenOptions::new().create(true).append(true).open(&log);
    let output = open().map_err(|error| format!("open {}: {error}", log.display()))?;
    let errors = open().map_err(|error| format!("open {}: {error}", log.display()))?;
    Command::new(program)
        .arg("server")
        .args(["--listen", address, "--data-dir"])
        .arg(directory.join("data"))
        .args(options)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("start {}: {error}", program.display()))
}

/// An address that nobody listens on and that was not given out lately; different processes look in different places
/// first.
pub fn free_address() -> Result<String, String> {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    let given = GIVEN.fetch_add(1, Ordering::Relaxed);
    let first = std::process::id().wrapping_add(given).wrapping_mul(97) % count;
    (0..count)
        .filter_map(|step| u16::try_from((first + step) % count).ok())
        .map(|offset| format!("127.0.0.1:{}", PORTS.start + offset))
        .find(|address| TcpListener::bind(address).is_ok())
        .ok_or_else(|| "no free port".to_owned())
}
