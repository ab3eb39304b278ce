//! The server under test: one child process at a time on one data directory.

use std::{
    fs,
    fs::OpenOptions,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::process::{Child, Command};

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

/// An address that nobody listens on and that was not given out lately.
pub fn free_address() -> Result<String, String> {
    let address = nodes::ports::free_address().map_err(|error| error.to_string())?;
    Ok(address.to_string())
}
