//! What goes around each datagram: a version, a seal, the cluster's name.
//!
//! ```text
//! 0      1        2           18         26
//! version mode     session     counter    body (sealed: ciphertext and 16 bytes of tag)
//! body:  length of cluster name, cluster name, kind, content
//! ```
//!
//! Session and counter are the nonce: a session is 16 random bytes drawn at start, the counter grows with each
//! datagram, so a nonce never comes twice under a key. Version and mode are authenticated too.
//! A datagram that was seen before is dropped (`replay`). What a replay can do after the receiver has restarted is
//! small: anything but an announcement names the life of the node it is for and is void for the next one, and
//! news are ordered by generation, revision and incarnation, so old news change nothing.

use std::sync::Arc;

use chacha20poly1305::{AeadInOut, Tag, XChaCha20Poly1305, XNonce, aead::inout::InOutBuf};

use crate::{limits, replay::Windows, secret::SecretKey};

/// How this release writes datagrams, and the only way that it reads.
pub(crate) const VERSION: u8 = 1;

const PLAIN: u8 = 0;
const SEALED: u8 = 1;
const SESSION_BYTES: usize = 16;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const HEAD_BYTES: usize = 2 + NONCE_BYTES;

pub(crate) type Session = [u8; SESSION_BYTES];

/// What a datagram is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A message of foca.
    Swim = 1,
    /// The receiver has a successor of its name.
    Superseded = 2,
}

/// Why a datagram was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    Oversized,
    Malformed,
    Version(u8),
    /// No key of ours opens it, or it is plain where keys are set.
    Unauthenticated,
    Cluster(String),
    /// Seen before, too old to tell, or our own.
    Replayed,
}

pub(crate) struct Envelope {
    cluster: Arc<str>,
    /// The first seals, all open; none means plain.
    keys: Vec<XChaCha20Poly1305>,
    session: Session,
    counter: u64,
    windows: Windows,
}

impl Envelope {
    pub(crate) fn new(cluster: Arc<str>, keys: &[SecretKey], session: Session) -> Self {
        Self {
            cluster,
            keys: keys.iter().map(SecretKey::cipher).collect(),
            session,
            counter: 0,
            windows: Windows::default(),
        }
    }

    /// Returns how much content fits into one datagram.
    pub(crate) fn room(&self) -> usize {
        let tag = if self.keys.is_empty() { 0 } else { TAG_BYTES };
        limits::DATAGRAM_BYTES_MAX - HEAD_BYTES - tag - self.cluster.len() - 2
    }

    /// Wraps content of at most `room` bytes.
    pub(crate) fn seal(&mut self, kind: Kind, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(limits::DATAGRAM_BYTES_MAX);
        bytes.push(VERSION);
        bytes.push(if self.keys.is_empty() { PLAIN } else { SEALED });
        bytes.extend_from_slice(&self.session);
        bytes.extend_from_slice(&self.counter.to_le_bytes());
        self.counter += 1;
        bytes.push(u8::try_from(self.cluster.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(self.cluster.as_bytes());
        bytes.push(kind as u8);
        bytes.extend_from_slice(content);
        if let Some(cipher) = self.keys.first() {
            let (head, body) = bytes.split_at_mut(HEAD_BYTES);
            let (first, nonce) = head.split_at(2);
            match cipher.encrypt_inout_detached(&nonce_of(nonce), first, InOutBuf::from(body)) {
                Ok(tag) => bytes.extend_from_slice(&tag),
                // Only for gigabytes; then nothing readable may leave.
                Err(_) => bytes.truncate(HEAD_BYTES),
            }
        }
        bytes
    }

    /// Opens a datagram from anyone.
    pub(crate) fn open(&mut self, bytes: &[u8]) -> Result<(Kind, Vec<u8>), Dropped> {
        if bytes.len() > limits::DATAGRAM_BYTES_MAX {
            return Err(Dropped::Oversized);
        }
        let Some((head, body)) = bytes.split_at_checked(HEAD_BYTES) else {
            return Err(Dropped::Malformed);
        };
        if head[0] != VERSION {
            return Err(Dropped::Version(head[0]));
        }
        let body = match (head[1], self.keys.is_empty()) {
            (PLAIN, true) => body.to_vec(),
            (SEALED, false) => self.unseal(head, body)?,
            (PLAIN | SEALED, _) => return Err(Dropped::Unauthenticated),
            _ => return Err(Dropped::Malformed),
        };
        let (kind, content) = self.read(&body)?;
        let (session, counter) = head[2..].split_at(SESSION_BYTES);
        let session = <Session>::try_from(session).map_err(|_| Dropped::Malformed)?;
        let counter = <[u8; 8]>::try_from(counter).map_err(|_| Dropped::Malformed)?;
        let fresh = session != self.session && self.windows.take(session, u64::from_le_bytes(counter));
        fresh.then_some((kind, content)).ok_or(Dropped::Replayed)
    }

    fn unseal(&self, head: &[u8], body: &[u8]) -> Result<Vec<u8>, Dropped> {
        let Some(length) = body.len().checked_sub(TAG_BYTES) else {
            return Err(Dropped::Malformed);
        };
        let (text, tag) = body.split_at(length);
        let tag = Tag::try_from(tag).map_err(|_| Dropped::Malformed)?;
        let nonce = nonce_of(&head[2..]);
        for cipher in &self.keys {
            let mut text = text.to_vec();
            let opened =
                cipher.decrypt_inout_detached(&nonce, &head[..2], InOutBuf::from(text.as_mut_slice()), &tag);
            if opened.is_ok() {
                return Ok(text);
            }
        }
        Err(Dropped::Unauthenticated)
    }

    fn read(&self, body: &[u8]) -> Result<(Kind, Vec<u8>), Dropped> {
        let (&length, rest) = body.split_first().ok_or(Dropped::Malformed)?;
        let (cluster, rest) = rest.split_at_checked(length.into()).ok_or(Dropped::Malformed)?;
        if cluster != self.cluster.as_bytes() {
            return Err(Dropped::Cluster(String::from_utf8_lossy(cluster).into_owned()));
        }
        let (kind, content) = match rest.split_first() {
            Some((1, content)) => (Kind::Swim, content),
            Some((2, content)) => (Kind::Superseded, content),
            _ => return Err(Dropped::Malformed),
        };
        Ok((kind, content.to_vec()))
    }
}

fn nonce_of(bytes: &[u8]) -> XNonce {
    let mut nonce = XNonce::default();
    for (to, from) in nonce.iter_mut().zip(bytes) {
        *to = *from;
    }
    nonce
}

#[cfg(test)]
mod tests;
