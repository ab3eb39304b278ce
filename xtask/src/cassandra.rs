//! What runs on a real Cassandra: the storage suite, the server with an example and scenarios, and nodes by hand.

use std::{env, fs, process::Command};

use nodes::cluster::{Cluster, Options};

use super::{build, cargo_program, python, root, run, server_binary, target};

/// Runs the tests that want a real node, which is theirs alone.
pub(super) fn suite() -> Result<(), String> {
    let data = target().join("cassandra/suite");
    let cluster = launcher::Cluster::start(&target(), &data, &launcher::Options::default())
        .map_err(|error| error.to_string())?;
    let address = cluster.addresses().first().copied();
    storage(address.ok_or("Cassandra has started no node")?)?;
    drop(cluster);
    server()
}

/// The storage and visibility suites, and what only a network does to them.
fn storage(address: std::net::SocketAddr) -> Result<(), String> {
    let mut test = Command::new(cargo_program());
    test.args([
        "test",
        "--locked",
        "--package",
        "perdure-storage",
        "--features",
        "cassandra-tests",
        "--lib",
        "--test",
        "cassandra",
    ]);
    run(test
        .env("PERDURE_CASSANDRA", address.to_string())
        .current_dir(root()))
}

/// Three nodes on Cassandra: the example order on each, the scenarios beside the official server with each call
/// through another node, and the TypeScript SDK with its client and its worker at different nodes.
fn server() -> Result<(), String> {
    build()?;
    let folder = env::temp_dir().join(format!("perdure-cassandra-{}", std::process::id()));
    let options = Options {
        folder: folder.clone(),
        target: target(),
        program: server_binary(),
        nodes: 3,
        store: launcher::Options::default(),
        own_users: false,
    };
    let cluster = Cluster::up(&options).map_err(|error| error.to_string())?;
    schema_update(&cluster)?;
    let clients: Vec<String> = cluster
        .nodes()
        .iter()
        .map(|node| node.client.to_string())
        .collect();
    for address in &clients {
        run(python("../../examples/order.py")?.args(["--address", address]))?;
    }
    let all = clients.join(",");
    run(python("compare.py")?.args(["--b-targets", &all]))?;
    run(python("sdk.py")?.args(["--targets", &all]))?;
    cluster.down().map_err(|error| error.to_string())?;
    // Logs of a run that failed stay; a leftover in the temporary folder harms nobody.
    let _ = fs::remove_dir_all(&folder);
    Ok(())
}

/// An update of a schema that is up to date changes nothing.
fn schema_update(cluster: &Cluster) -> Result<(), String> {
    let store = cluster
        .state()
        .store
        .hosts
        .first()
        .ok_or("the cluster has no store")?;
    let (host, port) = (store.ip().to_string(), store.port().to_string());
    run(Command::new(server_binary()).args(["schema", "update", "--endpoint", &host, "--port", &port]))
}

/// Runs Cassandra nodes by hand.
pub(super) fn by_hand(args: &[String]) -> Result<(), String> {
    let number = |at: usize, default: &str| args.get(at).map_or(default, String::as_str).to_owned();
    let nodes = number(0, "1").parse();
    let nodes = nodes.map_err(|_| "cassandra wants a number of nodes".to_owned())?;
    let port = number(1, "9042").parse();
    let port = port.map_err(|_| "cassandra wants a port".to_owned())?;
    let paxos = match number(2, "v2").as_str() {
        "v1" => launcher::Paxos::V1,
        "v2" => launcher::Paxos::V2,
        _ => return Err("cassandra wants v1 or v2".to_owned()),
    };
    let options = launcher::Options {
        nodes,
        port,
        paxos,
        ..launcher::Options::default()
    };
    let data = target().join(format!("cassandra/by-hand-{port}"));
    let cluster = launcher::Cluster::start(&target(), &data, &options).map_err(|error| error.to_string())?;
    println!("Cassandra answers on {:?}; ENTER stops it.", cluster.addresses());
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map_err(|error| format!("read from the terminal: {error}"))?;
    Ok(())
}
