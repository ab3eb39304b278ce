//! A server that is the program's own.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use perdure_tests::process::{Process, free_address};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    client::{self, Service},
    measure::Resources,
};

const START_MAX: Duration = Duration::from_secs(60);
const PROBE_PAUSE: Duration = Duration::from_millis(25);

/// A server, and where its pages for operators are.
pub(crate) struct Server {
    process: Process,
    pages: String,
}

impl Server {
    pub(crate) async fn start(program: &Path, directory: &Path) -> Result<Self, String> {
        let pages = free_address()?;
        let options = ["--http-listen".to_owned(), pages.clone()];
        let process = Process::start(program, directory, &options)?;
        let mut server = Self { process, pages };
        server.wait_until_up().await?;
        Ok(server)
    }

    async fn wait_until_up(&mut self) -> Result<(), String> {
        let address = self.process.address.clone();
        self.process.answers(|| is_up(&address), START_MAX).await
    }

    /// Kills the server and starts it again on its data; gives how long it was away.
    pub(crate) async fn restart(&mut self) -> Result<Duration, String> {
        let began = Instant::now();
        self.process.kill().await?;
        self.process.restart()?;
        self.wait_until_up().await?;
        Ok(began.elapsed())
    }

    pub(crate) fn address(&self) -> &str {
        &self.process.address
    }

    pub(crate) async fn connect(&self) -> Result<Service, String> {
        client::connect(self.address()).await
    }

    pub(crate) fn resources(&self) -> Result<Resources, String> {
        Resources::of(self.process.id().ok_or("the server is gone")?)
    }

    /// How many polls wait in the server's queues.
    pub(crate) async fn waiting_polls(&self) -> Result<u64, String> {
        let page = self.page("/debug/queues").await?;
        Ok(page
            .lines()
            .filter_map(|line| line.trim().strip_prefix("\"polls\":"))
            .filter_map(|count| count.trim().trim_end_matches(',').parse::<u64>().ok())
            .sum())
    }

    /// Waits until this many polls wait in the server's queues.
    pub(crate) async fn until_polls(&self, wanted: u64, limit: Duration) -> Result<Duration, String> {
        let began = Instant::now();
        loop {
            let waiting = self.waiting_polls().await?;
            if waiting == wanted {
                return Ok(began.elapsed());
            }
            if began.elapsed() > limit {
                return Err(format!(
                    "{waiting} polls wait after {limit:?}, not the wanted {wanted}"
                ));
            }
            tokio::time::sleep(PROBE_PAUSE).await;
        }
    }

    async fn page(&self, path: &str) -> Result<String, String> {
        let read = async {
            let mut stream = TcpStream::connect(&self.pages).await?;
            let request = format!("GET {path} HTTP/1.1\r\nhost: abuse\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut page = String::new();
            stream.read_to_string(&mut page).await?;
            Ok(page)
        };
        read.await
            .map_err(|error: std::io::Error| format!("read page {path}: {error}"))
    }

    /// Checks that the server lives and has logged no error, and ends it.
    pub(crate) async fn finish(mut self) -> Result<(), String> {
        self.process.check_lives()?;
        let log = self.process.log()?;
        self.process.kill().await?;
        let wrong = |line: &&str| line.contains("ERROR") || line.contains("panicked");
        match log.lines().find(wrong) {
            Some(line) => Err(format!("the server logged: {line}")),
            None => Ok(()),
        }
    }
}

async fn is_up(address: &str) -> bool {
    let up = client::connect(address).await.is_ok();
    if !up {
        tokio::time::sleep(PROBE_PAUSE).await;
    }
    up
}
