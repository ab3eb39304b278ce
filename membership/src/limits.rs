//! Named maxima and spans; those that an operator may change are defaults of `config`.

use std::time::Duration;

/// Bytes of a datagram, the envelope included: below the MTU of Ethernet with room for a tunnel.
pub const DATAGRAM_BYTES_MAX: usize = 1_400;
/// Bytes of a node's name.
pub const NODE_NAME_BYTES_MAX: usize = 64;
/// Bytes of a cluster's name.
pub const CLUSTER_NAME_BYTES_MAX: usize = 64;
/// Bytes of the text that names a node's software version.
pub const SOFTWARE_BYTES_MAX: usize = 32;
/// Secret keys that are accepted at once.
pub const KEYS_MAX: usize = 4;
/// Seeds that can be configured or joined, each an address or a DNS name.
pub const SEEDS_MAX: usize = 64;
/// Addresses that all seeds together may resolve to; what is more is left out.
pub const SEED_ADDRESSES_MAX: usize = 256;
/// Members that are remembered, dead ones included; datagrams of further ones are dropped.
pub const MEMBERS_MAX: usize = 1_024;
/// Senders whose datagrams are told from replays; the one that was silent longest is forgotten first.
pub const SESSIONS_MAX: usize = 4_096;
/// Lost members that are announced to; the one that was lost first is forgotten first.
pub const LOST_MAX: usize = 256;
/// How long a lost member is announced to, and a dead one remembered.
pub const LOST_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// Announcements in one round to seeds and lost members.
pub const ANNOUNCE_FANOUT: usize = 8;
/// Times that a leaving node tells others, one gossip period apart.
pub const LEAVE_ROUNDS: u32 = 3;
/// How long after one line about dropped datagrams there is no other.
pub const COMPLAINT_PERIOD: Duration = Duration::from_secs(60);
/// Points on the ring for each node.
pub const VIRTUAL_NODES: u32 = 256;

/// Commands that wait for the agent.
pub const COMMANDS_MAX: usize = 16;
/// Datagrams that the agent reads before it looks at its timers.
pub const DATAGRAMS_PER_TURN: usize = 64;
/// How long the agent pauses when the socket fails, so that a lasting failure costs no core.
pub const SOCKET_ERROR_PAUSE: Duration = Duration::from_millis(20);
/// How long one resolution of the seeds may take.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a member is probed.
pub const PROBE_PERIOD: Duration = Duration::from_millis(700);
/// How long a direct probe waits before others are asked to probe too.
pub const PROBE_TIMEOUT: Duration = Duration::from_millis(250);
/// How long a suspect may refute before it is dead.
pub const SUSPICION: Duration = Duration::from_secs(2);
/// How often news is sent, while there is any.
pub const GOSSIP_PERIOD: Duration = Duration::from_millis(200);
/// How often one member is asked for the members that it knows.
pub const SYNC_PERIOD: Duration = Duration::from_secs(5);
/// First and longest time between announcements to seeds and lost members.
pub const ANNOUNCE_MIN: Duration = Duration::from_millis(500);
pub const ANNOUNCE_MAX: Duration = Duration::from_secs(10);
/// How often the names of seeds are resolved.
pub const RESOLVE_PERIOD: Duration = Duration::from_secs(15);
/// Members that are asked to probe for another, and that get news in one round.
pub const FANOUT: usize = 3;
/// Datagrams that carry one piece of news before it is old.
pub const TRANSMISSIONS: u8 = 10;
