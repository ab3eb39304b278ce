//! Why membership does not start.

use std::{io, net::SocketAddr, time::Duration};

use crate::limits;

/// The configuration cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error(
        "check clusterName {0:?}: want 1 to {max} letters, digits, '-', '_' or '.'",
        max = limits::CLUSTER_NAME_BYTES_MAX
    )]
    ClusterName(String),
    #[error(
        "check node name {0:?}: want 1 to {max} letters, digits, '-', '_' or '.'",
        max = limits::NODE_NAME_BYTES_MAX
    )]
    NodeName(String),
    #[error("check software version {0:?}: want at most {max} bytes", max = limits::SOFTWARE_BYTES_MAX)]
    Software(String),
    #[error("check seeds: {0} given, at most {max}", max = limits::SEEDS_MAX)]
    TooManySeeds(usize),
    #[error("read seed {0:?}: want an address or a DNS name with a port, such as \"10.0.0.1:6933\"")]
    Seed(String),
    #[error("check keys: {0} given, at most {max}", max = limits::KEYS_MAX)]
    TooManyKeys(usize),
    #[error("check advertise: others cannot send to {0}; set the address by which they reach this node")]
    NothingToAdvertise(SocketAddr),
    #[error("check advertise: want a port that is not 0")]
    AdvertisedPort,
    #[error("check advertise: an IPv4 socket ({bind}) cannot talk with {advertise}; bind an IPv6 address")]
    Families { bind: SocketAddr, advertise: SocketAddr },
    #[error("check keys: gossip on {0} needs a key (`openssl rand -hex 32`) or allowPlaintext: true")]
    NoKey(SocketAddr),
    #[error("check timing.{0}: want more than zero")]
    Zero(&'static str),
    #[error("check timing.probeTimeout: {timeout:?} is more than half of probePeriod {period:?}")]
    ProbeTimeout { timeout: Duration, period: Duration },
    #[error("check timing.announceMin: {min:?} is more than announceMax {max:?}")]
    Announce { min: Duration, max: Duration },
}

/// Membership did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("bind gossip socket {address}: {source}")]
    Bind { address: SocketAddr, source: io::Error },
    #[error("start gossip thread: {0}")]
    Thread(io::Error),
    #[error("draw random seed: {0}")]
    Random(String),
}

/// The agent is gone: it left, was stopped or has a successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tell gossip agent: it has ended")]
pub struct Gone;
