//! Counts: what a node has counted of its clients' requests. A small Java program asks it over JMX.

use std::{env, fs, process::Command};

use crate::{LaunchError, jars};

const PROGRAM: &str = include_str!("Counts.java");

/// What a node has answered since it started, as the coordinator of its clients' requests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Conditional writes.
    pub conditional: u64,
    /// How long all of them took.
    pub conditional_us: u64,
    pub writes: u64,
    pub reads: u64,
}

impl Counts {
    /// Asks the process of a node, which takes a second or two.
    pub fn of(pid: u32) -> Result<Self, LaunchError> {
        let program = env::temp_dir().join(format!("perdure-counts-{}.java", std::process::id()));
        fs::write(&program, PROGRAM).map_err(LaunchError::io("write a Java program"))?;
        let answer = Command::new(jars::java()?)
            .arg(&program)
            .arg(pid.to_string())
            .output();
        // A leftover in the temporary folder harms nobody.
        let _ = fs::remove_file(&program);
        let answer = answer.map_err(LaunchError::io("start java"))?;
        Self::parse(&String::from_utf8_lossy(&answer.stdout)).ok_or_else(|| LaunchError::Counts {
            pid,
            status: answer.status.to_string(),
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let named = |wanted: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(' '));
            lines.find(|(name, _)| *name == wanted).map(|(_, value)| value)
        };
        Some(Self {
            conditional: named("CASWrite.count")?.parse().ok()?,
            conditional_us: named("CASWrite.us")?.parse().ok()?,
            writes: named("Write.count")?.parse().ok()?,
            reads: named("Read.count")?.parse().ok()?,
        })
    }

    /// What both nodes have counted.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            conditional: self.conditional + other.conditional,
            conditional_us: self.conditional_us + other.conditional_us,
            writes: self.writes + other.writes,
            reads: self.reads + other.reads,
        }
    }

    /// What was counted between an earlier time and this one.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            conditional: self.conditional - earlier.conditional,
            conditional_us: self.conditional_us - earlier.conditional_us,
            writes: self.writes - earlier.writes,
            reads: self.reads - earlier.reads,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_program_prints() {
        let text = "CASWrite.count 7\nCASWrite.us 900\nWrite.count 3\nWrite.us 4\nRead.count 5\n";
        let expected = Counts {
            conditional: 7,
            conditional_us: 900,
            writes: 3,
            reads: 5,
        };
        assert_eq!(Counts::parse(text), Some(expected));
        assert_eq!(Counts::parse("CASWrite.count 7\n"), None);
    }
}
