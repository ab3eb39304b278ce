//! The bytes of a state: its protobuf message after a version tag.

use bytes::Bytes;
use prost::Message;

use super::State;

/// The version tag that precedes a stored state.
const VERSION: u8 = 1;

/// The stored bytes are not a state of a version that this release reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stored run state is malformed or of a newer release")]
pub struct Malformed;

impl State {
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(1 + self.encoded_len());
        bytes.push(VERSION);
        // A Vec grows as needed: encoding into it cannot fail.
        self.encode_raw(&mut bytes);
        bytes.into()
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        match bytes.split_first() {
            Some((&VERSION, message)) => Self::decode(message).map_err(|_| Malformed),
            _ => Err(Malformed),
        }
    }
}
