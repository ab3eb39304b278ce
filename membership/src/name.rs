//! What nodes and clusters may be called.

use crate::limits;

/// Tells whether the text can name a node: letters, digits, `-`, `_` and `.`, such as a host's name.
#[must_use]
pub fn is_node_name(text: &str) -> bool {
    is_name(text, limits::NODE_NAME_BYTES_MAX)
}

/// Tells whether the text can name a cluster; the same letters.
#[must_use]
pub fn is_cluster_name(text: &str) -> bool {
    is_name(text, limits::CLUSTER_NAME_BYTES_MAX)
}

fn is_name(text: &str, bytes_max: usize) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=bytes_max).contains(&text.len()) && text.bytes().all(fits)
}
