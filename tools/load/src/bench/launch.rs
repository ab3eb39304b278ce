//! Starts a server from a command line and ends it, and keeps their data in a folder that goes away.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::process::{self, Usage};

const STOP_PATIENCE: Duration = Duration::from_secs(10);
const STOP_POLL: Duration = Duration::from_millis(50);
const START_PATIENCE: Duration = Duration::from_secs(60);
/// From its first answer until a server has settled.
const SETTLE: Duration = Duration::from_secs(2);
const HTTP: &str = "{http}";

/// A folder for the servers' data; removed when dropped.
pub(crate) struct WorkDir {
    path: PathBuf,
}

impl WorkDir {
    /// Beneath `parent`, or beneath the system's folder for temporary files.
    pub(crate) fn create(parent: Option<&Path>) -> Result<Self, String> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let path = parent.join(format!("perdure-load-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| format!("create {}: {error}", path.display()))?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        // What cannot be removed is only litter.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A server's process; killed when dropped.
pub(crate) struct Server {
    pub name: String,
    pub target: String,
    /// Where it shows its metrics, if its command says where.
    pub pages: Option<String>,
    child: Child,
    dir: PathBuf,
}

impl Server {
    /// `{port}` and `{http}` in the command stand for free ports, `{dir}` for an empty folder.
    pub(crate) fn start(name: &str, command: &str, work_dir: &WorkDir) -> Result<Self, String> {
        let port = free_port()?;
        let dir = work_dir.path().join(format!("{name}-{port}"));
        let wrong = |error| format!("start {name}: {error}");
        fs::create_dir_all(&dir).map_err(wrong)?;
        let log = fs::File::create(dir.with_extension("log")).map_err(wrong)?;
        let errors = log.try_clone().map_err(wrong)?;
        let http = free_port()?;
        let line = fill(command, [port, http], &dir);
        let child = Command::new("sh")
            .args(["-c", &format!("exec {line}")])
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(wrong)?;
        Ok(Self {
            name: name.to_owned(),
            target: format!("127.0.0.1:{port}"),
            pages: command.contains(HTTP).then(|| format!("127.0.0.1:{http}")),
            child,
            dir,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it listens and has settled; gives what it then has in memory, MiB.
    pub(crate) async fn fresh(&mut self) -> Result<f64, String> {
        let until = Instant::now() + START_PATIENCE;
        while tokio::net::TcpStream::connect(&self.target).await.is_err() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("{} ended at its start with {status}", self.name));
            }
            if Instant::now() > until {
                return Err(format!("{} does not listen", self.name));
            }
            tokio::time::sleep(STOP_POLL).await;
        }
        tokio::time::sleep(SETTLE).await;
        let usage = Usage::of(&process::tree(self.pid()));
        Ok(usage.rss_bytes as f64 / 1_048_576.0)
    }

    /// Asks it to end and waits; kills it when it does not. Its data is removed.
    pub(crate) async fn stop(mut self) {
        // The shell's own: a bare machine has no program of that name.
        let asked = Command::new("sh")
            .args(["-c", &format!("kill {}", self.child.id())])
            .status();
        let until = Instant::now() + STOP_PATIENCE;
        while asked.is_ok() && Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            tokio::time::sleep(STOP_POLL).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail when it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn fill(command: &str, [port, http]: [u16; 2], dir: &Path) -> String {
    command
        .replace("{port}", &port.to_string())
        .replace(HTTP, &http.to_string())
        .replace("{dir}", &dir.display().to_string())
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("find a free port: {error}"))?;
    let address = listener
        .local_addr()
        .map_err(|error| format!("find a free port: {error}"))?;
    Ok(address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_filled_in() {
        let line = fill(
            "serve --port {port} --http {http} --db {dir}/db",
            [7233, 80],
            Path::new("/x"),
        );
        assert_eq!(line, "serve --port 7233 --http 80 --db /x/db");
    }
}
