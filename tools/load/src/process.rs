//! What processes have used so far, read from `/proc`: CPU time, memory, bytes written.
//!
//! Never samples by itself; `sampler` and `run` ask at moments that mean something.

use std::fs;

use serde::Serialize;

/// Clock ticks per second in `/proc/PID/stat`; the kernel's ABI fixes it.
const TICKS_PER_SECOND: u64 = 100;
const PAGE_BYTES: u64 = 4096;

/// Totals since the processes began, summed over them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Usage {
    /// User and system time of all threads, ended ones included.
    pub cpu_ms: u64,
    pub rss_bytes: u64,
    /// Bytes that went towards the disk (`write_bytes`), not those that only reached a socket or a pipe.
    pub written_bytes: u64,
}

impl Usage {
    /// Sums over the processes; one that is gone counts nothing.
    pub(crate) fn of(pids: &[u32]) -> Self {
        let mut sum = Self::default();
        for pid in pids {
            let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
            if let Some((cpu_ms, rss_bytes)) = parse_stat(&read("stat")) {
                sum.cpu_ms += cpu_ms;
                sum.rss_bytes += rss_bytes;
            }
            sum.written_bytes += parse_written(&read("io")).unwrap_or(0);
        }
        sum
    }

    /// This process.
    pub(crate) fn own() -> Self {
        Self::of(&[std::process::id()])
    }
}

/// CPU time of the whole machine since it began, milliseconds; time that the host took away included.
pub(crate) fn machine_cpu_ms() -> u64 {
    parse_machine(&fs::read_to_string("/proc/stat").unwrap_or_default()).unwrap_or(0)
}

/// A process and its descendants, so that a server started through a script is counted whole.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut at = 0;
    while let Some(pid) = found.get(at).copied() {
        at += 1;
        let threads = fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten()
            .flatten();
        for thread in threads {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            found.extend(
                children
                    .split_whitespace()
                    .filter_map(|child| child.parse::<u32>().ok()),
            );
        }
    }
    found
}

/// CPU milliseconds and resident bytes from `/proc/PID/stat`.
fn parse_stat(stat: &str) -> Option<(u64, u64)> {
    // The command's name may hold spaces and brackets: fields are counted after its last bracket.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let ticks = number(14)? + number(15)?;
    Some((ticks * 1000 / TICKS_PER_SECOND, number(24)? * PAGE_BYTES))
}

fn parse_machine(stat: &str) -> Option<u64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .map_while(|field| field.parse().ok())
        .collect();
    // user, nice, system, (idle, iowait,) irq, softirq, steal; guests are within user.
    let busy: u64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|at| ticks.get(*at)).sum();
    Some(busy * 1000 / TICKS_PER_SECOND)
}

fn parse_written(io: &str) -> Option<u64> {
    let number = |name: &str| {
        io.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
    };
    Some(number("write_bytes:")?.saturating_sub(number("cancelled_write_bytes:").unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_stat_behind_a_name_with_brackets() {
        let stat =
            "42 (odd ) name) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 9 9 20 0 7 0 100 5000000 1000 18446744";
        assert_eq!(parse_stat(stat), Some((3000, 4_096_000)));
        assert_eq!(parse_stat("nothing"), None);
    }

    #[test]
    fn reads_written_bytes() {
        assert_eq!(
            parse_written("rchar: 1\nwrite_bytes: 4096\ncancelled_write_bytes: 96\n"),
            Some(4000)
        );
        assert_eq!(parse_written(""), None);
    }

    #[test]
    fn reads_the_machines_busy_time() {
        assert_eq!(
            parse_machine("cpu  10 1 5 900 50 1 2 3 0 0\ncpu0 1 2 3\n"),
            Some(220)
        );
        assert_eq!(parse_machine(""), None);
        assert!(machine_cpu_ms() > 0);
    }

    #[test]
    fn knows_this_process() {
        let usage = Usage::own();
        assert!(usage.rss_bytes > 0);
        assert_eq!(tree(std::process::id()).first(), Some(&std::process::id()));
    }
}
