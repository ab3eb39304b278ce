//! Asks a node's page for operators.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

const TIMEOUT: Duration = Duration::from_secs(2);
/// A page's bytes, at most.
const PAGE_MAX: u64 = 1 << 20;

/// Returns the status with which the page was answered.
pub(crate) fn status(address: SocketAddr, path: &str) -> io::Result<u16> {
    let answer = ask(address, path)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(no_http)
}

/// Returns the page without what HTTP says before it.
pub fn text(address: SocketAddr, path: &str) -> io::Result<String> {
    let answer = ask(address, path)?;
    let text = answer.split_once("\r\n\r\n").ok_or_else(no_http)?.1;
    Ok(text.to_owned())
}

fn ask(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // The old version: the answer ends with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(PAGE_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

fn no_http() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no HTTP answer")
}
