//! What an operator may set for membership.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use serde::{Deserialize, Deserializer};

use crate::{error::ConfigError, limits, name::is_cluster_name, secret::SecretKey};

/// Where nodes gossip unless told otherwise.
pub const DEFAULT_PORT: u16 = 6_933;

/// How a node finds the others and talks with them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Nodes of another cluster are not listened to, even if they share the key.
    pub cluster_name: String,
    /// Where gossip is received. Port 0 takes any free port.
    pub bind: SocketAddr,
    /// Where others shall send gossip to; without it the bound address, which then must be a real one.
    pub advertise: Option<SocketAddr>,
    /// Where to look for others: addresses or DNS names, resolved again and again. A node may be its own seed.
    pub seeds: Vec<Seed>,
    /// Keys that all nodes share: the first seals what is sent, all open what comes.
    ///
    /// To change the key, add the new one behind the old one everywhere, then put it first everywhere, then
    /// remove the old one.
    pub keys: Vec<SecretKey>,
    /// Lets gossip go without a key over more than the loopback interface.
    pub allow_plaintext: bool,
    pub timing: Timing,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cluster_name: "perdure".to_owned(),
            bind: SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT)),
            advertise: None,
            seeds: Vec::new(),
            keys: Vec::new(),
            allow_plaintext: false,
            timing: Timing::default(),
        }
    }
}

impl Config {
    /// Refuses what cannot work, saying what to do.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !is_cluster_name(&self.cluster_name) {
            return Err(ConfigError::ClusterName(self.cluster_name.clone()));
        }
        if self.seeds.len() > limits::SEEDS_MAX {
            return Err(ConfigError::TooManySeeds(self.seeds.len()));
        }
        if self.keys.len() > limits::KEYS_MAX {
            return Err(ConfigError::TooManyKeys(self.keys.len()));
        }
        let advertised = self.advertise.unwrap_or(self.bind);
        if advertised.ip().is_unspecified() {
            return Err(ConfigError::NothingToAdvertise(advertised));
        }
        if self.advertise.is_some_and(|address| address.port() == 0) {
            return Err(ConfigError::AdvertisedPort);
        }
        if self.bind.is_ipv4() && advertised.is_ipv6() {
            return Err(ConfigError::Families {
                bind: self.bind,
                advertise: advertised,
            });
        }
        let local = self.bind.ip().is_loopback() && advertised.ip().is_loopback();
        if self.keys.is_empty() && !local && !self.allow_plaintext {
            return Err(ConfigError::NoKey(self.bind));
        }
        self.timing.check()
    }
}

/// The protocol's times. All nodes should have the same.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Timing {
    /// How often one member is probed, such as "1s".
    #[serde(deserialize_with = "span")]
    pub probe_period: Duration,
    /// How long a probe waits before others are asked to probe too; well below the period.
    #[serde(deserialize_with = "span")]
    pub probe_timeout: Duration,
    /// How long a suspect may refute before it is dead.
    #[serde(deserialize_with = "span")]
    pub suspicion: Duration,
    /// How often news is sent, while there is any.
    #[serde(deserialize_with = "span")]
    pub gossip_period: Duration,
    /// How often one member is asked for the members that it knows.
    #[serde(deserialize_with = "span")]
    pub sync_period: Duration,
    /// The first time between announcements to seeds and lost members; it doubles up to the longest.
    #[serde(deserialize_with = "span")]
    pub announce_min: Duration,
    #[serde(deserialize_with = "span")]
    pub announce_max: Duration,
    /// How often the names of seeds are resolved.
    #[serde(deserialize_with = "span")]
    pub resolve_period: Duration,
}

impl Default for Timing {
    /// For nodes in one region: a dead node is known as dead after 3 to 5 seconds.
    fn default() -> Self {
        Self {
            probe_period: limits::PROBE_PERIOD,
            probe_timeout: limits::PROBE_TIMEOUT,
            suspicion: limits::SUSPICION,
            gossip_period: limits::GOSSIP_PERIOD,
            sync_period: limits::SYNC_PERIOD,
            announce_min: limits::ANNOUNCE_MIN,
            announce_max: limits::ANNOUNCE_MAX,
            resolve_period: limits::RESOLVE_PERIOD,
        }
    }
}

impl Timing {
    /// For tests on one machine: everything some eight times faster.
    #[must_use]
    pub const fn fast() -> Self {
        Self {
            probe_period: Duration::from_millis(120),
            probe_timeout: Duration::from_millis(50),
            suspicion: Duration::from_millis(400),
            gossip_period: Duration::from_millis(25),
            sync_period: Duration::from_millis(500),
            announce_min: Duration::from_millis(50),
            announce_max: Duration::from_millis(500),
            resolve_period: Duration::from_millis(500),
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let spans = [
            ("probePeriod", self.probe_period),
            ("probeTimeout", self.probe_timeout),
            ("suspicion", self.suspicion),
            ("gossipPeriod", self.gossip_period),
            ("syncPeriod", self.sync_period),
            ("announceMin", self.announce_min),
            ("announceMax", self.announce_max),
            ("resolvePeriod", self.resolve_period),
        ];
        if let Some((name, _)) = spans.into_iter().find(|(_, span)| span.is_zero()) {
            return Err(ConfigError::Zero(name));
        }
        // A probe asks the node, then asks others to ask it: both answers must fit into the period.
        if self.probe_timeout * 2 > self.probe_period {
            return Err(ConfigError::ProbeTimeout {
                timeout: self.probe_timeout,
                period: self.probe_period,
            });
        }
        if self.announce_min > self.announce_max {
            return Err(ConfigError::Announce {
                min: self.announce_min,
                max: self.announce_max,
            });
        }
        Ok(())
    }
}

/// Where another node may be found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Seed {
    Address(SocketAddr),
    /// All addresses of the name are tried.
    Name {
        host: String,
        port: u16,
    },
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

impl FromStr for Seed {
    type Err = ConfigError;

    /// Reads "10.0.0.1:6933", "[::1]:6933" or "perdure.internal:6933"; the port may be left out.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self::Address(address));
        }
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        if let Ok(ip) = bare.unwrap_or(text).parse::<IpAddr>() {
            return Ok(Self::Address(SocketAddr::new(ip, DEFAULT_PORT)));
        }
        let wrong = || ConfigError::Seed(text.to_owned());
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
            None => (text, DEFAULT_PORT),
        };
        let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if host.is_empty() || port == 0 || !host.bytes().all(named) {
            return Err(wrong());
        }
        Ok(Self::Name {
            host: host.to_owned(),
            port,
        })
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Reads a whole number of ms, s or m.
fn span<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000)];
    units
        .into_iter()
        .find_map(|(unit, ms)| {
            let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
            number.checked_mul(ms).map(Duration::from_millis)
        })
        .ok_or_else(|| serde::de::Error::custom(format!("read time {text:?}: want a number and ms, s or m")))
}

#[cfg(test)]
mod tests;
