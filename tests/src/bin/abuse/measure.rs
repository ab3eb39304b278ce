//! What a process holds, and how long calls take.

use std::{fmt, fs, time::Duration};

const MIB: u64 = 1 << 20;

/// Memory and open files of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resources {
    pub resident_bytes: u64,
    /// The most that was resident since the process began.
    pub peak_bytes: u64,
    pub files: usize,
    /// What it has spent of the processors, in steps of 10 ms.
    pub processor: Duration,
}

impl Resources {
    pub(crate) fn of(process: u32) -> Result<Self, String> {
        let status = fs::read_to_string(format!("/proc/{process}/status"))
            .map_err(|error| format!("read status of process {process}: {error}"))?;
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
                .map(|kib: u64| kib * 1024)
                .ok_or_else(|| format!("process {process} shows no {name}"))
        };
        let files = fs::read_dir(format!("/proc/{process}/fd"))
            .map_err(|error| format!("read files of process {process}: {error}"))?
            .count();
        Ok(Self {
            resident_bytes: field("VmRSS:")?,
            peak_bytes: field("VmHWM:")?,
            files,
            processor: processor(process)?,
        })
    }

    /// Fails if more is resident than then by more than `bytes_max`.
    pub(crate) fn check_growth(&self, since: &Self, bytes_max: u64, what: &str) -> Result<(), String> {
        let grown = self.resident_bytes.saturating_sub(since.resident_bytes);
        if grown > bytes_max {
            return Err(format!(
                "{what}: memory grew by {} MiB, at most {} MiB are fine",
                grown / MIB,
                bytes_max / MIB
            ));
        }
        Ok(())
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "RSS {} MiB (peak {} MiB), {} files",
            self.resident_bytes / MIB,
            self.peak_bytes / MIB,
            self.files
        )
    }
}

fn processor(process: u32) -> Result<Duration, String> {
    const TICK: Duration = Duration::from_millis(10);
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path).map_err(|error| format!("read {path}: {error}"))?;
    // The name, which may hold spaces, ends with the last bracket; the 12th and 13th word after it are the times.
    let words = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u32 = words
        .skip(11)
        .take(2)
        .filter_map(|word| word.parse::<u32>().ok())
        .sum();
    Ok(TICK * ticks)
}

/// How long calls of one kind took.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(crate) fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// The time within which this share of the calls, in percent, was answered.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(at).copied().unwrap_or_default()
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |percent| self.percentile(percent).as_secs_f64() * 1e3;
        write!(
            f,
            "p50 {:.1} ms, p99 {:.1} ms of {}",
            millis(50),
            millis(99),
            self.0.len()
        )
    }
}
