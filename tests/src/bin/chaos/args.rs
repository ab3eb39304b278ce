//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::Parser;

/// Kills a server again and again under load and checks that nothing acknowledged is lost or done twice.
#[derive(Clone, Debug, Parser)]
#[command(name = "chaos")]
pub(crate) struct Args {
    /// The server's program.
    #[arg(long, value_name = "PATH", default_value = "target/release/perdure")]
    pub server: PathBuf,

    /// What the moments of the kills and the load are drawn from; from the clock unless given.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// How often the server is killed; 20, or 5 with --short.
    #[arg(long, value_name = "N")]
    kills: Option<u32>,

    /// Fewer kills and less load, for the test command.
    #[arg(long)]
    short: bool,
}

/// How much is done and how long anything may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub kills: u32,
    /// Callers, each with one workflow at a time.
    pub callers: u64,
    pub workflow_pollers: u64,
    pub activity_pollers: u64,
    /// A kill comes at a random moment this long after the first answer at most.
    pub load_max: Duration,
    /// From the start of a process to its first answer.
    pub recovery_max: Duration,
    /// From the last restart until every workflow ended.
    pub finish_max: Duration,
}

impl Args {
    pub(crate) fn scale(&self) -> Scale {
        let long = Scale {
            kills: self.kills.unwrap_or(20),
            callers: 64,
            workflow_pollers: 16,
            activity_pollers: 32,
            load_max: Duration::from_secs(4),
            recovery_max: Duration::from_secs(60),
            finish_max: Duration::from_secs(120),
        };
        if !self.short {
            return long;
        }
        Scale {
            kills: self.kills.unwrap_or(5),
            callers: 24,
            workflow_pollers: 8,
            activity_pollers: 16,
            load_max: Duration::from_secs(2),
            recovery_max: Duration::from_secs(20),
            finish_max: Duration::from_secs(30),
        }
    }
}
