//! Room: what a process takes of its machine.

use std::{fmt, fs};

/// Resident memory, and open sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    pub mib: u64,
    pub sockets: u64,
}

impl Room {
    /// What the process takes now; none if it does not run.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = resident.split_whitespace().next()?.parse().ok()?;
        let files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let is_socket = |file: &fs::DirEntry| {
            fs::read_link(file.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
        };
        let sockets = files.flatten().filter(is_socket).count();
        Some(Self {
            mib: kib / 1024,
            sockets: u64::try_from(sockets).ok()?,
        })
    }

    pub(crate) fn most(self, other: Self) -> Self {
        Self {
            mib: self.mib.max(other.mib),
            sockets: self.sockets.max(other.sockets),
        }
    }
}

impl fmt::Display for Room {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} MiB and {} sockets", self.mib, self.sockets)
    }
}
