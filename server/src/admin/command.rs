//! `perdure admin`: the commands, and how their answers are shown.

#![expect(clippy::print_stdout, reason = "a command answers on the terminal")]

use std::{
    io::Write,
    net::SocketAddr,
    time::{Duration, Instant},
};

use clap::{Args, Subcommand, ValueEnum};
use hyper::Method;
use serde_json::Value;

use super::{
    changes,
    client::{AskError, ask},
    table::Table,
};
use crate::config::ADMIN_ADDRESS;

/// How often the progress of a drain is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub struct AdminArgs {
    #[command(subcommand)]
    pub ask: Ask,
    /// Where a node of this machine answers operators (its http_listen).
    #[arg(long, global = true, value_name = "IP:PORT", default_value_t = ADMIN_ADDRESS)]
    pub address: SocketAddr,
    #[arg(long, short = 'o', global = true, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Table,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Ask {
    /// Show the nodes of the cluster.
    Members,
    /// Show the shards: whose they are and where they run.
    Shards,
    /// Split or merge shards while they serve.
    #[command(subcommand)]
    Shard(ShardAsk),
    /// Show the task queues and the nodes that hold them.
    Queues,
    /// Ask a node to hand over what it owns and to stop, and wait until it has.
    Drain {
        node: String,
        /// How long to wait; the node goes on by itself.
        #[arg(long, value_name = "SECONDS", default_value_t = 120)]
        within: u64,
    },
    /// Look at one run.
    #[command(subcommand)]
    Run(RunAsk),
}

#[derive(Debug, Subcommand)]
pub enum ShardAsk {
    /// Make two shards of one, and wait until it is done. The cluster goes on by itself if this command is stopped.
    Split {
        shard: u32,
        /// The position at which the right half begins, in hexadecimal digits as `shards` shows them; the middle of
        /// the runs that were used lately unless given.
        #[arg(long, value_name = "POSITION")]
        at: Option<String>,
        /// How long to wait.
        #[arg(long, value_name = "SECONDS", default_value_t = 600)]
        within: u64,
    },
    /// Make one shard of two neighbours, and wait until it is done.
    Merge {
        left: u32,
        right: u32,
        /// How long to wait.
        #[arg(long, value_name = "SECONDS", default_value_t = 600)]
        within: u64,
    },
    /// Take a split or merge back that is not done yet.
    Cancel,
}

#[derive(Debug, Subcommand)]
pub enum RunAsk {
    /// Show a run's state, what it waits for and its wake-up.
    Show {
        #[arg(long, short = 'w')]
        workflow_id: String,
        /// The newest run unless given.
        #[arg(long, short = 'r', default_value = "")]
        run_id: String,
        #[arg(long, short = 'n', default_value = "default")]
        namespace: String,
    },
}

/// A command that did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("start threads: {0}")]
    Threads(#[from] std::io::Error),
    #[error("node {0} still drains after {1:?}; it goes on by itself")]
    Slow(String, Duration),
    #[error("some nodes do not answer: {0}")]
    Silent(String),
    #[error("the shards are as they were: somebody has taken the change back")]
    TakenBack,
    #[error("the change is not made after {0:?}; the cluster goes on by itself")]
    Unfinished(Duration),
}

/// Runs the command to its end.
pub fn run(args: AdminArgs) -> Result<(), AdminError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(execute(args))
}

async fn execute(args: AdminArgs) -> Result<(), AdminError> {
    let get = async |path: &str| ask(args.address, Method::GET, path).await;
    let (value, table) = match &args.ask {
        Ask::Members => {
            let value = get("/admin/members").await?;
            let table = members(&value);
            (value, table)
        }
        Ask::Shards => {
            let value = get("/admin/shards").await?;
            let table = shards(&value);
            (value, table)
        }
        Ask::Queues => {
            let value = get("/admin/queues").await?;
            let table = queues(&value);
            (value, table)
        }
        Ask::Drain { node, within } => return drain(&args, node, Duration::from_secs(*within)).await,
        Ask::Shard(shard) => return changes::run(&args, shard).await,
        Ask::Run(RunAsk::Show {
            workflow_id,
            run_id,
            namespace,
        }) => {
            let path = format!(
                "/admin/run?namespace={}&workflow_id={}&run_id={}",
                escaped(namespace),
                escaped(workflow_id),
                escaped(run_id)
            );
            let value = get(&path).await?;
            let table = show_run(&value);
            (value, table)
        }
    };
    match args.output {
        Output::Json => println!("{value:#}"),
        Output::Table => println!("{table}"),
    }
    match value["silent"].as_array().filter(|silent| !silent.is_empty()) {
        None => Ok(()),
        Some(silent) => {
            let said: Vec<String> = silent.iter().map(|node| text(&node["error"])).collect();
            Err(AdminError::Silent(said.join("; ")))
        }
    }
}

/// Asks a node to drain and shows how many shards are left until it is gone.
async fn drain(args: &AdminArgs, node: &str, within: Duration) -> Result<(), AdminError> {
    let path = format!("/admin/nodes/{}", escaped(node));
    let mut report = ask(args.address, Method::POST, &format!("{path}/drain")).await?;
    let began = Instant::now();
    let mut shown = None;
    loop {
        let left = report["shards"].as_array().map_or(0, Vec::len);
        if shown != Some(left) {
            progress(
                args.output,
                &format!("node {node} hands over: {left} shards left"),
            );
            shown = Some(left);
        }
        if began.elapsed() > within {
            return Err(AdminError::Slow(node.to_owned(), within));
        }
        tokio::time::sleep(LOOK).await;
        report = match ask(args.address, Method::GET, &path).await {
            Ok(report) => report,
            // Others do not know it any more, or it was asked itself and is gone.
            Err(AskError::NotFound(_) | AskError::Connect(..)) => break,
            // It is between answering others and saying goodbye.
            Err(AskError::Refused(_) | AskError::Broken(..)) => report,
        };
    }
    let seconds = began.elapsed().as_secs_f32();
    match args.output {
        Output::Json => println!(
            "{}",
            serde_json::json!({ "node": node, "drained": true, "seconds": seconds })
        ),
        Output::Table => println!("node {node} is drained and has left, after {seconds:.1} s"),
    }
    Ok(())
}

pub(super) fn progress(output: Output, line: &str) {
    // A document stands alone on standard output.
    if output == Output::Json {
        // Nobody need see it.
        let _ = writeln!(std::io::stderr(), "{line}");
    } else {
        println!("{line}");
    }
}

fn members(value: &Value) -> String {
    let mut table = Table::new([
        "NODE",
        "STATE",
        "GENERATION",
        "CLIENTS",
        "NODES",
        "GOSSIP",
        "VERSION",
    ]);
    for member in list(&value["members"]) {
        let name = text(&member["name"]);
        let me = if member["name"] == value["asked"] {
            " (asked)"
        } else {
            ""
        };
        table.row([
            name + me,
            text(&member["state"]),
            text(&member["generation"]),
            text(&member["client"]),
            text(&member["peer"]),
            text(&member["gossip"]),
            text(&member["software"]),
        ]);
    }
    match value["lost"].as_u64() {
        None | Some(0) => table.to_string(),
        Some(lost) => format!("{table}\n{lost} nodes died within a day and did not come back"),
    }
}

fn shards(value: &Value) -> String {
    let mut table = Table::new([
        "SHARD",
        "FROM",
        "BELONGS TO",
        "RUNS ON",
        "BATCH",
        "RUNS",
        "BYTES",
        "TIMERS",
    ]);
    for shard in list(&value["shards"]) {
        let running = list(&shard["runs_on"]);
        let nodes: Vec<String> = running.iter().map(|one| text(&one["node"])).collect();
        let view = running.first().map_or(&Value::Null, |one| &one["view"]);
        table.row([
            text(&shard["shard"]),
            text(&shard["from"]),
            text(&shard["belongs_to"]),
            if nodes.is_empty() {
                "-".to_owned()
            } else {
                nodes.join(", ")
            },
            text(&view["batch"]),
            text(&view["resident_runs"]),
            text(&view["cache_bytes"]),
            text(&view["timers"]),
        ]);
    }
    table.to_string()
}

fn queues(value: &Value) -> String {
    let mut table = Table::new([
        "NAMESPACE",
        "QUEUE",
        "KIND",
        "NODE",
        "POLLS",
        "TICKETS",
        "HELD BACK",
    ]);
    for queue in list(&value["queues"]) {
        let sticky = if queue["sticky"] == true { ", sticky" } else { "" };
        table.row([
            text(&queue["namespace"]),
            text(&queue["name"]),
            text(&queue["kind"]) + sticky,
            text(&queue["node"]),
            text(&queue["polls"]),
            text(&queue["tickets"]),
            text(&queue["held_back"]),
        ]);
    }
    table.to_string()
}

fn show_run(run: &Value) -> String {
    let mut table = Table::new(["RUN", &text(&run["run_id"])]);
    for (name, field) in [
        ("workflow", "workflow_id"),
        ("type", "workflow_type"),
        ("status", "status"),
        ("shard", "shard"),
        ("next event", "next_event_id"),
        ("transitions", "transitions"),
        ("workflow task", "workflow_task"),
        ("activities", "activities"),
        ("timers", "timers"),
        ("children", "children"),
        ("external calls", "external_calls"),
        ("updates", "updates"),
        ("wake-up", "wakeup"),
        ("ready tasks", "ready_tasks"),
    ] {
        table.row([name.to_owned(), text(&run[field])]);
    }
    table.to_string()
}

pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A value as it stands in a cell.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) if values.is_empty() => "-".to_owned(),
        value => value.to_string(),
    }
}

/// Writes a text so that it can stand in a path or query.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_shard_that_runs_nowhere_is_shown_so() {
        let value = json!({ "shards": [
            { "shard": 0, "from": "00", "belongs_to": "a", "runs_on": [] },
            { "shard": 1, "from": "80", "belongs_to": "b", "runs_on": [{ "node": "a", "view": { "batch": 7 } }] },
        ]});
        let lines: Vec<String> = shards(&value).lines().map(str::to_owned).collect();
        let cells = |at: usize| {
            lines[at]
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(cells(1), ["0", "00", "a", "-", "-", "-", "-", "-"]);
        assert_eq!(cells(2), ["1", "80", "b", "a", "7", "-", "-", "-"]);
    }

    #[test]
    fn names_are_escaped() {
        assert_eq!(escaped("a b/ü&x=1"), "a%20b%2F%C3%BC%26x%3D1");
    }
}
