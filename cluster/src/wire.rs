//! Wire: how the words of the cores travel between nodes.
//!
//! The encoding is protobuf's, with every field length-delimited: a field has a tag and a body. Release n and n+1
//! run side by side, so a tag is never reused, an unknown field is skipped and an absent one has its default.
//! A new variant of an enum may only be sent to nodes that know it (see `rpc::VERSION`).

use std::{collections::HashMap, hash::BuildHasher};

use bytes::{Buf, Bytes};
use prost::encoding::{decode_varint, encode_varint};

mod basic;
mod common;
mod macros;
mod queue;
mod reply;
mod trigger;

#[cfg(test)]
mod tests;

pub(crate) use macros::{wire_codes, wire_enum, wire_struct};

/// The bytes of another node make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed message of another node: {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// A value that travels between nodes.
pub(crate) trait Wire: Sized {
    /// Appends the value's body.
    fn put(&self, to: &mut Vec<u8>);

    fn take(from: Bytes) -> Result<Self, Malformed>;

    /// What an absent field stands for; `None` where it must be there.
    fn absent() -> Option<Self> {
        None
    }

    fn is_absent(&self) -> bool {
        false
    }
}

/// Something that a field may hold: a value, or none, or many.
pub(crate) trait Field: Sized {
    fn put_field(&self, tag: u32, to: &mut Vec<u8>);
    fn take_field(slot: &mut Option<Self>, body: Bytes) -> Result<(), Malformed>;
    fn finish(slot: Option<Self>) -> Result<Self, Malformed>;
}

impl<T: Wire> Field for T {
    fn put_field(&self, tag: u32, to: &mut Vec<u8>) {
        if !self.is_absent() {
            put_body(tag, to, |to| self.put(to));
        }
    }

    fn take_field(slot: &mut Option<Self>, body: Bytes) -> Result<(), Malformed> {
        *slot = Some(T::take(body)?);
        Ok(())
    }

    fn finish(slot: Option<Self>) -> Result<Self, Malformed> {
        slot.or_else(T::absent).ok_or(Malformed("a field is missing"))
    }
}

impl<T: Wire> Field for Option<T> {
    fn put_field(&self, tag: u32, to: &mut Vec<u8>) {
        if let Some(value) = self {
            put_body(tag, to, |to| value.put(to));
        }
    }

    fn take_field(slot: &mut Option<Self>, body: Bytes) -> Result<(), Malformed> {
        *slot = Some(Some(T::take(body)?));
        Ok(())
    }

    fn finish(slot: Option<Self>) -> Result<Self, Malformed> {
        Ok(slot.flatten())
    }
}

impl<T: Wire> Field for Vec<T> {
    fn put_field(&self, tag: u32, to: &mut Vec<u8>) {
        for value in self {
            put_body(tag, to, |to| value.put(to));
        }
    }

    fn take_field(slot: &mut Option<Self>, body: Bytes) -> Result<(), Malformed> {
        slot.get_or_insert_default().push(T::take(body)?);
        Ok(())
    }

    fn finish(slot: Option<Self>) -> Result<Self, Malformed> {
        Ok(slot.unwrap_or_default())
    }
}

impl<T: Wire, S: BuildHasher + Default> Field for HashMap<String, T, S> {
    fn put_field(&self, tag: u32, to: &mut Vec<u8>) {
        for (key, value) in self {
            put_body(tag, to, |to| {
                key.put_field(1, to);
                put_body(2, to, |to| value.put(to));
            });
        }
    }

    fn take_field(slot: &mut Option<Self>, body: Bytes) -> Result<(), Malformed> {
        let (key, value) = <(String, T)>::take(body)?;
        slot.get_or_insert_default().insert(key, value);
        Ok(())
    }

    fn finish(slot: Option<Self>) -> Result<Self, Malformed> {
        Ok(slot.unwrap_or_default())
    }
}

/// Bytes that the length of a body takes, as a varint with padding: it is written before it is known.
const LENGTH: usize = 4;

/// Appends a field.
pub(crate) fn put_body(tag: u32, to: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    encode_varint(u64::from(tag << 3 | 2), to);
    let at = to.len();
    to.extend_from_slice(&[0; LENGTH]);
    body(to);
    let length = to.len() - at - LENGTH;
    for (n, byte) in to[at..at + LENGTH].iter_mut().enumerate() {
        let seven = u8::try_from(length >> (7 * n) & 0x7f).unwrap_or(0);
        *byte = if n + 1 < LENGTH { seven | 0x80 } else { seven };
    }
}

/// Splits the next field off.
pub(crate) fn take_body(from: &mut Bytes) -> Result<Option<(u32, Bytes)>, Malformed> {
    if from.is_empty() {
        return Ok(None);
    }
    let key = decode_varint(from).map_err(|_| Malformed("a field has no key"))?;
    if key & 7 != 2 {
        return Err(Malformed("a field is not length-delimited"));
    }
    let tag = u32::try_from(key >> 3).map_err(|_| Malformed("a tag is too large"))?;
    let length = decode_varint(from).map_err(|_| Malformed("a field has no length"))?;
    match usize::try_from(length) {
        Ok(length) if length <= from.remaining() => Ok(Some((tag, from.split_to(length)))),
        _ => Err(Malformed("a field is cut off")),
    }
}

/// Writes the whole value.
pub(crate) fn encode(value: &impl Wire) -> Bytes {
    let mut bytes = Vec::with_capacity(256);
    value.put(&mut bytes);
    bytes.into()
}

fn put_int(value: u64, to: &mut Vec<u8>) {
    encode_varint(value, to);
}

fn take_int(mut from: Bytes) -> Result<u64, Malformed> {
    decode_varint(&mut from).map_err(|_| Malformed("a number is cut off"))
}

fn take_text(from: &Bytes) -> Result<&str, Malformed> {
    std::str::from_utf8(from).map_err(|_| Malformed("a text is not UTF-8"))
}

fn take_array<const N: usize>(from: &Bytes) -> Result<[u8; N], Malformed> {
    from.as_ref()
        .try_into()
        .map_err(|_| Malformed("an id has the wrong length"))
}
