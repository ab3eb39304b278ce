//! `cargo xtask cluster`: a cluster to try, on loopback.

use std::path::PathBuf;

use nodes::{
    cluster::{Cluster, Options},
    error::NodesError,
    state::{Condition, Node, Store},
};
use serde::Serialize;

use crate::{build, server_binary, target};

const USAGE: &str = "cargo xtask cluster COMMAND [OPTIONS]

  up             start Cassandra and the nodes, and wait until all are ready
                   --nodes N    nodes (3)
                   --stores N   Cassandra nodes, 1 to 9 (1)
                   --server P   the server's program, instead of building it
  status         show what runs
  add            start one more node
  drain NODE     stop a node in good order
  restart NODE   stop a node in good order, if it runs, and start it
  kill NODE      end a node at once, as a crash does
  down           end everything

  --json         print a document instead of a table";

/// What was asked for, as far as all commands understand it.
struct Asked {
    command: String,
    node: Option<String>,
    nodes: u32,
    stores: u8,
    server: Option<PathBuf>,
    json: bool,
}

/// A cluster as it is shown.
#[derive(Serialize)]
struct Shown<'a> {
    store: &'a Store,
    nodes: Vec<ShownNode>,
}

#[derive(Serialize)]
struct ShownNode {
    #[serde(flatten)]
    node: Node,
    condition: Condition,
    log: PathBuf,
}

pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let asked = parse(args)?;
    let cluster = match asked.command.as_str() {
        "up" => up(&asked)?,
        "" => return Err(USAGE.to_owned()),
        "down" => {
            let cluster = open().and_then(Cluster::down);
            return cluster.map_err(|error| error.to_string());
        }
        command => {
            let mut cluster = open().map_err(|error| error.to_string())?;
            change(&mut cluster, command, asked.node.as_deref())?;
            cluster
        }
    };
    show(cluster, asked.json).map_err(|error| error.to_string())
}

fn up(asked: &Asked) -> Result<Cluster, String> {
    let program = match &asked.server {
        Some(program) => program.clone(),
        None => {
            build()?;
            server_binary()
        }
    };
    let options = Options {
        folder: folder(),
        target: target(),
        program,
        nodes: asked.nodes,
        store: launcher::Options {
            nodes: asked.stores,
            ..launcher::Options::default()
        },
        own_users: false,
    };
    Cluster::up(&options).map_err(|error| error.to_string())
}

fn open() -> Result<Cluster, NodesError> {
    Cluster::open(&folder())
}

fn change(cluster: &mut Cluster, command: &str, node: Option<&str>) -> Result<(), String> {
    let named = || node.ok_or_else(|| format!("{command} wants the name of a node\n\n{USAGE}"));
    let done = match command {
        "status" => Ok(()),
        "add" => cluster.add().map(drop),
        "drain" => cluster.drain(named()?),
        "kill" => cluster.kill(named()?),
        "restart" => {
            let name = named()?;
            match cluster.condition(name) {
                Ok(Condition::Down) => cluster.start(name),
                Ok(Condition::Ready | Condition::NotReady) => cluster.restart(name),
                Err(error) => Err(error),
            }
        }
        _ => return Err(USAGE.to_owned()),
    };
    done.map_err(|error| error.to_string())
}

fn show(mut cluster: Cluster, json: bool) -> Result<(), NodesError> {
    let mut nodes = Vec::new();
    for node in cluster.nodes().to_vec() {
        nodes.push(ShownNode {
            condition: cluster.condition(&node.name)?,
            log: cluster.log(&node.name)?,
            node,
        });
    }
    let shown = Shown {
        store: &cluster.state().store,
        nodes,
    };
    if json {
        // Plain data: it can be written.
        println!("{}", serde_json::to_string_pretty(&shown).unwrap_or_default());
    } else {
        println!("{}", table(&shown));
    }
    cluster.leave_alone();
    Ok(())
}

fn table(shown: &Shown<'_>) -> String {
    let mut rows = vec![["NODE", "CONDITION", "PID", "CLIENTS", "HTTP", "LOG"].map(str::to_owned)];
    for ShownNode { node, condition, log } in &shown.nodes {
        rows.push([
            node.name.clone(),
            match condition {
                Condition::Ready => "ready",
                Condition::NotReady => "not ready",
                Condition::Down => "down",
            }
            .to_owned(),
            node.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            node.client.to_string(),
            node.http.to_string(),
            log.display().to_string(),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let cells = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect();
    let Store { hosts, pids } = shown.store;
    lines.push(format!("\nCassandra answers on {hosts:?}, processes {pids:?}"));
    lines.join("\n")
}

fn parse(args: &[String]) -> Result<Asked, String> {
    let mut asked = Asked {
        command: String::new(),
        node: None,
        nodes: 3,
        stores: 1,
        server: None,
        json: false,
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut number = || {
            let value = args.next().and_then(|value| value.parse::<u8>().ok());
            value.ok_or_else(|| format!("{arg} wants a number\n\n{USAGE}"))
        };
        match arg.as_str() {
            "--json" => asked.json = true,
            "--nodes" => asked.nodes = number()?.into(),
            "--stores" => asked.stores = number()?,
            "--server" => asked.server = args.next().map(PathBuf::from),
            _ if arg.starts_with('-') => return Err(format!("no option {arg}\n\n{USAGE}")),
            _ if asked.command.is_empty() => asked.command.clone_from(arg),
            _ => asked.node = Some(arg.clone()),
        }
    }
    Ok(asked)
}

fn folder() -> PathBuf {
    target().join("cluster")
}
