//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A server for durable workflows that speaks the Temporal API.
#[derive(Debug, Parser)]
#[command(name = "perdure", version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server. Without options it keeps its data in ./perdure-data and listens on 127.0.0.1:7233.
    Server(ServerArgs),
    /// Ask and tell a cluster, through a node on this machine.
    Admin(crate::admin::command::AdminArgs),
    /// Set up or update the schema of a store, or print its statements.
    #[cfg(feature = "cassandra")]
    Schema(crate::schema::SchemaArgs),
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ServerArgs {
    #[command(subcommand)]
    pub mode: Option<Mode>,
    #[command(flatten)]
    pub run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub enum Mode {
    /// Run a server for development, with the options of `temporal server start-dev`; in memory unless
    /// --db-filename is given.
    StartDev(Box<StartDevArgs>),
}

/// Options of `perdure server`.
#[derive(Debug, Default, Args)]
pub struct RunArgs {
    /// Settings file (YAML).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the data is kept.
    #[arg(long, value_name = "DIR", conflicts_with = "in_memory")]
    pub data_dir: Option<PathBuf>,
    /// Address of the gRPC service.
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<SocketAddr>,
    /// Address for health, metrics and debug pages; off unless given.
    #[arg(long, value_name = "IP:PORT")]
    pub http_listen: Option<SocketAddr>,
    /// Namespace to create if it is not there; may be given many times.
    #[arg(long, value_name = "NAME")]
    pub namespace: Vec<String>,
    /// Keep nothing: all data is gone when the server stops.
    #[arg(long)]
    pub in_memory: bool,
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub log_level: Option<LogLevel>,
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Listen beyond loopback although nothing is encrypted and nobody is asked who they are.
    #[arg(long)]
    pub allow_insecure: bool,
}

/// Options of `perdure server start-dev`: those of the official command, so that SDKs' test environments work.
#[derive(Debug, Args)]
pub struct StartDevArgs {
    /// Address to listen on.
    #[arg(long, default_value = "localhost")]
    pub ip: String,
    /// Port of the gRPC service.
    #[arg(long, short = 'p', default_value_t = 7233)]
    pub port: u16,
    /// Port of the HTTP API. The HTTP API is not there yet: health and debug pages are served on it.
    #[arg(long)]
    pub http_port: Option<u16>,
    /// Port for metrics, health and debug pages.
    #[arg(long)]
    pub metrics_port: Option<u16>,
    /// Port of the web UI; the UI is not part of this release.
    #[arg(long)]
    pub ui_port: Option<u16>,
    /// Address of the web UI; the UI is not part of this release.
    #[arg(long)]
    pub ui_ip: Option<String>,
    /// Do not start the web UI.
    #[arg(long)]
    pub headless: bool,
    /// Namespace to create; may be given many times. `default` is always created.
    #[arg(long, short = 'n')]
    pub namespace: Vec<String>,
    /// Where to keep the data; without it all is gone when the server stops.
    #[arg(long, short = 'f')]
    pub db_filename: Option<PathBuf>,
    /// Search attribute to add to the namespaces, as NAME=TYPE; may be given many times.
    #[arg(long, value_name = "NAME=TYPE")]
    pub search_attribute: Vec<String>,
    /// Dynamic setting, as KEY=VALUE; may be given many times. Settings of the official server that mean
    /// nothing here are ignored.
    #[arg(long, value_name = "KEY=VALUE")]
    pub dynamic_config_value: Vec<String>,
    /// Accepted and ignored: there is no SQLite main store here.
    #[arg(long, value_name = "PRAGMA=VALUE", hide = true)]
    pub sqlite_pragma: Vec<String>,
    #[arg(long, value_enum)]
    pub log_level: Option<LogLevel>,
    #[arg(long, value_enum)]
    pub log_format: Option<LogFormat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
    /// No logs at all.
    Never,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
    /// The same as text.
    Pretty,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start_dev(args: &[&str]) -> StartDevArgs {
        let line = ["perdure", "server", "start-dev"]
            .into_iter()
            .chain(args.iter().copied());
        let Command::Server(server) = Cli::try_parse_from(line).expect("parses").command else {
            panic!("server was given");
        };
        match server.mode {
            Some(Mode::StartDev(args)) => *args,
            None => panic!("start-dev was given"),
        }
    }

    #[test]
    fn command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn start_dev_takes_what_sdks_pass() {
        let args = start_dev(&[
            "--port",
            "7244",
            "--namespace",
            "tests",
            "--ip",
            "127.0.0.1",
            "--log-format",
            "pretty",
            "--log-level",
            "warn",
            "--headless",
            "--dynamic-config-value",
            "frontend.enableServerVersionCheck=false",
            "--search-attribute",
            "Kind=Keyword",
        ]);
        assert_eq!(
            (args.port, args.ip.as_str(), args.headless),
            (7244, "127.0.0.1", true)
        );
        assert_eq!(args.namespace, ["tests"]);
    }

    #[test]
    fn memory_and_a_data_folder_exclude_each_other() {
        let line = ["perdure", "server", "--in-memory", "--data-dir", "x"];
        assert!(Cli::try_parse_from(line).is_err());
    }
}
