//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};

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

    /// Run a cluster of so many nodes on a real Cassandra, and restart, add, drain and kill them.
    #[arg(long, value_name = "N")]
    pub nodes: Option<u32>,

    /// With --nodes: how many Cassandra nodes, 1 to 9.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub stores: u8,

    /// With --nodes: only these parts, of restart, add, kill, split, outage, replica and partition. Replica wants
    /// --stores 3; only root can make partitions: these two are made if they are named.
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    pub only: Vec<Part>,

    /// Set by this program for itself: it runs in a network namespace of its own.
    #[arg(long, hide = true)]
    pub in_namespace: bool,

    /// Where Cassandra's jars are kept.
    #[arg(long, value_name = "DIR", default_value = "target")]
    pub target: PathBuf,
}

/// What is done to nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    Restart,
    Add,
    Kill,
    Outage,
    Replica,
    Partition,
    Split,
}

/// How much is done and how long anything may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub kills: u32,
    pub crowd: Crowd,
    /// A kill comes at a random moment this long after the first answer at most.
    pub load_max: Duration,
    /// From the start of a process to its first answer.
    pub recovery_max: Duration,
    /// From the last restart until every workflow ended.
    pub finish_max: Duration,
}

/// How many clients there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    /// Callers, each with one workflow at a time.
    pub callers: u64,
    pub workflow_pollers: u64,
    pub activity_pollers: u64,
}

impl Crowd {
    pub(crate) const LARGE: Self = Self {
        callers: 64,
        workflow_pollers: 16,
        activity_pollers: 32,
    };
    pub(crate) const SMALL: Self = Self {
        callers: 24,
        workflow_pollers: 8,
        activity_pollers: 16,
    };
}

/// How much is done to several nodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChurnScale {
    pub crowd: Crowd,
    pub nodes: u32,
    /// Cassandra nodes.
    pub stores: u8,
    /// Times that all nodes are restarted, and that one comes and goes.
    pub rounds: u32,
    pub kills: u32,
    /// Shards that are split or merged, and how often the node that does so is killed.
    pub splits: u32,
    pub split_kills: u32,
    /// Load before anything happens, for the figures to compare with.
    pub calm: Duration,
    /// Load between two things that happen.
    pub pause: Duration,
    /// How long nodes are cut off, each time.
    pub partition: Duration,
    /// How long the store is away, once stalled and once killed; zero leaves it alone.
    pub outage: Duration,
    /// From a kill, or from the store's return, until calls are answered again.
    pub recovery_max: Duration,
    pub finish_max: Duration,
}

impl Args {
    pub(crate) fn churn_scale(&self, nodes: u32, stores: u8) -> ChurnScale {
        let long = ChurnScale {
            crowd: Crowd::LARGE,
            nodes,
            stores,
            rounds: 3,
            kills: self.kills.unwrap_or(10),
            splits: 6,
            split_kills: self.kills.unwrap_or(10),
            calm: Duration::from_secs(30),
            pause: Duration::from_secs(5),
            partition: Duration::from_secs(20),
            outage: Duration::from_secs(60),
            recovery_max: Duration::from_secs(60),
            finish_max: Duration::from_secs(180),
        };
        if !self.short {
            return long;
        }
        ChurnScale {
            crowd: Crowd::SMALL,
            rounds: 1,
            kills: self.kills.unwrap_or(1),
            splits: 2,
            split_kills: self.kills.unwrap_or(2),
            calm: Duration::from_secs(5),
            pause: Duration::from_secs(2),
            outage: Duration::from_secs(10),
            finish_max: Duration::from_secs(60),
            ..long
        }
    }

    pub(crate) fn scale(&self) -> Scale {
        let long = Scale {
            kills: self.kills.unwrap_or(20),
            crowd: Crowd::LARGE,
            load_max: Duration::from_secs(4),
            recovery_max: Duration::from_secs(60),
            finish_max: Duration::from_secs(120),
        };
        if !self.short {
            return long;
        }
        Scale {
            kills: self.kills.unwrap_or(5),
            crowd: Crowd::SMALL,
            load_max: Duration::from_secs(2),
            recovery_max: Duration::from_secs(20),
            finish_max: Duration::from_secs(30),
        }
    }
}
