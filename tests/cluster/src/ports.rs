//! Addresses on loopback that nobody listens on.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::error::NodesError;

/// Below the range from which clients' own ports are taken: a client that connects while the server is down
/// could otherwise be given the server's port and talk to itself.
const PORTS: std::ops::Range<u16> = 11_000..31_000;

/// Returns an address that is free for TCP and UDP and was not given out lately; different processes look in
/// different places first.
pub fn free_address() -> Result<SocketAddr, NodesError> {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    let given = GIVEN.fetch_add(1, Ordering::Relaxed);
    let first = std::process::id().wrapping_add(given).wrapping_mul(97) % count;
    (0..count)
        .filter_map(|step| u16::try_from((first + step) % count).ok())
        .map(|offset| SocketAddr::from((Ipv4Addr::LOCALHOST, PORTS.start + offset)))
        .find(|address| TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok())
        .ok_or(NodesError::NoPort)
}
