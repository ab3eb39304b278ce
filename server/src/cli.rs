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
    /// Base path of the web UI; the UI is not part of this release.
    #[arg(long, hide = true)]
    pub ui_public_path: Option<String>,
    /// Assets of the web UI; the UI is not part of this release.
    #[arg(long, hide = true)]
    pub ui_asset_path: Option<String>,
    /// Codec server of the web UI; the UI is not part of this release.
    #[arg(long, hide = true)]
    pub ui_codec_endpoint: Option<String>,
    /// Do not show news in the web UI; the UI is not part of this release.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    #[arg(hide = true)]
    pub ui_disable_news_fetch: bool,
    /// Do not start the web UI.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
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
    /// Print the settings to stderr.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    pub log_config: bool,
    #[arg(long, value_enum)]
    pub log_level: Option<LogLevel>,
    #[arg(long, value_enum)]
    pub log_format: Option<LogFormat>,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Options that every official command takes. They are about clients and what those print: accepted and ignored.
#[derive(Debug, Default, Args)]
pub struct CommonArgs {
    #[arg(long, hide = true)]
    pub client_connect_timeout: Option<String>,
    #[arg(long, hide = true)]
    pub color: Option<String>,
    #[arg(long, hide = true)]
    pub config_file: Option<PathBuf>,
    #[arg(long, hide = true)]
    pub disable_config_env: bool,
    #[arg(long, hide = true)]
    pub disable_config_file: bool,
    #[arg(long, hide = true)]
    pub env: Option<String>,
    #[arg(long, hide = true)]
    pub env_file: Option<PathBuf>,
    #[arg(long, hide = true)]
    pub no_json_shorthand_payloads: bool,
    #[arg(long, short = 'o', hide = true)]
    pub output: Option<String>,
    #[arg(long, hide = true)]
    pub profile: Option<String>,
    #[arg(long, hide = true)]
    pub time_format: Option<String>,
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
    fn start_dev_takes_what_concerns_the_web_ui() {
        let args = start_dev(&[
            "--ui-ip=127.0.0.1",
            "--ui-port=8233",
            "--ui-public-path=/ui",
            "--ui-asset-path=/srv/assets",
            "--ui-codec-endpoint=http://127.0.0.1:8081",
            "--ui-disable-news-fetch",
        ]);
        assert_eq!(args.ui_codec_endpoint.as_deref(), Some("http://127.0.0.1:8081"));
    }

    #[test]
    fn start_dev_takes_what_every_official_command_takes() {
        let args = start_dev(&[
            "--color",
            "never",
            "-o",
            "json",
            "--env=local",
            "--disable-config-file",
        ]);
        assert_eq!(args.common.output.as_deref(), Some("json"));
    }

    #[test]
    fn switches_of_start_dev_may_have_a_value() {
        for (given, expected) in [
            ("--headless", (true, false)),
            ("--headless=true", (true, false)),
            ("--headless=false", (false, false)),
            ("--log-config", (false, true)),
            ("--log-config=false", (false, false)),
        ] {
            let args = start_dev(&[given]);
            assert_eq!((args.headless, args.log_config), expected, "{given}");
        }
    }

    #[test]
    fn memory_and_a_data_folder_exclude_each_other() {
        let line = ["perdure", "server", "--in-memory", "--data-dir", "x"];
        assert!(Cli::try_parse_from(line).is_err());
    }
}
