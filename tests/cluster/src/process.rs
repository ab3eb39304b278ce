//! Processes of this and of earlier programs: whether they run, and signals to them.

use std::{
    collections::HashMap,
    fs,
    process::{Child, ExitStatus},
};

pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

/// Processes by their ids. Those that this program started are its children and are buried here.
#[derive(Debug, Default)]
pub(crate) struct Processes(HashMap<u32, Child>);

impl Processes {
    pub(crate) fn adopt(&mut self, child: Child) -> u32 {
        let pid = child.id();
        self.0.insert(pid, child);
        pid
    }

    /// Tells whether the process runs. `mark` stands on its command line: an id may be another's by now.
    pub(crate) fn runs(&mut self, pid: u32, mark: &str) -> bool {
        match self.0.get_mut(&pid) {
            Some(child) => matches!(child.try_wait(), Ok(None)),
            None => command_line(pid).is_some_and(|line| line.contains(mark)),
        }
    }

    /// Returns how a child ended.
    pub(crate) fn status(&mut self, pid: u32) -> Option<ExitStatus> {
        self.0.get_mut(&pid)?.try_wait().ok().flatten()
    }

    pub(crate) fn signal(&mut self, pid: u32, mark: &str, signal: Signal) {
        let id = i32::try_from(pid).ok().and_then(Pid::from_raw);
        if let Some(id) = id.filter(|_| self.runs(pid, mark)) {
            // It may have ended meanwhile, which is what most signals are for.
            let _ = kill_process(id, signal);
        }
    }
}

/// The dead that nobody has buried have none.
fn command_line(pid: u32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
