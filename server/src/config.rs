//! Settings: one YAML file and the command line, validated once.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    cli::{LogFormat, LogLevel, RunArgs, StartDevArgs},
    dynamic::{self, Scalar},
    membership::settings::{Section, Settings, SettingsError},
    persistence::{Persistence, PersistenceFile},
};

/// The port of the gRPC service, as everywhere in this field.
const GRPC_PORT: u16 = 7233;
/// Where a node of a cluster is asked and told by operators, unless another address is given.
pub const ADMIN_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7243);
const DEFAULT_NAMESPACE: &str = "default";

/// What the server runs with.
#[derive(Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub http_listen: Option<SocketAddr>,
    pub data: Data,
    /// Created if they are not there.
    pub namespaces: Vec<String>,
    /// Added to those namespaces: name and type.
    pub search_attributes: Vec<(String, String)>,
    pub log_level: LogLevel,
    pub log_format: LogFormat,
    pub storage: storage::config::EmbeddedConfig,
    pub cluster: cluster::config::Config,
    pub frontend: frontend::config::Config,
    /// `None`: the server is alone.
    pub membership: Option<Settings>,
    /// Dynamic settings that were given and mean nothing here.
    pub ignored_settings: Vec<String>,
}

/// Where data is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    Memory,
    Folder(PathBuf),
    /// A store that nodes share.
    Shared(Box<Persistence>),
}

/// The settings file. Every field may be left out; unknown ones are refused.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    listen: Option<SocketAddr>,
    http_listen: Option<SocketAddr>,
    data_dir: Option<PathBuf>,
    in_memory: bool,
    namespaces: Vec<String>,
    storage: storage::config::EmbeddedConfig,
    persistence: Option<PersistenceFile>,
    cluster: cluster::config::Config,
    frontend: frontend::config::Config,
    /// By the names that the official server gives them.
    dynamic_config: BTreeMap<String, Scalar>,
    global: Global,
}

/// What holds for the cluster as a whole.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Global {
    membership: Option<Section>,
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("read {0}: {1}")]
    Read(PathBuf, std::io::Error),
    #[error("parse {0}: {1}")]
    Parse(PathBuf, String),
    #[error("{0}")]
    Invalid(String),
    #[error("read global.membership: {0}")]
    Membership(#[from] SettingsError),
}

/// Puts file and command line together; the command line goes first.
pub fn load(args: RunArgs) -> Result<Config, ConfigError> {
    let mut file = match &args.config {
        Some(path) => read(path)?,
        None => File::default(),
    };
    let loopback = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), GRPC_PORT);
    let data = data(&args, &mut file)?;
    let listen = args.listen.or(file.listen).unwrap_or(loopback);
    let membership = file
        .global
        .membership
        .map(|section| section.resolve(listen))
        .transpose()?;
    let admin = membership.as_ref().map(|_| ADMIN_ADDRESS);
    let mut config = Config {
        listen,
        http_listen: args.http_listen.or(file.http_listen).or(admin),
        data,
        namespaces: with_default(file.namespaces.into_iter().chain(args.namespace)),
        search_attributes: Vec::new(),
        log_level: args.log_level.unwrap_or(LogLevel::Info),
        log_format: args.log_format.unwrap_or_default(),
        storage: file.storage,
        cluster: file.cluster,
        frontend: file.frontend,
        membership,
        ignored_settings: Vec::new(),
    };
    for (key, value) in file.dynamic_config {
        config.set_dynamic(key, &value.to_string())?;
    }
    let rpc = config.membership.as_ref().map(|settings| settings.rpc.bind);
    for address in [Some(config.listen), config.http_listen, rpc]
        .into_iter()
        .flatten()
    {
        if !address.ip().is_loopback() && !args.allow_insecure {
            return Err(ConfigError::Invalid(format!(
                "refuse to listen on {address}: beyond loopback nothing is encrypted yet; give --allow-insecure \
                 if the network itself is safe"
            )));
        }
    }
    validate(config)
}

/// Where the data is kept: what the command line says goes before the file.
fn data(args: &RunArgs, file: &mut File) -> Result<Data, ConfigError> {
    if args.in_memory || (file.in_memory && args.data_dir.is_none()) {
        return Ok(Data::Memory);
    }
    let folder = args.data_dir.clone().or(file.data_dir.take());
    match (folder, file.persistence.take()) {
        (Some(folder), None) => Ok(Data::Folder(folder)),
        (None, None) => Ok(Data::Folder(PathBuf::from("perdure-data"))),
        (None, Some(persistence)) => {
            let persistence = persistence.resolve().map_err(ConfigError::Invalid)?;
            if let Some(shards) = persistence.shards() {
                file.cluster.shards = shards;
            }
            Ok(Data::Shared(Box::new(persistence)))
        }
        (Some(_), Some(_)) => Err(ConfigError::Invalid(
            "give a data folder or persistence, not both".to_owned(),
        )),
    }
}

/// Settings of a server for development.
pub fn load_dev(args: StartDevArgs) -> Result<Config, ConfigError> {
    let ip = resolve(&args.ip)?;
    let http_port = args.metrics_port.or(args.http_port);
    let search_attributes = args
        .search_attribute
        .iter()
        .map(|text| pair(text, "--search-attribute"))
        .collect::<Result<_, _>>()?;
    let mut config = Config {
        listen: SocketAddr::new(ip, args.port),
        http_listen: http_port.map(|port| SocketAddr::new(ip, port)),
        data: args.db_filename.map_or(Data::Memory, Data::Folder),
        namespaces: with_default(args.namespace.into_iter()),
        search_attributes,
        log_level: args.log_level.unwrap_or(LogLevel::Warn),
        log_format: args.log_format.unwrap_or_default(),
        storage: storage::config::EmbeddedConfig::default(),
        cluster: cluster::config::Config::default(),
        frontend: frontend::config::Config::default(),
        membership: None,
        ignored_settings: Vec::new(),
    };
    for text in &args.dynamic_config_value {
        let (key, value) = pair(text, "--dynamic-config-value")?;
        config.set_dynamic(key, &value)?;
    }
    validate(config)
}

impl Config {
    fn set_dynamic(&mut self, key: String, value: &str) -> Result<(), ConfigError> {
        let mut targets = dynamic::Targets {
            frontend: &mut self.frontend,
            cluster: &mut self.cluster,
        };
        if !dynamic::set(&mut targets, &key, value)? {
            self.ignored_settings.push(key);
        }
        Ok(())
    }
}

/// Reads the stores that nodes share from a settings file.
#[cfg(feature = "cassandra")]
pub(crate) fn read_persistence(path: &Path) -> Result<Persistence, ConfigError> {
    let persistence = read(path)?.persistence.ok_or_else(|| {
        ConfigError::Invalid(format!("find persistence in {}: there is none", path.display()))
    })?;
    persistence.resolve().map_err(ConfigError::Invalid)
}

fn read(path: &Path) -> Result<File, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Read(path.to_owned(), error))?;
    serde_saphyr::from_str(&text).map_err(|error| ConfigError::Parse(path.to_owned(), error.to_string()))
}

fn validate(config: Config) -> Result<Config, ConfigError> {
    config
        .storage
        .validate()
        .map_err(|error| ConfigError::Invalid(error.to_string()))?;
    if config.membership.is_some() && !matches!(config.data, Data::Shared(_)) {
        return Err(ConfigError::Invalid(
            "refuse global.membership: nodes of a cluster share one store, and this one is the process's own"
                .to_owned(),
        ));
    }
    Ok(config)
}

fn with_default(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut all = vec![DEFAULT_NAMESPACE.to_owned()];
    for name in names {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

fn pair(text: &str, flag: &str) -> Result<(String, String), ConfigError> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(ConfigError::Invalid(format!(
            "{flag} wants NAME=VALUE, not {text}"
        ))),
    }
}

fn resolve(host: &str) -> Result<IpAddr, ConfigError> {
    if host == "localhost" {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let mut found = (host, 0).to_socket_addrs().map_err(|_| unknown_host(host))?;
    found
        .next()
        .map(|address| address.ip())
        .ok_or_else(|| unknown_host(host))
}

fn unknown_host(host: &str) -> ConfigError {
    ConfigError::Invalid(format!("resolve {host}: no such address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_options_keep_data_beside_and_listen_on_loopback() {
        let config = load(RunArgs::default()).expect("defaults are valid");
        assert_eq!(config.listen.to_string(), "127.0.0.1:7233");
        assert_eq!(config.data, Data::Folder("perdure-data".into()));
        assert_eq!(config.namespaces, ["default"]);
    }

    #[test]
    fn beyond_loopback_needs_a_flag() {
        let listen = Some("192.0.2.1:7233".parse().expect("address"));
        assert!(
            load(RunArgs {
                listen,
                ..RunArgs::default()
            })
            .is_err()
        );
        assert!(
            load(RunArgs {
                listen,
                allow_insecure: true,
                ..RunArgs::default()
            })
            .is_ok()
        );
    }

    #[test]
    fn dynamic_settings_are_read_from_the_file() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("perdure.yaml");
        let text = "dynamic_config:\n  limit.historyCount.error: 7\n  frontend.keepAliveMaxConnectionAge: 90s\n  \
                    system.enableNexus: true\n";
        std::fs::write(&path, text).expect("written");
        let config = load(RunArgs {
            config: Some(path),
            ..RunArgs::default()
        })
        .expect("valid");
        assert_eq!(config.cluster.limits.history_events, 7);
        assert_eq!(config.frontend.connection_age_max.as_secs(), 90);
        assert_eq!(config.ignored_settings, ["system.enableNexus"]);
    }

    #[cfg(feature = "cassandra")]
    #[test]
    fn data_is_in_a_folder_or_in_a_store_that_is_shared() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("perdure.yaml");
        let store = "persistence: {defaultStore: a, numHistoryShards: 3, datastores: {a: {cassandra: {hosts: h}}}}\n\
             global: {membership: {node: a}}\n";
        std::fs::write(&path, store).expect("written");
        let args = |data_dir: Option<PathBuf>| RunArgs {
            config: Some(path.clone()),
            data_dir,
            ..RunArgs::default()
        };
        let config = load(args(None)).expect("valid");
        assert!(matches!(config.data, Data::Shared(_)), "{:?}", config.data);
        assert_eq!(config.cluster.shards.get(), 3);
        assert_eq!(
            config.membership.map(|settings| settings.node),
            Some("a".to_owned())
        );
        assert_eq!(config.http_listen, Some(ADMIN_ADDRESS));
        let error = load(args(Some("x".into()))).expect_err("refused");
        assert_eq!(error.to_string(), "give a data folder or persistence, not both");
    }

    fn refused(yaml: &str, wanted: &str) {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("perdure.yaml");
        std::fs::write(&path, yaml).expect("written");
        let error = load(RunArgs {
            config: Some(path),
            ..RunArgs::default()
        })
        .expect_err("refused");
        assert!(error.to_string().contains(wanted), "{error}");
    }

    #[test]
    fn unknown_settings_are_refused() {
        refused("listen: 127.0.0.1:9\ndata_dri: x\n", "data_dri");
        refused("global: {membership: {seed: x}}\n", "seed");
        refused("global: {membershipp: {}}\n", "membershipp");
    }

    #[test]
    fn calls_between_nodes_beyond_loopback_need_a_flag() {
        refused(
            "global: {membership: {rpc: {bind: '192.0.2.1:7234'}}}\n",
            "refuse to listen on 192.0.2.1:7234",
        );
    }

    #[test]
    fn nodes_of_a_cluster_need_a_store_that_they_share() {
        refused("global: {membership: {node: a}}\n", "share one store");
    }
}
