//! Cuts: packets between nodes get lost, in a network namespace of our own.
//!
//! All nodes are on loopback; whose a packet is, is told by the user that the node runs as. The kernel's routing rules
//! drop what they are told to, silently, in connections that are open too. Needs root, and must never be done in a
//! namespace that others use.

use std::process::{Command, Output};

use crate::{error::NodesError, state::Node};

/// What a node is cut off from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Neither side hears the other.
    Peers,
    /// The others hear nothing from it.
    Mute,
    /// It hears no word of the others that they say by themselves; they still answer it.
    Deaf,
    Store,
    PeersAndStore,
}

/// Where our rules stand among the kernel's: before local addresses are looked up, which is made to come later.
const CUT: &str = "10";
const LOCAL: &str = "100";

/// Prepares this process's network namespace, which must be a fresh one.
pub fn prepare() -> Result<(), NodesError> {
    ip("link set lo up")?;
    ip(&format!("rule add prio {LOCAL} lookup local"))?;
    ip("rule del prio 0")
}

pub(crate) fn make(cut: Cut, node: &Node, all: &[Node], store_port: u16) -> Result<(), NodesError> {
    let peers: Vec<_> = all.iter().filter(|other| other.name != node.name).collect();
    if matches!(cut, Cut::Peers | Cut::Mute | Cut::PeersAndStore) {
        for peer in &peers {
            lose(node, "udp", &format!("dport {}", peer.gossip.port()))?;
            lose(node, "tcp", &format!("dport {}", peer.rpc.port()))?;
        }
        lose(node, "tcp", &format!("sport {}", node.rpc.port()))?;
    }
    if matches!(cut, Cut::Peers | Cut::Deaf | Cut::PeersAndStore) {
        for peer in &peers {
            lose(peer, "udp", &format!("dport {}", node.gossip.port()))?;
            lose(peer, "tcp", &format!("dport {}", node.rpc.port()))?;
        }
    }
    if matches!(cut, Cut::Store | Cut::PeersAndStore) {
        lose(node, "tcp", &format!("dport {store_port}"))?;
    }
    Ok(())
}

/// Loses packets that the node sends.
fn lose(node: &Node, protocol: &str, ports: &str) -> Result<(), NodesError> {
    let Some(uid) = node.uid else {
        return Err(NodesError::Cut(format!("{} has no user of its own", node.name)));
    };
    ip(&format!(
        "rule add prio {CUT} uidrange {uid}-{uid} ipproto {protocol} {ports} blackhole"
    ))
}

pub(crate) fn heal() -> Result<(), NodesError> {
    loop {
        let rules = run("rule show")?;
        let some_left = String::from_utf8_lossy(&rules.stdout)
            .lines()
            .any(|rule| rule.starts_with(&format!("{CUT}:")));
        if !some_left {
            return Ok(());
        }
        ip(&format!("rule del prio {CUT}"))?;
    }
}

fn ip(words: &str) -> Result<(), NodesError> {
    let done = run(words)?;
    if done.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&done.stderr);
    Err(NodesError::Cut(format!("ip {words}: {}", why.trim())))
}

fn run(words: &str) -> Result<Output, NodesError> {
    Command::new("ip")
        .args(words.split(' '))
        .output()
        .map_err(NodesError::io("start ip"))
}
