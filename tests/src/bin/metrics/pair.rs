//! Two nodes of a cluster: what is counted of others that come, leave, stand still and die.

use std::{
    net::UdpSocket,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use nodes::{
    cluster::{Cluster, Options},
    error::NodesError,
};
use perdure_tests::client::{self, of, start, timed};

use crate::check::Check;

/// The node that is asked, and the one that things happen to.
const ASKED: usize = 0;
const OTHER: usize = 1;
/// How long a dead node may be believed alive.
const FOUND_OUT_MAX: Duration = Duration::from_secs(30);
/// Not what any node writes.
const GARBAGE: &[u8] = &[9; 60];

/// A cluster that ends with this value.
pub(crate) struct Stage(Option<Cluster>);

impl Stage {
    pub(crate) async fn start(program: &Path, target: &Path, directory: &Path) -> Result<Self, String> {
        let target: PathBuf =
            std::path::absolute(target).map_err(|error| format!("find {}: {error}", target.display()))?;
        let options = Options {
            folder: directory.to_owned(),
            target,
            program: program.to_owned(),
            nodes: 2,
            store: launcher::Options::default(),
            own_users: false,
        };
        let started = tokio::task::spawn_blocking(move || Cluster::up(&options)).await;
        let cluster = started.map_err(|error| error.to_string())?;
        Ok(Self(Some(cluster.map_err(|error| error.to_string())?)))
    }

    /// Where the nodes show what they count.
    pub(crate) fn pages(&self) -> Vec<String> {
        let nodes = self.0.iter().flat_map(|cluster| cluster.nodes());
        nodes.map(|node| node.http.to_string()).collect()
    }

    fn node(&self, at: usize) -> Result<&nodes::state::Node, String> {
        let node = self.0.as_ref().and_then(|cluster| cluster.nodes().get(at));
        node.ok_or_else(|| "the cluster is gone".to_owned())
    }

    async fn act<T: Send + 'static>(
        &mut self,
        change: impl FnOnce(&mut Cluster) -> Result<T, NodesError> + Send + 'static,
    ) -> Result<T, String> {
        let mut cluster = self.0.take().ok_or("the cluster is gone")?;
        let acted = tokio::task::spawn_blocking(move || {
            let done = change(&mut cluster);
            (cluster, done)
        });
        let (cluster, done) = acted.await.map_err(|error| error.to_string())?;
        self.0 = Some(cluster);
        done.map_err(|error| error.to_string())
    }

    /// Starts workflows of all shards through one node until one of them does not get through, or once each.
    async fn start_workflows(&self, round: &str, until_lost: bool) -> Result<(), String> {
        let mut service = client::connect(&self.node(ASKED)?.client.to_string()).await?;
        let deadline = Instant::now() + FOUND_OUT_MAX;
        for at in 0.. {
            let id = format!("{round}-{at}");
            let started = service
                .start_workflow_execution(timed(start(&id, &id, crate::stage::TASK_TIMEOUT)))
                .await;
            match started {
                Ok(_) if at >= WORKFLOWS && !until_lost => return Ok(()),
                Err(_) if until_lost => return Ok(()),
                Ok(_) => {}
                Err(status) => return Err(of("start workflow")(status)),
            }
            if Instant::now() > deadline {
                return Err("no call fails although a node is gone".to_owned());
            }
        }
        Ok(())
    }

    fn signal(&self, at: usize, signal: &str) -> Result<(), String> {
        let pid = self.node(at)?.pid.ok_or("the node is gone")?;
        // The shell's own: a bare machine has no program of that name.
        let sent = Command::new("sh")
            .args(["-c", &format!("kill {signal} {pid}")])
            .status();
        match sent {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("kill {signal}: {status}")),
            Err(error) => Err(format!("start kill: {error}")),
        }
    }
}

/// Enough that some belong to either node.
const WORKFLOWS: usize = 32;

pub(crate) async fn play(stage: &mut Stage, check: &mut Check<'_>) -> Result<(), String> {
    // Two nodes, as each of them sees it.
    check.level("perdure_members", 4.0).await?;
    for talk in [
        "perdure_gossip_datagrams_total{direction=\"sent\"}",
        "perdure_gossip_datagrams_total{direction=\"received\"}",
        "perdure_gossip_bytes_total",
        "perdure_gossip_announcements_total",
    ] {
        check.some(talk).await?;
    }

    let moved = [
        "client_requests{operation=\"Ask\"}",
        "client_latency{operation=\"Ask\"}",
    ];
    let lost = ["client_errors", "perdure_node_calls_lost_total"];
    let step = check.begin("a node asks another", &moved, &lost).await?;
    stage.start_workflows("asked", false).await?;
    check.end(step).await?;

    come_and_go(stage, check).await?;

    let step = check
        .begin(
            "a stranger sends what is no gossip",
            &["perdure_gossip_dropped_total{reason=\"version\"}"],
            &[],
        )
        .await?;
    let gossip = stage.node(ASKED)?.gossip;
    let sent = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(GARBAGE, gossip));
    sent.map_err(|error| format!("send a datagram: {error}"))?;
    check.end(step).await?;

    stands_still(stage, check).await?;

    let moved = [
        "client_errors",
        "perdure_node_calls_lost_total",
        "perdure_members_failed_total",
    ];
    let step = check
        .begin("a node is killed", &moved, &["perdure_members_left_total"])
        .await?;
    let name = stage.node(OTHER)?.name.clone();
    stage.act(move |cluster| cluster.kill(&name)).await?;
    stage.start_workflows("lost", true).await?;
    check.end(step).await
}

async fn come_and_go(stage: &mut Stage, check: &mut Check<'_>) -> Result<(), String> {
    let moved = [
        "perdure_members_came_total",
        "membership_changed_count",
        "perdure_ring_changes_total",
        "sharditem_removed_count",
    ];
    let step = check
        .begin("a node comes", &moved, &["perdure_members_failed_total"])
        .await?;
    let name = stage.act(Cluster::add).await?;
    check.end(step).await?;
    check.level("perdure_members", 6.0).await?;

    let moved = [
        "perdure_members_left_total",
        "membership_changed_count",
        "perdure_ring_changes_total",
        "perdure_lease_changes_total",
    ];
    let step = check
        .begin("a node leaves", &moved, &["perdure_members_failed_total"])
        .await?;
    stage
        .act(move |cluster| {
            cluster.drain(&name)?;
            cluster.remove(&name)
        })
        .await?;
    check.end(step).await
}

/// A node that answers nobody for a while is suspected, taken for dead, and welcome when it is back.
async fn stands_still(stage: &mut Stage, check: &mut Check<'_>) -> Result<(), String> {
    let moved = [
        "perdure_members_failed_total",
        "perdure_gossip_stalls_total",
        "perdure_gossip_rejoins_total",
    ];
    let step = check
        .begin("a node stands still", &moved, &["perdure_members_left_total"])
        .await?;
    stage.signal(OTHER, "-STOP")?;
    let seen = async {
        check.some("perdure_members_suspect").await?;
        check.some("perdure_members_lost").await
    };
    let seen = seen.await;
    // Whatever was seen: nobody waits for a process that stands still.
    stage.signal(OTHER, "-CONT")?;
    seen?;
    check.end(step).await?;
    check.level("perdure_members", 4.0).await?;
    check.level("perdure_members_lost", 0.0).await
}
