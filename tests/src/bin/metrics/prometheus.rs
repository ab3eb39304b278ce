//! A real Prometheus, and what it has scraped.

use std::{
    fs,
    path::Path,
    process::Stdio,
    time::{Duration, Instant, SystemTime},
};

use perdure_tests::process::free_address;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
};

const START_MAX: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// A running Prometheus; it ends with this value.
pub(crate) struct Prometheus {
    address: String,
    _process: Child,
}

impl Prometheus {
    /// Starts one that scrapes the addresses again and again.
    pub(crate) async fn start(program: &Path, directory: &Path, targets: &[String]) -> Result<Self, String> {
        let address = free_address()?;
        let config = directory.join("prometheus.yml");
        let settings = format!(
            "global:\n  scrape_interval: 250ms\n  scrape_timeout: 250ms\nscrape_configs:\n  - job_name: server\n    \
             static_configs:\n      - targets: {targets:?}\n"
        );
        let write = || -> std::io::Result<fs::File> {
            fs::create_dir_all(directory)?;
            fs::write(&config, settings)?;
            fs::File::create(directory.join("prometheus.log"))
        };
        let log = write().map_err(|error| format!("prepare {}: {error}", directory.display()))?;
        let process = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                format!(
                    "start {}: {error}; Debian's package is called prometheus",
                    program.display()
                )
            })?;
        let prometheus = Self {
            address,
            _process: process,
        };
        let deadline = Instant::now() + START_MAX;
        while prometheus.query("sum(up)").await != Ok(Some(targets.len() as f64)) {
            if Instant::now() > deadline {
                return Err(format!("prometheus has not scraped all within {START_MAX:?}"));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(prometheus)
    }

    /// Waits until it has scraped each target once more.
    pub(crate) async fn settle(&self) -> Result<(), String> {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64();
        let deadline = Instant::now() + START_MAX;
        while self.query("min(timestamp(up))").await?.is_none_or(|at| at <= now) {
            if Instant::now() > deadline {
                return Err("prometheus scrapes no more".to_owned());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Sums the series up; none is zero.
    pub(crate) async fn sum(&self, selector: &str) -> Result<f64, String> {
        Ok(self.query(&format!("sum({selector})")).await?.unwrap_or(0.0))
    }

    async fn query(&self, expression: &str) -> Result<Option<f64>, String> {
        let page = get(
            &self.address,
            &format!("/api/v1/query?query={}", escaped(expression)),
        )
        .await?;
        let answer: Value =
            serde_json::from_str(&page).map_err(|error| format!("read answer {page:?}: {error}"))?;
        if answer["status"] != "success" {
            return Err(format!("query {expression}: {page}"));
        }
        let value = &answer["data"]["result"][0]["value"][1];
        Ok(value.as_str().and_then(|text| text.parse().ok()))
    }
}

fn escaped(expression: &str) -> String {
    let byte = |byte: u8| {
        if byte.is_ascii_alphanumeric() {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    expression.bytes().map(byte).collect()
}

/// Gets a page over HTTP/1.0, which knows no chunks.
pub(crate) async fn get(address: &str, path: &str) -> Result<String, String> {
    let read = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    let answer: std::io::Result<String> = read.await;
    let answer = answer.map_err(|error| format!("get {address}{path}: {error}"))?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("an answer without a head")?;
    Ok(body.to_owned())
}

/// Lets promtool look at a page of metrics.
pub(crate) async fn lint(program: &Path, page: &str) -> Result<(), String> {
    let mut tool = Command::new(program)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("start {}: {error}", program.display()))?;
    let mut input = tool.stdin.take().ok_or("promtool takes no input")?;
    let written = input.write_all(page.as_bytes()).await;
    written.map_err(|error| format!("write to promtool: {error}"))?;
    drop(input);
    let output = tool.wait_with_output().await;
    let output = output.map_err(|error| format!("wait for promtool: {error}"))?;
    let said = [output.stdout, output.stderr].concat();
    if output.status.success() && said.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "promtool check metrics: {}\n{}",
            output.status,
            String::from_utf8_lossy(&said)
        ))
    }
}
