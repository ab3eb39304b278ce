//! The keys that gossip is sealed with.

use std::{fmt, str::FromStr};

use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use serde::{Deserialize, Deserializer};

const KEY_BYTES: usize = 32;

/// A key that all nodes of a cluster share: 32 bytes, written as 64 hex digits.
///
/// Never shown, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey([u8; KEY_BYTES]);

/// The text is no key. Says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read key: want 64 hex digits (32 bytes), such as `openssl rand -hex 32` prints")]
pub struct InvalidKey;

impl SecretKey {
    #[must_use]
    pub const fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&self.0.into())
    }
}

impl FromStr for SecretKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let text = text.as_bytes();
        if text.len() != 2 * KEY_BYTES {
            return Err(InvalidKey);
        }
        let mut key = [0; KEY_BYTES];
        for (byte, digits) in key.iter_mut().zip(text.chunks_exact(2)) {
            *byte = nibble(digits[0])? << 4 | nibble(digits[1])?;
        }
        Ok(Self(key))
    }
}

fn nibble(digit: u8) -> Result<u8, InvalidKey> {
    let value = char::from(digit).to_digit(16).ok_or(InvalidKey)?;
    u8::try_from(value).map_err(|_| InvalidKey)
}

impl<'de> Deserialize<'de> for SecretKey {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hex_and_nothing_else() {
        let text = "00ff".repeat(16);
        let key: SecretKey = text.parse().expect("a key");
        assert_eq!((key.0[0], key.0[1], key.0[31]), (0, 0xff, 0xff));
        for wrong in ["", "00", &"0g".repeat(32), &"00".repeat(33), &"é".repeat(32)] {
            assert_eq!(wrong.parse::<SecretKey>(), Err(InvalidKey), "{wrong}");
        }
    }

    #[test]
    fn is_never_shown() {
        assert_eq!(format!("{:?}", SecretKey::from_bytes([7; 32])), "SecretKey(..)");
    }
}
