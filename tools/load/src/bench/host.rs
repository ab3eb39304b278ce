//! What machine a bench ran on, as far as a reader needs it to judge the figures.

use std::{fs, path::Path, thread};

use serde::Serialize;

/// See the module.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Host {
    pub cpu: String,
    pub cores: usize,
    pub memory_gib: f64,
    pub kernel: String,
    /// Of the folder that the servers write to.
    pub file_system: String,
    /// RFC 3339, UTC.
    pub date: String,
}

impl Host {
    pub(crate) fn read(data: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let memory_kib = field(&read("/proc/meminfo"), "MemTotal:").and_then(|text| {
            text.split_whitespace()
                .next()
                .and_then(|number| number.parse::<f64>().ok())
        });
        let date = prost_types::Timestamp::from(std::time::SystemTime::now()).to_string();
        Self {
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: thread::available_parallelism().map_or(0, usize::from),
            memory_gib: memory_kib.unwrap_or(0.0) / 1_048_576.0,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: file_system(&read("/proc/mounts"), data),
            date: date.split('T').next().unwrap_or_default().to_owned(),
        }
    }
}

/// The first value of a name in a file of `name: value` lines.
fn field(text: &str, name: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim_start_matches([' ', '\t', ':']).trim().to_owned())
}

/// The type of the file system that holds a folder: the longest mount point that is a prefix.
fn file_system(mounts: &str, folder: &Path) -> String {
    let mut best = (0, "unknown");
    for line in mounts.lines() {
        let mut words = line.split_whitespace().skip(1);
        let (Some(point), Some(kind)) = (words.next(), words.next()) else {
            continue;
        };
        if folder.starts_with(point) && point.len() >= best.0 {
            best = (point.len(), kind);
        }
    }
    best.1.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fields_and_mounts() {
        assert_eq!(
            field("a : 1\nmodel name\t: Some CPU\n", "model name"),
            Some("Some CPU".to_owned())
        );
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n";
        assert_eq!(file_system(mounts, Path::new("/tmp/x")), "tmpfs");
        assert_eq!(file_system(mounts, Path::new("/home")), "ext4");
        assert_eq!(file_system("", Path::new("/home")), "unknown");
    }
}
