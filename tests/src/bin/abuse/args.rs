//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Treats a server as no client should and measures what it costs.
#[derive(Clone, Debug, Parser)]
#[command(name = "abuse")]
pub(crate) struct Args {
    /// The server's program.
    #[arg(long, value_name = "PATH", default_value = "target/release/perdure")]
    pub server: PathBuf,

    /// A server of any make that is up: only what it says of large messages is looked at.
    #[arg(long, value_name = "HOST:PORT")]
    pub address: Option<String>,

    /// One part only.
    #[arg(long)]
    pub only: Option<Part>,

    /// Smaller numbers, for the test command.
    #[arg(long)]
    short: bool,

    /// Polls that one client asks for.
    #[arg(long, value_name = "N")]
    polls: Option<usize>,

    /// Workflow tasks that wait in one queue.
    #[arg(long, value_name = "N")]
    backlog: Option<usize>,

    /// Timers that are open at the same time.
    #[arg(long, value_name = "N")]
    timers: Option<usize>,
}

/// What is done to the server; each part has a server of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Messages over the limit.
    Messages,
    /// More connections than there are files.
    Crowd,
    /// More polls than anybody can need.
    Polls,
    /// Clients that go away in the middle of a call.
    Vanish,
    /// A client that is there no more, although its connection is.
    Silence,
    /// Workflow tasks without a worker.
    Backlog,
    /// Open timers.
    Timers,
}

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub polls: usize,
    pub backlog: usize,
    pub timers: usize,
    /// How often a thing is done again to see whether memory grows.
    pub rounds: usize,
    /// Calls that are taken back at once.
    pub resets: usize,
}

impl Args {
    pub(crate) fn scale(&self) -> Scale {
        let usual = if self.short {
            Scale {
                polls: 60_000,
                backlog: 20_000,
                timers: 100_000,
                rounds: 3,
                resets: 50_000,
            }
        } else {
            Scale {
                polls: 1_000_000,
                backlog: 1_000_000,
                timers: 100_000,
                rounds: 10,
                resets: 1_000_000,
            }
        };
        Scale {
            polls: self.polls.unwrap_or(usual.polls),
            backlog: self.backlog.unwrap_or(usual.backlog),
            timers: self.timers.unwrap_or(usual.timers),
            ..usual
        }
    }

    pub(crate) fn wants(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }
}
