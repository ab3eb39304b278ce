//! Settings of `global.membership`: names, addresses, seeds and keys, parsed once.
//!
//! What only the machine can tell (its name, a key in a file or in the environment) is looked up here too.

use std::{
    env, fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use matching::config::human_duration;
use membership::{
    config::{Config as GossipConfig, DEFAULT_PORT as GOSSIP_PORT, Seed, Timing},
    name::is_node_name,
    secret::SecretKey,
};
use serde::{Deserialize, Deserializer};

/// Where nodes call each other unless told otherwise.
const RPC_PORT: u16 = 7234;

/// The `membership` part of the settings file. With it the server is one node of a cluster.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Section {
    /// Nodes of another name are not listened to.
    pub cluster_name: String,
    /// This node's name, which stays over restarts; the host's name unless given.
    pub node: Option<String>,
    /// The IP address by which others reach this node, wherever an `advertise` is not given.
    pub broadcast_address: Option<IpAddr>,
    pub gossip: Gossip,
    pub rpc: Rpc,
    pub frontend: Advertised,
    /// Where to look for others: one address or DNS name, or a list. A node may be its own seed.
    #[serde(deserialize_with = "one_or_many")]
    pub seeds: Vec<Seed>,
    /// Keys that all nodes share; the first seals.
    pub keys: Vec<SecretKey>,
    /// A file with one key in each line, instead of `keys`.
    pub key_file: Option<PathBuf>,
    /// An environment variable with keys, separated by commas, instead of `keys`.
    pub key_env: Option<String>,
    /// How long the start waits for an answer of any other node before this one goes on alone.
    #[serde(deserialize_with = "human_duration")]
    pub max_join_duration: Duration,
    /// How long a stop may take to hand over what this node owns.
    #[serde(deserialize_with = "human_duration")]
    pub drain_max: Duration,
}

impl Default for Section {
    fn default() -> Self {
        Self {
            cluster_name: "perdure".to_owned(),
            node: None,
            broadcast_address: None,
            gossip: Gossip::default(),
            rpc: Rpc::default(),
            frontend: Advertised::default(),
            seeds: Vec::new(),
            keys: Vec::new(),
            key_file: None,
            key_env: None,
            max_join_duration: Duration::from_secs(10),
            drain_max: Duration::from_secs(15),
        }
    }
}

/// The datagrams by which nodes know of each other.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Gossip {
    pub bind: SocketAddr,
    pub advertise: Option<SocketAddr>,
    /// Lets gossip go without a key beyond loopback.
    pub allow_plaintext: bool,
    pub timing: Timing,
}

impl Default for Gossip {
    fn default() -> Self {
        Self {
            bind: loopback(GOSSIP_PORT),
            advertise: None,
            allow_plaintext: false,
            timing: Timing::default(),
        }
    }
}

/// The calls between nodes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rpc {
    pub bind: SocketAddr,
    pub advertise: Option<SocketAddr>,
}

impl Default for Rpc {
    fn default() -> Self {
        Self {
            bind: loopback(RPC_PORT),
            advertise: None,
        }
    }
}

/// Where clients reach this node; it binds what `listen` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Advertised {
    pub advertise: Option<SocketAddr>,
}

/// What a node of a cluster runs with.
#[derive(Clone, Debug)]
pub struct Settings {
    pub node: String,
    pub gossip: GossipConfig,
    pub rpc: Rpc,
    pub frontend: Advertised,
    pub max_join_duration: Duration,
    pub drain_max: Duration,
}

/// The section cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("name this node: the host's name {0:?} is none; set global.membership.node")]
    HostName(String),
    #[error("name this node: {0:?} is no name; use letters, digits, '-', '_' and '.'")]
    NodeName(String),
    #[error("read keys: give only one of keys, keyFile and keyEnv")]
    KeysTwice,
    #[error("read keys from {0}: {1}")]
    KeyFile(PathBuf, io::Error),
    #[error("read keys from the environment: {0} is not set")]
    KeyEnv(String),
    #[error("read keys from {0}: {1}")]
    Key(String, membership::secret::InvalidKey),
    #[error("read keys from {0}: there is none")]
    NoKey(String),
    #[error("advertise {what}: others cannot call {address}; set {what}.advertise or broadcastAddress")]
    NothingToAdvertise { what: &'static str, address: SocketAddr },
    #[error(transparent)]
    Gossip(#[from] membership::error::ConfigError),
}

impl Section {
    /// Looks up what only the machine knows and refuses what cannot work. `listen` is where clients call.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn resolve(self, listen: SocketAddr) -> Result<Settings, SettingsError> {
        let node = self.node_name()?;
        let keys = self.shared_keys()?;
        let advertise = |given: Option<SocketAddr>, bind: SocketAddr| {
            given.or_else(|| self.broadcast_address.map(|ip| SocketAddr::new(ip, bind.port())))
        };
        let settings = Settings {
            node,
            gossip: GossipConfig {
                // Port 0 is known only when it is bound; then the bound address is told.
                advertise: advertise(self.gossip.advertise, self.gossip.bind)
                    .filter(|address| address.port() != 0),
                cluster_name: self.cluster_name,
                bind: self.gossip.bind,
                seeds: self.seeds,
                keys,
                allow_plaintext: self.gossip.allow_plaintext,
                timing: self.gossip.timing,
            },
            frontend: Advertised {
                advertise: advertise(self.frontend.advertise, listen),
            },
            rpc: Rpc {
                advertise: advertise(self.rpc.advertise, self.rpc.bind),
                ..self.rpc
            },
            max_join_duration: self.max_join_duration,
            drain_max: self.drain_max,
        };
        settings.gossip.check()?;
        reachable("rpc", settings.rpc.advertise, settings.rpc.bind)?;
        reachable("frontend", settings.frontend.advertise, listen)?;
        Ok(settings)
    }

    fn node_name(&self) -> Result<String, SettingsError> {
        match &self.node {
            Some(name) if is_node_name(name) => Ok(name.clone()),
            Some(name) => Err(SettingsError::NodeName(name.clone())),
            None => {
                let name = host_name();
                if is_node_name(&name) {
                    Ok(name)
                } else {
                    Err(SettingsError::HostName(name))
                }
            }
        }
    }

    fn shared_keys(&self) -> Result<Vec<SecretKey>, SettingsError> {
        let given = [
            !self.keys.is_empty(),
            self.key_file.is_some(),
            self.key_env.is_some(),
        ];
        if given.into_iter().filter(|given| *given).count() > 1 {
            return Err(SettingsError::KeysTwice);
        }
        if let Some(path) = &self.key_file {
            let text =
                fs::read_to_string(path).map_err(|error| SettingsError::KeyFile(path.clone(), error))?;
            return parse_keys(&path.display().to_string(), text.lines());
        }
        if let Some(name) = &self.key_env {
            let text = env::var(name).map_err(|_| SettingsError::KeyEnv(name.clone()))?;
            return parse_keys(name, text.split(','));
        }
        Ok(self.keys.clone())
    }
}

fn parse_keys<'a>(
    place: &str,
    texts: impl Iterator<Item = &'a str>,
) -> Result<Vec<SecretKey>, SettingsError> {
    let texts = texts.map(str::trim).filter(|text| !text.is_empty());
    let keys: Vec<SecretKey> = texts
        .map(|text| {
            text.parse()
                .map_err(|error| SettingsError::Key(place.to_owned(), error))
        })
        .collect::<Result<_, _>>()?;
    if keys.is_empty() {
        return Err(SettingsError::NoKey(place.to_owned()));
    }
    Ok(keys)
}

/// Refuses an address that is none, such as 0.0.0.0.
fn reachable(
    what: &'static str,
    advertise: Option<SocketAddr>,
    bind: SocketAddr,
) -> Result<(), SettingsError> {
    let address = advertise.unwrap_or(bind);
    if address.ip().is_unspecified() {
        return Err(SettingsError::NothingToAdvertise { what, address });
    }
    Ok(())
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Seed>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Seeds {
        One(String),
        Many(Vec<String>),
    }
    let texts = match Seeds::deserialize(from)? {
        Seeds::One(text) => vec![text],
        Seeds::Many(texts) => texts,
    };
    // Parsed here and not by the enum, whose errors do not say what is wrong.
    texts
        .iter()
        .map(|text| text.parse().map_err(serde::de::Error::custom))
        .collect()
}

#[cfg(test)]
mod tests;
