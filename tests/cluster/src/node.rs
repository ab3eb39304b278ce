//! One server process: its settings file and its start.

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{error::NodesError, ports::free_address, state::Node};

/// Finds free places for a node.
pub(crate) fn place(name: String, uid: Option<u32>) -> Result<Node, NodesError> {
    Ok(Node {
        name,
        client: free_address()?,
        http: free_address()?,
        rpc: free_address()?,
        gossip: free_address()?,
        pid: None,
        uid,
    })
}

/// The node's own folder.
pub(crate) fn folder(cluster: &Path, node: &Node) -> PathBuf {
    cluster.join(&node.name)
}

pub(crate) fn log(cluster: &Path, node: &Node) -> PathBuf {
    folder(cluster, node).join("server.log")
}

fn settings_file(cluster: &Path, node: &Node) -> PathBuf {
    folder(cluster, node).join("perdure.yaml")
}

/// What stands on the command line of the node's process and of no other.
pub(crate) fn mark(cluster: &Path, node: &Node) -> String {
    settings_file(cluster, node).display().to_string()
}

/// Writes the node's settings.
pub(crate) fn write_settings(
    cluster: &Path,
    node: &Node,
    stores: &[SocketAddr],
    seeds: &[SocketAddr],
) -> Result<(), NodesError> {
    fs::create_dir_all(folder(cluster, node)).map_err(NodesError::io("make a node's folder"))?;
    let file = settings_file(cluster, node);
    fs::write(&file, settings(node, stores, seeds))
        .map_err(NodesError::io(format!("write {}", file.display())))
}

fn settings(node: &Node, stores: &[SocketAddr], seeds: &[SocketAddr]) -> String {
    let port = stores.first().map_or(0, SocketAddr::port);
    let mut text = format!(
        "listen: {}
http_listen: {}
persistence:
  defaultStore: cassandra
  datastores:
    cassandra:
      cassandra:
        hosts: {}
        port: {port}
global:
  membership:
    node: {}
    gossip:
      bind: {}
    rpc:
      bind: {}
    seeds:
",
        node.client,
        node.http,
        hosts(stores),
        node.name,
        node.gossip,
        node.rpc,
    );
    for seed in seeds {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "      - {seed}");
    }
    text
}

/// Makes the tables, once for all nodes.
pub(crate) fn set_up_schema(program: &Path, stores: &[SocketAddr]) -> Result<(), NodesError> {
    let port = stores.first().map_or(0, SocketAddr::port);
    let done = Command::new(program)
        .args(["schema", "setup", "--endpoint", &hosts(stores)])
        .args(["--port", &port.to_string()])
        .args(["--replication", &stores.len().clamp(1, 3).to_string()])
        .output()
        .map_err(NodesError::io(format!("start {}", program.display())))?;
    if done.status.success() {
        return Ok(());
    }
    Err(NodesError::Schema(
        String::from_utf8_lossy(&done.stderr).into_owned(),
    ))
}

fn hosts(stores: &[SocketAddr]) -> String {
    let hosts: Vec<String> = stores.iter().map(|store| store.ip().to_string()).collect();
    hosts.join(",")
}

/// Starts the node's process, which outlives this one. Its log goes on.
pub(crate) fn spawn(cluster: &Path, node: &Node, program: &Path) -> Result<Child, NodesError> {
    let log = log(cluster, node);
    let open = || OpenOptions::new().create(true).append(true).open(&log);
    let output = open().map_err(NodesError::io("open a node's log"))?;
    let errors = open().map_err(NodesError::io("open a node's log"))?;
    let mut command = Command::new(program);
    command
        .args(["server", "--config"])
        .arg(settings_file(cluster, node))
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        // An interrupt at the terminal is not meant for it.
        .process_group(0);
    if let Some(uid) = node.uid {
        command.uid(uid);
    }
    command
        .spawn()
        .map_err(NodesError::io(format!("start {}", program.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_name_every_address_and_seed() {
        let node = place("node-1".to_owned(), None).expect("free addresses");
        let store: SocketAddr = "127.0.0.2:9042".parse().expect("address");
        let text = settings(&node, &[store], &[node.gossip]);
        for wanted in [
            format!("listen: {}", node.client),
            format!("http_listen: {}", node.http),
            format!("- {}", node.gossip),
            "hosts: 127.0.0.2".to_owned(),
            "port: 9042".to_owned(),
        ] {
            assert!(text.contains(&wanted), "{wanted} is not in\n{text}");
        }
    }
}
