//! Config: what an operator may set of the Cassandra backend, in the shape of the official server's file.

use std::{fmt, num::NonZeroUsize, path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer};

use super::{OpenError, link::refused};

/// Where the store is and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CassandraConfig {
    /// Nodes to begin with, divided by commas; the others are found through them.
    pub hosts: String,
    #[serde(default = "port")]
    pub port: u16,
    #[serde(default = "keyspace")]
    pub keyspace: String,
    #[serde(default)]
    pub user: Option<String>,
    /// Or the file that holds it, or the variable of the environment: read whenever a connection is made anew.
    #[serde(default)]
    pub password: Option<Password>,
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    #[serde(default)]
    pub password_env: Option<String>,
    /// The data centre whose nodes are asked; empty takes any. All nodes of a cluster must name the same one
    /// while `serialConsistency` is local.
    #[serde(default)]
    pub datacenter: Option<String>,
    #[serde(default)]
    pub consistency: ConsistencyConfig,
    #[serde(default)]
    pub tls: TlsConfig,
    /// Connections to each node.
    #[serde(default = "connections")]
    pub max_conns: NonZeroUsize,
    #[serde(default = "connect_timeout", deserialize_with = "duration")]
    pub connect_timeout: Duration,
    /// How long one request may take until it is tried again.
    #[serde(default = "request_timeout", deserialize_with = "duration")]
    pub timeout: Duration,
    /// How long a call tries again until it fails as unavailable.
    #[serde(default = "call_timeout", deserialize_with = "duration")]
    pub call_timeout: Duration,
    /// Copies of each row in each data centre, when the keyspace is made here.
    #[serde(default = "replicas")]
    pub replication_factor: NonZeroUsize,
    /// Make the keyspace and its tables, or bring them up to date, when the server starts.
    #[serde(default)]
    pub auto_setup: bool,
    /// Commits in flight of this node at most; the limit follows latency below it.
    #[serde(default = "commits")]
    pub max_commits: NonZeroUsize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsistencyConfig {
    #[serde(default)]
    pub default: Consistency,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Consistency {
    #[serde(default)]
    pub consistency: Level,
    #[serde(default)]
    pub serial_consistency: SerialLevel,
}

/// How many replicas must agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    #[default]
    LocalQuorum,
    Quorum,
}

/// Among which replicas a conditional write is decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SerialLevel {
    #[default]
    LocalSerial,
    Serial,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TlsConfig {
    pub enabled: bool,
    /// Whom to trust: PEM.
    pub ca_file: Option<PathBuf>,
    /// Who we are, if Cassandra asks: PEM.
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    /// Whether a node's certificate must name its IP address.
    pub enable_host_verification: bool,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            ca_file: None,
            cert_file: None,
            key_file: None,
            enable_host_verification: true,
        }
    }
}

/// Never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// A value that the store cannot work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    #[error("name at least one host of Cassandra")]
    NoHosts,
    #[error("use keyspace {0:?}: letters, digits and _ are allowed, 48 at most, a letter first")]
    Keyspace(String),
    #[error("give user and password together")]
    HalfUser,
    #[error("give one of password, passwordFile and passwordEnv")]
    ManyPasswords,
    #[error("give certFile and keyFile together")]
    HalfCertificate,
    #[error("use callTimeout of {0:?}: it must not be shorter than timeout")]
    ShortCall(Duration),
}

impl CassandraConfig {
    /// The defaults, for these hosts.
    #[must_use]
    pub fn new(hosts: impl Into<String>) -> Self {
        Self {
            hosts: hosts.into(),
            port: port(),
            keyspace: keyspace(),
            user: None,
            password: None,
            password_file: None,
            password_env: None,
            datacenter: None,
            consistency: ConsistencyConfig::default(),
            tls: TlsConfig::default(),
            max_conns: connections(),
            connect_timeout: connect_timeout(),
            timeout: request_timeout(),
            call_timeout: call_timeout(),
            replication_factor: replicas(),
            auto_setup: false,
            max_commits: commits(),
        }
    }

    pub fn validate(&self) -> Result<(), InvalidConfig> {
        if self.contact_points().is_empty() {
            return Err(InvalidConfig::NoHosts);
        }
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let name = &self.keyspace;
        if name.len() > 48 || !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.chars().all(word)
        {
            return Err(InvalidConfig::Keyspace(name.clone()));
        }
        let passwords = [
            self.password.is_some(),
            self.password_file.is_some(),
            self.password_env.is_some(),
        ];
        match passwords.into_iter().filter(|given| *given).count() {
            0 | 1 => {}
            _ => return Err(InvalidConfig::ManyPasswords),
        }
        if self.user.is_some() != passwords.contains(&true) {
            return Err(InvalidConfig::HalfUser);
        }
        if self.tls.cert_file.is_some() != self.tls.key_file.is_some() {
            return Err(InvalidConfig::HalfCertificate);
        }
        if self.call_timeout < self.timeout {
            return Err(InvalidConfig::ShortCall(self.call_timeout));
        }
        Ok(())
    }

    /// Returns the user and the password, which is read where it is kept.
    pub(crate) fn credentials(&self) -> Result<Option<(String, Password)>, OpenError> {
        let Some(user) = self.user.clone() else {
            return Ok(None);
        };
        let password = match (&self.password, &self.password_file, &self.password_env) {
            (Some(password), ..) => password.clone(),
            (None, Some(file), _) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|error| refused(&format!("read password from {}", file.display()), &error))?;
                Password::new(text.trim_end_matches(['\r', '\n']))
            }
            (None, None, Some(name)) => {
                let text = std::env::var(name)
                    .map_err(|error| refused(&format!("read password from variable {name}"), &error))?;
                Password::new(text)
            }
            (None, None, None) => return Ok(None),
        };
        Ok(Some((user, password)))
    }

    /// Returns the hosts, each with its port.
    pub(crate) fn contact_points(&self) -> Vec<String> {
        let hosts = self
            .hosts
            .split(',')
            .map(str::trim)
            .filter(|host| !host.is_empty());
        hosts
            .map(|host| match host.rsplit_once(':') {
                Some((name, port)) if !name.contains(':') && port.parse::<u16>().is_ok() => host.to_owned(),
                _ if host.contains(':') && !host.starts_with('[') => format!("[{host}]:{}", self.port),
                _ => format!("{host}:{}", self.port),
            })
            .collect()
    }
}

fn port() -> u16 {
    9042
}

fn keyspace() -> String {
    "perdure".to_owned()
}

fn connections() -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(1)
}

fn connect_timeout() -> Duration {
    Duration::from_secs(2)
}

fn request_timeout() -> Duration {
    Duration::from_secs(2)
}

fn call_timeout() -> Duration {
    Duration::from_secs(8)
}

fn replicas() -> NonZeroUsize {
    NonZeroUsize::MIN
}

fn commits() -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(255)
}

/// Reads `500ms`, `2s` or `1m`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let units = [("ms", 1), ("s", 1000), ("m", 60_000)];
    units
        .iter()
        .find_map(|(unit, millis)| Some(text.strip_suffix(unit)?.trim().parse::<u64>().ok()? * millis))
        .filter(|millis| *millis > 0)
        .map(Duration::from_millis)
        .ok_or_else(|| {
            serde::de::Error::custom(format!("read duration {text:?}: write it as 500ms, 2s or 1m"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_official_files_shape() {
        let text = r#"{"hosts": "a, b:9999,::1", "keyspace": "orders", "user": "u", "password": "secret",
            "consistency": {"default": {"consistency": "quorum"}}, "tls": {"enabled": true}, "timeout": "500ms"}"#;
        let config: CassandraConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.validate(), Ok(()));
        assert_eq!(config.contact_points(), ["a:9042", "b:9999", "[::1]:9042"]);
        assert_eq!(config.consistency.default.consistency, Level::Quorum);
        assert_eq!(config.timeout, Duration::from_millis(500));
        assert!(!format!("{config:?}").contains("secret"));
        assert!(serde_json::from_str::<CassandraConfig>(r#"{"hosts": "a", "prot": 1}"#).is_err());
        assert!(serde_json::from_str::<CassandraConfig>(r#"{"hosts": "a", "timeout": "1x"}"#).is_err());
    }

    #[test]
    fn refuses_what_cannot_work() {
        let refused = |change: fn(&mut CassandraConfig)| {
            let mut config = CassandraConfig::new("a");
            change(&mut config);
            config.validate().unwrap_err()
        };
        assert_eq!(
            refused(|config| config.hosts = " , ".into()),
            InvalidConfig::NoHosts
        );
        let injected = "x; DROP".to_owned();
        assert_eq!(
            refused(|config| config.keyspace = "x; DROP".into()),
            InvalidConfig::Keyspace(injected)
        );
        assert_eq!(
            refused(|config| config.user = Some("u".into())),
            InvalidConfig::HalfUser
        );
        assert_eq!(
            refused(|config| {
                config.user = Some("u".into());
                config.password = Some(Password::new("p"));
                config.password_env = Some("P".into());
            }),
            InvalidConfig::ManyPasswords
        );
        assert_eq!(
            refused(|config| config.tls.key_file = Some("k".into())),
            InvalidConfig::HalfCertificate
        );
        assert_eq!(
            refused(|config| config.call_timeout = Duration::from_millis(1)),
            InvalidConfig::ShortCall(Duration::from_millis(1))
        );
    }
    #[test]
    fn a_password_may_be_kept_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "of the file\n").unwrap();
        let config = CassandraConfig {
            user: Some("u".into()),
            password_file: Some(file.clone()),
            ..CassandraConfig::new("a")
        };
        assert_eq!(config.validate(), Ok(()));
        let found = config.credentials().unwrap();
        assert_eq!(found, Some(("u".to_owned(), Password::new("of the file"))));
        std::fs::remove_file(&file).unwrap();
        let missing = config.credentials().unwrap_err().to_string();
        assert!(missing.starts_with("read password from "), "{missing}");
        let config = CassandraConfig {
            password_file: None,
            password_env: Some("PERDURE_NO_SUCH_VARIABLE".into()),
            ..config
        };
        let missing = config.credentials().unwrap_err().to_string();
        assert!(missing.contains("PERDURE_NO_SUCH_VARIABLE"), "{missing}");
    }
}
