//! `perdure schema`: sets up and updates the tables of a store on Cassandra, or prints their statements.

#![expect(clippy::print_stdout, reason = "a command answers on the terminal")]

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, Subcommand};
use storage::cassandra::{
    OpenError,
    config::{CassandraConfig, Password, TlsConfig},
    schema,
};

use crate::config::{ConfigError, read_persistence};

#[derive(Debug, Args)]
pub struct SchemaArgs {
    #[command(subcommand)]
    pub verb: SchemaVerb,
}

#[derive(Debug, Subcommand)]
pub enum SchemaVerb {
    /// Make the keyspace and its tables; what is there already stays as it is.
    Setup(Target),
    /// Bring the tables of an existing keyspace up to date. Do this before the servers are updated.
    Update(Target),
    /// Print all statements of the schema, to run them by hand.
    Print(Target),
}

/// Which keyspace: that of a settings file, or that of the options.
#[derive(Debug, Args)]
pub struct Target {
    /// Settings file (YAML) of the server, instead of the other options: all its stores.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["user", "password", "password_file", "password_env",
        "tls", "datacenter"])]
    pub config: Option<PathBuf>,
    /// Nodes of Cassandra to begin with, divided by commas.
    #[arg(long, value_name = "HOSTS", default_value = "127.0.0.1")]
    pub endpoint: String,
    #[arg(long, short = 'p', default_value_t = 9042)]
    pub port: u16,
    #[arg(long, short = 'k', default_value = "perdure")]
    pub keyspace: String,
    #[arg(long, short = 'u')]
    pub user: Option<String>,
    /// Others on this machine may read it from the list of processes: better give --password-file.
    #[arg(long)]
    pub password: Option<String>,
    /// File that holds the password.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Variable of the environment that holds the password.
    #[arg(long, value_name = "NAME")]
    pub password_env: Option<String>,
    /// Copies of each row, when the keyspace is made.
    #[arg(
        long,
        visible_alias = "replication-factor",
        value_name = "COPIES",
        default_value = "1"
    )]
    pub replication: NonZeroUsize,
    /// Data centre in which the copies are; without it the keyspace has the simple strategy, for tests only.
    #[arg(long, value_name = "NAME")]
    pub datacenter: Option<String>,
    /// Encrypt the connection.
    #[arg(long, requires = "tls_ca_file")]
    pub tls: bool,
    /// Certificates to trust (PEM).
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub tls_ca_file: Option<PathBuf>,
    /// Certificate of the client (PEM).
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub tls_cert_file: Option<PathBuf>,
    /// Key of the client's certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub tls_key_file: Option<PathBuf>,
    /// Trust certificates that do not name the node's IP address.
    #[arg(long, requires = "tls")]
    pub tls_any_host: bool,
}

/// The schema was not changed, or not wholly.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error("start threads: {0}")]
    Threads(#[from] std::io::Error),
}

/// Runs the command to its end.
pub fn run(args: SchemaArgs) -> Result<(), SchemaError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (target, verb) = match args.verb {
        SchemaVerb::Print(target) => {
            for config in target.keyspaces()? {
                print!("{}", schema::print(&config));
            }
            return Ok(());
        }
        SchemaVerb::Setup(target) => (target, Verb::Setup),
        SchemaVerb::Update(target) => (target, Verb::Update),
    };
    for config in target.keyspaces()? {
        let changed = match verb {
            Verb::Setup => runtime.block_on(schema::setup(&config)),
            Verb::Update => runtime.block_on(schema::update(&config)),
        };
        println!("{}", outcome(&config.keyspace, changed?));
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Verb {
    Setup,
    Update,
}

fn outcome(keyspace: &str, (before, after): (usize, usize)) -> String {
    match before {
        0 => format!("Keyspace {keyspace} is set up; its schema has version {after}."),
        before if before == after => format!("Keyspace {keyspace} has version {after} already."),
        before => format!("Keyspace {keyspace} went from version {before} to {after}."),
    }
}

impl Target {
    fn keyspaces(self) -> Result<Vec<CassandraConfig>, SchemaError> {
        if let Some(path) = &self.config {
            return Ok(read_persistence(path)?.keyspaces());
        }
        let config = CassandraConfig {
            port: self.port,
            keyspace: self.keyspace,
            user: self.user,
            password: self.password.map(Password::new),
            password_file: self.password_file,
            password_env: self.password_env,
            datacenter: self.datacenter,
            replication_factor: self.replication,
            tls: TlsConfig {
                enabled: self.tls,
                ca_file: self.tls_ca_file,
                cert_file: self.tls_cert_file,
                key_file: self.tls_key_file,
                enable_host_verification: !self.tls_any_host,
            },
            ..CassandraConfig::new(self.endpoint)
        };
        config.validate().map_err(OpenError::from)?;
        Ok(vec![config])
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn target(args: &[&str]) -> Result<Target, String> {
        let line = ["perdure", "schema", "print"]
            .into_iter()
            .chain(args.iter().copied());
        match Cli::try_parse_from(line)
            .map_err(|error| error.to_string())?
            .command
        {
            Command::Schema(SchemaArgs {
                verb: SchemaVerb::Print(target),
            }) => Ok(target),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_say_which_keyspace() {
        let found = target(&[
            "--endpoint",
            "a,b",
            "--port",
            "9999",
            "--keyspace",
            "orders",
            "--replication",
            "3",
            "--datacenter",
            "dc1",
        ])
        .and_then(|target| target.keyspaces().map_err(|error| error.to_string()));
        let expected = CassandraConfig {
            port: 9999,
            keyspace: "orders".to_owned(),
            replication_factor: NonZeroUsize::MIN.saturating_add(2),
            datacenter: Some("dc1".to_owned()),
            ..CassandraConfig::new("a,b")
        };
        assert_eq!(found, Ok(vec![expected]));
    }

    #[test]
    fn options_that_do_not_fit_are_refused() {
        assert!(target(&["--tls"]).is_err());
        assert!(target(&["--tls-ca-file", "x"]).is_err());
        assert!(target(&["--config", "x", "--user", "u"]).is_err());
        let half = target(&["--user", "u"]).expect("parses").keyspaces();
        assert!(half.is_err());
    }

    #[test]
    fn the_settings_of_a_server_name_its_keyspaces() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("perdure.yaml");
        let text = "persistence: {defaultStore: a, visibilityStore: b, datastores: \
                    {a: {cassandra: {hosts: h}}, b: {cassandra: {hosts: h, keyspace: k}}}}";
        std::fs::write(&path, text).expect("written");
        let found = target(&["--config", &path.display().to_string()])
            .expect("parses")
            .keyspaces();
        assert_eq!(found.expect("two keyspaces").len(), 2);
    }

    #[test]
    fn what_was_done_is_said() {
        assert!(outcome("k", (0, 2)).contains("set up"));
        assert!(outcome("k", (2, 2)).contains("already"));
        assert!(outcome("k", (1, 2)).contains("from version 1 to 2"));
    }
}
