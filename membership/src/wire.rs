//! Foca's messages as bytes: bincode 2, inside the envelope whose version says how to read them.
//!
//! Only this file knows bincode. Every decode is limited in bytes, since bincode without a limit believes any
//! length; what was decoded is checked before anyone sees it. Nothing of this is ever stored.

use std::{net::SocketAddr, sync::Arc};

use bincode::{
    Decode, Encode,
    config::{Configuration, Limit, LittleEndian, Varint},
};
use bytes::{Buf, BufMut};
use foca::{Codec, Header, Incarnation, Member, Message, ProbeNumber, State};
use proto::time::Timestamp;

use crate::{
    identity::{Card, Identity, Phase, Stamp, Start},
    limits,
    name::is_node_name,
};

const FORMAT: Configuration<LittleEndian, Varint, Limit<{ limits::DATAGRAM_BYTES_MAX }>> =
    bincode::config::standard().with_limit();

#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("decode message: {0}")]
    Decode(#[from] bincode::error::DecodeError),
    #[error("encode message: {0}")]
    Encode(#[from] bincode::error::EncodeError),
    #[error("decode message: {0} is not what a node says")]
    Invalid(&'static str),
    #[error("encode message: no room")]
    NoRoom,
}

/// A node with all that it says of itself.
#[derive(Encode, Decode)]
struct Full {
    name: String,
    generation: u64,
    started_nanos: i64,
    revision: u32,
    gossip: SocketAddr,
    peer: SocketAddr,
    client: SocketAddr,
    software: String,
    phase: u8,
}

/// A node and where it is, to pass a message on.
#[derive(Encode, Decode)]
struct Brief {
    name: String,
    generation: u64,
    started_nanos: i64,
    revision: u32,
    gossip: SocketAddr,
}

/// Whom a message is for, so that nobody answers for its own former life.
#[derive(Encode, Decode)]
struct Target {
    name: String,
    generation: u64,
    started_nanos: i64,
    revision: u32,
}

#[derive(Encode, Decode)]
enum Word {
    Ping(ProbeNumber),
    Ack(ProbeNumber),
    PingReq(Brief, ProbeNumber),
    IndirectPing(Brief, ProbeNumber),
    IndirectAck(Brief, ProbeNumber),
    ForwardedAck(Brief, ProbeNumber),
    Announce,
    Feed,
    Gossip,
    Broadcast,
    TurnUndead,
}

#[derive(Encode, Decode)]
struct Head {
    from: Full,
    incarnation: Incarnation,
    /// None in an announcement to whoever listens.
    to: Option<Target>,
    word: Word,
}

#[derive(Encode, Decode)]
struct News {
    about: Full,
    incarnation: Incarnation,
    state: u8,
}

/// Tells a node that another of its name started later.
#[derive(Encode, Decode)]
struct Successor {
    name: String,
    generation: u64,
    started_nanos: i64,
}

/// What a datagram of foca holds, to look at before foca does.
pub(crate) struct Packet {
    pub(crate) from: Identity,
    pub(crate) news: Vec<Member<Identity>>,
}

/// Writes and reads foca's messages for the node of this name.
pub(crate) struct Wire {
    pub(crate) me: Arc<str>,
}

impl Wire {
    /// Reads a whole datagram as foca will.
    pub(crate) fn packet(&mut self, mut bytes: &[u8]) -> Result<Packet, WireError> {
        let header = self.decode_header(&mut bytes)?;
        let mut news = Vec::new();
        if bytes.len() >= 2 {
            let count = bytes.get_u16();
            for _ in 0..count {
                news.push(self.decode_member(&mut bytes)?);
            }
        }
        if !bytes.is_empty() {
            return Err(WireError::Invalid("a longer message"));
        }
        Ok(Packet {
            from: header.src,
            news,
        })
    }
}

impl Wire {
    /// Writes a piece of news to whom it concerns: that it is suspected. The sender's incarnation is left at the first
    /// one, which says nothing of the sender.
    pub(crate) fn suspicion(
        &mut self,
        from: &Identity,
        suspect: &Member<Identity>,
    ) -> Result<Vec<u8>, WireError> {
        let header = Header {
            src: from.clone(),
            src_incarnation: 0,
            dst: suspect.id().clone(),
            message: Message::Gossip,
        };
        let mut bytes = Vec::new();
        self.encode_header(&header, &mut bytes)?;
        bytes.put_u16(1);
        self.encode_member(suspect, &mut bytes)?;
        Ok(bytes)
    }
}

impl Codec<Identity> for Wire {
    type Error = WireError;

    fn encode_header(&mut self, header: &Header<Identity>, to: impl BufMut) -> Result<(), WireError> {
        let head = Head {
            from: full(&header.src)?,
            incarnation: header.src_incarnation,
            to: (!header.dst.name.is_empty()).then(|| target(&header.dst)),
            word: word(&header.message),
        };
        put(&head, to)
    }

    fn decode_header(&mut self, from: impl Buf) -> Result<Header<Identity>, WireError> {
        let head: Head = take(from)?;
        let message = message(head.word)?;
        let dst = match head.to {
            Some(to) => named(
                &to.name,
                start(to.generation, to.started_nanos),
                to.revision,
                NOWHERE,
            )?,
            // Foca answers an announcement whose target has its name, whatever the stamp.
            None if message == Message::Announce => Identity {
                name: Arc::clone(&self.me),
                ..Identity::stranger(NOWHERE)
            },
            None => return Err(WireError::Invalid("a message for nobody")),
        };
        Ok(Header {
            src: identity(head.from)?,
            src_incarnation: head.incarnation,
            dst,
            message,
        })
    }

    fn encode_member(&mut self, member: &Member<Identity>, to: impl BufMut) -> Result<(), WireError> {
        let news = News {
            about: full(member.id())?,
            incarnation: member.incarnation(),
            state: match member.state() {
                State::Alive => 0,
                State::Suspect => 1,
                State::Down => 2,
            },
        };
        put(&news, to)
    }

    fn decode_member(&mut self, from: impl Buf) -> Result<Member<Identity>, WireError> {
        let news: News = take(from)?;
        let state = match news.state {
            0 => State::Alive,
            1 => State::Suspect,
            2 => State::Down,
            _ => return Err(WireError::Invalid("the state")),
        };
        Ok(Member::new(identity(news.about)?, news.incarnation, state))
    }
}

/// Where a message's target listens is not written: it is the one that reads.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

pub(crate) fn encode_successor(name: &str, start: Start) -> Result<Vec<u8>, WireError> {
    let mut bytes = Vec::new();
    let successor = Successor {
        name: name.to_owned(),
        generation: start.generation,
        started_nanos: start.at.nanos(),
    };
    put(&successor, &mut bytes)?;
    Ok(bytes)
}

pub(crate) fn decode_successor(bytes: &[u8]) -> Result<(String, Start), WireError> {
    let found: Successor = take(bytes)?;
    Ok((found.name, start(found.generation, found.started_nanos)))
}

fn put(value: &impl Encode, mut to: impl BufMut) -> Result<(), WireError> {
    let bytes = bincode::encode_to_vec(value, FORMAT)?;
    if bytes.len() > to.remaining_mut() {
        return Err(WireError::NoRoom);
    }
    to.put_slice(&bytes);
    Ok(())
}

fn take<T: Decode<()>>(mut from: impl Buf) -> Result<T, WireError> {
    let (value, length) = bincode::decode_from_slice(from.chunk(), FORMAT)?;
    from.advance(length);
    Ok(value)
}

fn full(id: &Identity) -> Result<Full, WireError> {
    let card = id.card.as_ref().ok_or(WireError::Invalid("a bare name"))?;
    Ok(Full {
        name: id.name.to_string(),
        generation: id.stamp.start.generation,
        started_nanos: id.stamp.start.at.nanos(),
        revision: id.stamp.revision,
        gossip: id.gossip,
        peer: card.peer,
        client: card.client,
        software: card.software.to_string(),
        phase: match card.phase {
            Phase::Serving => 0,
            Phase::Leaving => 1,
            Phase::Left => 2,
        },
    })
}

fn identity(full: Full) -> Result<Identity, WireError> {
    if full.software.len() > limits::SOFTWARE_BYTES_MAX {
        return Err(WireError::Invalid("the software version"));
    }
    let phase = match full.phase {
        0 => Phase::Serving,
        1 => Phase::Leaving,
        2 => Phase::Left,
        _ => return Err(WireError::Invalid("the phase")),
    };
    let start = start(full.generation, full.started_nanos);
    let mut id = named(&full.name, start, full.revision, full.gossip)?;
    id.card = Some(Arc::new(Card {
        peer: full.peer,
        client: full.client,
        software: full.software.into(),
        phase,
    }));
    Ok(id)
}

fn named(name: &str, start: Start, revision: u32, gossip: SocketAddr) -> Result<Identity, WireError> {
    if !is_node_name(name) {
        return Err(WireError::Invalid("the name"));
    }
    Ok(Identity {
        name: name.into(),
        stamp: Stamp { start, revision },
        gossip,
        card: None,
    })
}

fn start(generation: u64, started_nanos: i64) -> Start {
    Start {
        generation,
        at: Timestamp::from_nanos(started_nanos),
    }
}

fn target(id: &Identity) -> Target {
    Target {
        name: id.name.to_string(),
        generation: id.stamp.start.generation,
        started_nanos: id.stamp.start.at.nanos(),
        revision: id.stamp.revision,
    }
}

fn brief(id: &Identity) -> Brief {
    Brief {
        name: id.name.to_string(),
        generation: id.stamp.start.generation,
        started_nanos: id.stamp.start.at.nanos(),
        revision: id.stamp.revision,
        gossip: id.gossip,
    }
}

fn unbrief(brief: &Brief) -> Result<Identity, WireError> {
    let start = start(brief.generation, brief.started_nanos);
    named(&brief.name, start, brief.revision, brief.gossip)
}

fn word(message: &Message<Identity>) -> Word {
    match message {
        Message::Ping(number) => Word::Ping(*number),
        Message::Ack(number) => Word::Ack(*number),
        Message::PingReq { target, probe_number } => Word::PingReq(brief(target), *probe_number),
        Message::IndirectPing { origin, probe_number } => Word::IndirectPing(brief(origin), *probe_number),
        Message::IndirectAck { target, probe_number } => Word::IndirectAck(brief(target), *probe_number),
        Message::ForwardedAck { origin, probe_number } => Word::ForwardedAck(brief(origin), *probe_number),
        Message::Announce => Word::Announce,
        Message::Feed => Word::Feed,
        Message::Gossip => Word::Gossip,
        Message::Broadcast => Word::Broadcast,
        Message::TurnUndead => Word::TurnUndead,
    }
}

fn message(word: Word) -> Result<Message<Identity>, WireError> {
    Ok(match word {
        Word::Ping(number) => Message::Ping(number),
        Word::Ack(number) => Message::Ack(number),
        Word::PingReq(node, probe_number) => Message::PingReq {
            target: unbrief(&node)?,
            probe_number,
        },
        Word::IndirectPing(node, probe_number) => Message::IndirectPing {
            origin: unbrief(&node)?,
            probe_number,
        },
        Word::IndirectAck(node, probe_number) => Message::IndirectAck {
            target: unbrief(&node)?,
            probe_number,
        },
        Word::ForwardedAck(node, probe_number) => Message::ForwardedAck {
            origin: unbrief(&node)?,
            probe_number,
        },
        Word::Announce => Message::Announce,
        Word::Feed => Message::Feed,
        Word::Gossip => Message::Gossip,
        Word::Broadcast => Message::Broadcast,
        Word::TurnUndead => Message::TurnUndead,
    })
}

#[cfg(test)]
mod tests;
