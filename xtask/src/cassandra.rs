//! What runs on a real Cassandra: the storage suite, the server with an example and scenarios, and nodes by hand.

use std::{env, fs, process::Command};

use super::{build, cargo_program, compare_with, order_on, root, run, server_binary, target};

/// Scenarios that run on Cassandra too: what lists show, and what starts, signals and ends workflows.
const SCENARIOS: &str = "[csv]*";
/// The keyspace of the server under test.
const KEYSPACE: &str = "perdure_server";

/// Runs the tests that want a real node, which is theirs alone.
pub(super) fn suite() -> Result<(), String> {
    let data = target().join("cassandra/suite");
    let cluster = launcher::Cluster::start(&target(), &data, &launcher::Options::default())
        .map_err(|error| error.to_string())?;
    let address = cluster.addresses().first().copied();
    let address = address.ok_or("Cassandra has started no node")?;
    storage(address)?;
    server(address)
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

/// The server on Cassandra: its schema by its own command, the example order, and scenarios beside the official
/// server.
fn server(address: std::net::SocketAddr) -> Result<(), String> {
    build()?;
    let folder = env::temp_dir().join(format!("perdure-cassandra-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|error| format!("make {}: {error}", folder.display()))?;
    let config = folder.join("perdure.yaml");
    let (host, port) = (address.ip(), address.port());
    let store = format!("{{ hosts: \"{host}\", port: {port}, keyspace: {KEYSPACE} }}");
    let text =
        format!("persistence:\n  defaultStore: main\n  datastores:\n    main:\n      cassandra: {store}\n");
    fs::write(&config, text).map_err(|error| format!("write {}: {error}", config.display()))?;
    let config = config.display().to_string();
    let schema = |verb| run(Command::new(server_binary()).args(["schema", verb, "--config", &config]));
    let tested = schema("setup")
        .and_then(|()| schema("update"))
        .and_then(|()| order(&config))
        .and_then(|()| {
            let server = server_binary().display().to_string();
            let ours =
                format!("{server} server --config {config} --listen 127.0.0.1:{{port}} --log-level error");
            compare_with(&ours, "compare.py", &["--only".to_owned(), SCENARIOS.to_owned()])
        });
    // Only a folder of this run's own; a leftover in the temporary folder harms nobody.
    let _ = fs::remove_dir_all(&folder);
    tested
}

fn order(config: &str) -> Result<(), String> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map_err(|error| format!("find a free port: {error}"))?
        .port();
    order_on(
        &format!("127.0.0.1:{port}"),
        &["--config".as_ref(), config.as_ref()],
    )
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
