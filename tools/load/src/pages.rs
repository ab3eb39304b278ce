//! What a Perdure server tells of itself on its HTTP port.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(2);
const FSYNCS: &str = "perdure_store_fsyncs_total ";

/// How often the server has synced its files; `None` if it does not say. Blocks for some milliseconds.
pub(crate) fn fsyncs(address: &str) -> Option<u64> {
    value(&get(address).ok()?, FSYNCS)
}

fn get(address: &str) -> std::io::Result<String> {
    let address: SocketAddr = address.parse().map_err(std::io::Error::other)?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /metrics HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}

fn value(page: &str, name: &str) -> Option<u64> {
    page.lines()
        .find_map(|line| line.strip_prefix(name))?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_its_line() {
        let page = format!("# HELP {FSYNCS}Syncs.\n{FSYNCS}17\nother 3\n");
        assert_eq!(value(&page, FSYNCS), Some(17));
        assert_eq!(value("other 3\n", FSYNCS), None);
    }
}
