//! Settings of a node: its files, and the command line of its process.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{LaunchError, Options, Paxos};

/// Where a node is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) address: Ipv4Addr,
    pub(crate) port: u16,
    pub(crate) storage_port: u16,
    pub(crate) folder: PathBuf,
}

/// What Cassandra 5.0 wants opened of JDK 17, as its own `jvm17-server.options` says.
const OPENED: [&str; 18] = [
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.net",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "java.rmi/sun.rmi.transport.tcp",
    "jdk.management/com.sun.management.internal",
];
const EXPORTED: [&str; 9] = [
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.perf",
    "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.rmi/sun.rmi.transport.tcp",
    "java.sql/java.sql",
];
/// Opened and exported both.
const BOTH: [&str; 1] = ["java.base/jdk.internal.misc"];

const LOGBACK: &str = r#"<configuration>
  <appender name="FILE" class="ch.qos.logback.core.FileAppender">
    <file>${cassandra.logdir}/system.log</file>
    <encoder><pattern>%-5level [%thread] %date{ISO8601} %F:%L - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="FILE"/></root>
</configuration>
"#;

/// Writes the node's files.
pub(crate) fn write(place: &Place, options: &Options) -> Result<(), LaunchError> {
    let conf = place.folder.join("conf");
    fs::create_dir_all(&conf).map_err(LaunchError::io("make a node's folder"))?;
    fs::write(conf.join("cassandra.yaml"), yaml(place, options))
        .and_then(|()| fs::write(conf.join("logback.xml"), LOGBACK))
        .map_err(LaunchError::io("write a node's settings"))
}

fn yaml(place: &Place, options: &Options) -> String {
    let paxos = match options.paxos {
        Paxos::V1 => "v1",
        Paxos::V2 => "v2",
    };
    let sync = if options.durable {
        "commitlog_sync: batch"
    } else {
        "commitlog_sync: periodic\ncommitlog_sync_period: 10000ms"
    };
    let folder = place.folder.display();
    format!(
        "cluster_name: perdure tests
num_tokens: 4
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: '127.0.0.1:{storage_port}'
listen_address: {address}
rpc_address: {address}
storage_port: {storage_port}
native_transport_port: {port}
data_file_directories: ['{folder}/data']
commitlog_directory: '{folder}/commitlog'
saved_caches_directory: '{folder}/saved_caches'
hints_directory: '{folder}/hints'
cdc_raw_directory: '{folder}/cdc'
{sync}
commitlog_total_space: 256MiB
memtable_heap_space: {memtable}MiB
memtable_offheap_space: {memtable}MiB
memtable_allocation_type: offheap_objects
file_cache_enabled: false
networking_cache_size: 16MiB
key_cache_size: 8MiB
prepared_statements_cache_size: 8MiB
concurrent_reads: 16
concurrent_writes: 32
concurrent_compactors: 1
compaction_throughput: 32MiB/s
auto_snapshot: false
tombstone_warn_threshold: 2000
tombstone_failure_threshold: 5000
paxos_variant: {paxos}
authenticator: AllowAllAuthenticator
authorizer: AllowAllAuthorizer
",
        storage_port = place.storage_port,
        address = place.address,
        port = place.port,
        memtable = options.heap_mib / 8,
    )
}

/// The command that runs the node.
pub(crate) fn command(place: &Place, options: &Options, jars: &Path, java: &Path) -> Command {
    let conf = place.folder.join("conf");
    let heap = options.heap_mib;
    let mut command = Command::new(java);
    command
        .arg(format!("-Xms{heap}m"))
        .arg(format!("-Xmx{heap}m"))
        .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=4", "-Xss512k"])
        .args(["-XX:+PerfDisableSharedMem", "-Djdk.attach.allowAttachSelf=true"])
        .args(["-Djava.awt.headless=true", "-Dcassandra.jmx.local.port=0"])
        .arg(format!(
            "-Dcassandra.config=file://{}",
            conf.join("cassandra.yaml").display()
        ))
        .arg(format!("-Dcassandra.storagedir={}", place.folder.display()))
        .arg(format!("-Dcassandra.logdir={}", place.folder.display()))
        .arg(format!(
            "-Dlogback.configurationFile={}",
            conf.join("logback.xml").display()
        ))
        .args([
            "-Dcassandra.skip_wait_for_gossip_to_settle=0",
            "-Dcassandra.ring_delay_ms=2000",
            "-Dcassandra.superuser_setup_delay_ms=0",
            "-Dcassandra.consistent.rangemovement=false",
        ]);
    for package in OPENED.iter().chain(&BOTH) {
        command.arg(format!("--add-opens={package}=ALL-UNNAMED"));
    }
    for package in EXPORTED {
        command.arg(format!("--add-exports={package}=ALL-UNNAMED"));
    }
    command
        .args(["-cp", &format!("{}/*", jars.display())])
        .arg("org.apache.cassandra.service.CassandraDaemon")
        .current_dir(&place.folder);
    command
}
